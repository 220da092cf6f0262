//! The windows of a pooling, found by asking it for the places of the largest elements.
use crate::tensor::{Shape, Tensor};

/// Windows along an axis: the first begins `padding` places before its first element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Windows {
    pub count: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

/// Tensors of noise that the windows must explain.
const TRIALS: u64 = 3;

/// The windows along the last two axes (one, if `count` says so) whose largest elements a choice gives.
/// `None` if it chooses in another way.
pub(crate) fn windows(
    choose: &dyn Fn(&Tensor<f32>) -> Tensor<u32>,
    from: &Shape,
    to: &Shape,
    axes: usize,
) -> Option<Vec<Windows>> {
    let lead = from.rank().checked_sub(axes)?;
    if to.rank() != from.rank() || from[..lead] != to[..lead] || from.numel() == 0 || to.numel() == 0 {
        return None;
    }
    // Of numbers that fall, the first of a window is the largest, and of those that rise, the last.
    let first = choose(&Tensor::from_fn(from, |i| -(i as f32))).to_vec();
    let last = choose(&Tensor::from_fn(from, |i| i as f32)).to_vec();
    let strides = from.contiguous_strides();
    let places = to.contiguous_strides();
    let along = |axis: usize| {
        let ends = |found: &[u32]| -> Option<Vec<usize>> {
            let of = |w: usize| {
                found.get(w * places[axis] as usize).map(|&at| at as usize / strides[axis] as usize)
            };
            (0..to[axis]).map(|w| Some(of(w)? % from[axis])).collect()
        };
        fit(&ends(&first)?, &ends(&last)?, from[axis])
    };
    let found: Vec<Windows> = (lead..from.rank()).map(along).collect::<Option<_>>()?;
    (0..TRIALS).all(|k| explains(&found, choose, from, to, lead, k)).then_some(found)
}

/// Windows with these first and last elements.
pub(crate) fn fit(first: &[usize], last: &[usize], size: usize) -> Option<Windows> {
    let kernel = first.iter().zip(last).map(|(a, b)| (b + 1).saturating_sub(*a)).max()?;
    let all = (1..=size).flat_map(|stride| (0..=kernel).map(move |padding| (stride, padding)));
    // The kernel may stand out on both ends of a short axis.
    let all =
        all.flat_map(|(stride, padding)| [0, 1, 2].map(|more| (stride, padding, kernel + more * padding)));
    let mut all =
        all.map(|(stride, padding, kernel)| Windows { count: first.len(), kernel, stride, padding });
    all.find(|w| {
        (0..w.count).all(|i| {
            let (start, end) = (i * w.stride, i * w.stride + w.kernel);
            end > w.padding
                && start.saturating_sub(w.padding) == first[i]
                && (end - w.padding).min(size) == last[i] + 1
        })
    })
}

/// Whether the largest of the windows are those that are chosen of noise.
fn explains(
    found: &[Windows],
    choose: &dyn Fn(&Tensor<f32>) -> Tensor<u32>,
    from: &Shape,
    to: &Shape,
    lead: usize,
    seed: u64,
) -> bool {
    let noise = |i: usize| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 + 2 * seed).rotate_left(29);
    let x: Vec<f32> =
        (0..from.numel()).map(|i| (noise(i).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 40) as f32).collect();
    let Ok(noisy) = Tensor::new(from, x.clone()) else { return false };
    let chosen = choose(&noisy).to_vec();
    let strides = from.contiguous_strides();
    let mut at = vec![0; to.rank()];
    (0..to.numel()).all(|i| {
        let mut rest = i;
        for (at, size) in at.iter_mut().zip(to.iter()).rev() {
            (*at, rest) = (rest % size, rest / size);
        }
        let mut places = vec![at[..lead].iter().zip(&strides).map(|(a, s)| a * *s as usize).sum::<usize>()];
        for (k, w) in found.iter().enumerate() {
            let (start, size) = (at[lead + k] * w.stride, from[lead + k]);
            let inside =
                (start..start + w.kernel).filter_map(|p| p.checked_sub(w.padding)).filter(|&p| p < size);
            let inside: Vec<usize> = inside.map(|p| p * strides[lead + k] as usize).collect();
            places = places.iter().flat_map(|place| inside.iter().map(move |p| place + p)).collect();
        }
        let most = places.iter().map(|&p| x[p]).fold(f32::MIN, f32::max);
        chosen.get(i).is_some_and(|&p| x.get(p as usize) == Some(&most))
    })
}
