//! Numbers counted by their size, for a picture of how they are spread.
use crate::protobuf::Message;

/// Where classes end: zero, and on both sides of it numbers that grow by a tenth, from 1e-12 to 1e20, as
/// TensorFlow and PyTorch have them; what is larger is in the outermost.
fn limits() -> Vec<f64> {
    let mut above = vec![1e-12];
    while let Some(next) = above.last().map(|last| last * 1.1).filter(|next| *next < 1e20) {
        above.push(next);
    }
    above.push(f64::MAX);
    let below = above.iter().rev().map(|limit| -limit);
    below.chain([0.0]).chain(above.iter().copied()).collect()
}

/// The message `HistogramProto`, of the finite ones of the numbers.
pub(super) fn histogram(values: impl Iterator<Item = f64>) -> Message {
    let limits = limits();
    let mut counts = vec![0.0; limits.len() - 1];
    let (mut min, mut max, mut n, mut sum, mut squares) = (f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0, 0.0);
    for v in values.filter(|v| v.is_finite()) {
        let class = limits.partition_point(|limit| *limit <= v).saturating_sub(1).min(counts.len() - 1);
        counts[class] += 1.0;
        (min, max, n, sum, squares) = (min.min(v), max.max(v), n + 1.0, sum + v, squares + v * v);
    }
    let message = Message::default();
    let holds = |count: &f64| *count > 0.0;
    let (Some(first), Some(last)) = (counts.iter().position(holds), counts.iter().rposition(holds)) else {
        // TensorBoard draws no histogram without a class.
        return message.doubles(6, &[0.0]).doubles(7, &[0.0]);
    };
    // Only upper ends are told: an empty class in front tells where the first one begins.
    let shown = [&[0.0], &counts[first..=last]].concat();
    let message = message.double(1, min).double(2, max).double(3, n).double(4, sum).double(5, squares);
    message.doubles(6, &limits[first..=last + 1]).doubles(7, &shown)
}
