//! Convolution and its transpose over one, two or three axes. The convolution, the gradient of its input and
//! the gradient of its weights are linear in each of two operands, and the derivatives of each are the other
//! two: so all orders come for free.
use super::{
    checks::check_shape,
    conv_options::{ConvOptions, Padding},
    list::{Conv, Float},
};
use crate::{
    error::Checked,
    kernels::conv::{self, Geometry},
    real::About,
    tape::{Rule, Step, Var},
    tensor::{Shape, Tensor, shape::addressable},
};
use std::borrow::Cow;

impl Conv {
    fn parts(&self) -> (&Geometry, usize) {
        match self {
            Conv::Forward { g, axes } | Conv::Input { g, axes } | Conv::Weight { g, axes } => (g, *axes),
        }
    }

    /// Shapes of input, weights and output.
    fn shapes(&self) -> [Shape; 3] {
        let (g, axes) = self.parts();
        let shape = |a: usize, b: usize, sizes: [usize; 3]| {
            [a, b].into_iter().chain(sizes.into_iter().skip(3 - axes)).collect::<Shape>()
        };
        [
            shape(g.n, g.inputs, g.input),
            shape(g.outputs, g.inputs / g.groups, g.kernel),
            shape(g.n, g.outputs, g.output),
        ]
    }
}

impl<T: Float> Rule<T> for Conv {
    fn name(&self) -> &str {
        match self {
            Conv::Forward { .. } => "conv",
            Conv::Input { .. } => "conv_transpose",
            Conv::Weight { .. } => "conv_weight",
        }
    }

    fn about(&self) -> About {
        match self {
            Conv::Forward { .. } => {
                About::formula("a ∗ b", &["ȳ, transposed convolution with b", "ȳ, correlated with a"], "")
            }
            Conv::Input { .. } => {
                About::formula("transposed convolution of a with b", &["ȳ ∗ b", "a, correlated with ȳ"], "")
            }
            Conv::Weight { .. } => About::NOTHING,
        }
    }

    fn options(&self) -> Cow<'static, str> {
        let (g, axes) = self.parts();
        let list = |v: [usize; 3]| format!("{:?}", &v[3 - axes..]);
        let (stride, padding, dilation) = (list(g.stride), list(g.padding), list(g.dilation));
        Cow::Owned(format!("stride={stride}, padding={padding}, dilation={dilation}, groups={}", g.groups))
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [input, weight, output] = self.shapes();
        [&input, &weight, &output].into_iter().try_for_each(|shape| addressable(shape))?;
        let (g, _) = self.parts();
        let expected = match self {
            Conv::Forward { .. } => [&input, &weight],
            Conv::Input { .. } => [&output, &weight],
            Conv::Weight { .. } => [&input, &output],
        };
        let (Some(a), Some(b)) = (x.first(), x.get(1)) else { return Err("takes two operands".into()) };
        if [a.shape(), b.shape()] != expected {
            return Err(format!(
                "takes {} and {}, not {} and {}",
                expected[0],
                expected[1],
                a.shape(),
                b.shape()
            ));
        }
        let dense = |t: &Tensor<T>| t.in_memory()?.contiguous().made();
        let (a, bias) = (dense(a)?, x.get(2).map(|bias| dense(bias)).transpose()?);
        let a = a.as_slice().unwrap_or_default();
        let bias = bias.as_ref().map(|bias| bias.as_slice().unwrap_or_default());
        if let Some(w) = b.packed_whole() {
            match self {
                Conv::Forward { .. } => {
                    return Tensor::try_build(output, |y| conv::packed::forward(g, a, &w, bias, y));
                }
                Conv::Input { .. } => {
                    return Tensor::try_build(input, |dx| conv::packed::input_gradient(g, a, &w, dx));
                }
                Conv::Weight { .. } => {}
            }
        }
        let b = dense(b)?;
        let b = b.as_slice().unwrap_or_default();
        match self {
            Conv::Forward { .. } => Tensor::try_build(output, |y| conv::forward(g, a, b, bias, y)),
            Conv::Input { .. } => Tensor::try_build(input, |dx| conv::input_gradient(g, a, b, dx)),
            Conv::Weight { .. } => Tensor::try_build(weight, |dw| conv::weight_gradient(g, a, b, dw)),
        }
    }

    fn takes_packed(&self) -> bool {
        true
    }

    fn keeps(&self, wanted: u32) -> u32 {
        // Each of the first two operands is read for the other's derivative; the bias for none.
        (wanted & 1) << 1 | wanted >> 1 & 1
    }

    fn check(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<()> {
        let (g, axes) = self.parts();
        let span = |i: usize| g.dilation[i].saturating_mul(g.kernel[i].saturating_sub(1)).saturating_add(1);
        // As many windows as fit, or as many as the input has elements with padding `Same`.
        let windows = |i: usize| {
            let whole = g.padding[i].saturating_mul(2).saturating_add(g.input[i]);
            let same = g.stride[i] == 1 && g.padding[i] == (span(i) - 1) / 2;
            let fit = whole
                .checked_sub(span(i))
                .and_then(|rest| rest.checked_div(g.stride[i]))
                .map_or(0, |n| n + 1);
            if same { fit.max(g.input[i]) } else { fit }
        };
        let axis = |i: usize| {
            let unused = [g.input, g.kernel, g.output, g.stride, g.dilation].iter().all(|s| s[i] == 1)
                && g.padding[i] == 0;
            g.kernel[i] > 0
                && g.dilation[i] > 0
                && (1..=windows(i)).contains(&g.output[i])
                && (i + axes >= 3 || unused)
        };
        let groups = g.groups > 0 && [g.inputs, g.outputs].iter().all(|n| *n > 0 && n % g.groups == 0);
        let bias = x.get(2).is_none_or(|b| *b.shape() == [g.outputs]) && x.len() < 4;
        if !(1..=3).contains(&axes) || !groups || !bias || !(0..3).all(axis) {
            return Err("sizes, stride, padding and groups don't fit each other".into());
        }
        let [input, weight, output] = self.shapes();
        match self {
            Conv::Forward { .. } => check_shape(&output, y),
            Conv::Input { .. } => check_shape(&input, y),
            Conv::Weight { .. } => check_shape(&weight, y),
        }
    }

    fn multiply_adds(&self, _: &[Option<Shape>], _: &Shape) -> Option<usize> {
        // The same for all three: each weight meets each place of the output.
        let [_, weight, output] = self.shapes();
        Some(output.numel() * weight.numel() / self.parts().0.outputs.max(1))
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let (g, axes) = (self.parts().0.clone(), self.parts().1);
        let grad = step.take_grad();
        let tape = step.tape();
        let forward = || Conv::Forward { g: g.clone(), axes };
        let input = || Conv::Input { g: g.clone(), axes };
        let weight = || Conv::Weight { g: g.clone(), axes };
        for i in 0..2 {
            if !step.wants(i) {
                continue;
            }
            let other = step.input(1 - i);
            let part = match (self, i) {
                (Conv::Forward { .. }, 0) => tape.apply(input(), &[&grad, &other]),
                (Conv::Forward { .. }, _) => tape.apply(weight(), &[&other, &grad]),
                (Conv::Input { .. }, 0) => tape.apply(forward(), &[&grad, &other]),
                (Conv::Input { .. }, _) => tape.apply(weight(), &[&grad, &other]),
                (Conv::Weight { .. }, 0) => tape.apply(input(), &[&other, &grad]),
                (Conv::Weight { .. }, _) => tape.apply(forward(), &[&other, &grad]),
            };
            step.give(i, part);
        }
        if step.inputs() > 2 && step.wants(2) {
            // Over the axes of each channel first: they lie side by side.
            let channels = grad.sum_dim(&[2, 3, 4][..axes], false).sum_dim(0, false);
            step.give(2, channels);
        }
    }
}

