//! Operators element by element, comparisons, reductions and products.
use super::call::{Call, Run, Values, float};
use crate::{
    error::Checked,
    onnx::value::{Value, compare, sound, zip},
    ops::list::{Binary, Test},
    tape::Var,
    tensor::{Shape, Tensor},
};

/// Operators of one operand of floats.
macro_rules! unary {
    ($($name:literal $x:ident $e:expr;)*) => {
        &[$(($name, |c| { let $x = c.float(0)?; float($e) }),)*]
    };
}

const UNARY: &[(&str, Run)] = unary! {
    "Acos" x x.acos();
    "Acosh" x x.acosh();
    "Asin" x x.asin();
    "Asinh" x x.asinh();
    "Atan" x x.atan();
    "Atanh" x x.atanh();
    "Ceil" x x.ceil();
    "Cos" x x.cos();
    "Cosh" x x.cosh();
    "Erf" x x.erf();
    "Exp" x x.exp();
    "Floor" x x.floor();
    "HardSwish" x x.hardswish();
    "Log" x x.log();
    "Mish" x x.mish();
    "Reciprocal" x x.reciprocal();
    "Relu" x x.relu();
    "Round" x x.round();
    "Sigmoid" x x.sigmoid();
    "Sign" x x.sign();
    "Sin" x x.sin();
    "Sinh" x x.sinh();
    "Softplus" x x.softplus(1.0, 20.0);
    "Softsign" x x.softsign();
    "Sqrt" x x.sqrt();
    "Tan" x x.tan();
    "Tanh" x x.tanh();
};

