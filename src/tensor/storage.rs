//! Reference-counted buffers, which come from the pool of their thread and go back to it. A buffer is handed
//! out with whatever it held before: whoever takes one writes every element that it later reads. Debug builds
//! poison what goes back, and look whether somebody has written to it when it is handed out again.
//! This is where every size becomes memory, and where it is noticed that there is none. `tests/loom` checks
//! this file, too.
use super::{
    Element, Shape,
    pool::{Buffer, Pool, Source, class_size, is_large},
    sync::Arc,
};

/// A shared buffer, at least as long as the tensors that use it. `None` stands for no elements.
///
/// When the last owner drops it, the buffer goes back to the pool of the thread it is dropped on, with its
/// reference count and all: the steady state of a training loop asks the system for nothing.
pub(crate) struct Storage<T: Element>(Option<Arc<Buffer<T>>>);

impl<T: Element> Storage<T> {
    /// A buffer for a tensor of this shape with arbitrary content, owned by the caller alone; or why there is
    /// none.
    pub fn take(shape: &Shape) -> Result<Storage<T>, String> {
        let n = shape.numel();
        if n == 0 {
            return Ok(Storage(None));
        }
        let buffer = if is_large::<T>(n) { Storage::large(n) } else { Storage::small(n) };
        let buffer = buffer.ok_or_else(|| {
            let bytes = n as u128 * size_of::<T>() as u128;
            format!("a tensor {}{shape} needs {bytes} bytes, which can't be had", T::NAME)
        })?;
        debug_assert!(buffer.is_poisoned(), "a buffer was written to after it went back");
        Ok(Storage(Some(buffer)))
    }

    fn large(n: usize) -> Option<Arc<Buffer<T>>> {
        let mut piece = Some(T::blocks().take(n)?);
        let mut wrap = |pool: &mut Pool<T>| piece.take().map(|piece| pool.wrap(piece));
        let wrapped =
            T::pool().try_with(|pool| pool.try_borrow_mut().ok().and_then(|mut pool| wrap(&mut pool)));
        // Without a pool, where the thread is ending, for once.
        wrapped.ok().flatten().or_else(|| wrap(&mut Pool::new()))
    }

    fn small(n: usize) -> Option<Arc<Buffer<T>>> {
        let size = class_size(n);
        let pooled = T::pool().try_with(|pool| pool.try_borrow_mut().ok().and_then(|mut p| p.take(n)));
        let blank = if cfg!(debug_assertions) { T::POISON } else { T::default() };
        let buffer = match pooled {
            Ok(Some(buffer)) => buffer,
            _ => Arc::new(Buffer::new(size, blank)?),
        };
        let _ = T::pool().try_with(|pool| pool.try_borrow_mut().map(|mut pool| pool.count(size)));
        Some(buffer)
    }

    /// No elements, and the reason why there are none.
    pub fn lacking(why: String) -> Storage<T> {
        let mut buffer = Buffer::from(Vec::new());
        buffer.lack = Some(why.into());
        Storage(Some(Arc::new(buffer)))
    }

    /// Why there are no elements.
    pub fn lack(&self) -> Option<&str> {
        self.0.as_ref().and_then(|buffer| buffer.lack.as_deref())
    }

    /// Takes over a vector.
    pub fn from_vec(data: Vec<T>) -> Storage<T> {
        if data.is_empty() { Storage(None) } else { Storage(Some(Arc::new(data.into()))) }
    }

    /// Elements that are held in another form.
    pub fn from_source(source: Box<dyn Source<T>>) -> Storage<T> {
        Storage(Some(Arc::new(source.into())))
    }

