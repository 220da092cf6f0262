//! Channels followed through operations: what an operation ties together, passes on, or keeps from going.
use crate::{
    ops::{
        Float,
        list::{Conv, Linalg, Reduce, ShapeOp, Softmax, Take, TensorOp},
    },
    tensor::Shape,
};
use std::collections::BTreeSet;

/// What an index of an axis belongs to: a channel, or nothing that could go.
pub(super) type Labels = Vec<Option<u32>>;

/// Channels that were found to be one.
#[derive(Default)]
pub(super) struct Union {
    parent: Vec<u32>,
    pub(super) fixed: Vec<bool>,
}

impl Union {
    pub(super) fn fresh(&mut self) -> u32 {
        self.parent.push(self.parent.len() as u32);
        self.fixed.push(false);
        self.parent.len() as u32 - 1
    }

    pub(super) fn find(&mut self, mut i: u32) -> u32 {
        while self.parent[i as usize] != i {
            let above = self.parent[self.parent[i as usize] as usize];
            self.parent[i as usize] = above;
            i = above;
        }
        i
    }

    pub(super) fn fix(&mut self, labels: &Labels) {
        for i in labels.iter().flatten() {
            let root = self.find(*i);
            self.fixed[root as usize] = true;
        }
    }

    /// Ties two axes of one length index by index; what is tied to something that can't go can't go either.
    pub(super) fn tie(&mut self, a: &Labels, b: &Labels) -> Labels {
        if a.len() != b.len() {
            self.fix(a);
            self.fix(b);
            return vec![None; a.len().max(b.len())];
        }
        a.iter()
            .zip(b)
            .map(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => {
                    let (a, b) = (self.find(*a), self.find(*b));
                    self.parent[b as usize] = a;
                    self.fixed[a as usize] |= self.fixed[b as usize];
                    Some(a)
                }
                (one, other) => {
                    self.fix(&vec![*one, *other]);
                    None
                }
            })
            .collect()
    }
}

