//! Lists that a packed matrix is made of: of its own, or where a mapped file has them.
use super::panels::LANES;
use crate::{error::Checked, files::Map};
use std::{marker::PhantomData, ops::Deref, sync::Arc};

/// Numbers that any bytes may be.
///
/// # Safety
/// Every pattern of bits is one.
#[doc(hidden)]
pub unsafe trait Plain: Copy {}
// SAFETY: any bits are an integer.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for u16 {}
// SAFETY: any bits are a float.
unsafe impl Plain for f32 {}
// SAFETY: as above.
unsafe impl Plain for f64 {}

/// Bytes of a mapped file.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub map: Arc<Map>,
    pub at: usize,
    pub len: usize,
}

impl Piece {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.map.bytes().get(self.at..self.at + self.len).unwrap_or_default()
    }
}

/// Numbers of 16 rows side by side.
pub(super) enum List<V> {
    Own(Vec<[V; LANES]>),
    /// Whose bytes are whole elements, in the right places for them.
    Mapped(Piece, PhantomData<V>),
}

impl<V: Plain> List<V> {
    /// So many elements in a mapped file.
    pub fn mapped(piece: &Piece, len: usize) -> Checked<List<V>> {
        let wanted = len.checked_mul(size_of::<[V; LANES]>());
        // SAFETY: any bytes are elements.
        let (before, _, after) = unsafe { piece.bytes().align_to::<[V; LANES]>() };
        if wanted != Some(piece.bytes().len()) || !before.is_empty() || !after.is_empty() {
            return Err(format!(
                "{} bytes at {} aren't {len} lists of {}",
                piece.len,
                piece.at,
                size_of::<[V; LANES]>()
            ));
        }
        Ok(List::Mapped(piece.clone(), PhantomData))
    }

    /// The bytes that a file is to have.
    pub fn bytes(&self) -> &[u8] {
        bytes(self)
    }
}

/// The bytes of numbers.
pub(super) fn bytes<V: Plain>(list: &[[V; LANES]]) -> &[u8] {
    // SAFETY: numbers have no gaps between them.
    unsafe { list.align_to::<u8>().1 }
}

impl<V: Plain> Deref for List<V> {
    type Target = [[V; LANES]];

    #[inline]
    fn deref(&self) -> &[[V; LANES]] {
        match self {
            List::Own(all) => all,
            // SAFETY: any bytes are elements, and `mapped` saw that these are whole ones.
            List::Mapped(piece, _) => unsafe { piece.bytes().align_to().1 },
        }
    }
}

impl<V> From<Vec<[V; LANES]>> for List<V> {
    fn from(all: Vec<[V; LANES]>) -> List<V> {
        List::Own(all)
    }
}
