//! Which instructions the loops may use: found out once, at run time.
//! `KOLMO_ISA=exact|portable|neon|avx2|avx512` lowers the choice, for tests and comparisons; it never raises it.
//!
//! Where there is a fused multiply-add, the bits of all results are the same, however wide the vectors are;
//! `exact` gives the same bits without such an instruction, slowly.
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Instruction sets that kernels are compiled for, each including those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isa {
    /// What every machine has, and multiply-adds fused by software: for comparing bits.
    Exact,
    /// What every machine of the target has. On x86-64 without fused multiply-adds, so with other bits.
    Portable,
    /// 64-bit ARM: 128-bit vectors.
    Neon,
    /// x86-64 with AVX2 and FMA: 256-bit vectors.
    Avx2,
    /// Avx2 and AVX-512 F, BW, DQ and VL: 512-bit vectors.
    Avx512,
}

const ALL: [Isa; 5] = [Isa::Exact, Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512];

/// Not decided yet, or the choice's place in `ALL` plus one.
static CHOICE: AtomicU8 = AtomicU8::new(0);

/// The best instruction set that this machine has and `KOLMO_ISA` allows.
#[inline]
pub(crate) fn isa() -> Isa {
    match CHOICE.load(Relaxed) {
        1 => Isa::Exact,
        2 => Isa::Portable,
        3 => Isa::Neon,
        4 => Isa::Avx2,
        5 => Isa::Avx512,
        _ => decide(),
    }
}

/// The instructions that loops use: `portable`, `neon`, `avx2` or `avx512`, the best that this machine has unless
/// the environment variable `KOLMO_ISA` names a lesser one. `exact`, which must be named, has the bits of these
/// three on a machine without fused multiply-adds, and is slow.
///
/// ```
/// assert!(["exact", "portable", "neon", "avx2", "avx512"].contains(&kolmo::runtime::instruction_set()));
/// ```
pub fn instruction_set() -> &'static str {
    match isa() {
        Isa::Exact => "exact",
        Isa::Portable => "portable",
        Isa::Neon => "neon",
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
    // What another kind of processor has is no lesser one of this.
    let choice = if choice == Isa::Neon && best != Isa::Neon { Isa::Portable } else { choice };
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
    if cfg!(target_arch = "aarch64") { Isa::Neon } else { Isa::Portable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_variable() {
        assert_eq!(named("portable"), Some(Isa::Portable));
        assert_eq!(named("neon"), Some(Isa::Neon));
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
