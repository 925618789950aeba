//! Tags: which are originals, which are patches and of what, and what comes next.

mod auxiliary;
mod convention;
mod lineage;
mod set;

pub use auxiliary::{ARCHITECTURES, AuxiliaryTag, is_attachment};
pub use convention::{NoNextTag, PatchNumber, PatchTag, Suffix, TagConvention, TagConventionError};
pub use lineage::{ImageTag, Lineage, Lineages, NoOriginal};
pub use set::{TagIter, TagSet, TagSetBuilder};

pub(crate) use convention::next_suffix;
pub(crate) use lineage::Original;
