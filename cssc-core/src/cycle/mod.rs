//! One execution of a workflow: what is to be done next, and what follows from what was done.

mod assignment;
mod error;
mod failure;
mod filter;
mod id;
mod image;
mod image_name;
mod interrupt;
mod machine;
mod options;
mod outcome;
mod plan;
mod reason;
mod record;
mod report;
mod restore;
mod row;
mod run;
mod shard;
mod standing;
mod status;
mod step;
mod summary;
mod transition;
pub(crate) mod version;

pub use assignment::{Assignment, NextStep, RecordChange};
pub use error::{CycleError, CycleErrorKind};
pub use failure::{FailureCode, FailureKind, StepFailure};
pub use filter::ImageFilter;
pub use id::{CycleId, CycleIdError, RunId, RunIdError, Task, TaskError};
pub use image::{CycleImage, CyclePlatform, LatestPatch, PlatformPatch};
pub use image_name::ImageName;
pub use interrupt::Interrupt;
pub use machine::Cycle;
pub use options::{CycleOptions, Until};
pub use outcome::ImageOutcome;
pub use plan::{CyclePlan, LeftOut, LeftOutReason};
pub use reason::Reason;
pub use record::{Cause, CycleRecord};
pub use report::{CycleFigures, CycleReport, ImageReport, ReportPage, ReportedFinding};
pub use row::{PlatformRow, RowFindings, RowReason, StatusRow, WORKFLOW_TYPE};
pub use run::{Publication, Run};
pub use shard::{
    CYCLE_SCHEMA, CycleDocument, DocumentError, DocumentErrorKind, Merge, RESULT_SCHEMA, Shard,
    ShardError, ShardResult,
};
pub use status::{RowStatus, Status, StatusFilter, StatusFilterError};
pub use step::{
    Attach, AttestOutcome, AttestStep, BegunPublication, Candidate, Comparison, CopyContent,
    CopyOutcome, CopyStep, ManifestReplacement, PatchOutcome, PatchRefusal, PatchStep,
    PinnedPolicy, PlanOutcome, PlanStep, PublishOutcome, PublishStep, ScanOutcome, ScanStep,
    SignOutcome, SignStep, Step, StepKind, StepOutcome, TestOutcome, TestStep, VerifyOutcome,
    VerifyStep,
};
pub use summary::Summary;