/// The labels of a result's axes; `None` for an operation that channels can't be followed through.
pub(super) fn follow<T: Float>(
    op: &TensorOp<T>,
    x: &[Vec<Labels>],
    shape: &Shape,
    chosen: bool,
    union: &mut Union,
) -> Option<Vec<Labels>> {
    let blank = |axis: usize| vec![None; shape.get(axis).copied().unwrap_or(1)];
    match op {
        TensorOp::Unary(_) => Some(x[0].clone()),
        TensorOp::Binary(_) | TensorOp::Where(_) | TensorOp::Fused(_) => Some(broadcast(x, shape, union)),
        TensorOp::Linalg(Linalg::Linear) => {
            union.tie(&x[0][1], &x[1][1]);
            let out = union.tie(&x[1][0], &x[2][0]);
            Some(vec![x[0][0].clone(), out])
        }
        TensorOp::Linalg(Linalg::Matmul { transpose_a, transpose_b }) => {
            let rank = shape.rank();
            let (row, sum) = if *transpose_a { (rank - 1, rank - 2) } else { (rank - 2, rank - 1) };
            let (other, column) = if *transpose_b { (rank - 1, rank - 2) } else { (rank - 2, rank - 1) };
            union.tie(&x[0][sum], &x[1][other]);
            let mut labels: Vec<Labels> = (0..rank - 2).map(|a| union.tie(&x[0][a], &x[1][a])).collect();
            labels.extend([x[0][row].clone(), x[1][column].clone()]);
            Some(labels)
        }
        TensorOp::Attend(_) => {
            let rank = shape.rank();
            // The width of queries and keys is in the scale of the scores: it stays.
            union.fix(&x[0][rank - 1]);
            union.fix(&x[1][rank - 1]);
            union.tie(&x[1][rank - 2], &x[2][rank - 2]);
            let lead = (0..rank - 2).map(|a| {
                let both = union.tie(&x[0][a], &x[1][a]);
                union.tie(&both, &x[2][a])
            });
            let mut labels: Vec<Labels> = lead.collect();
            labels.extend([x[0][rank - 2].clone(), x[2][rank - 1].clone()]);
            Some(labels)
        }
        TensorOp::Conv(conv) => {
            let Conv::Forward { g, .. } = conv else { return None };
            // The layer's options have the number of groups, which stays what it is.
            if g.groups != 1 {
                return None;
            }
            union.tie(&x[0][1], &x[1][1]);
            x[1][2..].iter().for_each(|kernel| union.fix(kernel));
            let out = match x.get(2) {
                Some(bias) => union.tie(&x[1][0], &bias[0]),
                None => x[1][0].clone(),
            };
            let rest = (2..shape.rank()).map(blank);
            Some([x[0][0].clone(), out].into_iter().chain(rest).collect())
        }
        // Pooling: channels stay, places don't.
        TensorOp::Take(Take::Elements { .. }) if chosen && x[0].len() == shape.rank() => {
            let axis = |(a, labels): (usize, &Labels)| {
                if labels.len() == shape[a] && (labels.iter().any(Option::is_some) || a < 2) {
                    labels.clone()
                } else {
                    blank(a)
                }
            };
            Some(x[0].iter().enumerate().map(axis).collect())
        }
        TensorOp::Take(Take::Rows { axis, index, .. }) => {
            let mut labels = x[0].clone();
            let along = labels.get_mut(*axis)?;
            let index: Vec<usize> = index.to_vec().iter().map(|&i| i as usize).collect();
            // Rows repeated or in another order, as heads of keys for several of queries: a table of which some
            // rows are looked up has no channels.
            let taken: BTreeSet<usize> = index.iter().copied().collect();
            if along.iter().any(Option::is_some) && (0..along.len()).any(|i| !taken.contains(&i)) {
                return None;
            }
            *along = index.iter().map(|&i| along.get(i).copied().flatten()).collect();
            Some(labels)
        }
        TensorOp::Reduce(
            Reduce::Sum { axes, keep } | Reduce::Mean { axes, keep } | Reduce::Var { axes, keep, .. },
        ) => {
            let mut labels = Vec::new();
            for (a, own) in x[0].iter().enumerate() {
                match (axes.contains(&a), keep) {
                    (false, _) => labels.push(own.clone()),
                    (true, keep) => {
                        union.fix(own);
                        labels.extend(keep.then(|| vec![None]));
                    }
                }
            }
            Some(labels)
        }
        TensorOp::Softmax(Softmax::Plain { axis } | Softmax::Log { axis }) => {
            union.fix(&x[0][*axis]);
            Some(x[0].clone())
        }
        TensorOp::Shape(op) => rearranged(op, x, shape, union),
        _ => None,
    }
}

/// Operands that broadcast to each other: axes are tied from the last one on.
fn broadcast(x: &[Vec<Labels>], shape: &Shape, union: &mut Union) -> Vec<Labels> {
    let rank = shape.rank();
    (0..rank)
        .map(|axis| {
            let mut labels: Option<Labels> = None;
            for own in x {
                let Some(own) = (axis + own.len()).checked_sub(rank).and_then(|a| own.get(a)) else {
                    continue;
                };
                if own.len() != shape[axis] {
                    continue;
                }
                labels = Some(match labels {
                    None => own.clone(),
                    Some(before) => union.tie(&before, own),
                });
            }
            labels.unwrap_or_else(|| vec![None; shape[axis]])
        })
        .collect()
}

