//! Functions of each element: the table's, by their definitions, and those of two operands, with
//! broadcasting.
use super::{
    arr::Arr,
    number::{N, n, near, sinc},
    program::{Gen, Op, V, op},
};
use kolmo::{Tensor, ops::IsCloseOptions};
use std::f64::consts::{LN_2, LN_10, PI};

type F1 = for<'t> fn(&V<'t>) -> V<'t>;
type F2 = for<'t> fn(&V<'t>, &V<'t>) -> V<'t>;

fn softplus(x: N) -> N {
    (x.exp() + 1.0).ln()
}

fn elu(x: N, alpha: f64) -> N {
    if x.positive() { x } else { (x.exp() - 1.0) * alpha }
}

fn clamp(x: N, low: f64, high: f64) -> N {
    x.max(n(low)).min(n(high))
}

fn round(x: N) -> N {
    x.step(x.v.round_ties_even(), x.v - x.v.floor() - 0.5)
}

/// Name, bounds of the argument, the crate's function, its definition.
pub const UNARY: &[(&str, [f64; 2], F1, fn(N) -> N)] = &[
    ("exp", [-3.0, 3.0], |x| x.exp(), |x| x.exp()),
    ("exp2", [-3.0, 3.0], |x| x.exp2(), |x| (x * LN_2).exp()),
    ("expm1", [-3.0, 3.0], |x| x.expm1(), |x| x.exp() - 1.0),
    ("log", [0.2, 9.0], |x| x.log(), |x| x.ln()),
    ("log1p", [-0.7, 9.0], |x| x.log1p(), |x| (x + 1.0).ln()),
    ("log2", [0.2, 9.0], |x| x.log2(), |x| x.ln() / LN_2),
    ("log10", [0.2, 9.0], |x| x.log10(), |x| x.ln() / LN_10),
    ("sqrt", [0.2, 9.0], |x| x.sqrt(), |x| x.sqrt()),
    ("rsqrt", [0.2, 9.0], |x| x.rsqrt(), |x| n(1.0) / x.sqrt()),
    ("sin", [-9.0, 9.0], |x| x.sin(), |x| x.sin()),
    ("cos", [-9.0, 9.0], |x| x.cos(), |x| x.cos()),
    ("tan", [-1.2, 1.2], |x| x.tan(), |x| x.sin() / x.cos()),
    ("asin", [-0.9, 0.9], |x| x.asin(), |x| x.asin()),
    ("acos", [-0.9, 0.9], |x| x.acos(), |x| -x.asin() + PI / 2.0),
    ("atan", [-9.0, 9.0], |x| x.atan(), |x| x.atan()),
    ("sinh", [-3.0, 3.0], |x| x.sinh(), |x| (x.exp() - (-x).exp()) / 2.0),
    ("cosh", [-3.0, 3.0], |x| x.cosh(), |x| (x.exp() + (-x).exp()) / 2.0),
    ("tanh", [-4.0, 4.0], |x| x.tanh(), |x| x.tanh()),
    ("asinh", [-3.0, 3.0], |x| x.asinh(), |x| (x + (x * x + 1.0).sqrt()).ln()),
    ("acosh", [1.2, 9.0], |x| x.acosh(), |x| (x + (x * x - 1.0).sqrt()).ln()),
    ("atanh", [-0.9, 0.9], |x| x.atanh(), |x| ((x + 1.0) / (n(1.0) - x)).ln() / 2.0),
    ("sigmoid", [-9.0, 9.0], |x| x.sigmoid(), |x| x.sigmoid()),
    ("abs", [-99.0, 99.0], |x| x.abs(), |x| x.abs()),
    ("sign", [-99.0, 99.0], |x| x.sign(), |x| x.step(x.v.signum(), x.v)),
    ("floor", [-99.0, 99.0], |x| x.floor(), |x| x.floor()),
    ("ceil", [-99.0, 99.0], |x| x.ceil(), |x| -(-x).floor()),
    ("round", [-99.0, 99.0], |x| x.round(), round),
    ("trunc", [-99.0, 99.0], |x| x.trunc(), |x| x.trunc()),
    ("frac", [-99.0, 99.0], |x| x.frac(), |x| x - x.trunc()),
    ("round_decimals", [-9.0, 9.0], |x| x.round_decimals(1), |x| round(x * 10.0) / 10.0),
    ("erf", [-2.0, 2.0], |x| x.erf(), |x| x.erf()),
    ("erfc", [-2.0, 2.0], |x| x.erfc(), |x| n(1.0) - x.erf()),
    ("lgamma", [0.3, 9.0], |x| x.lgamma(), |x| x.lgamma()),
    ("digamma", [0.3, 9.0], |x| x.digamma(), |x| x.polygamma(0)),
    ("polygamma", [0.5, 9.0], |x| x.polygamma(1.0), |x| x.polygamma(1)),
    ("square", [-99.0, 99.0], |x| x.square(), |x| x * x),
    ("reciprocal", [0.3, 9.0], |x| x.reciprocal(), |x| n(1.0) / x),
    ("relu", [-99.0, 99.0], |x| x.relu(), |x| x.max(n(0.0))),
    ("leaky_relu", [-99.0, 99.0], |x| x.leaky_relu(0.1), |x| if x.positive() { x } else { x * 0.1 }),
    ("silu", [-9.0, 9.0], |x| x.silu(), |x| x * x.sigmoid()),
    ("deg2rad", [-99.0, 99.0], |x| x.deg2rad(), |x| x * (PI / 180.0)),
    ("rad2deg", [-9.0, 9.0], |x| x.rad2deg(), |x| x * (180.0 / PI)),
    ("sinc", [-3.0, 3.0], |x| x.sinc(), sinc),
    ("logit", [0.1, 0.9], |x| x.logit(-1.0), |x| (x / (n(1.0) - x)).ln()),
    (
        "logit(eps)",
        [-0.5, 1.5],
        |x| x.logit(0.1),
        |x| {
            let x = clamp(x, 0.1, 0.9);
            (x / (n(1.0) - x)).ln()
        },
    ),
    ("nan_to_num", [-99.0, 99.0], |x| x.nan_to_num(0.0, None, None), |x| x),
    ("clamp", [-9.0, 9.0], |x| x.clamp(-0.5, 1.0), |x| clamp(x, -0.5, 1.0)),
    ("clamp_min", [-9.0, 9.0], |x| x.clamp_min(-0.5), |x| x.max(n(-0.5))),
    ("clamp_max", [-9.0, 9.0], |x| x.clamp_max(0.5), |x| x.min(n(0.5))),
    ("powf", [0.2, 4.0], |x| x.powf(1.7), |x| x.powf(1.7)),
    ("powf(3)", [-4.0, 4.0], |x| x.powf(3.0), |x| x * x * x),
    ("powf(-0.5)", [0.2, 4.0], |x| x.powf(-0.5), |x| x.powf(-0.5)),
    ("relu6", [-9.0, 9.0], |x| x.relu6(), |x| clamp(x, 0.0, 6.0)),
    ("hardtanh", [-9.0, 9.0], |x| x.hardtanh(-0.7, 0.8), |x| clamp(x, -0.7, 0.8)),
    ("elu", [-3.0, 3.0], |x| x.elu(1.3), |x| elu(x, 1.3)),
    ("selu", [-3.0, 3.0], |x| x.selu(), |x| elu(x, 1.673_263_242_354_377_2) * 1.050_700_987_355_480_5),
    ("celu", [-3.0, 3.0], |x| x.celu(0.8), |x| if x.positive() { x } else { ((x / 0.8).exp() - 1.0) * 0.8 }),
    ("gelu", [-3.0, 3.0], |x| x.gelu(), |x| x * ((x / 2f64.sqrt()).erf() + 1.0) / 2.0),
    (
        "gelu_tanh",
        [-3.0, 3.0],
        |x| x.gelu_tanh(),
        |x| x * (((x + x * x * x * 0.044715) * (2.0 / PI).sqrt()).tanh() + 1.0) / 2.0,
    ),
    ("softplus", [-3.0, 3.0], |x| x.softplus(1.5, 20.0), |x| softplus(x * 1.5) / 1.5),
    ("mish", [-3.0, 3.0], |x| x.mish(), |x| x * softplus(x).tanh()),
    ("hardswish", [-9.0, 9.0], |x| x.hardswish(), |x| x * clamp(x + 3.0, 0.0, 6.0) / 6.0),
    ("hardsigmoid", [-9.0, 9.0], |x| x.hardsigmoid(), |x| clamp(x + 3.0, 0.0, 6.0) / 6.0),
    ("logsigmoid", [-9.0, 9.0], |x| x.logsigmoid(), |x| -softplus(-x)),
    ("softsign", [-9.0, 9.0], |x| x.softsign(), |x| x / (x.abs() + 1.0)),
    ("tanhshrink", [-3.0, 3.0], |x| x.tanhshrink(), |x| x - x.tanh()),
    ("hardshrink", [-2.0, 2.0], |x| x.hardshrink(0.5), |x| if n(0.5).less(x.abs()) { x } else { n(0.0) }),
    (
        "softshrink",
        [-2.0, 2.0],
        |x| x.softshrink(0.5),
        |x| {
            if n(0.5).less(x) {
                x - 0.5
            } else if x.less(n(-0.5)) {
                x + 0.5
            } else {
                n(0.0)
            }
        },
    ),
    ("threshold", [-2.0, 2.0], |x| x.threshold(0.3, 0.7), |x| if n(0.3).less(x) { x } else { n(0.7) }),
    ("neg", [-99.0, 99.0], |x| x.neg(), |x| -x),
    ("add number", [-99.0, 99.0], |x| x + 1.5, |x| x + 1.5),
    ("sub number", [-99.0, 99.0], |x| x - 0.5, |x| x - 0.5),
    ("number sub", [-99.0, 99.0], |x| 1.5 - x, |x| n(1.5) - x),
    ("mul number", [-99.0, 99.0], |x| x * 0.7, |x| x * 0.7),
    ("div number", [-99.0, 99.0], |x| x / 1.7, |x| x / 1.7),
    ("number div", [0.3, 9.0], |x| 1.7 / x, |x| n(1.7) / x),
    ("detach", [-99.0, 99.0], |x| x.detach(), |x| n(x.v)),
];