pub(super) const OPERATORS: &[(&str, Run)] = &{
    // One list of both.
    const MORE: &[(&str, Run)] = &[
        ("Abs", |c| match c.value(0)? {
            Value::Float(x) => float(x.abs()),
            other => whole(other.integers()?, |v| v.wrapping_abs()),
        }),
        ("Add", |c| both(c, |a, b| a + b, |a, b| Some(a.wrapping_add(b)))),
        ("And", |c| truths(c, |a, b| a && b, |a, b| a * b)),
        ("ArgMax", |c| arg(c, true)),
        ("ArgMin", |c| arg(c, false)),
        ("Celu", |c| float(c.float(0)?.celu(c.float_or("alpha", 1.0)))),
        ("Clip", clip),
        ("CumSum", cumsum),
        ("Det", |c| float(c.float(0)?.det())),
        ("Div", |c| both(c, |a, b| a / b, |a, b| a.checked_div(b))),
        ("Einsum", |c| {
            let all = (0..c.x.len()).map(|i| c.float(i)).collect::<Checked<Vec<_>>>()?;
            let equation = c.text_or("equation", "").replace(' ', "");
            float(c.tape.einsum(&equation, &all.iter().collect::<Vec<_>>()))
        }),
        ("Elu", |c| float(c.float(0)?.elu(c.float_or("alpha", 1.0)))),
        ("Equal", |c| test(c, Test::Equal, false, |a, b| a == b)),
        ("Gelu", |c| {
            let x = c.float(0)?;
            float(if c.text_or("approximate", "none") == "tanh" { x.gelu_tanh() } else { x.gelu() })
        }),
        ("Gemm", gemm),
        ("Greater", |c| test(c, Test::Less, true, |a, b| a > b)),
        ("GreaterOrEqual", |c| test(c, Test::LessEqual, true, |a, b| a >= b)),
        ("HardSigmoid", |c| {
            let (alpha, beta) = (c.float_or("alpha", 0.2), c.float_or("beta", 0.5));
            float((c.float(0)? * alpha + beta).clamp(0.0, 1.0))
        }),
        ("IsInf", |c| {
            let x = c.float(0)?;
            let [up, down] = ["detect_positive", "detect_negative"].map(|name| c.int_or(name, 1) != 0);
            let of = |v: f32| compare(Test::Equal, &x, &c.constant(Tensor::scalar(v)));
            let (above, below) = (of(f32::INFINITY)?, of(f32::NEG_INFINITY)?);
            Ok(vec![Value::Mask(sound(above * f64::from(u8::from(up)) + below * f64::from(u8::from(down)))?)])
        }),
        ("IsNaN", |c| {
            let x = c.float(0)?;
            Ok(vec![Value::Mask(sound(1.0 - compare(Test::Equal, &x, &x)?)?)])
        }),
        ("LeakyRelu", |c| float(c.float(0)?.leaky_relu(c.float_or("alpha", 0.01)))),
        ("Less", |c| test(c, Test::Less, false, |a, b| a < b)),
        ("LessOrEqual", |c| test(c, Test::LessEqual, false, |a, b| a <= b)),
        ("LogSoftmax", |c| along(c, |x, axis| x.log_softmax(axis))),
        ("MatMul", |c| float(c.float(0)?.matmul(&c.float(1)?))),
        ("Max", |c| several(c, |a, b| a.maximum(b), |a, b| a.max(b))),
        ("Mean", |c| {
            let n = c.x.len() as f64;
            match several(c, |a, b| a + b, |a, _| a)?.pop() {
                Some(Value::Float(sum)) => float(sum / n),
                _ => Err("takes floats".into()),
            }
        }),
        ("Min", |c| several(c, |a, b| a.minimum(b), |a, b| a.min(b))),
        ("Mod", |c| {
            let towards_zero = c.int_or("fmod", 0) != 0;
            match (c.value(0)?, c.value(1)?) {
                (Value::Float(a), Value::Float(b)) if towards_zero => float(a.fmod(b)),
                (Value::Float(a), Value::Float(b)) => float(a.remainder(b)),
                _ if towards_zero => both(c, |a, _| a.clone(), |a, b| a.checked_rem(b)),
                _ => both(
                    c,
                    |a, _| a.clone(),
                    |a, b| {
                        let rest = a.checked_rem(b)?;
                        Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
                    },
                ),
            }
        }),
        ("Mul", |c| both(c, |a, b| a * b, |a, b| Some(a.wrapping_mul(b)))),
        ("Neg", |c| match c.value(0)? {
            Value::Float(x) => float(-x),
            other => whole(other.integers()?, |v| v.wrapping_neg()),
        }),
        ("Not", |c| match c.value(0)? {
            Value::Bool(t) => {
                let list = t.to_vec();
                Ok(vec![Value::Bool(Tensor::from_fn(t.shape(), |i| !list[i]))])
            }
            other => Ok(vec![Value::Mask(sound(1.0 - other.mask(c.tape)?)?)]),
        }),
        ("Or", |c| truths(c, |a, b| a || b, |a, b| a.maximum(b))),
        ("PRelu", |c| {
            let (x, mut slope) = (c.float(0)?, c.float(1)?);
            // A number for each channel, as in early versions.
            if slope.rank() == 1 && slope.dim(0) == x.dim(1) && slope.dim(0) != x.dim(-1) {
                let sizes: Vec<isize> = [-1].into_iter().chain((2..x.rank()).map(|_| 1)).collect();
                slope = slope.reshape(sizes);
            }
            float(c.tape.apply(Binary::Prelu, &[&x, &slope]))
        }),
        ("Pow", |c| match (c.value(0)?, c.number(1)) {
            (Value::Float(x), Ok(Some(exponent))) if c.value(1)?.shape().numel() == 1 => {
                float(x.powf(exponent))
            }
            (Value::Float(x), _) => float(x.pow(&c.value(1)?.floats(c.tape))),
            _ => both(c, |a, b| a.pow(b), |a, b| a.checked_pow(u32::try_from(b).ok()?)),
        }),
        ("ReduceL1", |c| folded(c, |x, axes, keep| x.abs().sum_dim(axes, keep))),
        ("ReduceL2", |c| folded(c, |x, axes, keep| x.norm_dim(2.0, axes, keep))),
        ("ReduceLogSum", |c| folded(c, |x, axes, keep| x.sum_dim(axes, keep).log())),
        ("ReduceLogSumExp", |c| folded(c, |x, axes, keep| x.logsumexp(axes, keep))),
        ("ReduceMax", |c| folded(c, |x, axes, keep| x.amax_dim(axes, keep))),
        ("ReduceMean", |c| folded(c, |x, axes, keep| x.mean_dim(axes, keep))),
        ("ReduceMin", |c| folded(c, |x, axes, keep| x.amin_dim(axes, keep))),
        ("ReduceProd", |c| match c.value(0)? {
            Value::Float(_) => folded(c, |x, axes, keep| {
                // From the last axis on, so that places of the others stay.
                let mut axes = axes.to_vec();
                axes.sort_unstable_by(|a, b| b.cmp(a));
                axes.iter().fold(x.clone(), |x, &axis| x.prod_dim(axis, keep))
            }),
            other => Ok(vec![Value::Int(Tensor::scalar(
                other.integers()?.to_vec().into_iter().fold(1, i64::wrapping_mul),
            ))]),
        }),
        ("ReduceSum", |c| folded(c, |x, axes, keep| x.sum_dim(axes, keep))),
        ("ReduceSumSquare", |c| folded(c, |x, axes, keep| x.square().sum_dim(axes, keep))),
        ("Selu", |c| {
            let (alpha, gamma) = (c.float_or("alpha", 1.673_263_2), c.float_or("gamma", 1.050_701));
            float(c.float(0)?.elu(alpha) * gamma)
        }),
        ("Shrink", |c| {
            let (x, lambd, bias) = (c.float(0)?, c.float_or("lambd", 0.5), c.float_or("bias", 0.0));
            match bias == lambd {
                true => float(x.softshrink(lambd)),
                false if bias == 0.0 => float(x.hardshrink(lambd)),
                false => Err(format!("bias {bias}: 0 or lambd is done here")),
            }
        }),
        ("Softmax", |c| along(c, |x, axis| x.softmax(axis))),
        ("Sub", |c| both(c, |a, b| a - b, |a, b| Some(a.wrapping_sub(b)))),
        ("Sum", |c| several(c, |a, b| a + b, |a, b| a.wrapping_add(b))),
        ("Swish", |c| {
            let (x, alpha) = (c.float(0)?, c.float_or("alpha", 1.0));
            float(if alpha == 1.0 { x.silu() } else { &x * (&x * alpha).sigmoid() })
        }),
        ("ThresholdedRelu", |c| float(c.float(0)?.threshold(c.float_or("alpha", 1.0), 0.0))),
        ("Where", |c| {
            let (a, b) = (c.value(1)?, c.value(2)?);
            match (c.value(0)?, a, b) {
                (Value::Bool(mask), a, b)
                    if !matches!(a, Value::Float(_)) && !matches!(b, Value::Float(_)) =>
                {
                    let y = zip(mask, &zip(&a.integers()?, &b.integers()?, |a, b| (a, b).0)?, |_, a| a)?;
                    let other = zip(mask, &zip(&a.integers()?, &b.integers()?, |_, b| b)?, |_, b| b)?;
                    let mask = zip(mask, &y, |m, _| m)?;
                    let (m, p, q) = (mask.to_vec(), y.to_vec(), other.to_vec());
                    Ok(vec![Value::Int(Tensor::from_fn(y.shape(), |i| if m[i] { p[i] } else { q[i] }))])
                }
                (mask, a, b) => {
                    let (mask, a, b) = (mask.mask(c.tape)?, a.floats(c.tape), b.floats(c.tape));
                    float(a.where_one(&mask, &b))
                }
            }
        }),
        ("Xor", |c| truths(c, |a, b| a != b, |a, b| (a - b).abs())),
    ];
    const N: usize = UNARY.len() + MORE.len();
    let mut all: [(&str, Run); N] = [UNARY[0]; N];
    let mut i = 0;
    while i < N {
        all[i] = if i < UNARY.len() { UNARY[i] } else { MORE[i - UNARY.len()] };
        i += 1;
    }
    all
};

