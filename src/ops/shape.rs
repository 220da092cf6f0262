//! Operations that move elements and compute nothing: mostly views, whose gradients are views too.
use super::{
    checks::{check_axes, check_shape, operands},
    list::{Float, ShapeOp},
};
use crate::{
    error::Checked,
    real::About,
    tape::{NodeId, Rule, Step, Tape, Var},
    tensor::{
        Dims, Layout, Shape, Tensor, Unfilled,
        shape::{addressable, infer},
        strided::{Axes, copy_run, for_runs, merge_axes},
    },
};
use smallvec::SmallVec;
use std::borrow::Cow;

impl<T: Float> Rule<T> for ShapeOp {
    fn name(&self) -> &str {
        match self {
            ShapeOp::Reshape(_) => "reshape",
            ShapeOp::Permute(_) => "permute",
            ShapeOp::Expand(_) => "expand",
            ShapeOp::Slice { .. } => "slice",
            ShapeOp::Unslice { .. } => "unslice",
            ShapeOp::Flip(_) => "flip",
            ShapeOp::Detach => "detach",
            ShapeOp::Cat { .. } => "cat",
        }
    }

    fn about(&self) -> About {
        match self {
            ShapeOp::Reshape(_) => {
                About::formula("a in another shape", &["ȳ in a's shape"], "Nothing is computed.")
            }
            ShapeOp::Permute(_) => About::formula(
                "a with its axes in another order",
                &["ȳ with its axes put back"],
                "Nothing is copied.",
            ),
            ShapeOp::Expand(_) => About::formula(
                "a repeated along axes",
                &["ȳ summed back to a's shape"],
                "What forward is copied, backward is summed.",
            ),
            ShapeOp::Slice { .. } => About::formula("part of a", &["zeros with ȳ put in at its place"], ""),
            ShapeOp::Unslice { .. } => {
                About::formula("zeros with a put in at its place", &["the part of ȳ"], "")
            }
            ShapeOp::Flip(_) => About::formula("a with axes reversed", &["ȳ with axes reversed"], ""),
            ShapeOp::Detach => About::formula("a", &[], "The sweep ends here."),
            ShapeOp::Cat { .. } => About::formula("the operands one after the other", &["its part of ȳ"], ""),
        }
        .exact()
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Owned(match self {
            ShapeOp::Reshape(_) | ShapeOp::Expand(_) | ShapeOp::Detach => String::new(),
            ShapeOp::Permute(axes) | ShapeOp::Flip(axes) => format!("{axes:?}"),
            ShapeOp::Slice { axis, start, len, step } => {
                format!("dim={axis}, start={start}, length={len}, step={step}")
            }
            ShapeOp::Unslice { axis, start, step, .. } => format!("dim={axis}, start={start}, step={step}"),
            ShapeOp::Cat { axis, .. } => format!("dim={axis}"),
        })
    }

