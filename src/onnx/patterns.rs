//! Several recorded operations that are one node: normalisation by running statistics, and by the root of mean squares;
//! with `means` also means of windows and resized pictures.
use super::{
    emit::{Arg, Emitter, Known, float, int},
    operations::conv_transposed,
    pooling::{Mode, pool, resized},
};
use crate::{
    compress::Windows,
    error::Checked,
    kernels::conv::Geometry,
    ops::list::{Binary, Conv, Norm, Reduce, Standardize, TensorOp, Unary},
    program::{Operand, Recorded},
    tape::{NodeId, Op},
    tensor::{Shape, Tensor},
};

/// What was found, with the nodes that it reads.
pub(super) enum Pattern {
    /// The input, minus the means, the variances, and perhaps weights and biases.
    BatchNorm { x: NodeId, minus: NodeId, variance: NodeId, affine: Option<[NodeId; 2]>, eps: f64 },
    /// The input, and perhaps weights.
    RmsNorm { x: NodeId, weight: Option<NodeId>, axis: usize, eps: f64 },
    /// Groups or instances of the input at mean 0 and variance 1, by these weights and biases.
    Scaled { x: NodeId, how: Standardize, parts: [NodeId; 2] },
    /// A transposed convolution of the input with weights and biases.
    Biased { x: NodeId, geometry: Box<Geometry>, axes: usize, parts: [NodeId; 2] },
    /// Means of windows along all axes but the first two, and whether places of the padding count.
    Means { x: NodeId, windows: Vec<Windows>, with_pads: bool },
    /// The same axes resized.
    Resized { x: NodeId, out: Vec<usize>, mode: Mode },
}

/// A recording in which is looked for patterns.
pub(super) struct Look<'a> {
    recorded: &'a Recorded<f32>,
    fixed: &'a [bool],
}