fn whole<'t>(x: Tensor<i64>, f: impl Fn(i64) -> i64) -> Checked<Values<'t>> {
    let list = x.to_vec();
    Ok(vec![Value::Int(Tensor::from_fn(x.shape(), |i| f(list[i])))])
}

/// An operator of two operands: of floats, or of whole numbers if neither has a float.
fn both<'t>(
    c: &Call<'_, 't>,
    floats: impl Fn(&Var<'t, f32>, &Var<'t, f32>) -> Var<'t, f32>,
    integers: impl Fn(i64, i64) -> Option<i64>,
) -> Checked<Values<'t>> {
    match (c.value(0)?, c.value(1)?) {
        (a @ Value::Float(_), b) | (a, b @ Value::Float(_)) => {
            float(floats(&a.floats(c.tape), &b.floats(c.tape)))
        }
        (a, b) => {
            let (a, b) = (a.integers()?, b.integers()?);
            let bad = std::cell::Cell::new(None);
            let y = zip(&a, &b, |a, b| {
                integers(a, b).unwrap_or_else(|| {
                    bad.set(Some((a, b)));
                    0
                })
            })?;
            match bad.get() {
                Some((a, b)) => Err(format!("{a} and {b} have no result")),
                None => Ok(vec![Value::Int(y)]),
            }
        }
    }
}

