//! Tensors of random numbers, and draws by weights that a tensor holds.
use super::list::Float;
use crate::{
    error::{Checked, Error, Result},
    real::Arithmetic,
    tape::{
        Random,
        random::{Weights, no_integer},
    },
    tensor::{Element, Index, Shape, Tensor, room::listed, shape::addressable},
    threads::for_chunks,
};
use std::ops::Range;

/// Normal numbers with this mean and standard deviation, as [`Random::normal`] draws them one by one.
pub(crate) fn normals<T: Float>(shape: Shape, mean: f64, std: f64, rng: &mut Random) -> Tensor<T> {
    const BLOCK: usize = 64;
    let stream = rng.reserve(shape.numel());
    Tensor::build(shape, |out| {
        for_chunks(out, 256 * BLOCK, |start, out| {
            let mut drawn = [0.0; BLOCK];
            for (k, out) in out.chunks_mut(BLOCK).enumerate() {
                let drawn = &mut drawn[..out.len()];
                stream.normals_at((start + k * BLOCK) as u64, drawn);
                out.iter_mut().zip(drawn).for_each(|(out, v)| *out = T::from_f64(mean + std * *v));
            }
        });
    })
}

/// # Random numbers
impl<T: Float> Tensor<T> {
    /// Numbers uniform in [0, 1).
    ///
    /// ```
    /// use kolmo::{Random, Tensor};
    /// let rng = &mut Random::new(0);
    /// let (x, noise) = (Tensor::<f32>::rand([2, 3], rng), Tensor::<f32>::randn([2, 3], rng));
    /// let labels = Tensor::randint(0u32..10, [2], rng)?;
    /// assert!(x.to_vec().iter().all(|v| (0.0..1.0).contains(v)) && noise.shape() == x.shape());
    /// assert!(labels.to_vec().iter().all(|&label| label < 10));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias("uniform", "torch.rand"))]
    pub fn rand(shape: impl Into<Shape>, rng: &mut Random) -> Tensor<T> {
        let shape = shape.into();
        let stream = rng.reserve(shape.numel());
        // Fewer bits may round a number up to 1, which isn't in the range.
        let below = T::from_f64(1.0 - f64::from(f32::EPSILON) / 2.0);
        Tensor::from_fn(shape, |i| {
            let v = T::from_f64(stream.uniform_at(i as u64));
            if v.to_f64() < 1.0 { v } else { below }
        })
    }

    /// Numbers from the standard normal distribution.
    #[doc(alias("normal", "torch.randn"))]
    pub fn randn(shape: impl Into<Shape>, rng: &mut Random) -> Tensor<T> {
        normals(shape.into(), 0.0, 1.0, rng)
    }

    /// 1 with probability `p`, else 0.
    ///
    /// # Errors
    /// `p` is not between 0 and 1.
    #[doc(alias = "torch.bernoulli")]
    pub fn bernoulli(p: f64, shape: impl Into<Shape>, rng: &mut Random) -> Result<Tensor<T>> {
        if !(0.0..=1.0).contains(&p) {
            return Err(Error::invalid(
                "Tensor::bernoulli",
                format!("probability {p} is not between 0 and 1"),
            ));
        }
        let shape = shape.into();
        let stream = rng.reserve(shape.numel());
        let drawn = |i: usize| T::from_f64(f64::from(stream.uniform_at(i as u64) < p));
        there("Tensor::bernoulli", Tensor::from_fn(shape, drawn))
    }

    /// Positions drawn by weights: `[n] -> [num_samples]`, each position as likely as its share of the weights'
    /// sum; `[rows, n] -> [rows, num_samples]` of each row. Without `replacement` none comes twice.
    ///
    /// ```
    /// use kolmo::{Random, Tensor};
    /// let weights = Tensor::from([0.0f32, 10.0, 3.0, 0.0]);
    /// let mut drawn = weights.multinomial(2, false, &mut Random::new(0))?.to_vec();
    /// drawn.sort();
    /// assert_eq!(drawn, [1, 2]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another rank; weights that are negative, not finite or all 0; without `replacement`, fewer weights above
    /// 0 than there are to be drawn.
    #[doc(alias("categorical", "choice"))]
    pub fn multinomial(
        &self,
        num_samples: usize,
        replacement: bool,
        rng: &mut Random,
    ) -> Result<Tensor<u32>> {
        let invalid = |message| Error::invalid("Tensor::multinomial", message);
        if !(1..=2).contains(&self.rank()) {
            return Err(invalid(format!("takes weights [n] or [rows, n], not {}", self.shape())));
        }
        let weights: Vec<f64> = self.list().map_err(invalid)?.into_iter().map(|v| v.to_f64()).collect();
        let mut shape: Shape = self.shape().iter().copied().take(self.rank() - 1).collect();
        shape.push(num_samples);
        addressable(&shape).map_err(invalid)?;
        let mut drawn = Vec::new();
        for row in weights.chunks_exact(self.dim(-1).max(1)) {
            drawn.extend(draw(row, num_samples, replacement, rng).map_err(invalid)?);
        }
        if drawn.len() != shape.numel() {
            return Err(invalid(format!("there are no weights in {}", self.shape())));
        }
        Tensor::new(shape, drawn)
    }
}

