//! Scalars: elements taken out of tensors, the functions of the table on them, blocks made short, and back
//! into tensors. Their derivatives are numbers, so that only some programs have any: those are differentiated
//! once.
use super::{
    arr::{Arr, indices},
    number::{N, n},
    program::{Gen, Op, op},
    unary::{BINARY, UNARY},
};
use kolmo::{Scalar, number::Arithmetic};

type S<'t> = Scalar<'t, f64>;
type One = for<'t> fn(S<'t>) -> S<'t>;
type Two = for<'t> fn(S<'t>, S<'t>) -> S<'t>;

/// Functions of the table by the name that their definition has.
macro_rules! named {
    ($($name:ident)*) => { &[$((concat!("scalar ", stringify!($name)), stringify!($name), |x| x.$name())),*] };
}

const PLAIN: &[(&str, &str, One)] = named! {
    exp exp2 expm1 log log1p log2 log10 sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid abs sign floor
    ceil round trunc frac erf erfc lgamma digamma square reciprocal relu silu deg2rad rad2deg sinc relu6 selu gelu gelu_tanh mish
    hardswish hardsigmoid logsigmoid softsign tanhshrink
};

const WITH_OPTIONS: &[(&str, &str, One)] = &[
    ("scalar polygamma", "polygamma", |x| x.polygamma(1.0)),
    ("scalar leaky_relu", "leaky_relu", |x| x.leaky_relu(0.1)),
    ("scalar logit", "logit", |x| x.logit(-1.0)),
    ("scalar clamp", "clamp", |x| x.clamp(-0.5, 1.0)),
    ("scalar clamp_min", "clamp_min", |x| x.clamp_min(-0.5)),
    ("scalar clamp_max", "clamp_max", |x| x.clamp_max(0.5)),
    ("scalar hardtanh", "hardtanh", |x| x.hardtanh(-0.7, 0.8)),
    ("scalar elu", "elu", |x| x.elu(1.3)),
    ("scalar celu", "celu", |x| x.celu(0.8)),
    ("scalar softplus", "softplus", |x| x.softplus(1.5, 20.0)),
    ("scalar hardshrink", "hardshrink", |x| x.hardshrink(0.5)),
    ("scalar softshrink", "softshrink", |x| x.softshrink(0.5)),
    ("scalar threshold", "threshold", |x| x.threshold(0.3, 0.7)),
    ("scalar pow_number", "powf", |x| x.pow_number(1.7)),
    ("scalar neg", "neg", |x| -x),
    ("scalar add number", "add number", |x| x + 1.5),
    ("scalar number sub", "number sub", |x| S::constant(1.5) - x),
    ("scalar mul number", "mul number", |x| x * 0.7),
    ("scalar div number", "div number", |x| x / 1.7),
    ("scalar number div", "number div", |x| S::constant(1.7) / x),
];

const PAIRS: &[(&str, &str, Two)] = &[
    ("scalar add", "add", |a, b| a + b),
    ("scalar sub", "sub", |a, b| a - b),
    ("scalar mul", "mul", |a, b| a * b),
    ("scalar div", "div", |a, b| a / b),
    ("scalar pow", "pow", |a, b| a.pow(b)),
    ("scalar atan2", "atan2", |a, b| a.atan2(b)),
    ("scalar fmod", "fmod", |a, b| Arithmetic::fmod(a, b)),
    ("scalar remainder", "remainder", |a, b| a.remainder(b)),
    ("scalar maximum", "maximum", |a, b| a.maximum(b)),
    ("scalar minimum", "minimum", |a, b| a.minimum(b)),
    ("scalar fmax", "fmax", |a, b| a.fmax(b)),
    ("scalar fmin", "fmin", |a, b| a.fmin(b)),
    ("scalar hypot", "hypot", |a, b| a.hypot(b)),
    ("scalar xlogy", "xlogy", |a, b| a.xlogy(b)),
    ("scalar logaddexp", "logaddexp", |a, b| a.logaddexp(b)),
    ("scalar copysign", "copysign", |a, b| a.copysign(b)),
    ("scalar div_floor", "div_floor", |a, b| a.div_floor(b)),
    ("scalar div_trunc", "div_trunc", |a, b| a.div_trunc(b)),
];

/// A value of some elements between two bounds, in programs that are differentiated once.
fn few(g: &mut Gen, low: f64, high: f64) -> Option<usize> {
    if !g.once {
        return None;
    }
    let x = g.any(0, 2);
    if g.values[x].data.len() > 64 {
        return None;
    }
    let x = g.within(x, low, high)?;
    g.program.first_only = true;
    Some(x)
}

