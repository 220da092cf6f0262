//! Whole channels: which of them belong together is read off a recorded tape, and what goes is cut out of the tensors, so that
//! the model becomes smaller, not masked.
use crate::{
    error::{Error, Result},
    nn::{Param, visit_params},
    ops::{Op, conv::Conv, linalg::Linalg, reduce::Reduce, shape::ShapeOp, softmax::Softmax, take::Take},
    tape::{Float, Operand, Recorded, Tape, Var},
    tensor::{Shape, Tensor},
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The channels of a model: sets of slices of parameters that can only go together, such as a row of a weight, its bias, and the
/// columns of all layers that read it.
///
/// They are found by recording the model once and following each axis through the operations: products and convolutions tie
/// the axis that they sum over, elementwise operations the axes of both operands (a residual connection), concatenation puts
/// channels behind each other, flattening makes many columns of one channel. What reaches the input, the output or an
/// operation that mixes channels (a normalisation or softmax over them) stays.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::Channels, nn::{Layer, Linear, Relu, Sequential}};
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::<f32>::new(4, 6, rng), Relu, Linear::new(6, 3, rng)));
/// let channels = Channels::of(&net, &Tensor::ones([1, 4]), |x| net.forward(x))?;
/// assert_eq!(channels.families(), 1); // the six hidden units
/// channels.shrink(&net, 0.5)?;
/// assert_eq!(net.0.0.weight.shape()[..], [3, 4]);
/// assert_eq!(net.0.2.weight.shape()[..], [3, 3]);
/// # Ok::<(), kolmo::Error>(())
/// ```
pub struct Channels {
    /// For each axis of a parameter that may become shorter, the channel of each index.
    axes: Vec<Axis>,
    /// The channels of each family, families being what has its own width.
    families: Vec<Vec<u32>>,
}

struct Axis {
    param: String,
    axis: usize,
    channels: Vec<u32>,
}

/// What an index of an axis belongs to: a channel, or nothing that could go.
type Labels = Vec<Option<u32>>;

/// Channels that were found to be one.
#[derive(Default)]
struct Union {
    parent: Vec<u32>,
    fixed: Vec<bool>,
}

impl Union {
    fn fresh(&mut self) -> u32 {
        self.parent.push(self.parent.len() as u32);
        self.fixed.push(false);
        self.parent.len() as u32 - 1
    }

    fn find(&mut self, mut i: u32) -> u32 {
        while self.parent[i as usize] != i {
            let above = self.parent[self.parent[i as usize] as usize];
            self.parent[i as usize] = above;
            i = above;
        }
        i
    }

    fn fix(&mut self, labels: &Labels) {
        for i in labels.iter().flatten() {
            let root = self.find(*i);
            self.fixed[root as usize] = true;
        }
    }