/// # Random integers
impl<I: Index + TryFrom<i64> + TryInto<i64>> Tensor<I> {
    /// Integers of a range, each as likely as the others.
    ///
    /// # Errors
    /// The range is empty, or reaches beyond `i64`.
    #[doc(alias("integers", "torch.randint"))]
    pub fn randint(range: Range<I>, shape: impl Into<Shape>, rng: &mut Random) -> Result<Tensor<I>> {
        let ends = (range.start.try_into().ok(), range.end.try_into().ok());
        let draw = |rng: &mut Random| rng.integer(ends).and_then(|v| I::try_from(v).ok());
        if draw(&mut rng.clone()).is_none() {
            return Err(no_integer("Tensor::randint", &range));
        }
        there("Tensor::randint", Tensor::from_fn(shape, |_| draw(rng).unwrap_or_default()))
    }
}

fn there<T: Element>(what: &'static str, made: Tensor<T>) -> Result<Tensor<T>> {
    made.made().map_err(|message| Error::invalid(what, message))
}

fn draw(weights: &[f64], n: usize, replacement: bool, rng: &mut Random) -> Checked<Vec<u32>> {
    let sums = Weights::new(weights.len(), weights.iter().copied())?;
    if replacement {
        return listed(n, (0..n).map(|_| sums.pick(rng.uniform()) as u32));
    }
    let above = weights.iter().filter(|w| **w > 0.0).count();
    if n > above {
        return Err(format!("{n} without replacement of {above} weights above 0"));
    }
    // Exponential times at these rates end in the order in which one would draw (Efraimidis and Spirakis,
    // 2006).
    let stream = rng.reserve(weights.len());
    let time = |(i, w): (usize, &f64)| (-Arithmetic::log(1.0 - stream.uniform_at(i as u64)) / w, i as u32);
    let mut times = listed(above, weights.iter().enumerate().filter(|(_, w)| **w > 0.0).map(time))?;
    times.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    listed(n, times.into_iter().take(n).map(|(_, i)| i))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_distributions() {
        let rng = &mut Random::new(0);
        let moments = |x: Tensor<f64>| {
            let (v, n) = (x.to_vec(), x.numel() as f64);
            let mean = v.iter().sum::<f64>() / n;
            (mean, v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n)
        };
        // Four standard deviations of each moment of 40000 numbers.
        let near = |(mean, var): (f64, f64), (m, v): (f64, f64), (a, b): (f64, f64)| {
            (mean - m).abs() < a && (var - v).abs() < b
        };
        assert!(near(moments(Tensor::rand([200, 200], rng)), (0.5, 1.0 / 12.0), (0.0058, 0.0015)));
        assert!(near(moments(Tensor::randn([200, 200], rng)), (0.0, 1.0), (0.02, 0.0283)));
        assert!(near(
            moments(Tensor::bernoulli(0.3, [200, 200], rng).unwrap()),
            (0.3, 0.21),
            (0.0092, 0.0037)
        ));
    }

    #[test]
    fn the_first_of_two_without_replacement_has_its_share_and_so_has_the_second() {
        let (weights, rng) = (Tensor::from([1.0f64, 2.0, 5.0]), &mut Random::new(9));
        let (mut first, mut second) = ([0.0f64; 3], [0.0f64; 3]);
        for _ in 0..20000 {
            let drawn = weights.multinomial(2, false, rng).unwrap().to_vec();
            assert_ne!(drawn[0], drawn[1]);
            first[drawn[0] as usize] += 1.0 / 20000.0;
            second[drawn[1] as usize] += 1.0 / 20000.0;
        }
        // P(second = 0) = 2/8 · 1/6 + 5/8 · 1/3, and so on.
        let expected = [0.25 / 6.0 + 0.625 / 3.0, 0.125 * 2.0 / 7.0 + 0.625 * 2.0 / 3.0];
        assert!((first[0] - 0.125).abs() < 0.01 && (first[2] - 0.625).abs() < 0.014, "{first:?}");
        assert!(
            (second[0] - expected[0]).abs() < 0.0124 && (second[1] - expected[1]).abs() < 0.0142,
            "{second:?}"
        );
    }

    #[test]
    fn rows_are_drawn_one_by_one_and_bad_ones_told() {
        let rng = &mut Random::new(1);
        let rows = Tensor::from([[0.0f32, 1.0], [2.0, 0.0]]);
        assert_eq!(rows.multinomial(3, true, rng).unwrap(), Tensor::from([[1u32; 3], [0; 3]]));
        let mut told = |x: &Tensor<f32>, n| x.multinomial(n, false, rng).unwrap_err().to_string();
        assert!(told(&rows, 2).contains("2 without replacement of 1 weights above 0"));
        assert!(told(&Tensor::zeros([2, 2]), 1).contains("the sum 0"));
        assert!(told(&Tensor::zeros([2, 0]), 1).contains("no weights in [2, 0]"));
        assert!(told(&Tensor::zeros([]), 1).contains("takes weights [n] or [rows, n], not []"));
        assert!(
            Tensor::<f32>::bernoulli(1.5, [2], rng).is_err()
                && Tensor::<f32>::bernoulli(f64::NAN, [2], rng).is_err()
        );
        assert!(Tensor::randint(5..5u8, [2], rng).is_err());
        assert!(Tensor::randint(0..9i32, [1 << 30, 1 << 30], rng).unwrap_err().to_string().contains("bytes"));
    }
}
