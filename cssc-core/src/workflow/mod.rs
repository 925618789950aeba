//! The workflow: what is to be done next, and what follows from what was done.

mod candidate;
mod cycle;
mod error;
mod event;
mod id;
mod image;
mod options;
mod reason;
mod record;
mod report;
mod restore;
mod row;
mod run;
mod status;
mod step;
mod summary;
mod transition;
mod version;
#[expect(clippy::module_inception, reason = "the type of the module's name")]
mod workflow;

pub use candidate::{Owner, OwnerError, is_candidate};
pub use cycle::Cycle;
pub use error::CycleError;
pub use event::{Change, Next, Outcome, PublishDecision, ScanDecision, Step, Work};
pub use id::{RunId, RunIdError, Task, TaskError};
pub use image::CycleImage;
pub use options::CycleOptions;
pub use reason::Reason;
pub use record::{Cause, CycleRecord};
pub use report::CycleReport;
pub use row::{StatusRow, WORKFLOW_TYPE};
pub use run::Run;
pub use status::{RowStatus, Status, StatusFilter, StatusFilterError};
pub use summary::Summary;
pub use workflow::{NothingToUpdate, Workflow};