    /// Ties two axes of one length index by index; what is tied to something that can't go can't go either.
    fn tie(&mut self, a: &Labels, b: &Labels) -> Labels {
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

impl Channels {
    /// The channels of a model, from one run of it on an example input.
    ///
    /// # Errors
    /// The model fails on the input, or does what a [`Program`](crate::Program) can't do.
    pub fn of<T: Float, M: Serialize + ?Sized>(
        model: &M,
        example: &Tensor<T>,
        forward: impl for<'t> Fn(&Var<'t, T>) -> Var<'t, T>,
    ) -> Result<Channels> {
        let recorded = Recorded::of(&[example], &[], &|tape: &Tape<T>, x, _| {
            tape.set_training(false);
            vec![forward(&x[0])]
        })?;
        let mut names: HashMap<u64, String> = HashMap::new();
        visit_params(model, |path, p: &Param<T>| {
            names.entry(p.id()).or_insert_with(|| path.to_string());
        });
        Ok(Channels::read(&recorded, &names))
    }

    fn read<T: Float>(recorded: &Recorded<T>, names: &HashMap<u64, String>) -> Channels {
        let mut union = Union::default();
        // For each node the labels of each axis.
        let mut known: Vec<Vec<Labels>> = Vec::new();
        let mut leaves = Vec::new();
        for (i, (node, operands)) in recorded.nodes.iter().zip(&recorded.operands).enumerate() {
            let plain = |shape: &Shape| shape.iter().map(|&n| vec![None; n]).collect::<Vec<Labels>>();
            let labels = |operand: &Operand<T>| match operand {
                Operand::Node(i) => known[*i as usize].clone(),
                Operand::Constant(value) => plain(value.shape()),
            };
            let x: Vec<Vec<Labels>> = operands.iter().map(labels).collect();
            let chosen = recorded.choices.iter().any(|(node, _)| *node as usize == i);
            let labels = match &node.op {
                Op::Param(id) if names.contains_key(id) => {
                    let own: Vec<Labels> =
                        node.shape.iter().map(|&n| (0..n).map(|_| Some(union.fresh())).collect()).collect();
                    leaves.push((names[id].clone(), own.clone()));
                    own
                }
                // A parameter's own mask, which is cut with it.
                Op::Where(_)
                    if matches!(operands[..], [Operand::Constant(_), Operand::Node(p), Operand::Constant(_)]
                    if matches!(recorded.nodes[p as usize].op, Op::Param(_))) =>
                {
                    x[1].clone()
                }
                Op::Input | Op::Param(_) => plain(&node.shape),
                op => follow(op, &x, &node.shape, chosen, &mut union).unwrap_or_else(|| {
                    x.iter().flatten().for_each(|labels| union.fix(labels));
                    plain(&node.shape)
                }),
            };
            known.push(labels);
        }
        for i in recorded.results.iter().filter_map(Operand::node) {
            known[i as usize].iter().for_each(|labels| union.fix(labels));
        }
        // What is left can go; channels along one axis are a family.
        let mut axes = Vec::new();
        let mut families: BTreeMap<Vec<u32>, ()> = BTreeMap::new();
        for (param, own) in leaves {
            for (axis, labels) in own.iter().enumerate() {
                let roots: Vec<u32> = labels.iter().flatten().map(|&i| union.find(i)).collect();
                let mut members = roots.clone();
                members.sort_unstable();
                members.dedup();
                if members.len() > 1 && members.iter().all(|&i| !union.fixed[i as usize]) {
                    families.insert(members, ());
                    axes.push(Axis { param: param.clone(), axis, channels: roots });
                }
            }
        }
        // A family that is part of a larger one, as one side of a concatenation, counts by itself; the larger one doesn't.
        let all: Vec<Vec<u32>> = families.into_keys().collect();
        let part_of =
            |a: &[u32], b: &[u32]| a.len() < b.len() && a.iter().all(|i| b.binary_search(i).is_ok());
        let smallest = all.iter().filter(|b| !all.iter().any(|a| part_of(a, b)));
        let families = smallest.cloned().collect();
        Channels { axes, families }
    }

    /// Number of families: widths that can be changed independently of each other.
    pub fn families(&self) -> usize {
        self.families.len()
    }

    /// Cuts this share of the channels of each family out of the model, at least one left: those with the smallest sum of
    /// squares over all their slices, each axis's squares in units of their mean. Gives the number of channels that went.
    ///
    /// Parameters become smaller tensors; masks go along, codebooks don't. Moments of an optimiser don't fit any more.
    ///
    /// # Errors
    /// A share outside of 0 to 1; a model that isn't the one that was recorded.
    pub fn shrink<M: Serialize + ?Sized>(&self, model: &M, share: f64) -> Result<usize> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::invalid("shrink", format!("share {share} is not between 0 and 1")));
        }
        self.shrink_by(model, |n| (share * n as f64).round_ties_even() as usize)
    }

    /// The same, with as many of a family's `n` channels cut out as `count(n)` says.
    ///
    /// # Errors
    /// As [`shrink`](Channels::shrink).
    pub fn shrink_by<M: Serialize + ?Sized>(
        &self,
        model: &M,
        count: impl Fn(usize) -> usize,
    ) -> Result<usize> {
        let mut params: HashMap<String, Param<f32>> = HashMap::new();
        visit_params(model, |path, p: &Param<f32>| {
            params.insert(path.to_string(), p.clone());
        });
        let mut worth: HashMap<u32, f64> = HashMap::new();
        for axis in &self.axes {
            let p = params.get(&axis.param).ok_or_else(|| wrong(&axis.param))?;
            let value = p.effective()?;
            if value.shape().get(axis.axis) != Some(&axis.channels.len()) {
                return Err(wrong(&axis.param));
            }
            let inner: usize = value.shape()[axis.axis + 1..].iter().product();
            let squares: Vec<f64> = value.to_vec().iter().map(|v| f64::from(*v).powi(2)).collect();
            let mean = squares.iter().sum::<f64>() / axis.channels.len() as f64;
            for (i, square) in squares.iter().enumerate() {
                let channel = axis.channels[i / inner.max(1) % axis.channels.len()];
                *worth.entry(channel).or_default() += square / mean.max(f64::MIN_POSITIVE);
            }
        }
        let mut gone: HashSet<u32> = HashSet::new();
        for family in &self.families {
            let mut order = family.clone();
            let worth = |i: &u32| worth.get(i).copied().unwrap_or(0.0);
            order.sort_by(|a, b| worth(a).total_cmp(&worth(b)).then(a.cmp(b)));
            gone.extend(order.iter().copied().take(count(family.len()).min(family.len() - 1)));
        }
        for axis in &self.axes {
            let keep: Vec<usize> =
                (0..axis.channels.len()).filter(|&i| !gone.contains(&axis.channels[i])).collect();
            let p = params.get(&axis.param).ok_or_else(|| wrong(&axis.param))?;
            let mask = p.mask();
            p.set_mask(None)?;
            p.remove_codebook();
            p.set(select(&p.value(), axis.axis, &keep)?);
            if let Some(mask) = mask {
                p.set_mask(Some(&select(&mask, axis.axis, &keep)?))?;
            }
        }
        Ok(gone.len())
    }
}

