//! From recorded operations to steps. What doesn't depend on the input is computed beforehand; views cost
//! nothing; factors and addends of channels wait for the product that they belong to.
use super::{
    steps::{At, Buffer, Expr, Fold, Guard, How, Step},
    store::is_coded,
};
use crate::{
    error::Checked,
    tensor::{Layout, Shape, Tensor, shape::broadcast},
};
use std::collections::HashMap;

/// What a node is worth.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "one for each operation")]
pub(super) enum Known {
    Constant(Tensor<f32>),
    Value(Value),
}

/// Numbers in a buffer, times a scale, plus a shift.
#[derive(Clone)]
pub(super) struct Value {
    pub buffer: Buffer,
    pub layout: Layout,
    scale: Option<Tensor<f32>>,
    shift: Option<Tensor<f32>>,
}

/// A product whose result nothing has changed yet.
struct Product {
    step: usize,
    weight: usize,
    bias: Option<Tensor<f32>>,
    axis: usize,
}

#[derive(Default)]
pub(super) struct Lowering {
    pub steps: Vec<Step>,
    pub constants: Vec<Tensor<f32>>,
    /// Sizes of results.
    pub sizes: Vec<usize>,
    products: HashMap<usize, Product>,
}

impl Value {
    pub fn at(buffer: Buffer, layout: Layout) -> Value {
        Value { buffer, layout, scale: None, shift: None }
    }
}

impl Known {
    pub fn shape(&self) -> &Shape {
        match self {
            Known::Constant(c) => c.shape(),
            Known::Value(v) => &v.layout.shape,
        }
    }
}

fn elements(c: &Tensor<f32>, shape: &Shape) -> Checked<Vec<f32>> {
    Ok(c.expand(shape.clone()).map_err(|e| e.to_string())?.to_vec())
}

fn combined(
    a: Option<&Tensor<f32>>,
    b: &Tensor<f32>,
    f: impl Fn(f32, f32) -> f32,
    without: f32,
) -> Checked<Tensor<f32>> {
    let one = Tensor::scalar(without);
    let a = a.unwrap_or(&one);
    let shape = broadcast(a.shape(), b.shape())?;
    let (a, b) = (elements(a, &shape)?, elements(b, &shape)?);
    Ok(Tensor::from_fn(shape, |i| f(a[i], b[i])))
}

impl Lowering {
    fn constant(&mut self, c: &Tensor<f32>) -> usize {
        self.constants.push(c.contiguous());
        self.constants.len() - 1
    }

    /// A place for so many numbers.
    pub fn room(&mut self, size: usize) -> Buffer {
        self.sizes.push(size);
        Buffer::Result(self.sizes.len() - 1)
    }

    /// Adds a step whose result fills a new buffer.
    pub fn emit(&mut self, shape: &Shape, sizes: &[usize], fold: Option<Fold>, value: Expr) -> Value {
        let buffer = self.room(shape.numel());
        let loops: Shape = sizes.iter().copied().collect();
        let to = At { buffer, start: 0, by: loops.contiguous_strides().to_vec() };
        self.steps.push(Step { to, sizes: sizes.to_vec(), fold, value });
        Value::at(buffer, Layout::contiguous(shape.clone()))
    }

    pub fn pointwise(&mut self, shape: &Shape, value: Expr) -> Known {
        Known::Value(self.emit(shape, shape, None, value))
    }

    /// The elements in loops over a shape that they broadcast to.
    pub fn read(&mut self, known: &Known, shape: &Shape) -> Checked<Expr> {
        let v = match known {
            Known::Constant(c) if c.numel() == 1 => return Ok(Expr::Number(c.item().unwrap_or(f32::NAN))),
            Known::Constant(c) => {
                let buffer = Buffer::Constant(self.constant(c));
                Value::at(buffer, Layout::contiguous(c.shape().clone()))
            }
            Known::Value(v) => v.clone(),
        };
        let layout = v.layout.expand(shape)?;
        let mut e =
            Expr::Read(At { buffer: v.buffer, start: layout.offset as isize, by: layout.strides.to_vec() });
        for (op, part) in [('*', v.scale), ('+', v.shift)] {
            if let Some(part) = part {
                let part = self.read(&Known::Constant(part), shape)?;
                e = e.binary(op, part);
            }
        }
        Ok(e)
    }

    /// Where the numbers are, without scale and shift.
    pub fn plain(&mut self, known: &Known) -> Checked<Value> {
        Ok(match known {
            Known::Constant(c) => {
                Value::at(Buffer::Constant(self.constant(c)), Layout::contiguous(c.shape().clone()))
            }
            Known::Value(v) if v.scale.is_none() && v.shift.is_none() => v.clone(),
            Known::Value(v) => {
                let shape = v.layout.shape.clone();
                let e = self.read(known, &shape)?;
                self.emit(&shape, &shape, None, e)
            }
        })
    }

    /// The numbers in loops of which each goes along an axis of theirs or none.
    pub fn along(v: &Value, axes: &[Option<usize>]) -> At {
        let by = axes.iter().map(|a| a.and_then(|a| v.layout.strides.get(a).copied()).unwrap_or(0));
        At { buffer: v.buffer, start: v.layout.offset as isize, by: by.collect() }
    }