/// What a call comes to: the operation and the axes; the input is batched.
fn plan(
    x: &Shape,
    w: &Shape,
    bias: Option<&Shape>,
    axes: usize,
    options: &ConvOptions,
    transposed: bool,
) -> Checked<Geometry> {
    if x.rank() != axes + 2 || w.rank() != axes + 2 {
        return Err(format!(
            "takes an input [n, channels, …] with {axes} axes more, and weights of as many axes, not {x} and {w}"
        ));
    }
    let groups = options.groups;
    let stride = options.stride.spread("stride", axes, 1)?;
    let dilation = options.dilation.spread("dilation", axes, 1)?;
    if groups == 0 || stride.contains(&0) || dilation.contains(&0) {
        return Err(format!(
            "stride {stride:?}, dilation {dilation:?} and groups {groups} must be at least 1"
        ));
    }
    let sizes = |s: &Shape| {
        let mut all = [1; 3];
        all.iter_mut().skip(3 - axes).zip(s.iter().skip(2)).for_each(|(a, &size)| *a = size);
        all
    };
    let (n, channels, kernel, own) = (x[0], x[1], sizes(w), sizes(x));
    // Weights are [out, in / groups, …]. To the transposed convolution input and output are the other way
    // round.
    let (inputs, outputs) = (w[1].saturating_mul(groups), w[0]);
    let read = if transposed { outputs } else { inputs };
    if channels != read || outputs % groups != 0 || outputs == 0 || inputs == 0 {
        return Err(format!(
            "weights {w} with {groups} groups read {read} channels, the input {x} has {channels}; groups divide both"
        ));
    }
    if kernel.contains(&0) || own.contains(&0) {
        return Err(format!("the axes of {x} and {w} must not be empty"));
    }
    let features = if transposed { inputs } else { outputs };
    if let Some(bias) = bias.filter(|b| ***b != [features]) {
        return Err(format!("the bias has shape {bias}, the output {features} channels"));
    }
    let span = |i: usize| dilation[i].saturating_mul(kernel[i] - 1).saturating_add(1);
    let padding = match &options.padding {
        Padding::Zeros(zeros) => zeros.spread("padding", axes, 0)?,
        Padding::Same if transposed || stride != [1; 3] => {
            return Err(format!("padding `Same` is for convolutions with stride 1, not {stride:?}"));
        }
        Padding::Same => std::array::from_fn(|i| (span(i) - 1) / 2),
    };
    // Places are reckoned from these without a look at overflow.
    let all = stride.iter().chain(&dilation).chain(&padding);
    if let Some(large) = all.copied().find(|&v| v > 1 << 31) {
        return Err(format!("stride, dilation or padding of {large} is more than 2^31"));
    }
    let mut other = [1; 3];
    if transposed {
        let extra = options.output_padding.spread("output_padding", axes, 0)?;
        for i in 3 - axes..3 {
            if extra[i] >= stride[i].max(dilation[i]) {
                return Err(format!(
                    "output_padding {} must be below stride {} or dilation {}",
                    extra[i], stride[i], dilation[i]
                ));
            }
            let whole =
                (own[i] - 1).saturating_mul(stride[i]).saturating_add(span(i)).saturating_add(extra[i]);
            other[i] = whole.checked_sub(padding[i].saturating_mul(2)).filter(|&size| size > 0).ok_or_else(
                || format!("padding {} leaves nothing of the {whole} elements of an axis", padding[i]),
            )?;
        }
    } else {
        for i in 3 - axes..3 {
            let padded = padding[i].saturating_mul(2).saturating_add(own[i]);
            other[i] = match options.padding {
                Padding::Same => own[i],
                Padding::Zeros(_) if padded < span(i) => {
                    return Err(format!(
                        "a window of {} elements doesn't fit {padded}: the input is {x}, the weights {w}",
                        span(i)
                    ));
                }
                Padding::Zeros(_) => (padded - span(i)) / stride[i] + 1,
            };
        }
    }
    let (input, output) = if transposed { (other, own) } else { (own, other) };
    Ok(Geometry { n, groups, inputs, outputs, input, kernel, output, stride, padding, dilation })
}

