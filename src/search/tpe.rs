//! The tree-structured Parzen estimator of one name: how dense the places of good trials and of the others lie,
//! and the place where the former are densest beside the latter.
use crate::{real::Arithmetic, tape::Random};
use std::f64::consts::{PI, SQRT_2};

/// Places that are drawn among the good ones, of which the best is taken.
const CANDIDATES: usize = 24;

/// How dense places lie.
enum Density {
    /// Kernels: normal distributions, cut off at 0 and 1, with mean and width.
    Number(Vec<[f64; 2]>),
    /// The share of each of some equal parts.
    Choice(Vec<f64>),
}

impl Density {
    /// Of a number. One kernel, as wide as everything, stands for what is known before anything is measured.
    fn number(places: &[f64]) -> Density {
        let mut means = places.to_vec();
        means.push(0.5);
        means.sort_by(f64::total_cmp);
        let least = 1.0 / (1 + means.len()).min(100) as f64;
        let at = |i: Option<usize>, end: f64| i.and_then(|i| means.get(i)).copied().unwrap_or(end);
        let kernel = |(i, &mean): (usize, &f64)| {
            // As wide as the larger gap beside it.
            let (left, right) = (mean - at(i.checked_sub(1), 0.0), at(Some(i + 1), 1.0) - mean);
            [mean, left.max(right).clamp(least, 1.0)]
        };
        let mut kernels: Vec<_> = means.iter().enumerate().map(kernel).collect();
        if let Some(prior) = kernels.iter_mut().find(|kernel| kernel[0] == 0.5) {
            prior[1] = 1.0;
        }
        Density::Number(kernels)
    }

    /// Of one of so many choices; all together weigh as much as one trial before anything is measured.
    fn choice(places: &[f64], choices: usize) -> Density {
        let mut weights = vec![1.0 / choices as f64; choices];
        for &place in places {
            if let Some(weight) = weights.get_mut((place * choices as f64) as usize) {
                *weight += 1.0;
            }
        }
        let sum: f64 = weights.iter().sum();
        Density::Choice(weights.into_iter().map(|weight| weight / sum).collect())
    }

    fn of(places: &[f64], choices: Option<usize>) -> Density {
        choices.map_or_else(|| Density::number(places), |choices| Density::choice(places, choices))
    }

    fn draw(&self, rng: &mut Random) -> f64 {
        match self {
            Density::Number(kernels) => {
                let kernel = (rng.uniform() * kernels.len() as f64) as usize;
                let [mean, width] = kernels.get(kernel).copied().unwrap_or([0.5, 1.0]);
                // A third of a kernel at least lies inside.
                let drawn =
                    (0..100).map(|_| rng.normal(mean, width)).find(|place| (0.0..=1.0).contains(place));
                drawn.unwrap_or(mean)
            }
            Density::Choice(weights) => {
                let mut left = rng.uniform();
                let chosen = weights.iter().position(|weight| {
                    left -= weight;
                    left < 0.0
                });
                (chosen.unwrap_or(weights.len() - 1) as f64 + 0.5) / weights.len() as f64
            }
        }
    }

    fn at(&self, place: f64) -> f64 {
        match self {
            Density::Number(kernels) => {
                let below = |z: f64| 0.5 * (1.0 + Arithmetic::erf(z / SQRT_2));
                let kernel = |&[mean, width]: &[f64; 2]| {
                    let z = (place - mean) / width;
                    let inside = below((1.0 - mean) / width) - below(-mean / width);
                    Arithmetic::exp(-0.5 * z * z) / (width * (2.0 * PI).sqrt() * inside)
                };
                kernels.iter().map(kernel).sum::<f64>() / kernels.len() as f64
            }
            Density::Choice(weights) => {
                weights.get((place * weights.len() as f64) as usize).copied().unwrap_or(0.0)
            }
        }
    }
}

/// A place for the next trial, from those of good trials and of the others; with a number of choices, the middle
/// of one of so many equal parts.
pub(super) fn suggest(good: &[f64], others: &[f64], choices: Option<usize>, rng: &mut Random) -> f64 {
    let (good, others) = (Density::of(good, choices), Density::of(others, choices));
    let mut best = (f64::NEG_INFINITY, 0.5);
    for _ in 0..CANDIDATES {
        let place = good.draw(rng);
        let gain = good.at(place) / others.at(place);
        if gain > best.0 {
            best = (gain, place);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_add_up_to_one() {
        let n = 10_000;
        let middle = |i: i32| (f64::from(i) + 0.5) / f64::from(n);
        for places in [&[][..], &[0.0, 0.01, 0.9], &[0.5, 0.5, 0.5, 1.0]] {
            for choices in [None, Some(1), Some(7)] {
                let density = Density::of(places, choices);
                let mean = (0..n).map(|i| density.at(middle(i))).sum::<f64>() / f64::from(n);
                let expected = choices.map_or(1.0, |choices| 1.0 / choices as f64);
                assert!((mean - expected).abs() < 1e-3, "{places:?}, {choices:?}: {mean}");
            }
        }
    }

    #[test]
    fn draws_lie_as_dense_as_the_density_says() {
        let rng = &mut Random::new(0);
        for choices in [None, Some(5)] {
            let density = Density::of(&[0.1, 0.12, 0.7], choices);
            let (mut drawn, n) = ([0; 5], 20_000);
            for _ in 0..n {
                drawn[((density.draw(rng) * 5.0) as usize).min(4)] += 1;
            }
            for (part, drawn) in drawn.into_iter().enumerate() {
                let places = (0..1000).map(|i| (part as f64 + (f64::from(i) + 0.5) / 1000.0) / 5.0);
                let mean = places.map(|place| density.at(place)).sum::<f64>() / 1000.0;
                let expected = if choices.is_some() { mean } else { mean / 5.0 };
                assert!((f64::from(drawn) / f64::from(n) - expected).abs() < 0.01, "{part} of {choices:?}");
            }
        }
    }

    #[test]
    fn a_place_near_the_good_ones_is_taken() {
        let rng = &mut Random::new(1);
        let others: Vec<f64> = (0..20).map(|i| f64::from(i) / 19.0).collect();
        for _ in 0..20 {
            assert!((suggest(&[0.3, 0.32], &others, None, rng) - 0.31).abs() < 0.15);
            assert_eq!(suggest(&[0.3, 0.32], &others, Some(3), rng), 0.5 / 3.0);
        }
    }
}
