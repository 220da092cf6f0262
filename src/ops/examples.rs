//! Operations on many examples at once: what an operation makes of operands that have an axis of examples in
//! front, or are the same for all. Most are the operation itself on shapes with one axis more; what isn't is
//! done example by example by who asks.
use super::{
    list::{
        Axes, Conv, Extremum, Float, Linalg, MeanCrossEntropy, Reduce, Scan, ShapeOp, Softmax, Standardize,
        Standardized, Take, TensorOp,
    },
    take::NOWHERE,
};
use crate::{
    error::Checked,
    kernels::standardize::Groups,
    tape::Rule,
    tensor::{Shape, Tensor},
};

/// A value for many examples: one for each, along a first axis, or the same for all.
#[derive(Clone)]
pub(crate) struct Each<T: Float> {
    pub value: Tensor<T>,
    pub many: bool,
}

impl<T: Float> Each<T> {
    /// The shape of one example's value.
    fn shape(&self) -> Shape {
        Shape::new(&self.value.shape()[usize::from(self.many)..])
    }

    /// With the axis of `n` examples in any case.
    pub fn all(&self, n: usize) -> Checked<Tensor<T>> {
        if self.many {
            return Ok(self.value.clone());
        }
        Ok(self.value.view(self.value.layout().expand(&many(n, self.value.shape()))?))
    }

    /// Ready to broadcast to values of so many axes.
    fn aligned(&self, rank: usize) -> Checked<Tensor<T>> {
        let own = self.shape();
        if !self.many || own.rank() == rank {
            return Ok(self.value.clone());
        }
        let ones = std::iter::repeat_n(1, rank.saturating_sub(own.rank()));
        let shape = [self.value.dim(0)].into_iter().chain(ones).chain(own.iter().copied()).collect();
        self.value.reshaped(&shape).made()
    }
}

/// A shape with an axis of `n` examples in front.
pub(crate) fn many(n: usize, shape: &[usize]) -> Shape {
    [n].into_iter().chain(shape.iter().copied()).collect()
}

/// The first axes of all examples one after the other: `[n, m, …] -> [n · m, …]`.
pub(super) fn joined<T: Float>(x: &Tensor<T>) -> Checked<Tensor<T>> {
    let shape = [x.dim(0) * x.dim(1)].into_iter().chain(x.shape()[2..].iter().copied()).collect();
    x.reshaped(&shape).made()
}

/// The opposite: `[n · m, …] -> [n, m, …]`.
fn apart<T: Float>(n: usize, x: Tensor<T>) -> Checked<Tensor<T>> {
    let shape = [n, x.dim(0) / n.max(1)].into_iter().chain(x.shape()[1..].iter().copied()).collect();
    x.reshaped(&shape).made()
}

fn behind(axes: &Axes) -> Axes {
    axes.iter().map(|axis| axis + 1).collect()
}

fn run<T: Float>(op: &dyn Rule<T>, x: &[Tensor<T>]) -> Checked<Option<Tensor<T>>> {
    op.forward(&x.iter().collect::<Vec<_>>()).map(Some)
}

