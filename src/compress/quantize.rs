//! Quantisation to a shared codebook (Han et al., 2016): k-means over a parameter's kept weights, after which
//! training goes on with the centroids; and rounding to half precision. Whole numbers of steps, and training
//! with them, are in `fake`.
#![doc(alias = "quantization")]
pub use super::{
    budget::{Budget, Spent},
    fake::{Quantizer, convert},
    fold::ColumnScales,
    gptq::Gptq,
    half::mixed_precision,
    weight_only::{WeightOnly, freeze, set_activations, store_half, thaw},
};
use super::{
    filter::{each_field, picks_some},
    round_to_f16,
};
use crate::{
    error::{Error, Result},
    ops::Float,
    param::{Param, visit_params},
    real::Arithmetic,
    tensor::{Shape, Tensor},
};
use serde::Serialize;

/// Up to so many different values, k-means is exact.
const EXACT: usize = 4096;
/// Most rounds of refinement beyond that.
const ROUNDS: usize = 100;

/// The `k` centroids, in ascending order, that minimise the sum of squared distances of the values to their
/// nearest one; fewer if there are fewer different values. Deterministic.
///
/// In one dimension clusters are intervals, so dynamic programming over the sorted values finds the optimum
/// (Wang and Song, 2011) in `O(k n log n)`. Beyond 4096 different values the intervals' ends are first sought
/// among 4096 quantiles and then refined by Lloyd's rounds. Values that are not finite are left out.
///
/// ```
/// use kolmo::compress::quantize::kmeans;
/// assert_eq!(kmeans(&[1.0, 9.0, 2.0, 10.0, 1.5], 2), [1.5, 9.5]);
/// ```
pub fn kmeans(values: &[f64], k: usize) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    // Ends of the runs of equal values, at which a cluster may end; thinned out if there are too many.
    let mut ends: Vec<usize> = (1..=n).filter(|&i| i == n || sorted[i] > sorted[i - 1]).collect();
    let exact = ends.len() <= EXACT;
    if !exact {
        ends = (1..=EXACT).map(|i| ends[i * ends.len() / EXACT - 1]).collect();
    }
    let sums = Sums::new(&sorted);
    let mut bounds = intervals(&sums, &ends, k.min(ends.len()));
    for _ in 0..if exact { 0 } else { ROUNDS } {
        let centroids = sums.means(&bounds);
        let refined: Vec<usize> = (centroids.windows(2))
            .map(|pair| sorted.partition_point(|&v| v <= (pair[0] + pair[1]) / 2.0))
            .chain([n])
            .collect();
        if refined == bounds {
            break;
        }
        bounds = refined;
    }
    let starts = [0].into_iter().chain(bounds.iter().copied());
    let clusters = starts.zip(&bounds).filter(|(from, to)| from < to).map(|(from, &to)| &sorted[from..to]);
    // From the values themselves: no rounding of the running sums comes in, and equal values give themselves.
    let mut centroids: Vec<f64> =
        clusters.map(|c| c[0] + c.iter().map(|v| v - c[0]).sum::<f64>() / c.len() as f64).collect();
    centroids.dedup();
    centroids
}

/// The code of the nearest of sorted centroids; of two at the same distance the lower.
fn nearest(centroids: &[f64], value: f64) -> u32 {
    let middle = |pair: &[f64]| (pair[0] + pair[1]) / 2.0;
    let (mut low, mut high) = (0, centroids.len().saturating_sub(1));
    while low < high {
        let at = (low + high) / 2;
        if value > middle(&centroids[at..at + 2]) { low = at + 1 } else { high = at }
    }
    low as u32
}

