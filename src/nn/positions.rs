//! What tells a transformer the places of a sequence's elements.
use crate::{ops::Float, real::Arithmetic, tape::Var, tensor::Tensor};

/// The sines and cosines that tell a transformer the places (Vaswani et al., 2017, 3.5), `[length, width]`:
/// at place p `sin(p / 10000^(2i / width))` in column 2i, and the cosine beside it. To be added to
/// embeddings.
///
/// ```
/// let places = kolmo::nn::sinusoidal_positions::<f64>(10, 4);
/// assert_eq!(places.get([0, 1]), Some(1.0));
/// assert_eq!(places.get([3, 0]), Some(3f64.sin()));
/// ```
pub fn sinusoidal_positions<T: Float>(length: usize, width: usize) -> Tensor<T> {
    Tensor::from_fn([length, width], |k| {
        let (place, i) = (k / width, k % width);
        let angle = place as f64 / Arithmetic::pow(10000f64, (i - i % 2) as f64 / width as f64);
        T::from_f64(if i % 2 == 0 { Arithmetic::sin(angle) } else { Arithmetic::cos(angle) })
    })
}

/// # Rotary positions
impl<'t, T: Float> Var<'t, T> {
    /// Rotary places (Su et al., 2021) for queries and keys `[…, length, d]` with an even `d`: at place p,
    /// which counts from `start`, the elements i and i + d/2 are turned as a point in the plane by the
    /// angle `p / base^(2i / d)`, with base 10000 as a rule. The products of queries and keys then depend
    /// on their distance alone.
    #[track_caller]
    pub fn rotary(&self, start: usize, base: f64) -> Var<'t, T> {
        self.turned("rotary", start, base, false)
    }

    /// The same with neighbours, the elements 2i and 2i + 1, turned together: as the paper has it, and files
    /// of llama.cpp.
    #[track_caller]
    pub fn rotary_interleaved(&self, start: usize, base: f64) -> Var<'t, T> {
        self.turned("rotary_interleaved", start, base, true)
    }

    #[track_caller]
    fn turned(&self, name: &str, start: usize, base: f64, neighbours: bool) -> Var<'t, T> {
        if self.failed_id().is_some() {
            return self.clone();
        }
        let (length, d) = (self.dim(-2), self.dim(-1));
        if self.rank() < 2 || d % 2 == 1 || base.is_nan() || base <= 0.0 {
            let message = format!(
                "takes […, length, d] with an even d, and a base above 0, not {} and {base}",
                self.shape()
            );
            return self.tape().fail_op(name, message, &[self]);
        }
        let half = d / 2;
        let slower: Vec<f64> = (0..half).map(|i| Arithmetic::pow(base, (2 * i) as f64 / d as f64)).collect();
        let table = |f: fn(f64) -> f64| {
            let value = |k: usize| f((start as f64 + (k / half) as f64) / slower[k % half]);
            self.tape().constant(Tensor::from_fn([length, half], |k| T::from_f64(value(k))))
        };
        let (cos, sin) = (table(<f64 as Arithmetic>::cos), table(<f64 as Arithmetic>::sin));
        let (second, step) = if neighbours { (1, 2) } else { (half, 1) };
        let [a, b] = [0, second].map(|first| self.strided(self.rank() - 1, first, half, step));
        let (x, y) = (&a * &cos - &b * &sin, b * cos + a * sin);
        if !neighbours {
            return self.tape().cat(&[&x, &y], -1);
        }
        self.tape().cat(&[&x.unsqueeze(-1), &y.unsqueeze(-1)], -1).reshape_to(self.shape())
    }
}
