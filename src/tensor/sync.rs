//! What threads share buffers by. The models in `tests/loom` have another one in its place.
pub(super) use crate::threads::{Blocks, Piece, Zeroed};
pub(super) use std::{sync::Arc, thread::LocalKey};
