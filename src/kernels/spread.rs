//! Means and squared distances from them of a part of a batch, which are joined to those of all of it.
use super::standardize::{Groups, STRIP, Stats, statistic};
use crate::{error::Checked, kernels::FloatElement, tensor::Tensor};

/// How many numbers a group of `x` has, and of each group the mean and the sum of the squared distances from
/// it.
pub(crate) fn spread<T: FloatElement>(x: &[T], at: Groups) -> Checked<Vec<f64>> {
    let all = at.each(|first, out: &mut [Stats<f64>]| {
        let mut found = [[0.0; 2]; STRIP];
        let found = &mut found[..out.len()];
        at.spread_of(x, first, found);
        out.iter_mut().zip(found).for_each(|(out, found)| *out = [found[0], found[1], 0.0, 0.0]);
    })?;
    let each = all.as_slice().unwrap_or_default().as_chunks::<4>().0.iter().flat_map(|s| [s[0], s[1]]);
    Ok([at.each_has()].into_iter().chain(each).collect())
}

/// Two of these as of all their numbers, by the formula of Chan, Golub and LeVeque (1983).
pub(crate) fn join_spreads(mut a: Vec<f64>, b: Vec<f64>) -> Vec<f64> {
    if let (Some((n, a)), Some((&more, b))) = (a.split_first_mut(), b.split_first()) {
        let all = *n + more;
        for ([mean, squares], [own, apart]) in a.as_chunks_mut().0.iter_mut().zip(b.as_chunks().0) {
            let distance = own - *mean;
            *mean += distance * (more / all);
            *squares += apart + distance * distance * (*n * more / all);
        }
        *n = all;
    }
    a
}

/// What [`statistics`](super::standardize::statistics) gives, of what [`spread`] does.
pub(crate) fn spread_statistics<T: FloatElement>(spread: &[f64], eps: f64) -> Tensor<T> {
    let (&n, each) = spread.split_first().unwrap_or((&0.0, &[]));
    let all: Vec<Stats<T>> = each.as_chunks().0.iter().map(|&found| statistic(found, n, eps)).collect();
    Tensor::from_fn([all.len(), 4], |i| all[i / 4][i % 4])
}
