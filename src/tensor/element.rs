//! What a tensor may hold: the number types of Rust and bool, and how they convert into each other.
use super::{
    pool::{Pool, PoolKey},
    sync::{Blocks, Zeroed},
};
use std::{cell::RefCell, fmt};

/// A type that a [`Tensor`](super::Tensor) can hold: `f32`, `f64`, integers, `bool`.
pub trait Element: Zeroed + Copy + Default + PartialEq + fmt::Debug + Send + Sync + 'static {
    /// Name of the type, as in a listing: `f32`, `u32`, `bool`.
    const NAME: &'static str;
    /// What buffers hold before they are written, in debug builds: to be noticed where it is read.
    #[doc(hidden)]
    const POISON: Self;
    #[doc(hidden)]
    fn pool() -> PoolKey<Self>;
    #[doc(hidden)]
    fn blocks() -> &'static Blocks<Self>;
    #[doc(hidden)]
    fn to_f64(self) -> f64;
    #[doc(hidden)]
    fn from_f64(v: f64) -> Self;
    /// A number of as many bits, in the order of the elements: equal for equal ones, the same and the largest
    /// for all NaN.
    #[doc(hidden)]
    fn sort_key(self) -> u64;
}

/// Integers that may serve as indices and class labels: all but `bool` and floats.
pub trait Index: Element {
    /// The value as a signed number; what doesn't fit becomes -1, which is an index of nothing.
    fn to_i64(self) -> i64;
}

macro_rules! element {
    ($($t:ident, $poison:expr, $from:expr, $to:expr, $key:expr;)*) => {$(
        impl Element for $t {
            const NAME: &'static str = stringify!($t);
            const POISON: $t = $poison;
            fn pool() -> PoolKey<$t> {
                thread_local!(static POOL: RefCell<Pool<$t>> = const { RefCell::new(Pool::new()) });
                &POOL
            }
            fn blocks() -> &'static Blocks<$t> {
                static BLOCKS: Blocks<$t> = Blocks::new($poison);
                &BLOCKS
            }
            #[inline(always)]
            fn to_f64(self) -> f64 { $to(self) }
            #[inline(always)]
            fn from_f64(v: f64) -> $t { $from(v) }
            #[inline(always)]
            fn sort_key(self) -> u64 { $key(self) }
        }
    )*};
}

macro_rules! integers {
    ($($t:ident $poison:expr;)*) => {
        element!($($t, $poison, |v| v as $t, |v| v as f64, |v: $t| {
            v.wrapping_sub($t::MIN) as u64 & (u64::MAX >> (u64::BITS - $t::BITS))
        };)*);
    };
}

macro_rules! floats {
    ($($t:ident $bits:ident;)*) => {
        element!($($t, $t::NAN, |v| v as $t, |v| v as f64, |v: $t| {
            // Both zeros are one.
            let bits = (v + 0.0).to_bits();
            let sign = 1 << ($bits::BITS - 1);
            let ordered = if bits & sign == 0 { bits | sign } else { !bits };
            u64::from(if v.is_nan() { $bits::MAX } else { ordered })
        };)*);
    };
}

floats! { f32 u32; f64 u64; }
integers! {
    u8 0xA5; i8 -0x5B; u16 0xA5A5; i16 -0x5A5B; u32 0xA5A5_A5A5; i32 -0x5A5A_5A5B;
    u64 0xA5A5_A5A5_A5A5_A5A5; i64 -0x5A5A_5A5A_5A5A_5A5B;
}
element!(bool, true, |v: f64| v != 0.0, |v: bool| v as u8 as f64, |v: bool| v as u64;);

macro_rules! index {
    ($($t:ident)*) => {$(
        impl Index for $t {
            #[inline(always)]
            fn to_i64(self) -> i64 { i64::try_from(self).unwrap_or(-1) }
        }
    )*};
}

index!(u8 i8 u16 i16 u32 i32 u64 i64);

/// Gives the memory that this thread keeps for reuse back to the system, and the large one that all threads
/// keep.
#[doc(alias = "empty_cache")]
pub fn release_memory() {
    fn trim<T: Element>() {
        let _ = T::pool().try_with(|pool| pool.try_borrow_mut().map(|mut p| p.clear()));
        T::blocks().clear();
    }
    trim::<f32>();
    trim::<f64>();
    trim::<u32>();
    trim::<bool>();
}