/// An operator of any number of operands.
fn several<'t>(
    c: &Call<'_, 't>,
    floats: impl Fn(&Var<'t, f32>, &Var<'t, f32>) -> Var<'t, f32>,
    integers: impl Fn(i64, i64) -> i64,
) -> Checked<Values<'t>> {
    if c.x.iter().flatten().any(|x| matches!(x, Value::Float(_))) {
        let mut all = c.x.iter().flatten().map(|x| x.floats(c.tape));
        let first = all.next().ok_or("takes an operand at least")?;
        return float(all.fold(first, |a, b| floats(&a, &b)));
    }
    let all = c.x.iter().flatten().map(Value::integers).collect::<Checked<Vec<_>>>()?;
    let [first, rest @ ..] = &all[..] else { return Err("takes an operand at least".into()) };
    let y = rest.iter().try_fold(first.clone(), |a, b| zip(&a, b, &integers))?;
    Ok(vec![Value::Int(y)])
}

fn truths<'t>(
    c: &Call<'_, 't>,
    known: impl Fn(bool, bool) -> bool,
    masks: impl Fn(&Var<'t, f32>, &Var<'t, f32>) -> Var<'t, f32>,
) -> Checked<Values<'t>> {
    Ok(vec![match (c.value(0)?, c.value(1)?) {
        (Value::Bool(a), Value::Bool(b)) => Value::Bool(zip(a, b, known)?),
        (a, b) => Value::Mask(sound(masks(&a.mask(c.tape)?, &b.mask(c.tape)?))?),
    }])
}

/// A comparison, of which floats may be taken the other way round.
fn test<'t>(c: &Call<'_, 't>, test: Test, turned: bool, f: impl Fn(i64, i64) -> bool) -> Checked<Values<'t>> {
    Ok(vec![match (c.value(0)?, c.value(1)?) {
        (a @ (Value::Float(_) | Value::Mask(_)), b) | (a, b @ (Value::Float(_) | Value::Mask(_))) => {
            let (a, b) = (a.floats(c.tape), b.floats(c.tape));
            let (a, b) = if turned { (b, a) } else { (a, b) };
            Value::Mask(compare(test, &a, &b)?)
        }
        (a, b) => Value::Bool(zip(&a.integers()?, &b.integers()?, f)?),
    }])
}

fn arg<'t>(c: &Call<'_, 't>, largest: bool) -> Checked<Values<'t>> {
    let x = c.float(0)?;
    if x.tape().is_traced() && x.node().is_some() {
        return Err("positions are found from values, which a program can't do again".into());
    }
    c.only("select_last_index", 0)?;
    let axis = c.axis(c.int_or("axis", 0), x.rank())? as isize;
    let keep = c.int_or("keepdims", 1) != 0;
    let found = if largest { x.tensor().argmax(axis, keep) } else { x.tensor().argmin(axis, keep) };
    Ok(vec![Value::Int(found.map_err(|e| e.to_string())?.cast())])
}

fn clip<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let bound = |name: &str, i: usize| {
        if c.opset < 11 { Ok(c.node.attribute(name).map(|_| c.float_or(name, 0.0))) } else { c.number(i) }
    };
    let (min, max) = (bound("min", 1)?, bound("max", 2)?);
    if let Value::Int(x) = c.value(0)? {
        let (min, max) = (min.map_or(i64::MIN, |v| v as i64), max.map_or(i64::MAX, |v| v as i64));
        return whole(x.clone(), |v| v.max(min).min(max));
    }
    let x = c.float(0)?;
    float(match (min, max) {
        (None, None) => x,
        (Some(min), None) => x.clamp_min(min),
        (None, Some(max)) => x.clamp_max(max),
        (Some(min), Some(max)) => x.clamp(min, max),
    })
}

