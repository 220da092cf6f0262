//! A short list that is copied in a few instructions: sizes or strides of up to six axes in place, more on the heap.

const INLINE: usize = 6;

/// A list of sizes or strides.
#[derive(Debug)]
pub(crate) struct Dims<D> {
    len: u32,
    inline: [D; INLINE],
    /// All elements, once there are more than fit in place; boxed, since it is rare and lists are copied all the time.
    #[allow(clippy::box_collection)]
    heap: Option<Box<Vec<D>>>,
}

impl<D: Copy + Default> Dims<D> {
    pub fn new() -> Self {
        Dims { len: 0, inline: [D::default(); INLINE], heap: None }
    }

    pub fn from_slice(items: &[D]) -> Self {
        let mut dims = Dims::new();
        if items.len() > INLINE {
            dims.heap = Some(Box::new(items.to_vec()));
        } else {
            dims.len = items.len() as u32;
            for (place, &item) in dims.inline.iter_mut().zip(items) {
                *place = item;
            }
        }
        dims
    }

    pub fn from_elem(item: D, len: usize) -> Self {
        if len > INLINE {
            return Dims::from_slice(&vec![item; len]);
        }
        Dims { len: len as u32, inline: [item; INLINE], heap: None }
    }

    pub fn push(&mut self, item: D) {
        self.insert(self.as_slice().len(), item);
    }

    /// Puts an item in before position `at`, or at the end if there are fewer.
    pub fn insert(&mut self, at: usize, item: D) {
        let len = self.len as usize;
        if let Some(heap) = &mut self.heap {
            return heap.insert(at.min(heap.len()), item);
        }
        let at = at.min(len);
        if len == INLINE {
            let mut all = self.inline.to_vec();
            all.insert(at, item);
            self.heap = Some(Box::new(all));
            return;
        }
        self.inline.copy_within(at..len, at + 1);
        self.inline[at] = item;
        self.len += 1;
    }

    /// Takes an item out; nothing happens if there is none at this position.
    pub fn remove(&mut self, at: usize) -> D {
        let Some(&item) = self.as_slice().get(at) else { return D::default() };
        match &mut self.heap {
            Some(heap) => {
                heap.remove(at);
            }
            None => {
                self.inline.copy_within(at + 1.., at);
                self.len -= 1;
            }
        }
        item
    }

    #[inline]
    pub fn as_slice(&self) -> &[D] {
        match &self.heap {
            None => &self.inline[..(self.len as usize).min(INLINE)],
            Some(heap) => heap,
        }
    }

    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [D] {
        match &mut self.heap {
            None => &mut self.inline[..(self.len as usize).min(INLINE)],
            Some(heap) => heap,
        }
    }
}

impl<D: Copy + Default> Default for Dims<D> {
    fn default() -> Self {
        Dims::new()
    }
}

impl<D: Copy> Clone for Dims<D> {
    #[inline]
    fn clone(&self) -> Self {
        Dims { len: self.len, inline: self.inline, heap: self.heap.clone() }
    }
}

impl<D: Copy + Default + PartialEq> PartialEq for Dims<D> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<D: Copy + Default> std::ops::Deref for Dims<D> {
    type Target = [D];
    #[inline]
    fn deref(&self) -> &[D] {
        self.as_slice()
    }
}

impl<D: Copy + Default> std::ops::DerefMut for Dims<D> {
    fn deref_mut(&mut self) -> &mut [D] {
        self.as_mut_slice()
    }
}

impl<D: Copy + Default> FromIterator<D> for Dims<D> {
    fn from_iter<I: IntoIterator<Item = D>>(items: I) -> Self {
        let mut dims = Dims::new();
        for item in items {
            dims.push(item);
        }
        dims
    }
}

impl<'a, D: Copy + Default> IntoIterator for &'a Dims<D> {
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
            let mut dims: Dims<usize> = (0..n).collect();
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
            assert!(dims == Dims::from_slice(&plain));
        }
    }
}