    /// The other form in which the elements are held, if it is one.
    #[inline]
    pub fn source(&self) -> Option<&dyn Source<T>> {
        self.0.as_ref()?.source()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |buffer| buffer.len())
    }

    /// What tells the buffer from others, while it is held.
    pub fn id(&self) -> usize {
        self.0.as_ref().map_or(0, |buffer| std::ptr::from_ref::<Buffer<T>>(buffer) as usize)
    }

    #[inline]
    pub fn as_slice(&self) -> &[T] {
        match &self.0 {
            Some(buffer) => buffer.as_slice(),
            None => &[],
        }
    }

    /// The buffer for writing, if nobody else holds it.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut [T]> {
        match &mut self.0 {
            Some(buffer) if buffer.source().is_some() => None,
            Some(buffer) => Arc::get_mut(buffer).map(Buffer::as_mut_slice),
            None => Some(&mut []),
        }
    }

    /// Whether both are the same buffer.
    pub fn same(&self, other: &Storage<T>) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl<T: Element> Buffer<T> {
    /// Whether no element was written, in debug builds.
    fn is_poisoned(&self) -> bool {
        // Poison of floats is NaN, which isn't its own equal.
        self.as_slice().iter().all(|v| *v == T::POISON || v.ne(v))
    }
}

impl<T: Element> Clone for Storage<T> {
    #[inline]
    fn clone(&self) -> Storage<T> {
        Storage(self.0.clone())
    }
}

impl<T: Element> Drop for Storage<T> {
    fn drop(&mut self) {
        if let Some(mut buffer) = self.0.take()
            && buffer.pooled
            && Arc::strong_count(&buffer) == 1
        {
            if cfg!(debug_assertions)
                && let Some(buffer) = Arc::get_mut(&mut buffer)
            {
                buffer.as_mut_slice().fill(T::POISON);
            }
            // Where the thread is ending or the pool is in use, the buffer is simply freed.
            let _ = T::pool().try_with(|pool| {
                if let Ok(mut pool) = pool.try_borrow_mut() {
                    pool.give(buffer);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::pool::LINE, *};

    #[test]
    fn dropped_buffers_are_handed_out_again() {
        let take = |n| Storage::<f64>::take(&Shape::from([n])).unwrap();
        let a = take(1000);
        let address = a.as_slice().as_ptr();
        let shared = a.clone();
        drop(a);
        assert!(shared.as_slice().as_ptr() == address, "a shared buffer stays");
        drop(shared);
        assert_eq!(take(990).as_slice().as_ptr(), address);
    }

    #[cfg(debug_assertions)]
    #[test]
    fn what_went_back_is_poison() {
        fn check<T: Element>() {
            for n in [5, 1000] {
                let mut taken = Storage::<T>::take(&Shape::from([n])).unwrap();
                assert!(taken.0.as_ref().unwrap().is_poisoned(), "{} fresh", T::NAME);
                let address = taken.as_slice().as_ptr();
                taken.get_mut().unwrap().fill(T::from_f64(0.0));
                assert!(!taken.0.as_ref().unwrap().is_poisoned());
                drop(taken);
                let again = Storage::<T>::take(&Shape::from([n])).unwrap();
                assert_eq!(again.as_slice().as_ptr(), address);
                assert!(again.0.as_ref().unwrap().is_poisoned(), "{} again", T::NAME);
            }
        }
        check::<f32>();
        check::<f64>();
        check::<bool>();
        check::<u8>();
        check::<i64>();
    }

    #[test]
    fn what_cannot_be_had_is_told_and_not_counted() {
        let out = || u16::pool().with(|pool| pool.borrow().out);
        let before = out();
        for n in [1 << 46, usize::MAX / 2, usize::MAX - 3, usize::MAX] {
            let why = Storage::<u16>::take(&Shape::from([n])).err().unwrap();
            assert_eq!(why, format!("a tensor u16[{n}] needs {} bytes, which can't be had", 2 * n as u128));
        }
        assert_eq!(out(), before);
        drop(Storage::<u16>::take(&Shape::from([100])));
        assert_eq!(out(), before);
    }

    #[test]
    fn buffers_begin_at_a_cache_line() {
        for n in [1, 17, 1000, 100_000] {
            let taken = Storage::<f32>::take(&Shape::from([n])).unwrap();
            assert!(taken.as_slice().len() >= n);
            assert_eq!(taken.as_slice().as_ptr().align_offset(LINE), 0, "{n} elements");
        }
        assert_eq!(Storage::from_vec(vec![1_u8, 2]).as_slice(), [1, 2], "a vector stays where it is");
    }
}
