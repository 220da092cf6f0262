//! Ways to fold numbers into one.
use crate::kernels::FloatElement;

/// A way to fold many numbers into one.
pub(crate) trait Fold: Copy + Sync {
    fn start<T: FloatElement>(self) -> T;
    fn step<T: FloatElement>(self, acc: T, x: T) -> T;
    /// Combines two partial results.
    fn merge<T: FloatElement>(self, a: T, b: T) -> T {
        self.step(a, b)
    }
    /// Chunks folded lane by lane, one after the other.
    #[inline(always)]
    fn lanes<T: FloatElement>(self, chunks: &[[T; LANES]]) -> [T; LANES] {
        let mut lanes = [self.start::<T>(); LANES];
        for chunk in chunks {
            lanes.iter_mut().zip(chunk).for_each(|(l, &v)| *l = self.step(*l, v));
        }
        lanes
    }
    /// Chunks folded lane by lane, and the lanes by halves.
    #[inline(always)]
    fn chunks<T: FloatElement>(self, chunks: &[[T; LANES]]) -> T {
        // Opaque, or the loop gets vectors of two lanes, by which the halves begin.
        halved(std::hint::black_box(self.lanes(chunks)), |a, b| self.merge(a, b))
    }
    /// Whether the order of the elements makes no difference.
    const ANY_ORDER: bool = false;
}

#[derive(Clone, Copy)]
pub(crate) struct Sum;
#[derive(Clone, Copy)]
pub(crate) struct Product;
/// The largest; NaN if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Largest;
/// The smallest; NaN if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Smallest;

impl Fold for Sum {
    #[inline(always)]
    fn start<T: FloatElement>(self) -> T {
        T::constant(0.0)
    }
    #[inline(always)]
    fn step<T: FloatElement>(self, acc: T, x: T) -> T {
        acc + x
    }
}

impl Fold for Product {
    #[inline(always)]
    fn start<T: FloatElement>(self) -> T {
        T::constant(1.0)
    }
    #[inline(always)]
    fn step<T: FloatElement>(self, acc: T, x: T) -> T {
        acc * x
    }
}

impl Fold for Largest {
    #[inline(always)]
    fn start<T: FloatElement>(self) -> T {
        T::constant(f64::NEG_INFINITY)
    }
    #[inline(always)]
    fn step<T: FloatElement>(self, acc: T, x: T) -> T {
        T::select(acc.greater_equal(x) | acc.is_nan(), acc, x)
    }
    #[inline(always)]
    fn chunks<T: FloatElement>(self, chunks: &[[T; LANES]]) -> T {
        extreme(self.start(), chunks, |most, v| most.less(v))
    }
    const ANY_ORDER: bool = true;
}

impl Fold for Smallest {
    #[inline(always)]
    fn start<T: FloatElement>(self) -> T {
        T::constant(f64::INFINITY)
    }
    #[inline(always)]
    fn step<T: FloatElement>(self, acc: T, x: T) -> T {
        T::select(acc.less_equal(x) | acc.is_nan(), acc, x)
    }
    #[inline(always)]
    fn chunks<T: FloatElement>(self, chunks: &[[T; LANES]]) -> T {
        extreme(self.start(), chunks, |most, v| v.less(most))
    }
    const ANY_ORDER: bool = true;
}

/// The element that no other is `beyond`. Whether one is NaN is found out beside that: so there is one comparison
/// in the chain from chunk to chunk.
#[inline(always)]
fn extreme<T: FloatElement>(start: T, chunks: &[[T; LANES]], beyond: impl Fn(T, T) -> T::Mask) -> T {
    let (mut lanes, mut nans) = ([start; LANES], [start; LANES]);
    for chunk in chunks {
        for ((lane, nan), &v) in lanes.iter_mut().zip(&mut nans).zip(chunk) {
            *lane = T::select(beyond(*lane, v), v, *lane);
            *nan = T::select(v.is_nan(), v, *nan);
        }
    }
    let mut found = T::Mask::default();
    for nan in nans {
        found |= nan.is_nan();
    }
    let most = halved(lanes, |a, b| T::select(beyond(a, b), b, a));
    T::select(found, T::constant(f64::NAN), most)
}

/// The second half of the lanes joined to the first, down to one. (Widths that are known become vectors.)
#[inline(always)]
fn halved<T: FloatElement>(mut lanes: [T; LANES], merge: impl Fn(T, T) -> T) -> T {
    const { assert!(LANES == 32) }
    for i in 0..16 {
        lanes[i] = merge(lanes[i], lanes[i + 16]);
    }
    for i in 0..8 {
        lanes[i] = merge(lanes[i], lanes[i + 8]);
    }
    for i in 0..4 {
        lanes[i] = merge(lanes[i], lanes[i + 4]);
    }
    for i in 0..2 {
        lanes[i] = merge(lanes[i], lanes[i + 2]);
    }
    merge(lanes[0], lanes[1])
}

/// Accumulators that run side by side in a row.
pub(crate) const LANES: usize = 32;