fn wrong(name: &str) -> Error {
    Error::invalid("shrink", format!("{name} is not what it was when the model was recorded"))
}

/// These indices of an axis.
fn select<A: crate::Element>(t: &Tensor<A>, axis: usize, keep: &[usize]) -> Result<Tensor<A>> {
    let axis = axis as isize;
    t.transpose(0, axis)?.contiguous().rows(keep)?.transpose(0, axis).map(|t| t.contiguous())
}

/// The labels of a result's axes; `None` for an operation that channels can't be followed through.
fn follow<T: Float>(
    op: &Op<T>,
    x: &[Vec<Labels>],
    shape: &Shape,
    chosen: bool,
    union: &mut Union,
) -> Option<Vec<Labels>> {
    let blank = |axis: usize| vec![None; shape.get(axis).copied().unwrap_or(1)];
    match op {
        Op::Unary(_) => Some(x[0].clone()),
        Op::Binary(_) | Op::Where(_) | Op::Fused(_) => Some(broadcast(x, shape, union)),
        Op::Linalg(Linalg::Linear) => {
            union.tie(&x[0][1], &x[1][1]);
            let out = union.tie(&x[1][0], &x[2][0]);
            Some(vec![x[0][0].clone(), out])
        }
        Op::Linalg(Linalg::Matmul { transpose_a, transpose_b }) => {
            let rank = shape.rank();
            let (row, sum) = if *transpose_a { (rank - 1, rank - 2) } else { (rank - 2, rank - 1) };
            let (other, column) = if *transpose_b { (rank - 1, rank - 2) } else { (rank - 2, rank - 1) };
            union.tie(&x[0][sum], &x[1][other]);
            let mut labels: Vec<Labels> = (0..rank - 2).map(|a| union.tie(&x[0][a], &x[1][a])).collect();
            labels.extend([x[0][row].clone(), x[1][column].clone()]);
            Some(labels)
        }
        Op::Conv(conv) => {
            let Conv::Forward { g, .. } = &**conv else { return None };
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
        Op::Take(Take::Elements { .. }) if chosen && x[0].len() == shape.rank() => {
            let axis = |(a, labels): (usize, &Labels)| {
                if labels.len() == shape[a] && (labels.iter().any(Option::is_some) || a < 2) {
                    labels.clone()
                } else {
                    blank(a)
                }
            };
            Some(x[0].iter().enumerate().map(axis).collect())
        }
        Op::Take(Take::Rows { axis, index, .. }) => {
            let mut labels = x[0].clone();
            let along = labels.get_mut(*axis)?;
            if along.iter().any(Option::is_some) {
                return None;
            }
            *along = vec![None; index.numel()];
            Some(labels)
        }
        Op::Reduce(Reduce::Sum { axes, keep } | Reduce::Mean { axes, keep }) => {
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
        Op::Softmax(Softmax::Plain { axis } | Softmax::Log { axis }) => {
            union.fix(&x[0][*axis]);
            Some(x[0].clone())
        }
        Op::Shape(op) => rearranged(op, x, shape, union),
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
        ShapeOp::Reshape(_) => reshaped(&x[0], shape, union),
        _ => None,
    }
}

/// Axes merged or split: runs of old axes and of new ones with the same number of elements belong to each other.
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
        let flat = run(&x[from..i], a, union)?;
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