    /// A loop inside for each of these sizes, and what is done with its terms.
    pub fn fold(how: How, sizes: Vec<usize>, term: Expr) -> Fold {
        let first = Expr::Number(if how == How::Largest { f32::MIN } else { 0.0 });
        Fold { sizes, guards: Vec::new(), how, first, term }
    }

    /// A product of each of the outer loops' turns, with a bias along an axis of the result.
    pub fn product(
        &mut self,
        shape: &Shape,
        sizes: &[usize],
        (inside, guards): (Vec<usize>, Vec<Guard>),
        [x, w]: [At; 2],
        (bias, axis): (Option<&Known>, usize),
    ) -> Checked<Value> {
        let weight = w.buffer;
        let mut fold = Self::fold(How::Sum, inside, Expr::Read(x).binary('*', Expr::Read(w)));
        fold.guards = guards;
        // A bias that is itself computed stays as it is.
        let known = match bias {
            None => Some(None),
            Some(Known::Constant(c)) => Some(Some(c.clone())),
            Some(Known::Value(_)) => None,
        };
        if let Some(bias) = bias {
            let bias = self.plain(bias)?;
            let mut own: Shape = shape.iter().map(|_| 1).collect();
            own.set(axis, shape[axis]);
            let split: Shape = sizes.iter().copied().collect();
            let layout = bias.layout.reshape(&own).ok_or("a bias that isn't a vector")?.expand(shape)?;
            let layout = layout.reshape(&split).ok_or("groups that the bias doesn't fit")?;
            let at = At { buffer: bias.buffer, start: layout.offset as isize, by: layout.strides.to_vec() };
            fold.first = Expr::Read(at);
        }
        let y = self.emit(shape, sizes, Some(fold), Expr::Folded);
        if let (Buffer::Constant(weight), Some(bias), Buffer::Result(id)) = (weight, known, y.buffer)
            && sizes[..] == shape[..]
        {
            self.products.insert(id, Product { step: self.steps.len() - 1, weight, bias, axis });
        }
        Ok(y)
    }

    /// A value with a constant added to it or multiplied with it, if that doesn't enlarge it.
    /// `alone` says that nothing else uses the value.
    pub fn shifted(&mut self, v: &Value, op: char, c: &Tensor<f32>, alone: bool) -> Checked<Option<Value>> {
        let shape = &v.layout.shape;
        if broadcast(shape, c.shape()).ok().as_ref() != Some(shape) {
            return Ok(None);
        }
        let c = match op {
            '-' => combined(None, c, |_, c| -c, 0.0)?,
            '/' => combined(None, c, |_, c| 1.0 / c, 0.0)?,
            _ => c.clone(),
        };
        let adds = matches!(op, '+' | '-');
        if alone && v.scale.is_none() && v.shift.is_none() && self.folded(v, &c, adds)? {
            return Ok(Some(v.clone()));
        }
        let mut y = v.clone();
        if adds {
            y.shift = Some(combined(v.shift.as_ref(), &c, |a, b| a + b, 0.0)?);
        } else {
            y.scale = Some(combined(v.scale.as_ref(), &c, |a, b| a * b, 1.0)?);
            y.shift = v.shift.as_ref().map(|s| combined(Some(s), &c, |a, b| a * b, 1.0)).transpose()?;
        }
        Ok(Some(y))
    }

    /// Whether a constant for each channel went into the weights and the bias of the product before
    /// it. Weights that are few codes stay so.
    fn folded(&mut self, v: &Value, c: &Tensor<f32>, adds: bool) -> Checked<bool> {
        let Buffer::Result(id) = v.buffer else { return Ok(false) };
        let Some(product) = self.products.get_mut(&id) else { return Ok(false) };
        let (shape, axis) = (&v.layout.shape, product.axis);
        let full = c.expand(shape.clone()).map_err(|e| e.to_string())?;
        let along = full.strides().iter().zip(shape.iter()).enumerate();
        let by_channel = along.into_iter().all(|(i, (&s, &n))| i == axis || s == 0 || n == 1);
        let Some(w) = self.constants.get(product.weight).filter(|w| w.dim(0) == shape[axis]) else {
            return Ok(false);
        };
        let c = c.to_vec();
        let fits = by_channel && [1, shape[axis]].contains(&c.len());
        if v.layout != Layout::contiguous(shape.clone()) || !fits || !adds && is_coded(w) {
            return Ok(false);
        }
        let channels = Tensor::from_fn([shape[axis]], |i| c[i % c.len()]);
        let (f, without): (fn(f32, f32) -> f32, _) =
            if adds { (|a, b| a + b, 0.0) } else { (|a, b| a * b, 1.0) };
        if !adds {
            let inner = w.numel() / shape[axis].max(1);
            let (old, by) = (w.to_vec(), channels.to_vec());
            self.constants[product.weight] = Tensor::from_fn(w.shape(), |i| old[i] * by[i / inner]);
        }
        if adds || product.bias.is_some() {
            let bias = combined(product.bias.as_ref(), &channels, f, without)?;
            product.bias = Some(bias.clone());
            let (step, rank) = (product.step, shape.rank());
            let by = (0..rank).map(|i| (i == axis) as isize).collect();
            let at = At { buffer: Buffer::Constant(self.constant(&bias)), start: 0, by };
            if let Some(fold) = self.steps.get_mut(step).and_then(|s| s.fold.as_mut()) {
                fold.first = Expr::Read(at);
            }
        }
        Ok(true)
    }
}