/// Two elements of a value, by index and by place.
fn two(g: &mut Gen, x: usize) -> [(Vec<usize>, usize); 2] {
    let all = indices(&g.shape(x));
    [0, 1].map(|_| {
        let i = g.int(0, all.len() - 1);
        (all[i].clone(), i)
    })
}

/// Two results of two elements.
fn pair(
    list: &mut Vec<Op>,
    name: &'static str,
    call: for<'t> fn([S<'t>; 2], &'t kolmo::Tape<f64>) -> [S<'t>; 2],
    definition: fn([N; 2]) -> [N; 2],
) {
    op(list, name, move |g| {
        let x = few(g, -3.0, 3.0)?;
        let [(first, i), (second, j)] = two(g, x);
        g.emit(
            format!("stack_scalars({name} of $0.at({first:?}) and $0.at({second:?}))"),
            &[x],
            move |v| {
                let tape = v[0].tape();
                tape.stack_scalars(&call([v[0].at(&first), v[0].at(&second)], tape), [2])
            },
            move |a| Arr::new(&[2], definition([a[0].data[i], a[0].data[j]]).to_vec()),
        )?;
        Some(())
    });
}

pub fn ops(list: &mut Vec<Op>) {
    for &(name, of, call) in PLAIN.iter().chain(WITH_OPTIONS) {
        let Some(&(_, [low, high], _, definition)) = UNARY.iter().find(|row| row.0 == of) else { continue };
        op(list, name, move |g| {
            let x = few(g, low, high)?;
            let shape = g.shape(x);
            g.emit(
                format!("{name} of each of $0"),
                &[x],
                move |v| {
                    let results: Vec<S> = v[0].to_scalars().iter().map(|&x| call(x)).collect();
                    v[0].tape().stack_scalars(&results, &shape[..])
                },
                move |a| a[0].map(definition),
            )?;
            Some(())
        });
    }
    for &(name, of, call) in PAIRS {
        let Some(&(_, second, [low, high], _, definition)) = BINARY.iter().find(|row| row.0 == of) else {
            continue;
        };
        op(list, name, move |g| {
            let x = few(g, low, high)?;
            let (shape, count) = (g.shape(x), g.values[x].data.len());
            let y = g.of(&shape);
            let y = g.within(y, second[0], second[1])?;
            g.emit(
                format!("{name} of each of $0, $1"),
                &[x, y],
                move |v| {
                    let (x, y) = (v[0].to_scalars(), v[1].to_scalars());
                    let results: Vec<S> = (0..count).map(|i| call(x[i], y[i])).collect();
                    v[0].tape().stack_scalars(&results, &shape[..])
                },
                move |a| a[0].zip(a[1], definition),
            )?;
            Some(())
        });
    }
    pair(
        list,
        "at and stack_scalars",
        |[a, b], _| [a * b + a.sin(), a - b],
        |[a, b]| [a * b + a.sin(), a - b],
    );
    pair(
        list,
        "preaccumulate",
        |[a, b], tape| {
            tape.preaccumulate(|| {
                let c = (a * b).sin() + a;
                [c * c + b, c.exp() * a]
            })
        },
        |[a, b]| {
            let c = (a * b).sin() + a;
            [c * c + b, c.exp() * a]
        },
    );
    pair(
        list,
        "Scalar::forward",
        |[a, b], _| Scalar::forward([a, b], |[a, b]| [a * b.sin(), (a - b) * a]),
        |[a, b]| [a * b.sin(), (a - b) * a],
    );
    pair(
        list,
        "Scalar::statement",
        |[a, b], _| [Scalar::statement(a.value() * b.value(), [(a, b.value()), (b, a.value())]), b],
        |[a, b]| [a * b, b],
    );
    op(list, "lift", |g| {
        let x = few(g, -9.0, 9.0)?;
        let [(index, i), _] = two(g, x);
        let text = format!("lift($0.at({index:?}).square())");
        g.emit(
            text,
            &[x],
            move |v| v[0].tape().lift(v[0].at(&index).square()),
            move |a| Arr::one(a[0].data[i].square()),
        )?;
        Some(())
    });
    op(list, "scalar dot and sum", |g| {
        let x = few(g, -9.0, 9.0)?;
        let y = g.of(&g.shape(x));
        g.emit(
            "stack_scalars(&[dot($0, $1), sum of $0], [2])",
            &[x, y],
            |v| {
                let (x, y) = (v[0].to_scalars(), v[1].to_scalars());
                v[0].tape().stack_scalars(&[Arithmetic::dot(&x, &y), x.iter().copied().sum()], [2])
            },
            |a| {
                let dot = a[0].data.iter().zip(&a[1].data).map(|(&x, &y)| x * y).sum();
                Arr::new(&[2], vec![dot, a[0].data.iter().copied().sum::<N>() + n(0.0)])
            },
        )?;
        Some(())
    });
}