impl<'t, T: Float> Var<'t, T> {
    #[track_caller]
    fn convolved(
        &self,
        name: &str,
        weight: &Var<'t, T>,
        bias: Option<&Var<'t, T>>,
        axes: usize,
        options: &ConvOptions,
        transposed: bool,
    ) -> Var<'t, T> {
        if self.failed_id().is_none() && self.rank() == axes + 1 {
            let one = self.unsqueeze(0);
            return one.convolved(name, weight, bias, axes, options, transposed).squeeze(0);
        }
        for operand in [Some(self), Some(weight), bias].into_iter().flatten() {
            if operand.failed_id().is_some() {
                return operand.clone();
            }
        }
        let planned = plan(self.shape(), weight.shape(), bias.map(|b| b.shape()), axes, options, transposed);
        let tape = self.tape();
        let g = match planned {
            Ok(g) => g,
            Err(message) => return tape.fail_op(name, message, &[self, weight]),
        };
        if transposed {
            let y = tape.apply(Conv::Input { g, axes }, &[self, weight]);
            return match bias {
                None => y,
                Some(bias) => {
                    let column: Shape =
                        [bias.numel()].into_iter().chain(std::iter::repeat_n(1, axes)).collect();
                    y + bias.reshape_to(&column)
                }
            };
        }
        let op = Conv::Forward { g, axes };
        match bias {
            None => tape.apply(op, &[self, weight]),
            Some(bias) => tape.apply(op, &[self, weight, bias]),
        }
    }
}

macro_rules! convolutions {
    ($($name:ident $transposed:ident $axes:literal $sizes:literal;)*) => {
        /// # Convolution
        impl<'t, T: Float> Var<'t, T> {
            $(
                #[doc = concat!("Convolution (as usual in learning: correlation) over the last axes: `[n, in, ", $sizes, "]` with weights `[out, in / groups, …]`")]
                /// and bias `[out]`. Each axis becomes `(size + 2·padding - dilation·(kernel - 1) - 1) / stride + 1`, rounded down.
                /// An input without the axis `n` is one sample. The buffer that it needs doesn't grow with the input.
                #[track_caller]
                pub fn $name(&self, weight: &Var<'t, T>, bias: Option<&Var<'t, T>>, options: &ConvOptions) -> Var<'t, T> {
                    self.convolved(stringify!($name), weight, bias, $axes, options, false)
                }

                #[doc = concat!("The transpose of [`", stringify!($name), "`](Var::", stringify!($name), "), as for its input's gradient: weights are `[in, out / groups, …]`")]
                /// and each axis becomes `(size - 1)·stride - 2·padding + dilation·(kernel - 1) + output_padding + 1`.
                #[track_caller]
                pub fn $transposed(&self, weight: &Var<'t, T>, bias: Option<&Var<'t, T>>, options: &ConvOptions) -> Var<'t, T> {
                    self.convolved(stringify!($transposed), weight, bias, $axes, options, true)
                }
            )*
        }
    };
}
convolutions! {
    conv1d conv_transpose1d 1 "length";
    conv2d conv_transpose2d 2 "height, width";
    conv3d conv_transpose3d 3 "depth, height, width";
}