/// Sums over stretches of sorted values, taken about their mean so that little is cancelled.
struct Sums {
    mean: f64,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Sums {
    fn new(sorted: &[f64]) -> Sums {
        let mean = sorted.iter().sum::<f64>() / sorted.len().max(1) as f64;
        let (mut first, mut second) = (vec![0.0], vec![0.0]);
        let (mut a, mut b) = (0.0, 0.0);
        for v in sorted {
            a += v - mean;
            b += Arithmetic::square(v - mean);
            first.push(a);
            second.push(b);
        }
        Sums { mean, first, second }
    }

    /// The sum of squared distances to the mean of values `from..to`.
    fn cost(&self, from: usize, to: usize) -> f64 {
        let sum = self.first[to] - self.first[from];
        self.second[to] - self.second[from] - sum * sum / (to - from).max(1) as f64
    }

    /// The means of the intervals that end at `bounds`.
    fn means(&self, bounds: &[usize]) -> Vec<f64> {
        let starts = [0].into_iter().chain(bounds.iter().copied());
        let filled = starts.zip(bounds).filter(|(from, to)| from < to);
        filled
            .map(|(from, &to)| self.mean + (self.first[to] - self.first[from]) / (to - from) as f64)
            .collect()
    }
}

/// The ends of the `k` intervals of least total cost, each at one of `ends`.
fn intervals(sums: &Sums, ends: &[usize], k: usize) -> Vec<usize> {
    let n = ends.len();
    if k == 0 {
        return Vec::new();
    }
    // best[i]: least cost of the values up to ends[i] in so many clusters. last[c][i]: the end before, by
    // index.
    let mut best: Vec<f64> = ends.iter().map(|&end| sums.cost(0, end)).collect();
    let mut last: Vec<Vec<u32>> = Vec::new();
    for clusters in 1..k {
        let (mut next, mut from) = (best.clone(), vec![0u32; n]);
        // The best end before moves only up as the end moves up: halve the ends, and the choice with them.
        let mut stack = vec![(clusters, n, clusters - 1, n - 1)];
        while let Some((low, high, first, until)) = stack.pop() {
            if low >= high {
                continue;
            }
            let middle = (low + high) / 2;
            let (mut choice, mut least) = (first, f64::INFINITY);
            for before in first..=until.min(middle - 1) {
                let cost = best[before] + sums.cost(ends[before], ends[middle]);
                if cost < least {
                    (choice, least) = (before, cost);
                }
            }
            next[middle] = least;
            from[middle] = choice as u32;
            stack.push((low, middle, first, choice));
            stack.push((middle + 1, high, choice, until));
        }
        best = next;
        last.push(from);
    }
    let mut at = n - 1;
    let mut bounds = vec![ends[at]];
    for from in last.iter().rev() {
        at = from[at] as usize;
        bounds.push(ends[at]);
    }
    bounds.reverse();
    bounds
}

/// The weights as the model uses them, all of which must be finite.
fn finite_weights<T: Float>(what: &'static str, p: &Param<T>) -> Result<Vec<f64>> {
    let weights: Vec<f64> = p.effective()?.to_vec().iter().map(|v| v.to_f64()).collect();
    match weights.iter().find(|v| !v.is_finite()) {
        Some(bad) => Err(Error::invalid(what, format!("a weight is {bad}"))),
        None => Ok(weights),
    }
}

/// Those of a parameter's weights that no mask prunes: what statistics are of.
fn kept<T: Float>(p: &Param<T>, weights: &[f64]) -> Vec<f64> {
    match p.mask() {
        None => weights.to_vec(),
        Some(mask) => weights.iter().zip(mask.to_vec()).filter(|(_, keep)| *keep).map(|(&w, _)| w).collect(),
    }
}

/// Ties a parameter's kept weights to at most `k` shared values, found by [`kmeans`]. From then on training
/// changes the shared values only ([`Param::set_codebook`]).
///
/// ```
/// use kolmo::{Tensor, compress::quantize::share_values, nn::Param};
/// let p = Param::new(Tensor::from([0.9f32, 1.1, -0.5, -0.5]));
/// share_values(&p, 2)?;
/// assert_eq!(p.effective()?.to_vec(), [1.0, 1.0, -0.5, -0.5]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// `k` is 0 or above 256; a kept weight is not finite; a parametrisation fails.
pub fn share_values<T: Float>(p: &Param<T>, k: usize) -> Result<()> {
    if !(1..=256).contains(&k) {
        return Err(Error::invalid("share_values", format!("{k} values: a codebook has 1 to 256")));
    }
    let weights = finite_weights("share_values", p)?;
    let mut centroids = kmeans(&kept(p, &weights), k);
    if centroids.is_empty() {
        centroids.push(0.0);
    }
    let codes = Tensor::from_fn(p.shape(), |i| nearest(&centroids, weights[i]));
    p.set_codebook(codes, Tensor::from_fn([centroids.len()], |i| T::from_f64(centroids[i])))
}

/// Ties a parameter's kept weights to `-a`, 0 and `a`: those below 0.7 of the mean magnitude become 0, `a` is
/// the mean magnitude of the others (Li, Zhang and Liu, 2016).
///
/// ```
/// use kolmo::{Tensor, compress::quantize::ternary, nn::Param};
/// let p = Param::new(Tensor::from([0.1f32, 2.0, -1.0, 0.0]));
/// ternary(&p)?;
/// assert_eq!(p.effective()?.to_vec(), [0.0, 1.5, -1.5, 0.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`share_values`], but for `k`.
pub fn ternary<T: Float>(p: &Param<T>) -> Result<()> {
    let weights = finite_weights("ternary", p)?;
    let mean = |v: &mut dyn Iterator<Item = f64>| {
        let (sum, n) = v.fold((0.0, 0), |(sum, n), v| (sum + v, n + 1));
        if n == 0 { 0.0 } else { sum / n as f64 }
    };
    let kept = kept(p, &weights);
    let threshold = 0.7 * mean(&mut kept.iter().map(|w| w.abs()));
    let a = mean(&mut kept.iter().map(|w| w.abs()).filter(|&w| w > threshold));
    let code = |w: f64| if w > threshold { 2 } else { u32::from(w >= -threshold) };
    p.set_codebook(
        Tensor::from_fn(p.shape(), |i| code(weights[i])),
        Tensor::from([-a, 0.0, a].map(T::constant).to_vec()),
    )
}

/// Ties a parameter's kept weights to `-a` and `a`, the mean magnitude, by their sign (Rastegari et al.,
/// 2016).
///
/// ```
/// use kolmo::{Tensor, compress::quantize::binary, nn::Param};
/// let p = Param::new(Tensor::from([0.5f32, -2.0, 0.5, -1.0]));
/// binary(&p)?;
/// assert_eq!(p.effective()?.to_vec(), [1.0, -1.0, 1.0, -1.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`share_values`], but for `k`.
pub fn binary<T: Float>(p: &Param<T>) -> Result<()> {
    let weights = finite_weights("binary", p)?;
    let kept = kept(p, &weights);
    let a = kept.iter().map(|w| w.abs()).sum::<f64>() / kept.len().max(1) as f64;
    let codes = Tensor::from_fn(p.shape(), |i| u32::from(weights[i] >= 0.0));
    p.set_codebook(codes, Tensor::from([-a, a].map(T::constant).to_vec()))
}

/// For each of `k` codes the mean of the kept weights that have it; 0 for a code that none has.
pub(super) fn nearest_mean<T: Float>(p: &Param<T>, codes: &[u32], k: usize) -> Result<Vec<T>> {
    let (values, mask) = (p.effective()?.to_vec(), p.mask().map(|mask| mask.to_vec()));
    let mut sums = vec![(0.0, 0usize); k];
    for (i, (v, &code)) in values.iter().zip(codes).enumerate() {
        if mask.as_ref().is_some_and(|mask| !mask[i]) {
            continue;
        }
        if let Some((sum, n)) = sums.get_mut(code as usize) {
            *sum += v.to_f64();
            *n += 1;
        }
    }
    Ok(sums.iter().map(|&(sum, n)| T::constant(sum / n.max(1) as f64)).collect())
}

/// [`share_values`] for every parameter that `filter` picks by name and shape: each gets a codebook of its
/// own.
///
/// ```
/// use kolmo::{Tensor, compress::{matrices, quantize}, nn::Param};
/// let p = Param::new(Tensor::from([[0.9f32, -0.5], [1.1, -0.5]]));
/// quantize::codebooks(&p, 2, matrices)?;
/// assert_eq!(p.effective()?.to_vec(), [1.0, -0.5, 1.0, -0.5]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`share_values`]; a filter that picks no parameter.
pub fn codebooks<M: Serialize + ?Sized>(
    model: &M,
    k: usize,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Result<()> {
    let (mut result, mut found) = (Ok(()), 0);
    each_field!(model, |name, p| {
        if result.is_ok() && filter(&name, &p.shape()) {
            found += 1;
            result = share_values(p, k);
        }
    });
    result.and_then(|()| picks_some("codebooks", model, found))
}

/// Rounds every value that a file would hold, plain weights and centroids, to half precision, so that files
/// keep them in 16 bits and lose nothing. What is too large for half precision stays as it is.
#[doc(alias = "half")]
pub fn to_half<M: Serialize + ?Sized>(model: &M) {
    fn round<T: Float>(p: &Param<T>) {
        // Those are rounded already.
        if p.is_packed() {
            return;
        }
        p.update(|value| {
            for v in value.as_mut_slice() {
                let half = round_to_f16(v.to_f64() as f32);
                if half.is_finite() {
                    *v = T::from_f64(f64::from(half));
                }
            }
        });
    }
    visit_params(model, |_, p: &Param<f32>| round(p));
    visit_params(model, |_, p: &Param<f64>| round(p));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least cost over all ways to cut the sorted values into k intervals.
    fn brute(sorted: &[f64], k: usize) -> f64 {
        if k == 1 || sorted.len() <= 1 {
            let mean = sorted.iter().sum::<f64>() / sorted.len() as f64;
            return sorted.iter().map(|v| (v - mean).powi(2)).sum();
        }
        let cut = |i: usize| brute(&sorted[..i], 1) + brute(&sorted[i..], k - 1);
        (1..sorted.len()).map(cut).fold(brute(sorted, 1), f64::min)
    }

    fn cost(values: &[f64], centroids: &[f64]) -> f64 {
        let distance = |v: &f64| centroids.iter().map(|c| (v - c).powi(2)).fold(f64::INFINITY, f64::min);
        values.iter().map(distance).sum()
    }

    /// Numbers without order that are the same in every run.
    fn numbers(n: usize) -> Vec<f64> {
        (0..n).map(|i| ((i as f64 * 0.7548776662).fract() - 0.5).powi(3) + (i % 3) as f64 * 0.1).collect()
    }

    #[test]
    fn kmeans_finds_the_optimum() {
        for (n, k) in [(1, 1), (5, 2), (9, 3), (12, 4), (7, 7), (3, 9)] {
            let mut values = numbers(n);
            let found = cost(&values, &kmeans(&values, k));
            values.sort_by(f64::total_cmp);
            assert!((found - brute(&values, k)).abs() < 1e-12, "{n} values, {k} clusters");
        }
        assert_eq!(kmeans(&[2.0, 2.0, 5.0, f64::NAN], 8), [2.0, 5.0]);
        assert!(kmeans(&[], 8).is_empty());
        assert!(kmeans(&[1.0], 0).is_empty());
    }

    #[test]
    fn kmeans_of_many_values_is_at_a_fixed_point_near_the_optimum() {
        let values: Vec<f64> = (0..20_000).map(|i| f64::from(i) / 20_000.0).collect();
        let centroids = kmeans(&values, 8);
        // Uniform values have their optimum in equal intervals: variance (1/8)²/12.
        let optimum = 20_000.0 / 64.0 / 12.0;
        assert!(cost(&values, &centroids) < optimum * 1.0001);
    }

    #[test]
    fn the_nearest_centroid_is_found() {
        let centroids = [-1.0, 0.0, 4.0];
        let codes: Vec<u32> =
            [-9.0, -0.6, -0.5, -0.4, 1.9, 2.1, 9.0].map(|v| nearest(&centroids, v)).to_vec();
        assert_eq!(codes, [0, 0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn only_kept_weights_are_shared_and_nan_is_refused() {
        let p = Param::new(Tensor::from([100.0f32, 1.0, 2.0, 9.0]));
        p.set_mask(Some(&Tensor::from([false, true, true, true]))).unwrap();
        share_values(&p, 2).unwrap();
        assert_eq!(p.effective().unwrap().to_vec(), [0.0, 1.5, 1.5, 9.0]);
        let q = Param::new(Tensor::from([f32::NAN, 1.0]));
        assert!(share_values(&q, 2).unwrap_err().to_string().contains("NaN"));
        assert!(share_values(&p, 0).is_err());
    }
}
