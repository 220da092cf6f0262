//! How a language model's next token is chosen.
use crate::{
    error::{Checked, Error, Result},
    ops::Float,
    options::options,
    real::Arithmetic,
    tape::Random,
    tensor::Tensor,
};

options! {
    /// How a token is drawn by its logit, a number for each token of the vocabulary: the logits are divided
    /// by the temperature, those that `top_k` and then `top_p` leave are turned into probabilities.
    ///
    /// ```
    /// use kolmo::{Random, Tensor, nn::Sampling};
    /// let logits = Tensor::from([[1.0, 3.0, 2.0], [0.0, -1.0, 9.0]]); // of two texts
    /// let rng = &mut Random::new(0);
    /// assert_eq!(Sampling::new().temperature(0.0).sample(&logits, rng)?, [1, 2]);
    /// let drawn = Sampling::new().top_k(2).temperature(0.8).sample(&logits, rng)?;
    /// assert!(drawn[0] != 0 && drawn[1] != 1);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias("temperature", "top_k", "top_p", "nucleus"))]
    Sampling {
        /// What logits are divided by (default 1): below 1 likely tokens become more likely. At 0 the
        /// likeliest is taken, the first of several.
        temperature(f64): f64 = 1.0,
        /// Only so many of the likeliest tokens are drawn from, of equal ones the first (default all).
        top_k(impl Into<Option<usize>>): Option<usize> = None,
        /// Only the fewest of the likeliest tokens are drawn from that together have at least this
        /// probability (Holtzman et al., 2020; default 1: all).
        top_p(f64): f64 = 1.0,
    }
}

impl Sampling {
    /// A token for each row of the logits, `[…, vocabulary]`. With one seed they are the same on any machine.
    ///
    /// # Errors
    /// The temperature is negative or not a number, `top_k` is 0, `top_p` isn't above 0 and at most 1, a row
    /// has no finite logit, or one is NaN or +∞.
    pub fn sample<T: Float>(&self, logits: &Tensor<T>, rng: &mut Random) -> Result<Vec<u32>> {
        self.draw(logits, rng).map_err(|message| Error::invalid("Sampling::sample", message))
    }

    fn draw<T: Float>(&self, logits: &Tensor<T>, rng: &mut Random) -> Checked<Vec<u32>> {
        if !(self.temperature >= 0.0 && self.temperature < f64::INFINITY) {
            return Err(format!("the temperature is {}, expected at least 0", self.temperature));
        }
        if self.top_k == Some(0) {
            return Err("top_k is 0, expected at least 1".into());
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(format!("top_p is {}, expected more than 0 and at most 1", self.top_p));
        }
        let (list, width) = (logits.list()?, if logits.rank() == 0 { 0 } else { logits.dim(-1) });
        if width == 0 || u32::try_from(width).is_err() {
            return Err(format!("takes […, vocabulary], not {}", logits.shape()));
        }
        list.chunks_exact(width).enumerate().map(|(row, logits)| self.one(row, logits, rng)).collect()
    }

    fn one<T: Float>(&self, row: usize, logits: &[T], rng: &mut Random) -> Checked<u32> {
        let each = || logits.iter().enumerate().map(|(i, v)| (i as u32, v.to_f64()));
        if let Some((i, bad)) = each().find(|(_, v)| v.is_nan() || *v == f64::INFINITY) {
            return Err(format!("logit {i} of row {row} is {bad}"));
        }
        let greedy = self.temperature == 0.0;
        // Of equal ones the first stays first.
        let mut all: Vec<(u32, f64)> = match greedy {
            true => each().rev().max_by(|a, b| a.1.total_cmp(&b.1)).into_iter().collect(),
            false => each().collect(),
        };
        if !greedy {
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            all.truncate(self.top_k.unwrap_or(usize::MAX));
        }
        let top = all.first().map_or(f64::NEG_INFINITY, |(_, v)| *v);
        if top == f64::NEG_INFINITY {
            return Err(format!("row {row} has no finite logit"));
        }
        if all.len() == 1 {
            return Ok(all[0].0);
        }
        let mut weights: Vec<f64> =
            all.iter().map(|(_, v)| Arithmetic::exp((v - top) / self.temperature)).collect();
        if self.top_p < 1.0 {
            let enough = self.top_p * weights.iter().sum::<f64>();
            let mut sum = 0.0;
            let below = weights.iter().take_while(|weight| {
                sum += **weight;
                sum < enough
            });
            let count = below.count() + 1;
            weights.truncate(count);
        }
        let chosen = rng.categorical(&weights).map_err(|e| e.to_string())?;
        Ok(all.get(chosen).map_or(0, |(token, _)| *token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares of 20,000 draws.
    fn shares(how: Sampling, logits: &[f64]) -> Vec<f64> {
        let rng = &mut Random::new(3);
        let rows = Tensor::from_fn([20_000, logits.len()], |i| logits[i % logits.len()]);
        let mut counts = vec![0.0; logits.len()];
        how.sample(&rows, rng).unwrap().iter().for_each(|&t| counts[t as usize] += 1.0 / 20_000.0);
        counts
    }

    #[test]
    fn tokens_come_as_often_as_their_probability() {
        // 0.1, 0.4, 0.3 and 0.2.
        let logits = [0.1f64, 0.4, 0.3, 0.2].map(|p| Arithmetic::log(p) + 5.0);
        let near = |how: Sampling, expected: [f64; 4]| {
            let found = shares(how, &logits);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.015), "{how:?}: {found:?}");
        };
        near(Sampling::new(), [0.1, 0.4, 0.3, 0.2]);
        near(Sampling::new().top_k(2), [0.0, 4.0 / 7.0, 3.0 / 7.0, 0.0]);
        near(Sampling::new().top_p(0.65), [0.0, 4.0 / 7.0, 3.0 / 7.0, 0.0]);
        near(Sampling::new().top_p(0.75), [0.0, 4.0 / 9.0, 3.0 / 9.0, 2.0 / 9.0]);
        near(Sampling::new().top_p(1e-9), [0.0, 1.0, 0.0, 0.0]);
        near(Sampling::new().temperature(0.5), [1.0 / 30.0, 16.0 / 30.0, 9.0 / 30.0, 4.0 / 30.0]);
        near(Sampling::new().temperature(0.0), [0.0, 1.0, 0.0, 0.0]);
        near(Sampling::new().temperature(0.5).top_p(0.8), [0.0, 16.0 / 25.0, 9.0 / 25.0, 0.0]);
    }

    #[test]
    fn what_no_token_can_be_drawn_from_is_told() {
        let told = |how: Sampling, logits: &[f64]| {
            how.sample(&Tensor::from(logits.to_vec()), &mut Random::new(0)).unwrap_err().to_string()
        };
        let (plain, inf) = (Sampling::new(), f64::INFINITY);
        assert!(told(plain, &[0.0, f64::NAN]).contains("logit 1 of row 0 is NaN"));
        assert!(told(plain, &[inf]).contains("logit 0 of row 0 is inf"));
        assert!(told(plain, &[-inf, -inf]).contains("row 0 has no finite logit"));
        assert!(told(plain, &[]).contains("takes […, vocabulary], not [0]"));
        assert!(told(plain.top_k(0), &[1.0]).contains("top_k is 0"));
        assert!(told(plain.top_p(0.0), &[1.0]).contains("top_p is 0"));
        assert!(told(plain.temperature(-1.0), &[1.0]).contains("the temperature is -1"));
        assert_eq!(plain.sample(&Tensor::from([-inf, 2.0, -inf]), &mut Random::new(0)).unwrap(), [1]);
    }
}
