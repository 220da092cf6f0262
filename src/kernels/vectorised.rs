//! Loops that are compiled for several instruction sets.

use super::FloatElement;
use crate::{
    isa::{Isa, isa},
    real::{Arithmetic, Lane},
};

/// How a product is added to a sum: whether in one rounding.
pub(crate) trait MulAdd: Copy {
    /// `a · b + c`
    fn of<T: FloatElement>(self, a: T, b: T, c: T) -> T;
    /// Functions that are made of such steps.
    fn exp<T: FloatElement>(self, x: T) -> T;
    fn tanh<T: FloatElement>(self, x: T) -> T;
    fn sigmoid<T: FloatElement>(self, x: T) -> T;
    /// Of arguments below [`NEAR`](crate::real::math64::NEAR) in size.
    fn near_sin<T: FloatElement>(self, x: T) -> T;
    fn near_cos<T: FloatElement>(self, x: T) -> T;
}

/// In one rounding.
#[derive(Clone, Copy)]
pub(crate) struct OneStep;

impl MulAdd for OneStep {
    #[inline(always)]
    fn of<T: FloatElement>(self, a: T, b: T, c: T) -> T {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn exp<T: FloatElement>(self, x: T) -> T {
        Lane::<T, true>::new(x).exp().value
    }
    #[inline(always)]
    fn tanh<T: FloatElement>(self, x: T) -> T {
        Lane::<T, true>::new(x).tanh().value
    }
    #[inline(always)]
    fn sigmoid<T: FloatElement>(self, x: T) -> T {
        Lane::<T, true>::new(x).sigmoid().value
    }
    #[inline(always)]
    fn near_sin<T: FloatElement>(self, x: T) -> T {
        T::near_sin::<true>(x)
    }
    #[inline(always)]
    fn near_cos<T: FloatElement>(self, x: T) -> T {
        T::near_cos::<true>(x)
    }
}

/// In one if the arithmetic is to be exact, else in two, where one would be a slow call of a library.
#[derive(Clone, Copy)]
pub(crate) struct AsAsked {
    exact: bool,
}

impl AsAsked {
    pub(crate) fn new() -> Self {
        AsAsked { exact: isa() == Isa::Exact }
    }

    #[inline(always)]
    fn function<T: FloatElement>(self, fused: fn(OneStep, T) -> T, apart: impl Fn(T) -> T, x: T) -> T {
        if FUSED {
            fused(OneStep, x)
        } else if self.exact {
            called(fused, x)
        } else {
            apart(x)
        }
    }
}

/// Whether every machine of the target has the instruction.
const FUSED: bool = cfg!(target_arch = "aarch64");

/// A call, so that a loop isn't made vector code for the slow arithmetic as well.
#[cold]
#[inline(never)]
fn called<T: FloatElement>(f: fn(OneStep, T) -> T, x: T) -> T {
    f(OneStep, x)
}

/// The same.
#[cold]
#[inline(never)]
fn added<T: FloatElement>(a: T, b: T, c: T) -> T {
    a.mul_add(b, c)
}

impl MulAdd for AsAsked {
    #[inline(always)]
    fn of<T: FloatElement>(self, a: T, b: T, c: T) -> T {
        if FUSED {
            a.mul_add(b, c)
        } else if self.exact {
            added(a, b, c)
        } else {
            a * b + c
        }
    }
    #[inline(always)]
    fn exp<T: FloatElement>(self, x: T) -> T {
        self.function(OneStep::exp, |x| Lane::<T, false>::new(x).exp().value, x)
    }
    #[inline(always)]
    fn tanh<T: FloatElement>(self, x: T) -> T {
        self.function(OneStep::tanh, |x| Lane::<T, false>::new(x).tanh().value, x)
    }
    #[inline(always)]
    fn sigmoid<T: FloatElement>(self, x: T) -> T {
        self.function(OneStep::sigmoid, |x| Lane::<T, false>::new(x).sigmoid().value, x)
    }
    #[inline(always)]
    fn near_sin<T: FloatElement>(self, x: T) -> T {
        self.function(OneStep::near_sin, T::near_sin::<false>, x)
    }
    #[inline(always)]
    fn near_cos<T: FloatElement>(self, x: T) -> T {
        self.function(OneStep::near_cos, T::near_cos::<false>, x)
    }
}

/// Compiles a function, generic over floats and over what stands in brackets behind its name, for each
/// instruction set. What it calls must be inlined, and should have no closures that might not be. With
/// `fused name` its body has a [`MulAdd`] of this name.
macro_rules! vectorised {
    ($(#[$m:meta])* $v:vis fn $name:ident $([$($generic:tt)*])? $(fused $fma:ident)? ($($a:ident: $t:ty),*) $(-> $r:ty)? $body:block) => {
        $(#[$m])*
        #[allow(clippy::too_many_arguments)]
        $v fn $name<T: FloatElement, $($($generic)*)?>($($a: $t),*) $(-> $r)? {
            #[inline(always)]
            fn body<T: FloatElement, $($($generic)*)?>($($fma: impl MulAdd,)? $($a: $t),*) $(-> $r)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn wide<T: FloatElement, $($($generic)*)?>($($a: $t),*) $(-> $r)? {
                    $(let $fma = $crate::kernels::vectorised::OneStep;)?
                    body($($fma,)? $($a),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn vector<T: FloatElement, $($($generic)*)?>($($a: $t),*) $(-> $r)? {
                    $(let $fma = $crate::kernels::vectorised::OneStep;)?
                    body($($fma,)? $($a),*)
                }
                match $crate::isa::isa() {
                    // SAFETY: isa() reports only what the processor has.
                    $crate::isa::Isa::Avx512 => return unsafe { wide($($a),*) },
                    // SAFETY: so here.
                    $crate::isa::Isa::Avx2 => return unsafe { vector($($a),*) },
                    _ => {}
                }
            }
            $(let $fma = $crate::kernels::vectorised::AsAsked::new();)?
            body($($fma,)? $($a),*)
        }
    };
}
pub(crate) use vectorised;

/// Compiles a loop for AVX-512, for AVX2 and for whatever there is, and takes the best.
macro_rules! for_machine {
    ($body:ident($($arg:ident: $t:ty),*) $(-> $out:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,fma")]
            fn widest($($arg: $t),*) $(-> $out)? { $body($($arg),*) }
            #[target_feature(enable = "avx2,fma")]
            fn wide($($arg: $t),*) $(-> $out)? { $body($($arg),*) }
            if $crate::isa::isa() >= $crate::isa::Isa::Avx512 {
                // SAFETY: isa() reports Avx512 only where the processor has these.
                return unsafe { widest($($arg),*) };
            }
            if $crate::isa::isa() >= $crate::isa::Isa::Avx2 {
                // SAFETY: isa() reports Avx2 only where the processor has avx2 and fma.
                return unsafe { wide($($arg),*) };
            }
        }
        $body($($arg),*)
    }};
}
pub(crate) use for_machine;