    /// Views of it are views of the form.
    fn takes_packed(&self) -> bool {
        !matches!(self, ShapeOp::Cat { .. } | ShapeOp::Unslice { .. })
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        if let ShapeOp::Cat { axis, .. } = self {
            return cat(x, *axis);
        }
        let [x] = operands(x)?;
        Ok(match self {
            ShapeOp::Reshape(shape) if shape.numel() == x.numel() => x.reshaped(shape),
            ShapeOp::Reshape(shape) => return Err(format!("{} elements don't fit shape {shape}", x.numel())),
            ShapeOp::Permute(axes) => x.view(x.layout().permute(axes)?),
            ShapeOp::Expand(shape) => x.view(x.layout().expand(shape)?),
            ShapeOp::Slice { axis, start, len, step } => {
                x.view(x.layout().slice(*axis as isize, *start, *len, *step as isize)?)
            }
            ShapeOp::Unslice { shape, axis, start, step } => {
                if shape == x.shape() {
                    // All is written; -0 becomes 0, as elsewhere.
                    let mut out = Unfilled::new(shape.clone()).filled().made()?;
                    to_slice(x, &mut out, *axis, *start, *step, |o, v| *o = T::constant(0.0) + v)?;
                    return Ok(out);
                }
                let mut out = Tensor::zeros(shape).made()?;
                add_to_slice(x, &mut out, *axis, *start, *step)?;
                out
            }
            ShapeOp::Flip(axes) => x.view(x.layout().flip(axes)?),
            ShapeOp::Detach => x.clone(),
            ShapeOp::Cat { axis, .. } => cat(&[x], *axis)?,
        })
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn check(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<()> {
        let forward = |step: usize| {
            if step > 0 && step <= isize::MAX as usize {
                Ok(())
            } else {
                Err(format!("step {step} is not positive"))
            }
        };
        match (self, x) {
            (ShapeOp::Slice { axis, step, .. }, [x]) => forward(*step).and(check_axes(&[*axis], x.rank())),
            (ShapeOp::Unslice { shape, axis, step, .. }, [x]) => {
                let mut own = shape.clone();
                own.set(*axis, x.shape()[*axis]);
                if own != *x.shape() {
                    return Err(format!("{} is no part of {shape} along axis {axis}", x.shape()));
                }
                forward(*step).and(check_axes(&[*axis], x.rank())).and(check_shape(shape, y))
            }
            (ShapeOp::Expand(shape), _) => check_shape(shape, y),
            (ShapeOp::Cat { axis, sizes }, x) => {
                let fits =
                    x.len() == sizes.len() && x.iter().zip(sizes).all(|(x, size)| x.shape()[*axis] == *size);
                if fits && sizes.iter().sum::<usize>() == y[*axis] {
                    Ok(())
                } else {
                    Err(format!("operands don't have sizes {sizes:?} along axis {axis}"))
                }
            }
            _ => Ok(()),
        }
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let (g, shape) = (step.take_grad(), step.input_shape(0));
        match self {
            ShapeOp::Reshape(_) => step.give(0, g.reshape_to(&shape)),
            ShapeOp::Permute(axes) => {
                let rank = axes.len();
                let mut back: SmallVec<[isize; 6]> = SmallVec::from_elem(0, rank);
                for (i, &a) in axes.iter().enumerate() {
                    back[a.rem_euclid(rank as isize) as usize] = i as isize;
                }
                step.give(0, g.permute(&back[..]));
            }
            ShapeOp::Expand(_) => step.give(0, g.sum_to(&shape)),
            ShapeOp::Slice { axis, start, step: by, .. } => {
                if step.give_in_place(0, &g, |g, sum| add_to_slice(g, sum, *axis, *start, *by)) {
                    return;
                }
                let op = ShapeOp::Unslice { shape, axis: *axis, start: *start, step: *by };
                step.give(0, g.tape().apply(op, &[&g]));
            }
            ShapeOp::Unslice { axis, start, step: by, .. } => {
                let op = ShapeOp::Slice { axis: *axis, start: *start, len: shape[*axis], step: *by };
                step.give(0, g.tape().apply(op, &[&g]));
            }
            ShapeOp::Flip(axes) => step.give(0, g.flip(&axes[..])),
            ShapeOp::Detach => {}
            ShapeOp::Cat { axis, sizes } => {
                let mut start = 0;
                for (i, &len) in sizes.iter().enumerate() {
                    if step.wants(i) {
                        let op = ShapeOp::Slice { axis: *axis, start, len, step: 1 };
                        step.give(i, g.tape().apply(op, &[&g]));
                    }
                    start += len;
                }
            }
        }
    }
}

/// Tensors one after the other along an axis.
#[doc(alias("concat", "concatenate"))]
fn cat<T: Float>(x: &[&Tensor<T>], axis: usize) -> Checked<Tensor<T>> {
    let mut shape = x.first().ok_or("no tensors were given")?.shape().clone();
    let mut total = 0;
    for t in x {
        let fits =
            t.rank() == shape.rank() && (0..shape.rank()).all(|i| i == axis || t.shape()[i] == shape[i]);
        if !fits || axis >= shape.rank() {
            return Err(format!("{} and {shape} don't agree outside axis {axis}", t.shape()));
        }
        total += t.shape()[axis];
    }
    shape.set(axis, total);
    addressable(&shape)?;
    let whole = Layout::contiguous(shape.clone());
    // Each from where it lies to where it goes, in runs that neither interrupts.
    let mut ways: SmallVec<[(Tensor<T>, Axes<2>, usize); 4]> = SmallVec::new();
    let mut start = 0;
    for &t in x {
        t.there()?;
        let part = whole.slice(axis as isize, start, t.shape()[axis], 1)?;
        let way = |t: &Tensor<T>| merge_axes(t.shape(), [&t.layout().strides, &part.strides]);
        let (mut t, mut axes) = (t.clone(), way(t));
        if axes.last().is_some_and(|(_, [step, _])| !(-1..=1).contains(step)) {
            t = t.contiguous().made()?;
            axes = way(&t);
        }
        start += t.shape()[axis];
        ways.push((t, axes, part.offset));
    }
    Ok(Tensor::build(shape, |out| {
        for (t, axes, offset) in &ways {
            let (run, [step, apart]) = axes[axes.len() - 1];
            let (data, begin) = (t.buffer(), [t.layout().offset as isize, *offset as isize]);
            for_runs(axes, begin, 0, t.numel() / run.max(1), |_, [from, to]| {
                let out = &mut out[to as usize..];
                match apart {
                    0 | 1 => copy_run(data, from, step, &mut out[..run]),
                    _ => out.iter_mut().step_by(apart as usize).zip(0..run).for_each(|(o, k)| {
                        *o = data[(from + k as isize * step) as usize];
                    }),
                }
            });
        }
    }))
}

/// Adds `x` to every `step`-th index of an axis from `start` on.
fn add_to_slice<T: Float>(
    x: &Tensor<T>,
    out: &mut Tensor<T>,
    axis: usize,
    start: usize,
    step: usize,
) -> Checked<()> {
    to_slice(x, out, axis, start, step, |o, v| *o = *o + v)
}

/// Puts the elements of `x` to those of every `step`-th index of an axis from `start` on.
fn to_slice<T: Float>(
    x: &Tensor<T>,
    out: &mut Tensor<T>,
    axis: usize,
    start: usize,
    step: usize,
    put: impl Fn(&mut T, T),
) -> Checked<()> {
    let target = Layout::contiguous(out.shape().clone()).slice(
        axis as isize,
        start,
        x.shape()[axis],
        step as isize,
    )?;
    let way = |x: &Tensor<T>| merge_axes(&target.shape, [&target.strides, &x.layout().strides]);
    let (mut x, mut axes) = (x.clone(), way(x));
    if axes.last().is_some_and(|(_, [_, step])| !(0..=1).contains(step)) {
        x = x.contiguous().made()?;
        axes = way(&x);
    }
    let (len, [by, step]) = axes[axes.len() - 1];
    let (data, slice) = (x.buffer(), out.as_mut_slice());
    let begin = [target.offset as isize, x.layout().offset as isize];
    for_runs(&axes, begin, 0, x.numel() / len.max(1), |_, [at, from]| {
        let (places, data) = (&mut slice[at as usize..], &data[from as usize..]);
        match (by, step) {
            (1, 1) => places.iter_mut().zip(&data[..len]).for_each(|(o, &v)| put(o, v)),
            (1, 0) => places[..len].iter_mut().for_each(|o| put(o, data[0])),
            _ => (0..len).for_each(|k| put(&mut places[k * by as usize], data[k * step as usize])),
        }
    });
    Ok(())
}

/// # Without gradient
impl<'t, T: Float> Var<'t, T> {
    /// The same value as a constant: no gradient flows through it.
    #[track_caller]
    pub fn detach(&self) -> Var<'t, T> {
        if self.node().is_some() && self.tape().is_traced() {
            return self.tape().apply(ShapeOp::Detach, &[self]);
        }
        let id = self.failed_id().unwrap_or(NodeId::NONE);
        Var::new(self.tape(), self.tensor().clone(), id)
    }

    /// This value detached inside of an operation: a saved tape, too, has it as a statement, and not as a constant.
    #[track_caller]
    pub(crate) fn held(&self) -> Var<'t, T> {
        if self.tape().runs_again(self) {
            return self.tape().apply(ShapeOp::Detach, &[self]);
        }
        self.detach()
    }
}

