//! Where scalars and tensors meet on the tape: an element taken out as a scalar, scalars put together to a
//! tensor.
use super::ids::StatementId;

/// A statement between the two kinds.
pub(crate) enum Mixed {
    /// One element of a tensor, by its position in row-major order, as a scalar.
    At(usize),
    /// Scalars, by their ids, as the elements of a tensor.
    Stack(Vec<StatementId>),
}

impl Mixed {
    pub fn gives_scalar(&self) -> bool {
        matches!(self, Mixed::At(_))
    }

    /// The scalar operands, for listings.
    pub fn scalars(&self) -> &[StatementId] {
        match self {
            Mixed::At(_) => &[],
            Mixed::Stack(ids) => ids,
        }
    }
}
