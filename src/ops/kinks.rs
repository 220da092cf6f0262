//! Where a function has no derivative and its rule gives a subgradient, told by name: the same for scalars
//! and tensors.
use smallvec::{SmallVec, smallvec};

/// The arguments at which a function of one argument has a kink.
pub(crate) fn points(name: &str, options: &[f64]) -> SmallVec<[f64; 2]> {
    let option = |i: usize| options.get(i).copied().unwrap_or(f64::NAN);
    match name {
        "abs" | "relu" | "leaky_relu" | "selu" => smallvec![0.0],
        "elu" if option(0) != 1.0 => smallvec![0.0],
        "relu6" => smallvec![0.0, 6.0],
        "hardswish" | "hardsigmoid" => smallvec![-3.0, 3.0],
        "clamp" | "hardtanh" => smallvec![option(0), option(1)],
        "clamp_min" | "clamp_max" | "threshold" => smallvec![option(0)],
        "softshrink" | "hardshrink" => smallvec![-option(0), option(0)],
        _ => SmallVec::new(),
    }
}

/// Whether a function of two arguments has kinks.
pub(crate) fn by_pairs(name: &str) -> bool {
    matches!(name, "maximum" | "minimum" | "fmax" | "fmin" | "prelu")
}

/// Whether a function of numbers has a kink at these arguments.
pub(crate) fn is_kink(name: &str, options: &[f64], x: &[f64]) -> bool {
    match *x {
        [x] => points(name, options).contains(&x),
        [a, _] if name == "prelu" => a == 0.0,
        [a, b] if by_pairs(name) => a == b,
        _ => false,
    }
}
