//! The elementary functions of one number at a time: the very steps of the vector loops, compiled with fused
//! multiply-adds where the machine has them, so that scalars, dual numbers and tensors have the same bits, and
//! have them on every machine. Nothing asks the system's library, whose functions differ from system to system;
//! functions of `f64` that no loop has are `libm`'s, in Rust.
macro_rules! functions {
    ($($module:ident $t:ident $math:ident { $($name:ident($($x:ident),*) $(-> $out:ty;)?)* })*) => {$(
        pub(super) mod $module {
            #[cfg(target_arch = "x86_64")]
            use crate::{
                isa::{Isa, isa},
                real::$math,
            };
            $(
                #[inline]
                pub fn $name($($x: $t),*) -> functions!(result $t $(, $out)?) {
                    #[cfg(target_arch = "x86_64")]
                    if isa() >= Isa::Avx2 {
                        #[target_feature(enable = "avx2,fma")]
                        #[inline(never)]
                        fn fused($($x: $t),*) -> functions!(result $t $(, $out)?) {
                            $math::$name::<true>($($x),*)
                        }
                        // SAFETY: isa() reports Avx2 only where the processor has avx2 and fma.
                        return unsafe { fused($($x),*) };
                    }
                    plain::$name($($x),*)
                }
            )*

            /// Without such instructions.
            mod plain {
                use crate::{
                    isa::{Isa, isa},
                    real::$math,
                };
                $(
                    #[inline(never)]
                    pub fn $name($($x: $t),*) -> functions!(result $t $(, $out)?) {
                        if cfg!(target_arch = "aarch64") || isa() == Isa::Exact {
                            $math::$name::<true>($($x),*)
                        } else {
                            $math::$name::<false>($($x),*)
                        }
                    }
                )*
            }
        }
    )*};
    (result $t:ident) => { $t };
    (result $t:ident, $out:ty) => { $out };
}

functions! {
    single f32 math32 {
        exp(x) exp2(x) expm1(x) log(x) log1p(x) log2(x) log10(x) sin(x) cos(x) tan(x) asin(x) acos(x) atan(x)
        sinh(x) cosh(x) tanh(x) asinh(x) acosh(x) atanh(x) sigmoid(x) erf(x) erfc(x) pow(x, y) atan2(y, x)
    }
    double f64 scalar64 {
        exp(x) expm1(x) log(x) log1p(x) tanh(x) sigmoid(x) erf(x) sin(x) cos(x) sin_cos(x) -> (f64, f64);
    }
}