impl<T: Float> TensorOp<T> {
    /// The results of `n` examples, `[n, …]`, of operands of which one at least has that axis, or of what it
    /// reads by `index`, `[n, …]`; `None` where it must be run for each.
    pub(crate) fn of_examples(
        &self,
        n: usize,
        x: &[Each<T>],
        index: Option<&Tensor<u32>>,
    ) -> Checked<Option<Tensor<T>>> {
        let all = || x.iter().map(|x| x.all(n)).collect::<Checked<Vec<_>>>();
        let rank = x.iter().map(|x| x.shape().rank()).max().unwrap_or(0);
        // An axis of a single number is none.
        let scalar = |axes: &[usize]| rank == 0 && !axes.is_empty();
        match self {
            TensorOp::Unary(_)
            | TensorOp::Binary(_)
            | TensorOp::Test(_)
            | TensorOp::Where(_)
            | TensorOp::Fused(_) => {
                let x = x.iter().map(|x| x.aligned(rank)).collect::<Checked<Vec<_>>>()?;
                run(self.rule(), &x)
            }
            TensorOp::BinaryCrossEntropy(_) | TensorOp::Distance(_) | TensorOp::Solve(_) => {
                run(self.rule(), &all()?)
            }
            TensorOp::Attend(_) => run(self.rule(), &all()?),
            TensorOp::Extremum(op) if scalar(&op.axes) => Ok(None),
            TensorOp::Extremum(op) => {
                run(&Extremum { axes: behind(&op.axes), ..op.clone() } as &dyn Rule<T>, &all()?)
            }
            TensorOp::Reduce(op) => match op.behind(rank) {
                Some(op) => run(&op as &dyn Rule<T>, &all()?),
                None => Ok(None),
            },
            _ if rank == 0 && matches!(self, TensorOp::Scan(_) | TensorOp::Softmax(_)) => Ok(None),
            TensorOp::Scan(op) => {
                let op = match *op {
                    Scan::Sum { axis, reverse } => Scan::Sum { axis: axis + 1, reverse },
                    Scan::Prod { axis } => Scan::Prod { axis: axis + 1 },
                };
                run(&op as &dyn Rule<T>, &all()?)
            }
            TensorOp::Softmax(op) => {
                let op = match op {
                    Softmax::Plain { axis } => Softmax::Plain { axis: axis + 1 },
                    Softmax::Log { axis } => Softmax::Log { axis: axis + 1 },
                    Softmax::LogSum { axes, keep } => Softmax::LogSum { axes: behind(axes), keep: *keep },
                    Softmax::Shares { axes } => Softmax::Shares { axes: behind(axes) },
                    Softmax::Causal | Softmax::Masked => op.clone(),
                };
                run(&op as &dyn Rule<T>, &all()?)
            }
            TensorOp::Shape(op) => op.of_examples(n, x),
            TensorOp::Linalg(op) => op.of_examples(n, x),
            TensorOp::Conv(op) => op.of_examples(n, x),
            TensorOp::Standardize(op) => op.of_examples(n, x),
            TensorOp::Recurrence(op) if x.iter().skip(2).all(|x| !x.many) => {
                // The examples of a batch, `[steps, n, …]`, don't meet each other.
                let mut operands = Vec::new();
                for (i, x) in x.iter().enumerate() {
                    operands.push(if i < 2 { beside(&x.all(n)?)? } else { x.value.clone() });
                }
                let Some(y) = run(op as &dyn Rule<T>, &operands)? else { return Ok(None) };
                let [steps, rows, size] = [y.dim(0), y.dim(1), y.dim(2)];
                let y = y.reshaped(&Shape::new(&[steps, n, rows / n.max(1), size])).made()?;
                Ok(Some(y.view(y.layout().permute(&[1, 0, 2, 3])?)))
            }
            TensorOp::Take(op) => op.of_examples(n, x, index),
            TensorOp::CrossEntropy(op) => op.of_examples(n, x, index),
            _ => Ok(None),
        }
    }
}

/// `[n, steps, m, …] -> [steps, n · m, …]`.
fn beside<T: Float>(x: &Tensor<T>) -> Checked<Tensor<T>> {
    let order: Vec<isize> = [1, 0].into_iter().chain(2..x.rank() as isize).collect();
    let x = x.view(x.layout().permute(&order)?);
    let shape = [x.dim(0), x.dim(1) * x.dim(2)].into_iter().chain(x.shape()[3..].iter().copied()).collect();
    x.reshaped(&shape).made()
}

impl Reduce {
    fn behind(&self, rank: usize) -> Option<Reduce> {
        let mut op = self.clone();
        let (Reduce::Sum { axes, .. }
        | Reduce::Mean { axes, .. }
        | Reduce::Prod { axes, .. }
        | Reduce::Var { axes, .. }) = &mut op;
        if rank == 0 && !axes.is_empty() {
            return None;
        }
        *axes = behind(axes);
        Some(op)
    }
}

impl ShapeOp {
    fn of_examples<T: Float>(&self, n: usize, x: &[Each<T>]) -> Checked<Option<Tensor<T>>> {
        let op = match self {
            ShapeOp::Reshape(shape) => ShapeOp::Reshape(many(n, shape)),
            ShapeOp::Permute(axes) => {
                let rank = axes.len() as isize;
                ShapeOp::Permute([0].into_iter().chain(axes.iter().map(|a| a.rem_euclid(rank) + 1)).collect())
            }
            ShapeOp::Expand(shape) => {
                let x = x.iter().map(|x| x.aligned(shape.rank())).collect::<Checked<Vec<_>>>()?;
                return run(&ShapeOp::Expand(many(n, shape)) as &dyn Rule<T>, &x);
            }
            &ShapeOp::Slice { axis, start, len, step } => ShapeOp::Slice { axis: axis + 1, start, len, step },
            ShapeOp::Unslice { shape, axis, start, step } => {
                ShapeOp::Unslice { shape: many(n, shape), axis: axis + 1, start: *start, step: *step }
            }
            ShapeOp::Flip(axes) => {
                ShapeOp::Flip(axes.iter().map(|&a| if a < 0 { a } else { a + 1 }).collect())
            }
            ShapeOp::Detach => ShapeOp::Detach,
            ShapeOp::Cat { axis, sizes } => ShapeOp::Cat { axis: axis + 1, sizes: sizes.clone() },
        };
        run(&op as &dyn Rule<T>, &x.iter().map(|x| x.all(n)).collect::<Checked<Vec<_>>>()?)
    }
}