/// # Shape and order of the axes
impl<'t, T: Float> Var<'t, T> {
    /// The same elements under another shape; one size may be -1.
    #[track_caller]
    #[doc(alias = "view")]
    pub fn reshape(&self, shape: impl AsRef<[isize]>) -> Var<'t, T> {
        match infer(self.numel(), shape.as_ref()) {
            Ok(shape) => self.tape().apply(ShapeOp::Reshape(shape), &[self]),
            Err(message) => self.tape().fail_op("reshape", message, &[self]),
        }
    }

    /// The same elements under another shape of as many elements.
    #[track_caller]
    pub(crate) fn reshape_to(&self, shape: &Shape) -> Var<'t, T> {
        if self.shape() == shape {
            return self.clone();
        }
        self.tape().apply(ShapeOp::Reshape(shape.clone()), &[self])
    }

    /// The same value as a statement of its own.
    #[track_caller]
    pub(crate) fn alias(&self) -> Var<'t, T> {
        self.tape().apply(ShapeOp::Reshape(self.shape().clone()), &[self])
    }

    /// The axes in another order.
    #[track_caller]
    pub fn permute(&self, dims: impl Into<Dims>) -> Var<'t, T> {
        self.tape().apply(ShapeOp::Permute(SmallVec::from_slice(&dims.into())), &[self])
    }

    /// Two axes exchanged.
    #[track_caller]
    #[doc(alias = "swapaxes")]
    pub fn transpose(&self, dim0: isize, dim1: isize) -> Var<'t, T> {
        let (a, b) = match (self.shape().axis(dim0), self.shape().axis(dim1)) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(m), _) | (_, Err(m)) => return self.tape().fail_op("transpose", m, &[self]),
        };
        let mut order: SmallVec<[isize; 6]> = (0..self.rank() as isize).collect();
        if self.rank() > 0 {
            order.swap(a, b);
        }
        self.tape().apply(ShapeOp::Permute(order), &[self])
    }

    /// The transpose of a matrix; vectors and single elements stay as they are.
    #[track_caller]
    pub fn t(&self) -> Var<'t, T> {
        match self.rank() {
            0 | 1 => self.clone(),
            2 => self.transpose(0, 1),
            n => self.tape().fail_op("t", format!("takes at most 2 axes, not {n}; use transpose"), &[self]),
        }
    }

    /// Axes of size 1 repeated, and new axes in front; -1 keeps a size.
    #[track_caller]
    #[doc(alias = "broadcast_to")]
    pub fn expand(&self, shape: impl AsRef<[isize]>) -> Var<'t, T> {
        let sizes = shape.as_ref();
        let lead = sizes.len().saturating_sub(self.rank());
        let mut target = Shape::default();
        for (i, &s) in sizes.iter().enumerate() {
            match s {
                -1 if i >= lead => target.push(self.shape()[i - lead]),
                s if s >= 0 => target.push(s as usize),
                s => {
                    let message =
                        format!("size {s} in {sizes:?}: -1 keeps the size of an axis that is there");
                    return self.tape().fail_op("expand", message, &[self]);
                }
            }
        }
        self.tape().apply(ShapeOp::Expand(target), &[self])
    }

    #[track_caller]
    pub(crate) fn expand_to(&self, shape: &Shape) -> Var<'t, T> {
        if self.shape() == shape {
            return self.clone();
        }
        self.tape().apply(ShapeOp::Expand(shape.clone()), &[self])
    }

    /// `length` indices of an axis from `start` on.
    #[track_caller]
    pub fn narrow(&self, dim: isize, start: usize, length: usize) -> Var<'t, T> {
        match self.shape().axis(dim) {
            Ok(axis) => self.tape().apply(ShapeOp::Slice { axis, start, len: length, step: 1 }, &[self]),
            Err(message) => self.tape().fail_op("narrow", message, &[self]),
        }
    }

    /// The axes walked backwards.
    #[track_caller]
    pub fn flip(&self, dims: impl Into<Dims>) -> Var<'t, T> {
        self.tape().apply(ShapeOp::Flip(SmallVec::from_slice(&dims.into())), &[self])
    }
}