impl Look<'_> {
    fn unary(&self, id: NodeId) -> Option<(&Unary, NodeId)> {
        match &self.recorded.nodes.get(id.place())?.op {
            Op::Tensor(TensorOp::Unary(op)) => Some((op, self.operand(id, 0)?)),
            _ => None,
        }
    }

    pub fn tensor_op(&self, id: NodeId) -> Option<&TensorOp<f32>> {
        match &self.recorded.nodes.get(id.place())?.op {
            Op::Tensor(op) => Some(op),
            _ => None,
        }
    }

    pub fn operand(&self, id: NodeId, k: usize) -> Option<NodeId> {
        self.recorded.operands.get(id.place())?.get(k).and_then(Operand::node)
    }

    /// The operands of an operation of two.
    pub fn binary(&self, id: NodeId, wanted: Binary) -> Option<[NodeId; 2]> {
        match &self.recorded.nodes.get(id.place())?.op {
            Op::Tensor(TensorOp::Binary(op)) if *op == wanted => {
                Some([self.operand(id, 0)?, self.operand(id, 1)?])
            }
            _ => None,
        }
    }

    /// The value on the left of an operation of two, and the plain constant on its right.
    pub fn by_constant(&self, id: NodeId, wanted: Binary) -> Option<(NodeId, &Tensor<f32>)> {
        match (self.tensor_op(id)?, self.recorded.operands.get(id.place())?.get(1)?) {
            (TensorOp::Binary(op), Operand::Constant(c)) if *op == wanted => Some((self.operand(id, 0)?, c)),
            _ => None,
        }
    }

    pub fn shape(&self, id: NodeId) -> &Shape {
        &self.recorded.nodes[id.place()].shape
    }

    fn is_fixed(&self, id: NodeId) -> bool {
        self.fixed.get(id.place()) == Some(&true)
    }

    /// The value and, on its right, a constant that has an element for each channel of it.
    fn by_channel(&self, id: NodeId, op: Binary) -> Option<[NodeId; 2]> {
        let [x, part] = self.binary(id, op)?;
        let (own, sizes) = (self.shape(part), self.shape(x));
        let channels = sizes.get(1)?;
        let column = own.rank() == sizes.rank() && own[1] == *channels && own.numel() == *channels;
        (column && !self.is_fixed(x) && self.is_fixed(part)).then_some([x, part])
    }

    /// The shape taken away again.
    fn peeled(&self, id: NodeId) -> NodeId {
        match self.recorded.nodes.get(id.place()).map(|node| &node.op) {
            Some(Op::Tensor(TensorOp::Shape(_))) => self.operand(id, 0).unwrap_or(id),
            _ => id,
        }
    }

    /// The operand and the number of `1 / √(x + eps)`.
    fn inverse_root(&self, id: NodeId) -> Option<(NodeId, f64)> {
        let (Unary::Rsqrt {}, sum) = self.unary(id)? else { return None };
        let (Unary::AddNumber { number }, x) = self.unary(sum)? else { return None };
        Some((x, *number))
    }

    fn batch_norm(&self, id: NodeId) -> Option<Pattern> {
        let plain = |id: NodeId, affine: Option<[NodeId; 2]>| {
            let [apart, scale] = self.by_channel(id, Binary::Mul)?;
            let [x, minus] = self.by_channel(apart, Binary::Add)?;
            let (variance, eps) = self.inverse_root(self.peeled(scale))?;
            self.is_fixed(variance).then_some(Pattern::BatchNorm { x, minus, variance, affine, eps })
        };
        let affine = || {
            let [scaled, bias] = self.by_channel(id, Binary::Add)?;
            let [y, weight] = self.by_channel(scaled, Binary::Mul)?;
            plain(y, Some([weight, bias]))
        };
        affine().or_else(|| plain(id, None))
    }

    fn scaled(&self, id: NodeId) -> Option<Pattern> {
        let [scaled, bias] = self.by_channel(id, Binary::Add)?;
        let [y, weight] = self.by_channel(scaled, Binary::Mul)?;
        let Op::Tensor(TensorOp::Standardize(op)) = &self.recorded.nodes[y.place()].op else { return None };
        let alone = self.recorded.operands[y.place()].len() == 1 && self.shape(y).rank() > 2;
        let known = matches!(op.how.kind, Norm::Group | Norm::Instance) && alone;
        known.then_some(Pattern::Scaled { x: self.operand(y, 0)?, how: op.how, parts: [weight, bias] })
    }

    fn biased(&self, id: NodeId) -> Option<Pattern> {
        let [y, bias] = self.binary(id, Binary::Add)?;
        let Op::Tensor(TensorOp::Conv(Conv::Input { g, axes })) = &self.recorded.nodes.get(y.place())?.op
        else {
            return None;
        };
        let fits =
            self.is_fixed(bias) && self.shape(bias)[0] == g.inputs && self.shape(bias).numel() == g.inputs;
        let (x, weight) = (self.operand(y, 0)?, self.operand(y, 1)?);
        fits.then(|| Pattern::Biased { x, geometry: Box::new(g.clone()), axes: *axes, parts: [weight, bias] })
    }

    fn rms_norm(&self, id: NodeId) -> Option<Pattern> {
        let plain = |id: NodeId| {
            let [x, scale] = self.binary(id, Binary::Mul)?;
            let (mean, eps) = self.inverse_root(scale)?;
            let Op::Tensor(TensorOp::Reduce(Reduce::Mean { axes, keep: true })) =
                &self.recorded.nodes[mean.place()].op
            else {
                return None;
            };
            let (Unary::Square {}, own) = self.unary(self.operand(mean, 0)?)? else { return None };
            let axis = *axes.first()?;
            let last = axes.iter().copied().eq(axis..self.shape(x).rank());
            (own == x && last && !self.is_fixed(x)).then_some((x, axis, eps))
        };
        let weighted = || {
            let [y, weight] = self.binary(id, Binary::Mul)?;
            let (x, axis, eps) = plain(y)?;
            let fits = self.is_fixed(weight) && self.shape(weight)[..] == self.shape(x)[axis..];
            fits.then_some(Pattern::RmsNorm { x, weight: Some(weight), axis, eps })
        };
        weighted().or_else(|| plain(id).map(|(x, axis, eps)| Pattern::RmsNorm { x, weight: None, axis, eps }))
    }
}

