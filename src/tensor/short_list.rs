//! A short list that is copied in a few instructions: sizes or strides of up to five axes in place, more on
//! the heap. With this many a variable takes 128 bytes, the most that compilers copy without a call.

const INLINE: usize = 5;

/// A list of sizes or strides.
#[derive(Clone, Debug)]
pub(crate) enum ShortList<D> {
    Inline {
        len: u8,
        items: [D; INLINE],
    },
    /// All elements, once there are more than fit in place; boxed, since it is rare and lists are copied all
    /// the time.
    #[allow(clippy::box_collection)]
    Heap(Box<Vec<D>>),
}

impl<D: Copy + Default> ShortList<D> {
    #[inline]
    pub fn new() -> Self {
        ShortList::Inline { len: 0, items: [D::default(); INLINE] }
    }

    #[inline]
    pub fn from_slice(list: &[D]) -> Self {
        if list.len() > INLINE {
            return ShortList::Heap(Box::new(list.to_vec()));
        }
        let mut items = [D::default(); INLINE];
        for (place, &item) in items.iter_mut().zip(list) {
            *place = item;
        }
        ShortList::Inline { len: list.len() as u8, items }
    }

    #[inline]
    pub fn from_elem(item: D, len: usize) -> Self {
        if len > INLINE {
            return ShortList::Heap(Box::new(vec![item; len]));
        }
        ShortList::Inline { len: len as u8, items: [item; INLINE] }
    }

    #[inline]
    pub fn push(&mut self, item: D) {
        self.insert(self.as_slice().len(), item);
    }

    /// Puts an item in before position `at`, or at the end if there are fewer.
    pub fn insert(&mut self, at: usize, item: D) {
        match self {
            ShortList::Heap(heap) => heap.insert(at.min(heap.len()), item),
            ShortList::Inline { len, items } if (*len as usize) < INLINE => {
                let (n, at) = (*len as usize, at.min(*len as usize));
                items.copy_within(at..n, at + 1);
                items[at] = item;
                *len += 1;
            }
            ShortList::Inline { items, .. } => {
                let mut all = items.to_vec();
                all.insert(at.min(INLINE), item);
                *self = ShortList::Heap(Box::new(all));
            }
        }
    }

    /// Takes an item out; nothing happens if there is none at this position.
    pub fn remove(&mut self, at: usize) -> D {
        let Some(&item) = self.as_slice().get(at) else { return D::default() };
        match self {
            ShortList::Heap(heap) => {
                heap.remove(at);
            }
            ShortList::Inline { len, items } => {
                items.copy_within(at + 1.., at);
                *len -= 1;
            }
        }
        item
    }

    #[inline]
    pub fn as_slice(&self) -> &[D] {
        match self {
            ShortList::Inline { len, items } => &items[..(*len as usize).min(INLINE)],
            ShortList::Heap(heap) => heap,
        }
    }

    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [D] {
        match self {
            ShortList::Inline { len, items } => &mut items[..(*len as usize).min(INLINE)],
            ShortList::Heap(heap) => heap,
        }
    }
}

impl<D: Copy + Default> Default for ShortList<D> {
    fn default() -> Self {
        ShortList::new()
    }
}

impl<D: Copy + Default + PartialEq> PartialEq for ShortList<D> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        // A loop of a few steps; slices would be compared by a call.
        let (a, b) = (self.as_slice(), other.as_slice());
        a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x == y)
    }
}

impl<D: Copy + Default> std::ops::Deref for ShortList<D> {
    type Target = [D];
    #[inline]
    fn deref(&self) -> &[D] {
        self.as_slice()
    }
}

impl<D: Copy + Default> std::ops::DerefMut for ShortList<D> {
    fn deref_mut(&mut self) -> &mut [D] {
        self.as_mut_slice()
    }
}

impl<D: Copy + Default> FromIterator<D> for ShortList<D> {
    fn from_iter<I: IntoIterator<Item = D>>(items: I) -> Self {
        let mut dims = ShortList::new();
        for item in items {
            dims.push(item);
        }
        dims
    }
}

impl<'a, D: Copy + Default> IntoIterator for &'a ShortList<D> {
    type Item = &'a D;
    type IntoIter = std::slice::Iter<'a, D>;
    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_lists_behave_alike() {
        for n in 0..10usize {
            let mut dims: ShortList<usize> = (0..n).collect();
            let mut plain: Vec<usize> = (0..n).collect();
            assert_eq!(*dims, plain[..]);
            dims.insert(n / 2, 99);
            plain.insert(n / 2, 99);
            assert_eq!(*dims, plain[..]);
            dims.push(7);
            plain.push(7);
            assert_eq!((dims.remove(n / 3), dims.len()), (plain.remove(n / 3), plain.len()));
            assert_eq!(*dims.clone(), plain[..]);
            assert_eq!(dims.remove(100), 0);
            assert!(dims == ShortList::from_slice(&plain));
        }
    }
}