/// # Tensors joined
impl<T: Float> Tape<T> {
    /// Tensors one after the other along an axis; all other sizes agree. A tensor `[0]` is left out, whatever
    /// axes the others have, as in PyTorch: a list may begin with nothing.
    #[track_caller]
    #[doc(alias("hstack", "vstack", "dstack", "column_stack"))]
    pub fn cat<'t>(&'t self, tensors: &[&Var<'t, T>], dim: isize) -> Var<'t, T> {
        let nothing = |t: &&&Var<'t, T>| *t.shape() == [0] && t.failed_id().is_none();
        let Some(first) = tensors.iter().find(|t| !nothing(t)).or(tensors.first()) else {
            return self.fail_op("cat", "no tensors were given", &[]);
        };
        if first.rank() != 1 && tensors.iter().any(|t| nothing(&t)) {
            let some: SmallVec<[&Var<'t, T>; 4]> = tensors.iter().filter(|t| !nothing(t)).copied().collect();
            return self.cat(&some, dim);
        }
        match first.shape().axis(dim) {
            Ok(axis) => {
                let sizes = tensors.iter().map(|t| t.shape()[axis]).collect();
                self.apply(ShapeOp::Cat { axis, sizes }, tensors)
            }
            Err(message) => self.fail_op("cat", message, tensors),
        }
    }
}
