//! Which instructions the vector loops may use: found out once, at run time.
//! `KOLMO_ISA=portable|avx2|avx512` lowers the choice, for tests and comparisons; it never raises it.
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Instruction sets that kernels are compiled for, each including those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isa {
    /// What every machine of the target has.
    Portable,
    /// x86-64 with AVX2 and FMA: 256-bit vectors.
    Avx2,
    /// Avx2 and AVX-512 F, BW, DQ and VL: 512-bit vectors.
    Avx512,
}

const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

/// Not decided yet, or the choice's place in `ALL` plus one.
static CHOICE: AtomicU8 = AtomicU8::new(0);

/// The best instruction set that this machine has and `KOLMO_ISA` allows.
#[inline]
pub(crate) fn isa() -> Isa {
    match CHOICE.load(Relaxed) {
        1 => Isa::Portable,
        2 => Isa::Avx2,
        3 => Isa::Avx512,
        _ => decide(),
    }
}

/// The instructions that vector loops use: `portable`, `avx2` or `avx512`, the best that this machine has
/// unless the environment variable `KOLMO_ISA` names a lesser one.
///
/// ```
/// assert!(["portable", "avx2", "avx512"].contains(&kolmo::instruction_set()));
/// ```
pub fn instruction_set() -> &'static str {
    match isa() {
        Isa::Portable => "portable",
        Isa::Avx2 => "avx2",
        Isa::Avx512 => "avx512",
    }
}

#[cold]
fn decide() -> Isa {
    let best = detect();
    let wish = std::env::var("KOLMO_ISA").ok();
    if let Some(wish) = wish.as_ref().filter(|wish| named(wish).is_none()) {
        eprintln!("kolmo: KOLMO_ISA={wish} is none of {ALL:?}; {best:?} is used");
    }
    let choice = wish.and_then(|name| named(&name)).map_or(best, |w| w.min(best));
    CHOICE.store(choice as u8 + 1, Relaxed);
    choice
}

fn named(name: &str) -> Option<Isa> {
    ALL.into_iter().find(|isa| format!("{isa:?}").eq_ignore_ascii_case(name.trim()))
}

fn detect() -> Isa {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        let wide = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        return if wide { Isa::Avx512 } else { Isa::Avx2 };
    }
    Isa::Portable
}

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
            if $crate::kernels::isa::isa() >= $crate::kernels::isa::Isa::Avx2 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_variable() {
        assert_eq!(named("portable"), Some(Isa::Portable));
        assert_eq!(named("AVX2"), Some(Isa::Avx2));
        assert_eq!(named(" avx512 "), Some(Isa::Avx512));
        assert_eq!(named("sse9"), None);
    }

    #[test]
    fn the_choice_is_kept_and_never_above_the_machine() {
        let first = isa();
        assert!(first <= detect());
        assert_eq!(isa(), first);
        assert_eq!(ALL[first as usize], first);
    }
}