fn fmod(a: N, b: N) -> N {
    a - b * (a / b).trunc()
}

/// Name, bounds of the second argument, of the first, the crate's function, its definition.
pub const BINARY: &[(&str, [f64; 2], [f64; 2], F2, fn(N, N) -> N)] = &[
    ("add", [-99.0, 99.0], [-99.0, 99.0], |a, b| a + b, |a, b| a + b),
    ("sub", [-99.0, 99.0], [-99.0, 99.0], |a, b| a - b, |a, b| a - b),
    ("mul", [-9.0, 9.0], [-99.0, 99.0], |a, b| a * b, |a, b| a * b),
    ("div", [0.3, 9.0], [-99.0, 99.0], |a, b| a / b, |a, b| a / b),
    ("pow", [-2.0, 2.0], [0.3, 3.0], |a, b| a.pow(b), |a, b| a.pow(b)),
    ("atan2", [-3.0, 3.0], [0.3, 3.0], |a, b| a.atan2(b), |a, b| -(b / a).atan() + PI / 2.0),
    ("fmod", [0.4, 2.0], [-9.0, 9.0], |a, b| a.fmod(b), fmod),
    ("remainder", [-2.0, -0.4], [-9.0, 9.0], |a, b| a.remainder(b), |a, b| a - b * (a / b).floor()),
    ("maximum", [-9.0, 9.0], [-9.0, 9.0], |a, b| a.maximum(b), |a, b| a.max(b)),
    ("minimum", [-9.0, 9.0], [-9.0, 9.0], |a, b| a.minimum(b), |a, b| a.min(b)),
    ("fmax", [-9.0, 9.0], [-9.0, 9.0], |a, b| a.fmax(b), |a, b| a.max(b)),
    ("fmin", [-9.0, 9.0], [-9.0, 9.0], |a, b| a.fmin(b), |a, b| a.min(b)),
    ("hypot", [-9.0, 9.0], [0.3, 9.0], |a, b| a.hypot(b), |a, b| (a * a + b * b).sqrt()),
    ("xlogy", [0.3, 9.0], [-9.0, 9.0], |a, b| a.xlogy(b), |a, b| a * b.ln()),
    ("logaddexp", [-3.0, 3.0], [-3.0, 3.0], |a, b| a.logaddexp(b), |a, b| (a.exp() + b.exp()).ln()),
    (
        "copysign",
        [-9.0, 9.0],
        [-9.0, 9.0],
        |a, b| a.copysign(b),
        |a, b| {
            if b.positive() { a.abs() } else { -a.abs() }
        },
    ),
    ("div_floor", [0.4, 2.0], [-9.0, 9.0], |a, b| a.div_floor(b), |a, b| (a / b).floor()),
    ("div_trunc", [0.4, 2.0], [-9.0, 9.0], |a, b| a.div_trunc(b), |a, b| (a / b).trunc()),
    ("lerp", [-9.0, 9.0], [-9.0, 9.0], |a, b| a.lerp(b, 0.3), |a, b| a + (b - a) * 0.3),
];