impl Pattern {
    /// What ends at a node.
    pub fn at(recorded: &Recorded<f32>, fixed: &[bool], i: usize, opset: u64) -> Option<Pattern> {
        let (look, id) = (Look { recorded, fixed }, NodeId::at(i));
        let found = look.batch_norm(id).or_else(|| look.biased(id)).or_else(|| look.means(id));
        let found = found.or_else(|| look.resized(id));
        let found = found.or_else(|| if opset >= 21 { look.scaled(id) } else { None });
        found.or_else(|| if opset >= 23 { look.rms_norm(id) } else { None })
    }

    /// The nodes that it reads, the input first.
    pub fn needs(&self) -> Vec<NodeId> {
        match self {
            Pattern::BatchNorm { x, minus, variance, affine, .. } => {
                [*x, *minus, *variance].into_iter().chain(affine.iter().flatten().copied()).collect()
            }
            Pattern::RmsNorm { x, weight, .. } => [*x].into_iter().chain(*weight).collect(),
            Pattern::Means { x, .. } | Pattern::Resized { x, .. } => vec![*x],
            Pattern::Scaled { x, parts, .. } | Pattern::Biased { x, parts, .. } => {
                [*x].into_iter().chain(*parts).collect()
            }
        }
    }

    pub fn lower(&self, to: &mut Emitter, args: &[Arg]) -> Checked<String> {
        let [x, parts @ ..] = args else { return Err("a pattern without an input".into()) };
        let name = to.read(x)?;
        let channels = x.sizes.get(1).copied().unwrap_or(1);
        // A constant as a list.
        let mut list = |k: usize, f: fn(f32) -> f32, without: f32| -> Checked<String> {
            match parts.get(k).map(|part| &part.known) {
                Some(Known::Fixed(fixed)) => {
                    let values = fixed.values.first().ok_or("a constant without a value")?.list()?;
                    let values = Tensor::from_fn([values.len()], |i| f(values[i]));
                    to.weight(&values, &fixed.made_of)
                }
                Some(Known::Value(_)) => Err("a constant that changes with the sizes of the inputs".into()),
                None => Ok(to.floats(&Tensor::full([channels], without))),
            }
        };
        match self {
            Pattern::Means { windows, with_pads, .. } => {
                pool(to, "AveragePool", &name, &x.shape, windows, Some(*with_pads))
            }
            Pattern::Resized { out, mode, .. } => resized(to, x, out, *mode),
            Pattern::Scaled { how, .. } => {
                let (weight, bias) = (list(0, |v| v, 1.0)?, list(1, |v| v, 0.0)?);
                let (inputs, eps) = ([&name, &weight, &bias].map(String::as_str), float("epsilon", how.eps));
                if how.kind == Norm::Instance {
                    return Ok(to.node("InstanceNormalization", &inputs, [eps]));
                }
                let groups = how.at.groups / x.sizes.first().copied().unwrap_or(1).max(1);
                Ok(to.node("GroupNormalization", &inputs, [int("num_groups", groups as i64), eps]))
            }
            Pattern::Biased { geometry, axes, .. } => {
                let bias = list(1, |v| v, 0.0)?;
                let weight = to.read(parts.first().ok_or("a convolution without weights")?)?;
                conv_transposed(to, geometry, *axes, &[name, weight, bias])
            }
            Pattern::BatchNorm { eps, .. } => {
                let (mean, variance) = (list(0, |v| 0.0 - v, 0.0)?, list(1, |v| v, 1.0)?);
                let (weight, bias) = (list(2, |v| v, 1.0)?, list(3, |v| v, 0.0)?);
                let inputs = [&name, &weight, &bias, &mean, &variance].map(String::as_str);
                Ok(to.node("BatchNormalization", &inputs, [float("epsilon", *eps)]))
            }
            Pattern::RmsNorm { axis, eps, .. } => {
                let weight = match parts.first() {
                    Some(weight) => to.read(weight)?,
                    None => to.floats(&Tensor::ones(x.sizes[*axis..].iter().copied().collect::<Shape>())),
                };
                let attributes = [int("axis", *axis as i64), float("epsilon", *eps)];
                Ok(to.node("RMSNormalization", &[&name, &weight], attributes))
            }
        }
    }
}
