//! Loops that are compiled for several instruction sets.

/// Compiles a function, generic over floats and over what stands in brackets behind its name, for each
/// instruction set. What it calls must be inlined, and should have no closures that might not be.
macro_rules! vectorised {
    ($(#[$m:meta])* $v:vis fn $name:ident $([$($generic:tt)*])? ($($a:ident: $t:ty),*) $(-> $r:ty)? $body:block) => {
        $(#[$m])*
        #[allow(clippy::too_many_arguments)]
        $v fn $name<T: FloatElement, $($($generic)*)?>($($a: $t),*) $(-> $r)? {
            #[inline(always)]
            fn body<T: FloatElement, $($($generic)*)?>($($a: $t),*) $(-> $r)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn wide<T: FloatElement, $($($generic)*)?>($($a: $t),*) $(-> $r)? {
                    body($($a),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn vector<T: FloatElement, $($($generic)*)?>($($a: $t),*) $(-> $r)? {
                    body($($a),*)
                }
                match $crate::isa::isa() {
                    // SAFETY: isa() reports only what the processor has.
                    $crate::isa::Isa::Avx512 => return unsafe { wide($($a),*) },
                    // SAFETY: so here.
                    $crate::isa::Isa::Avx2 => return unsafe { vector($($a),*) },
                    _ => {}
                }
            }
            body($($a),*)
        }
    };
}
pub(crate) use vectorised;