fn rearranged(op: &ShapeOp, x: &[Vec<Labels>], shape: &Shape, union: &mut Union) -> Option<Vec<Labels>> {
    match op {
        ShapeOp::Permute(axes) => {
            let axis = |&a: &isize| usize::try_from(if a < 0 { a + axes.len() as isize } else { a }).ok();
            axes.iter().map(|a| axis(a).and_then(|a| x[0].get(a).cloned())).collect()
        }
        ShapeOp::Slice { axis, start, len, step } => {
            let mut labels = x[0].clone();
            let along = labels.get_mut(*axis)?;
            // Places are named by number, so what is left out must stay as well.
            if along.len() != *len {
                union.fix(along);
            }
            *along = (0..*len).map(|i| along.get(start + i * step).copied().flatten()).collect();
            Some(labels)
        }
        ShapeOp::Cat { axis, .. } => {
            let mut labels = x.first()?.clone();
            for other in &x[1..] {
                for (a, own) in other.iter().enumerate() {
                    if a == *axis {
                        labels[a].extend(own.iter().copied());
                    } else {
                        labels[a] = union.tie(&labels[a], own);
                    }
                }
            }
            Some(labels)
        }
        ShapeOp::Expand(_) => Some(broadcast(x, shape, union)),
        ShapeOp::Detach => x.first().cloned(),
        ShapeOp::Reshape(_) => reshaped(&x[0], shape, union),
        _ => None,
    }
}

/// Axes merged or split: runs of old axes and of new ones with the same number of elements belong to each
/// other.
fn reshaped(x: &[Labels], shape: &Shape, union: &mut Union) -> Option<Vec<Labels>> {
    let old: Vec<usize> = x.iter().map(Vec::len).collect();
    let mut labels = Vec::new();
    let (mut i, mut j) = (0, 0);
    while j < shape.rank() || i < old.len() {
        let (from, to) = (i, j);
        let (mut a, mut b) = (1, 1);
        loop {
            if a <= b && i < old.len() && (a < b || i == from) {
                a *= old[i];
                i += 1;
            } else if j < shape.rank() && (b < a || j == to) {
                b *= shape[j];
                j += 1;
            } else {
                break;
            }
        }
        if a != b {
            return None;
        }
        // One axis of the run at most has channels, and on both sides the others only repeat them.
        let mut flat = run(&x[from..i], a, union)?;
        if i - from == 1 && j - to > 1 {
            tie_parts(&mut flat, &shape[to..j], union);
        }
        let mut inner = a;
        for axis in to..j {
            inner /= shape[axis].max(1);
            let at = |k: usize, n: usize, inner: usize| (0..a).filter(move |p| p / inner % n == k);
            let n = shape[axis];
            let own: Labels = (0..n).map(|k| at(k, n, inner).next().and_then(|p| flat[p])).collect();
            let whole = (0..n).all(|k| at(k, n, inner).all(|p| flat[p] == own[k]));
            if whole && own.iter().any(Option::is_some) {
                labels.push(own);
            } else {
                labels.push(vec![None; n]);
                if n > 1 && !whole && j - to == 1 {
                    union.fix(&flat);
                }
            }
        }
        // Channels that none of the new axes has by itself can't go.
        let found = labels[to..].iter().any(|own| own.iter().any(Option::is_some));
        if !found {
            union.fix(&flat);
        }
    }
    Some(labels)
}

/// An axis that is split, as into heads: what has one index of the first part becomes one channel.
fn tie_parts(flat: &mut Labels, parts: &[usize], union: &mut Union) {
    let Some(&n) = parts.iter().find(|&&n| n > 1) else { return };
    if flat.iter().any(Option::is_none) {
        return;
    }
    let each = (flat.len() / n).max(1);
    for part in flat.chunks_mut(each) {
        let first = part[0];
        for label in part {
            let tied = union.tie(&vec![first], &vec![*label]);
            *label = tied[0];
        }
    }
}

/// The labels of the elements of several axes in row-major order.
fn run(axes: &[Labels], n: usize, union: &mut Union) -> Option<Labels> {
    let with: Vec<usize> = (0..axes.len()).filter(|&a| axes[a].iter().any(Option::is_some)).collect();
    let [channel] = with[..] else {
        with.iter().for_each(|&a| union.fix(&axes[a]));
        return Some(vec![None; n]);
    };
    let inner: usize = axes[channel + 1..].iter().map(Vec::len).product();
    let own = &axes[channel];
    Some((0..n).map(|p| own[p / inner.max(1) % own.len()]).collect())
}
