//! Probabilities and their log-odds. Only additions, products, quotients and moves of bits, in a fixed order:
//! these have the same results on every machine, which a system's `exp` has not.

/// `exp(x)` to about 7 digits, for `|x| <= 80` and at those ends beyond.
#[inline]
pub fn exp(x: f32) -> f32 {
    /// Added to a small number, it leaves the nearest whole number in the low bits.
    const WHOLE: f32 = 12_582_912.0;
    let x = x.clamp(-80.0, 80.0);
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (0.166_666_67 + r * (0.041_666_4 + r * 0.008_333_7))));
    f32::from_bits((shifted.to_bits() << 23).wrapping_add(series.to_bits()))
}

/// The probability of log-odds: `1 / (1 + exp(-x))`.
#[inline]
pub fn squash(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline]
pub fn tanh(x: f32) -> f32 {
    2.0 / (1.0 + exp(-2.0 * x)) - 1.0
}

/// The log-odds of probabilities in 4096ths, at the middle of each.
pub struct Stretch(Vec<f32>);

impl Stretch {
    pub fn new() -> Stretch {
        Stretch((0..4096).map(|i| log_odds((i as f64 + 0.5) / 4096.0) as f32).collect())
    }

    /// The log-odds of a probability in 65536ths.
    #[inline]
    pub fn of(&self, p: u32) -> f32 {
        self.0[(p >> 4) as usize & 4095]
    }

    /// The log-odds of a probability from 0 to 1.
    #[inline]
    pub fn of_float(&self, p: f32) -> f32 {
        self.of((p * 65_536.0) as u32)
    }
}

/// `ln(p / (1 - p))` by the series of the inverse hyperbolic tangent, after powers of two are taken out.
fn log_odds(p: f64) -> f64 {
    let (mut q, mut twos) = (p / (1.0 - p), 0.0);
    while q > 1.5 {
        (q, twos) = (q / 2.0, twos + 1.0);
    }
    while q < 0.75 {
        (q, twos) = (q * 2.0, twos - 1.0);
    }
    let z = (q - 1.0) / (q + 1.0);
    let series: f64 = (0..20).rev().fold(0.0, |sum, k| sum * z * z + 1.0 / f64::from(2 * k + 1));
    twos * std::f64::consts::LN_2 + 2.0 * z * series
}

/// Lanes of a sum: it is cut in the same way everywhere.
pub const LANES: usize = 16;

/// `Σ aᵢ bᵢ` over whole groups of [`LANES`].
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (a, b) = (a.as_chunks::<LANES>().0, b.as_chunks::<LANES>().0);
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

/// `y += a x`.
#[inline]
pub fn add_scaled(y: &mut [f32], a: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}
