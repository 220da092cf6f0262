//! Strided views for the operands: those that a case states, and others that no contiguous loop survives.
use kolmo::{Tensor, tensor::Element};
use serde_json::Value;

/// The tensor with the strides that its case states, as far as a view can have them.
pub fn layout<T: Element>(t: Tensor<T>, item: &Value) -> Tensor<T> {
    let Some(text) = item.get("layout").and_then(Value::as_str) else { return t };
    let strides = text.trim_start_matches("strides ").split(',').map(str::parse);
    strides.collect::<Result<Vec<usize>, _>>().ok().and_then(|s| with_strides(&t, &s)).unwrap_or(t)
}

/// The tensor with every axis in the opposite order in memory, and a gap after each element.
pub fn spread<T: Element>(t: &Tensor<T>) -> Tensor<T> {
    let mut step = 2;
    let strides: Vec<usize> = t
        .shape()
        .iter()
        .map(|&size| {
            step *= size.max(1);
            step / size.max(1)
        })
        .collect();
    let view = with_strides(t, &strides).unwrap_or_else(|| t.clone());
    assert!(t.numel() < 2 || !view.is_contiguous(), "a view of {} is not strided", t.shape());
    view
}

/// A view of a larger buffer that has these strides; `None` where elements would overlap otherwise than by
/// stride 0.
fn with_strides<T: Element>(t: &Tensor<T>, strides: &[usize]) -> Option<Tensor<T>> {
    if strides.len() != t.rank() || t.numel() == 0 {
        return None;
    }
    // From the longest step to the shortest; each axis is the start of a padded one.
    let mut order: Vec<usize> = (0..t.rank()).filter(|&a| strides[a] > 0).collect();
    order.sort_by_key(|&a| (std::cmp::Reverse(strides[a]), std::cmp::Reverse(t.shape()[a])));
    let mut padded = Vec::new();
    for (k, &a) in order.iter().enumerate() {
        let next = order.get(k + 1).map_or(1, |&b| strides[b]);
        if !strides[a].is_multiple_of(next)
            || order.get(k + 1).is_some_and(|&b| strides[a] / next < t.shape()[b])
        {
            return None;
        }
        padded.push(strides[a] / next);
    }
    let rows = order.first().map_or(1, |&a| t.shape()[a]);
    padded.insert(0, rows);
    // Between the elements lies what must never be read.
    let mut buffer = vec![T::from_f64(f64::NAN); padded.iter().product()];
    for (i, value) in t.to_vec().into_iter().enumerate() {
        let (mut rest, mut at) = (i, 0);
        for a in (0..t.rank()).rev() {
            at += rest % t.shape()[a] * strides[a];
            rest /= t.shape()[a];
        }
        buffer[at] = value;
    }
    let mut view = Tensor::new(&padded[..], buffer).ok()?;
    for (k, &a) in order.iter().enumerate() {
        view = view.narrow(k as isize, 0, t.shape()[a]).ok()?;
    }
    view = view.select(-1, 0).ok()?;
    for a in (0..t.rank()).filter(|&a| strides[a] == 0) {
        order.push(a);
        view = view.unsqueeze(-1).ok()?;
    }
    let mut back = vec![0isize; t.rank()];
    for (k, &a) in order.iter().enumerate() {
        back[a] = k as isize;
    }
    view.permute(&back).ok()?.expand(t.shape().clone()).ok()
}