type Mask = for<'t> fn(&V<'t>, &V<'t>) -> kolmo::Result<Tensor<bool>>;

/// Masks of two operands.
const MASKS: &[(&str, Mask, fn(f64, f64) -> bool)] = &[
    ("eq", |a, b| a.eq(b), |a, b| a == b),
    ("ne", |a, b| a.ne(b), |a, b| a != b),
    ("lt", |a, b| a.lt(b), |a, b| a < b),
    ("le", |a, b| a.le(b), |a, b| a <= b),
    ("gt", |a, b| a.gt(b), |a, b| a > b),
    ("ge", |a, b| a.ge(b), |a, b| a >= b),
    ("logical_and", |a, b| a.logical_and(b), |a, b| a != 0.0 && b != 0.0),
    ("logical_or", |a, b| a.logical_or(b), |a, b| a != 0.0 || b != 0.0),
    ("logical_xor", |a, b| a.logical_xor(b), |a, b| (a != 0.0) != (b != 0.0)),
    ("logical_not", |a, _| a.logical_not(), |a, _| a == 0.0),
    (
        "isclose",
        |a, b| a.isclose(b, IsCloseOptions::default().rtol(0.3)),
        |a, b| (a - b).abs() <= 1e-8 + 0.3 * b.abs(),
    ),
    ("isnan", |a, b| (a / b).isnan(), |a, b| a == 0.0 && b == 0.0),
    ("isinf", |a, b| (a / b).isinf(), |a, b| a != 0.0 && b == 0.0),
    ("isfinite", |a, b| (a / b).isfinite(), |_, b| b != 0.0),
];

