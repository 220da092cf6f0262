//! Random numbers that depend on a seed and a position alone, so that they are the same on any number of
//! threads.
use crate::{
    error::{Checked, Error, Result},
    kernels::normal::normal_quantiles,
    real::special::normal_quantile,
    tensor::room::{listed, room},
};
use rand::{RngExt, seq::SliceRandom};
use std::{fmt::Debug, ops::Range};

/// A stream of random numbers: a seed and how many were drawn. Saved and restored, it goes on where it was.
///
/// ```
/// use kolmo::Random;
/// let rng = &mut Random::new(7);
/// let (angle, noise) = (rng.uniform_range(0.0..3.0), rng.normal(0.0, 0.1));
/// let die: u32 = rng.randint(1..7)?;
/// let order = rng.randperm(10)?;
/// assert!((0.0..3.0).contains(&angle) && noise.abs() < 1.0 && (1..7).contains(&die) && order.len() == 10);
/// assert_eq!(Random::new(7).uniform_range(0.0..3.0), angle); // the same seed, the same numbers
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// A copy goes on with the same numbers; [`fork`](Random::fork) makes a stream of its own. Tensors of random
/// numbers are made by [`Tensor::rand`](crate::Tensor::rand) and its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    /// The stream of a seed, from its start.
    #[doc(alias("manual_seed", "Generator"))]
    pub fn new(seed: u64) -> Random {
        Random { seed, drawn: 0 }
    }

    /// A stream of its own, which this one decides: what is drawn from either doesn't change the other.
    ///
    /// ```
    /// use kolmo::Random;
    /// let rng = &mut Random::new(7);
    /// let (mut weights, mut noise) = (rng.fork(), rng.fork());
    /// assert_ne!(weights.uniform(), noise.uniform());
    /// ```
    #[doc(alias("split", "fold_in", "spawn"))]
    #[must_use = "the stream has moved on, and what was made of it is thrown away"]
    pub fn fork(&mut self) -> Random {
        Random::new(self.next_bits())
    }

    /// Sets `n` numbers aside and gives the stream that starts with them.
    pub(crate) fn reserve(&mut self, n: usize) -> Random {
        let part = *self;
        self.drawn = self.drawn.wrapping_add(n as u64);
        part
    }

    fn next_bits(&mut self) -> u64 {
        self.reserve(1).bits_at(0)
    }

    /// The next number, uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.reserve(1).uniform_at(0)
    }

    /// `start + u · (end - start)` with u uniform in [0, 1): a number from `start` on and below `end`, or `end`
    /// itself where rounding leads there.
    pub fn uniform_range(&mut self, range: Range<f64>) -> f64 {
        let u = (self.next_bits() >> 12) as f64 * (1.0 / (1u64 << 52) as f64);
        u * (range.end - range.start) + range.start
    }

    /// `mean + std · z` with z from the standard normal distribution: the quantile of one uniform number.
    #[doc(alias("randn", "gauss"))]
    pub fn normal(&mut self, mean: f64, std: f64) -> f64 {
        mean + std * self.reserve(1).normal_at(0)
    }

    /// True with probability `p`: never if it is 0 or less, always if it is 1 or more.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// One of the integers of a range, of any type, each as likely as the others.
    ///
    /// ```
    /// let words = ["one", "two", "three"];
    /// let word = words[kolmo::Random::new(0).randint(0..words.len())?];
    /// assert!(words.contains(&word));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// The range is empty, or reaches beyond `i64`.
    #[doc(alias("random_range", "integers"))]
    pub fn randint<I: Copy + Debug + TryFrom<i64> + TryInto<i64>>(&mut self, range: Range<I>) -> Result<I> {
        let ends = (range.start.try_into().ok(), range.end.try_into().ok());
        let drawn = self.integer(ends).and_then(|v| I::try_from(v).ok());
        drawn.ok_or_else(|| no_integer("Random::randint", &range))
    }

    /// An integer from the first on and below the second.
    pub(crate) fn integer(&mut self, ends: (Option<i64>, Option<i64>)) -> Option<i64> {
        let (start, end) = (ends.0?, ends.1.filter(|end| ends.0 < Some(*end))?);
        let count = end.wrapping_sub(start) as u64;
        // As `rand` draws a `usize`, which has shorter ways for what 32 bits hold.
        let above = match u32::try_from(count) {
            Ok(count) => self.random_range(0..count as usize) as u64,
            Err(_) => self.random_range(0..count),
        };
        Some(start.wrapping_add(above as i64))
    }

    /// A position in a list of weights, each as likely as its share of their sum.
    ///
    /// ```
    /// assert_eq!(kolmo::Random::new(0).categorical(&[0.0, 3.0, 0.0])?, 1);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// No weight is above 0, or one is negative or not finite.
    #[doc(alias("choice", "multinomial", "WeightedIndex"))]
    pub fn categorical(&mut self, weights: &[f64]) -> Result<usize> {
        let weights = Weights::new(weights.len(), weights.iter().copied());
        let weights = weights.map_err(|message| Error::invalid("Random::categorical", message))?;
        Ok(weights.pick(self.uniform()))
    }

    /// The numbers below `n` in a random order.
    ///
    /// # Errors
    /// There is no room for so many.
    #[doc(alias = "permutation")]
    pub fn randperm(&mut self, n: usize) -> Result<Vec<usize>> {
        self.order(n).map_err(|message| Error::invalid("Random::randperm", message))
    }

    pub(crate) fn order(&mut self, n: usize) -> Checked<Vec<usize>> {
        let mut order = listed(n, 0..n)?;
        self.shuffle(&mut order);
        Ok(order)
    }

    /// Puts a list into a random order.
    pub fn shuffle<V>(&mut self, list: &mut [V]) {
        SliceRandom::shuffle(list, self);
    }

    /// 64 random bits for position `i` from here, in any order (SplitMix64 of Steele, Lea and Flood, 2014).
    /// Nothing is drawn: the next number of the stream is still the one at position 0.
    ///
    /// ```
    /// use kolmo::Random;
    /// let mut stream = Random::new(7);
    /// assert_eq!(stream.uniform_at(3), Random::new(7).uniform_at(3));
    /// assert_ne!(stream.bits_at(0), Random::new(8).bits_at(0));
    /// assert_eq!(stream.uniform_at(0), stream.uniform());
    /// ```
    #[inline(always)]
    pub fn bits_at(&self, i: u64) -> u64 {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let key = mix(self.seed.wrapping_add(GOLDEN));
        mix(key.wrapping_add(self.drawn.wrapping_add(i).wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// A number uniform in [0, 1) for position `i`, as [`bits_at`](Random::bits_at).
    #[inline(always)]
    pub fn uniform_at(&self, i: u64) -> f64 {
        (self.bits_at(i) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A number from the standard normal distribution for position `i`, as [`bits_at`](Random::bits_at).
    ///
    /// ```
    /// let mut stream = kolmo::Random::new(7);
    /// assert_eq!(stream.normal_at(0), stream.normal(0.0, 1.0));
    /// ```
    // Inlined: as a function, a number's conversion waits for the register of the number before.
    #[inline]
    pub fn normal_at(&self, i: u64) -> f64 {
        normal_quantile(self.between_at(i))
    }

    /// One of the 2⁵³ numbers in the middle of equal parts of (-1, 1), each of which a float holds.
    #[inline(always)]
    fn between_at(&self, i: u64) -> f64 {
        let odd = (self.bits_at(i) >> 10 | 1) as i64 - (1 << 53);
        odd as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// The numbers of [`normal_at`](Random::normal_at) for positions from `first` on.
    pub(crate) fn normals_at(&self, first: u64, out: &mut [f64]) {
        for (i, out) in (first..).zip(out.iter_mut()) {
            *out = self.between_at(i);
        }
        normal_quantiles(out);
    }
}

#[cold]
pub(crate) fn no_integer(what: &'static str, range: &dyn Debug) -> Error {
    Error::invalid(what, format!("takes a range with at least one integer, within i64, not {range:?}"))
}

/// Weights added up, to draw by them again and again.
pub(crate) struct Weights {
    /// The sum of each weight and those before it.
    sums: Vec<f64>,
}

impl Weights {
    /// Of so many weights. An error if none is above 0, or one is negative or not finite.
    pub fn new(n: usize, weights: impl Iterator<Item = f64>) -> Checked<Weights> {
        let mut sums = room(n)?;
        let mut sum = 0.0;
        for (i, weight) in weights.enumerate() {
            if !(0.0..f64::INFINITY).contains(&weight) {
                return Err(format!("weight {weight} at {i}: takes finite ones of 0 or more"));
            }
            sum += weight;
            sums.push(sum);
        }
        match sum > 0.0 && sum < f64::INFINITY {
            true => Ok(Weights { sums }),
            false => Err(format!("{n} weights with the sum {sum}: takes a finite one above 0")),
        }
    }

    /// The position that belongs to a number of [0, 1).
    pub fn pick(&self, u: f64) -> usize {
        let sum = self.sums.last().copied().unwrap_or_default();
        // The product may be rounded up to the sum, behind which nothing lies.
        let last = self.sums.partition_point(|s| *s < sum);
        self.sums.partition_point(|s| *s <= u * sum).min(last)
    }
}

/// A stream is also a generator for the `rand` crate and what stands on it: each draw is the next position.
impl rand::TryRng for Random {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok((self.next_bits() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.next_bits())
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in target.chunks_mut(8) {
            let bytes = self.next_bits().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

#[inline(always)]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of `n` outcomes comes in 20000 draws, as a share.
    fn shares(n: usize, mut draw: impl FnMut(&mut Random) -> usize) -> Vec<f64> {
        let (mut rng, mut counts) = (Random::new(3), vec![0.0; n]);
        (0..20000).for_each(|_| counts[draw(&mut rng)] += 1.0 / 20000.0);
        counts
    }

    /// Four standard deviations of a share of 20000 draws are at most 0.0142.
    fn near(shares: &[f64], expected: &[f64]) -> bool {
        shares.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.0142)
    }

    #[test]
    fn draws_are_those_of_the_rand_crate() {
        let (mut own, mut theirs) = (Random::new(5), Random::new(5));
        for _ in 0..100 {
            assert_eq!(own.uniform(), theirs.random::<f64>());
            assert_eq!(own.uniform_range(-2.0..3.0), theirs.random_range(-2.0..3.0));
            assert_eq!(own.randint(3..40usize).unwrap(), theirs.random_range(3..40usize));
            assert_eq!(own, theirs);
        }
    }

    #[test]
    fn every_outcome_comes_as_often_as_it_should() {
        assert!(near(&shares(3, |r| r.randint(0..3).unwrap()), &[1.0 / 3.0; 3]));
        assert!(near(&shares(2, |r| r.bernoulli(0.2) as usize), &[0.8, 0.2]));
        assert!(near(
            &shares(4, |r| r.categorical(&[1.0, 0.0, 5.0, 2.0]).unwrap()),
            &[0.125, 0.0, 0.625, 0.25]
        ));
        assert!(near(&shares(3, |r| r.randperm(3).unwrap()[1]), &[1.0 / 3.0; 3]));
        let rng = &mut Random::new(1);
        assert!(!rng.bernoulli(0.0) && rng.bernoulli(1.0) && !rng.bernoulli(f64::NAN));
    }

    /// How many lie below each tenth, and the ends, which no other number of 2⁵³ goes beyond.
    #[test]
    fn normal_numbers_are_distributed_as_they_should_be() {
        let rng = &mut Random::new(6);
        let quantiles = [1.2815515655446004, 0.8416212335729143, 0.5244005127080407, 0.2533471031357997];
        let bounds: Vec<f64> =
            quantiles.iter().map(|q| -q).chain([0.0]).chain(quantiles.into_iter().rev()).collect();
        let drawn: Vec<f64> = (0..20000).map(|_| rng.normal(3.0, 2.0)).collect();
        assert_eq!(rng.drawn, 20000);
        for (i, bound) in bounds.into_iter().enumerate() {
            let below = drawn.iter().filter(|v| **v < 3.0 + 2.0 * bound).count() as f64 / 20000.0;
            assert!((below - (i + 1) as f64 / 10.0).abs() < 0.0142, "{below} below {bound}");
        }
        let end = normal_quantile(1.0 - 0.5f64.powi(53));
        assert!(end > 8.2 && end < 8.3 && normal_quantile(-1.0 + 0.5f64.powi(53)) == -end);
    }

    #[test]
    fn ranges_reach_to_the_ends_of_their_types() {
        let rng = &mut Random::new(2);
        assert_eq!(rng.randint(-128..-127i8).unwrap(), -128);
        assert!((0..100).map(|_| rng.randint(i64::MIN..i64::MAX).unwrap()).any(|v| v < i64::MIN / 2));
        assert_eq!(rng.randint(u64::MAX >> 1..u64::MAX).ok(), None);
        let down = std::ops::Range { start: 3, end: 1 };
        for error in [rng.randint(3..3), rng.randint(down)] {
            assert!(error.unwrap_err().to_string().contains("at least one integer, within i64, not 3.."));
        }
    }

    #[test]
    fn weights_that_say_nothing_are_told() {
        let rng = &mut Random::new(2);
        let mut told = |weights: &[f64]| rng.categorical(weights).unwrap_err().to_string();
        assert!(told(&[]).contains("0 weights with the sum 0"));
        assert!(told(&[0.0, 0.0]).contains("2 weights with the sum 0"));
        assert!(told(&[1.0, f64::NAN]).contains("weight NaN at 1"));
        assert!(told(&[-1.0]).contains("weight -1 at 0"));
        assert!(told(&[f64::MAX, f64::MAX]).contains("the sum inf"));
        // The number below 1 that is rounded to the sum belongs to the last weight that isn't 0.
        let weights = Weights::new(4, [0.1, 0.2, 0.4, 0.0].into_iter()).unwrap();
        assert_eq!((weights.pick(1.0 - f64::EPSILON / 2.0), weights.pick(0.0)), (2, 0));
    }

    #[test]
    fn streams_of_their_own_leave_each_other_alone() {
        let mut rng = Random::new(4);
        let (mut a, b) = (rng.fork(), rng.fork());
        a.uniform();
        assert!(a != b && rng.drawn == 2 && b == Random::new(Random::new(4).bits_at(1)));
    }
}
