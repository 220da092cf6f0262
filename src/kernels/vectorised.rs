//! Loops that are compiled for several instruction sets.

/// Compiles a function, generic over floats, for each instruction set. What it calls must be inlined, and
/// should have no closures that might not be.
macro_rules! vectorised {
    ($(#[$m:meta])* $v:vis fn $name:ident($($a:ident: $t:ty),*) $(-> $r:ty)? $body:block) => {
        $(#[$m])*
        #[allow(clippy::too_many_arguments)]
        $v fn $name<T: FloatElement>($($a: $t),*) $(-> $r)? {
            #[inline(always)]
            fn body<T: FloatElement>($($a: $t),*) $(-> $r)? $body
            #[cfg(target_arch = "x86_64")]
            if $crate::isa::isa() >= $crate::isa::Isa::Avx2 {
                #[target_feature(enable = "avx2,fma")]
                fn vector<T: FloatElement>($($a: $t),*) $(-> $r)? {
                    body($($a),*)
                }
                // SAFETY: isa() reports Avx2 only where the processor has avx2 and fma.
                return unsafe { vector($($a),*) };
            }
            body($($a),*)
        }
    };
}
pub(crate) use vectorised;