/// A second operand that broadcasts with the first.
pub fn partner(g: &mut Gen, x: usize, [low, high]: [f64; 2]) -> usize {
    let shape = g.shape(x);
    let shape = if g.chance(50) { shape } else { g.broadcast_to(&shape) };
    let (low, high) = if high > 9.0 { (-2.0, 2.0) } else { (low, high) };
    g.of_within(&shape, low, high)
}

pub fn ops(list: &mut Vec<Op>) {
    for &(name, [low, high], call, definition) in UNARY {
        op(list, name, move |g| {
            let x = g.any_or_empty(0, 4);
            let x = g.within(x, low, high)?;
            g.emit(format!("{name} of $0"), &[x], move |v| call(&v[0]), move |a| a[0].map(definition))?;
            Some(())
        });
    }
    for &(name, second, [low, high], call, definition) in BINARY {
        op(list, name, move |g| {
            let x = g.any_or_empty(0, 4);
            let x = g.within(x, low, high)?;
            // The same operand twice, or another.
            let y = if g.chance(8) { g.within(x, second[0], second[1])? } else { partner(g, x, second) };
            let text = format!("{name} of $0, $1");
            g.emit(text, &[x, y], move |v| call(&v[0], &v[1]), move |a| a[0].zip(a[1], definition))?;
            Some(())
        });
    }
    op(list, "where_", |g| {
        let x = g.any_or_empty(0, 3);
        let y = partner(g, x, [-9.0, 9.0]);
        let shape = super::arr::broadcast(&g.shape(x), &g.shape(y));
        let mask = g.mask(shape.iter().product());
        let bools = Tensor::from_fn(&shape[..], |i| mask[i]);
        let definition = move |a: &[&Arr]| {
            let (x, y) = (a[0].expand(&shape), a[1].expand(&shape));
            Arr::new(
                &shape,
                mask.iter().enumerate().map(|(i, &m)| if m { x.data[i] } else { y.data[i] }).collect(),
            )
        };
        g.emit("$0.where_(mask, $1)", &[x, y], move |v| v[0].where_(&bools, &v[1]), definition)?;
        Some(())
    });
    for &(name, call, definition) in MASKS {
        op(list, name, move |g| {
            let x = g.any_or_empty(0, 3);
            let x = g.within(x, -2.0, 2.0)?;
            let y = partner(g, x, [-2.0, 2.0]);
            let y = g.within(y, -2.0, 2.0)?;
            // Whole numbers, of which many are equal; their steps are where no program goes.
            g.emit(
                format!("($0 * 2).where_($0.round().{name}($1.round()), $1)"),
                &[x, y],
                move |v| match call(&v[0].round(), &v[1].round()) {
                    Ok(mask) => (&v[0] * 2.0).where_(&mask, &v[1]),
                    Err(_) => v[0].clone(),
                },
                move |a| a[0].zip(a[1], |x, y| if definition(round(x).v, round(y).v) { x * 2.0 } else { y }),
            )?;
            Some(())
        });
    }
    for (name, divides) in [("addcmul", false), ("addcdiv", true)] {
        op(list, name, move |g| {
            let x = g.any_or_empty(0, 3);
            let (a, b) = (partner(g, x, [-2.0, 2.0]), partner(g, x, [0.4, 3.0]));
            let value = g.real(-1.0, 1.0);
            let definition = move |x: &[&Arr]| {
                let term = x[1].zip(x[2], |a, b| if divides { a / b } else { a * b });
                x[0].zip(&term, |x, t| x + t * value)
            };
            let text = format!("$0.{name}($1, $2, {value})");
            match divides {
                true => g.emit(text, &[x, a, b], move |v| v[0].addcdiv(&v[1], &v[2], value), definition)?,
                false => g.emit(text, &[x, a, b], move |v| v[0].addcmul(&v[1], &v[2], value), definition)?,
            };
            Some(())
        });
    }
    op(list, "lerp(tensor)", |g| {
        let x = g.any_or_empty(0, 3);
        let (y, w) = (partner(g, x, [-2.0, 2.0]), partner(g, x, [0.1, 0.9]));
        let definition = |a: &[&Arr]| {
            let part = a[1].zip(a[0], |y, x| y - x).zip(a[2], |d, w| d * w);
            a[0].zip(&part, |x, p| x + p)
        };
        g.emit("$0.lerp($1, $2)", &[x, y, w], |v| v[0].lerp(&v[1], &v[2]), definition)?;
        Some(())
    });
    op(list, "prelu", |g| {
        let x = g.any(2, 4);
        let channels = g.shape(x)[1];
        let size = if g.chance(50) { channels } else { 1 };
        let w = g.of(&[size]);
        let definition = move |a: &[&Arr]| {
            Arr::build(&a[0].shape, |i| {
                let x = a[0].at(i);
                if x.positive() { x } else { x * a[1].at(&[if size == 1 { 0 } else { i[1] }]) }
            })
        };
        g.emit("$0.prelu($1)", &[x, w], |v| v[0].prelu(&v[1]), definition)?;
        Some(())
    });
    op(list, "glu", |g| {
        let x = g.find(1, 3, |shape| shape.iter().all(|s| *s > 0) && shape.iter().any(|s| s % 2 == 0));
        let d = g.shape(x).iter().position(|s| s % 2 == 0)? as isize;
        let definition = move |a: &[&Arr]| {
            a[0].along(d, |x| (0..x.len() / 2).map(|i| x[i] * x[i + x.len() / 2].sigmoid()).collect())
        };
        g.emit(format!("$0.glu({d})"), &[x], move |v| v[0].glu(d), definition)?;
        Some(())
    });
    op(list, "fuse!", |g| {
        let x = g.any_or_empty(0, 3);
        let (w, b) = (partner(g, x, [-2.0, 2.0]), partner(g, x, [0.4, 2.0]));
        let definition = |a: &[&Arr]| {
            let gate = a[0].zip(a[1], |x, w| (x * w).sigmoid());
            let t = a[0].zip(a[2], |x, b| (x / b).tanh() + b.sqrt() * x);
            gate.zip(&t, |g, t| g * t)
        };
        g.emit(
            "fuse!(|x, w, b| (x * w).sigmoid() * ((x / b).tanh() + b.sqrt() * x))($0, $1, $2)",
            &[x, w, b],
            |v| {
                let f = kolmo::fuse!(|x, w, b| (x * w).sigmoid() * ((x / b).tanh() + b.sqrt() * x));
                f.apply([&v[0], &v[1], &v[2]])
            },
            definition,
        )?;
        Some(())
    });
    op(list, "fuse! with a choice", |g| {
        let x = g.any_or_empty(0, 3);
        let y = partner(g, x, [-2.0, 2.0]);
        let definition = |a: &[&Arr]| {
            a[0].zip(a[1], |x, y| {
                near(x.v - y.v);
                x.max(y) * (x.square() + 1.0).ln() + y.sin()
            })
        };
        g.emit(
            "fuse!(|x, y| x.maximum(y) * (x.square() + 1.0).log() + y.sin())($0, $1)",
            &[x, y],
            |v| kolmo::fuse!(|x, y| x.maximum(y) * (x.square() + 1.0).log() + y.sin()).apply([&v[0], &v[1]]),
            definition,
        )?;
        Some(())
    });
}