impl Linalg {
    fn of_examples<T: Float>(&self, n: usize, x: &[Each<T>]) -> Checked<Option<Tensor<T>>> {
        // Rows of all examples by one matrix.
        let by_rows = |x: &[Each<T>]| match x {
            [a, rest @ ..] => a.many && a.value.rank() == 3 && rest.iter().all(|b| !b.many),
            [] => false,
        };
        match self {
            Linalg::Matmul { transpose_a: true, .. } => {}
            _ if by_rows(x) => {
                let mut operands: Vec<Tensor<T>> = x.iter().map(|x| x.value.clone()).collect();
                if let Some(a) = operands.first_mut() {
                    *a = joined(a)?;
                }
                let y = run(self as &dyn Rule<T>, &operands)?;
                return y.map(|y| apart(n, y)).transpose();
            }
            Linalg::Linear => return Ok(None),
            Linalg::Matmul { .. } => {}
        }
        run(self as &dyn Rule<T>, &x.iter().map(|x| x.all(n)).collect::<Checked<Vec<_>>>()?)
    }
}

impl Conv {
    /// The same for a batch of so many times the samples.
    pub(super) fn times(&self, n: usize) -> Conv {
        let mut op = self.clone();
        let (Conv::Forward { g, .. } | Conv::Input { g, .. } | Conv::Weight { g, .. }) = &mut op;
        g.n = g.n.saturating_mul(n);
        op
    }

    fn of_examples<T: Float>(&self, n: usize, x: &[Each<T>]) -> Checked<Option<Tensor<T>>> {
        let [a, rest @ ..] = x else { return Ok(None) };
        if matches!(self, Conv::Weight { .. }) || !a.many || rest.iter().any(|b| b.many) {
            return Ok(None);
        }
        let operands: Vec<Tensor<T>> =
            [joined(&a.value)?].into_iter().chain(rest.iter().map(|b| b.value.clone())).collect();
        let y = run(&self.times(n) as &dyn Rule<T>, &operands)?;
        y.map(|y| apart(n, y)).transpose()
    }
}

impl<T: Float> Standardized<T> {
    fn of_examples(&self, n: usize, x: &[Each<T>]) -> Checked<Option<Tensor<T>>> {
        let [x, affine @ ..] = x else { return Ok(None) };
        let Groups { outer, groups, inner } = self.how.at;
        if self.known.is_some() || outer != 1 || !x.many || affine.iter().any(|w| w.many) {
            return Ok(None);
        }
        let mut operands = vec![x.value.clone()];
        for w in affine {
            // A number for each group is one for each group of every example.
            let tiled = if self.how.by_place { w.value.clone() } else { joined_numbers(&w.all(n)?)? };
            operands.push(tiled);
        }
        let at = Groups { outer, groups: groups.saturating_mul(n), inner };
        let how = Standardize { at, ..self.how };
        run(&Standardized { how, known: None, of_all: None } as &dyn Rule<T>, &operands)
    }
}

fn joined_numbers<T: Float>(x: &Tensor<T>) -> Checked<Tensor<T>> {
    x.reshaped(&Shape::new(&[x.numel()])).made()
}

impl Take {
    /// The positions of all examples in what lies one after the other, `size` of each; `None` if there are
    /// too many for them. Those outside are [`NOWHERE`], unless that is an error.
    fn further(
        index: &Tensor<u32>,
        n: usize,
        size: usize,
        what: Option<&str>,
    ) -> Checked<Option<Tensor<u32>>> {
        if n.saturating_mul(size) >= NOWHERE as usize {
            return Ok(None);
        }
        let index = index.contiguous().made()?;
        let list = index.as_slice().unwrap_or_default();
        if let Some(what) = what
            && let Some(bad) = list.iter().find(|&&i| i != NOWHERE && i as usize >= size)
        {
            return Err(format!("index {bad} is out of range for {what} of size {size}"));
        }
        let each = (list.len() / n.max(1)).max(1);
        let moved = |k: usize| match list[k] as usize {
            i if i < size => (k / each * size + i) as u32,
            _ => NOWHERE,
        };
        Ok(Some(Tensor::from_fn(index.shape(), moved).made()?))
    }

