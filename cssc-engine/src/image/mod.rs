//! Images as they are given to patchers and as they are published: the layers are the patcher's,
//! all else is the original's.

mod assemble;
mod document;
mod neutral;

pub(crate) use assemble::{Assembly, Labels, assemble};
pub(crate) use document::{Built, ImageDocument, UnusableImage};
pub(crate) use neutral::neutral;