fn cumsum<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    c.only("exclusive", 0)?;
    let axis = c.list(1)?.first().copied().ok_or("the axis is missing")?;
    let back = c.int_or("reverse", 0) != 0;
    match c.value(0)? {
        Value::Float(x) => {
            let axis = c.axis(axis, x.rank())? as isize;
            float(if back { x.flip([axis]).cumsum(axis).flip([axis]) } else { x.cumsum(axis) })
        }
        other => {
            let x = other.integers()?;
            let axis = c.axis(axis, x.rank())?;
            let (n, inner) = (x.shape()[axis], x.shape()[axis + 1..].iter().product::<usize>());
            let mut list = x.to_vec();
            for block in list.chunks_mut((n * inner).max(1)) {
                for i in 1..n {
                    for k in 0..inner {
                        let (from, to) = if back { (n - i, n - 1 - i) } else { (i - 1, i) };
                        block[to * inner + k] = block[to * inner + k].wrapping_add(block[from * inner + k]);
                    }
                }
            }
            Ok(vec![Value::Int(Tensor::new(x.shape(), list).map_err(|e| e.to_string())?)])
        }
    }
}

fn gemm<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let (a, b, bias) = (c.float(0)?, c.float(1)?, c.optional_float(2)?);
    if a.rank() != 2 || b.rank() != 2 {
        return Err(format!("takes matrices, not {} and {}", a.shape(), b.shape()));
    }
    let [alpha, beta] = ["alpha", "beta"].map(|name| c.float_or(name, 1.0));
    let a = if c.int_or("transA", 0) != 0 { a.transpose(0, 1) } else { a };
    let turned = c.int_or("transB", 0) != 0;
    if let Some(bias) = bias.as_ref().filter(|bias| turned && bias.rank() == 1 && bias.dim(0) == b.dim(0))
        && [alpha, beta] == [1.0, 1.0]
    {
        return float(a.linear(&b, Some(bias)));
    }
    let y = if turned { a.linear(&b, None) } else { a.matmul(&b) };
    let y = if alpha == 1.0 { y } else { y * alpha };
    float(match bias {
        None => y,
        Some(bias) if beta == 1.0 => y + bias,
        Some(bias) => y + bias * beta,
    })
}

/// Softmax: before version 13 over all axes from one on, as if they were one.
fn along<'t>(c: &Call<'_, 't>, f: impl Fn(&Var<'t, f32>, isize) -> Var<'t, f32>) -> Checked<Values<'t>> {
    let x = c.float(0)?;
    if c.opset >= 13 {
        return float(f(&x, c.axis(c.int_or("axis", -1), x.rank())? as isize));
    }
    let axis = c.axis(c.int_or("axis", 1), x.rank())?;
    let sizes: Vec<isize> = x.shape().iter().map(|&n| n as isize).collect();
    let flat: Shape =
        [&x.shape()[..axis], &x.shape()[axis..]].iter().map(|part| part.iter().product()).collect();
    let flat = x.reshape([flat[0] as isize, flat[1] as isize]);
    float(f(&flat, 1).reshape(sizes))
}

/// A reduction over axes, of which none are all unless it says otherwise.
fn folded<'t>(
    c: &Call<'_, 't>,
    f: impl Fn(&Var<'t, f32>, &[isize], bool) -> Var<'t, f32>,
) -> Checked<Values<'t>> {
    let x = c.value(0)?;
    let integers = matches!(x, Value::Int(_) | Value::Index(_));
    let x = x.floats(c.tape);
    let axes = c.axes(1)?.filter(|axes| !axes.is_empty());
    if axes.is_none() && c.int_or("noop_with_empty_axes", 0) != 0 {
        return float(x);
    }
    let axes: Vec<isize> = match axes {
        Some(axes) => {
            axes.iter().map(|&axis| Ok(c.axis(axis, x.rank())? as isize)).collect::<Checked<_>>()?
        }
        None => (0..x.rank() as isize).collect(),
    };
    let y = sound(f(&x, &axes, c.int_or("keepdims", 1) != 0))?;
    // Small whole numbers, such as sizes, stay what they are as floats.
    match integers {
        true => {
            let list = y.tensor().list()?;
            Ok(vec![Value::Int(Tensor::from_fn(y.shape(), |i| list[i] as i64))])
        }
        false => Ok(vec![Value::Float(y)]),
    }
}