    fn of_examples<T: Float>(
        &self,
        n: usize,
        x: &[Each<T>],
        index: Option<&Tensor<u32>>,
    ) -> Checked<Option<Tensor<T>>> {
        let [x] = x else { return Ok(None) };
        let rule = |op: Take, x: Tensor<T>| run(&op as &dyn Rule<T>, &[x]);
        let flat = |x: &Tensor<T>| x.reshaped(&Shape::new(&[n, x.numel() / n.max(1)])).made();
        let shaped =
            |y: Option<Tensor<T>>, shape: &Shape| y.map(|y| y.reshaped(&many(n, shape)).made()).transpose();
        let Some(index) = index else {
            // What all examples read alike lies along an axis behind theirs.
            let x = x.all(n)?;
            return match self {
                Take::Elements { positions, .. } => {
                    let index = joined_positions(positions)?;
                    shaped(
                        rule(Take::Rows { axis: 1, index, padding: NOWHERE }, flat(&x)?)?,
                        positions.shape(),
                    )
                }
                Take::AddElements { positions, shape, .. } => {
                    let op =
                        Take::AddRows { axis: 1, index: joined_positions(positions)?, size: shape.numel() };
                    shaped(rule(op, flat(&x)?)?, shape)
                }
                Take::Rows { axis, index, padding } => {
                    rule(Take::Rows { axis: axis + 1, index: index.clone(), padding: *padding }, x)
                }
                Take::AddRows { axis, index, size } => {
                    rule(Take::AddRows { axis: axis + 1, index: index.clone(), size: *size }, x)
                }
            };
        };
        match self {
            Take::Elements { positions, blocks } => {
                let x = x.all(n)?;
                let size = x.numel() / n.max(1);
                let index = index.reshaped(&many(n, positions.shape()));
                let Some(positions) = Take::further(&index, n, size, Some("elements"))? else {
                    return Ok(None);
                };
                rule(Take::Elements { positions, blocks: blocks * n }, x)
            }
            Take::AddElements { positions, shape, blocks } => {
                let index = index.reshaped(&many(n, positions.shape()));
                let Some(positions) = Take::further(&index, n, shape.numel(), None)? else { return Ok(None) };
                rule(Take::AddElements { positions, shape: many(n, shape), blocks: blocks * n }, x.all(n)?)
            }
            Take::Rows { axis: 0, padding, .. } => {
                let whole = Shape::new(&[index.numel()]);
                let (x, index) = match x.many {
                    false => (x.value.clone(), Some(index.clone())),
                    true => (joined(&x.value)?, Take::further(index, n, x.value.dim(1), Some("axis 0"))?),
                };
                let Some(index) = index else { return Ok(None) };
                let op = Take::Rows { axis: 0, index: index.reshaped(&whole), padding: *padding };
                rule(op, x)?.map(|y| apart(n, y)).transpose()
            }
            Take::AddRows { axis: 0, size, .. } => {
                let Some(index) = Take::further(index, n, *size, None)? else { return Ok(None) };
                let index = index.reshaped(&Shape::new(&[index.numel()]));
                let op = Take::AddRows { axis: 0, index, size: size.saturating_mul(n) };
                rule(op, joined(&x.all(n)?)?)?.map(|y| apart(n, y)).transpose()
            }
            Take::Rows { .. } | Take::AddRows { .. } => Ok(None),
        }
    }
}

fn joined_positions(positions: &Tensor<u32>) -> Checked<Tensor<u32>> {
    positions.reshaped(&Shape::new(&[positions.numel()])).made()
}

impl MeanCrossEntropy {
    fn of_examples<T: Float>(
        &self,
        n: usize,
        x: &[Each<T>],
        index: Option<&Tensor<u32>>,
    ) -> Checked<Option<Tensor<T>>> {
        let (Some(scores), Some(targets)) = (x.first(), index) else { return Ok(None) };
        let scores = joined(&scores.all(n)?)?;
        let targets = targets.contiguous().made()?;
        let targets = targets.as_slice().unwrap_or_default();
        let classes = scores.dim(1);
        if let Some(bad) = targets.iter().find(|&&t| t as usize >= classes) {
            return Err(format!("target {bad} is out of range: 0 to {} are accepted", classes as i64 - 1));
        }
        if targets.len() != scores.dim(0) {
            return Err(format!("scores {} don't fit {} targets", scores.shape(), targets.len()));
        }
        match x.get(1) {
            Some(g) if self.slope => {
                let by = g.all(n)?.contiguous().made()?;
                let slope = Self::slopes(&scores, targets, by.as_slice().unwrap_or_default())?;
                apart(n, slope).map(Some)
            }
            _ => Self::means(&scores, targets, n).map(Some),
        }
    }
}
