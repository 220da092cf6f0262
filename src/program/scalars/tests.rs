//! Programs of every function of the table, alone and mixed at random, against plain numbers and a tape.
use super::ScalarProgram;
use crate::{
    Result, Tape, Tensor,
    real::{Arithmetic, number::value, table::elementary},
    tape::{Random, Scalar},
};
use std::iter::Sum;

macro_rules! names {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident $pka:tt $pkb:tt |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident $oka:tt $okb:tt |$ova:ident, $ovb:ident| $oe:expr, |$oa:ident, $ob:ident, $oy:ident, $og:ident| $oda:expr, $odb:expr $(, $oi:tt)?; )* }
    ) => {
        const FUNCTIONS: &[&str] = &[
            "neg", $( stringify!($bn), )* $( stringify!($mn), )* $( stringify!($pn), )* $( stringify!($on), )*
        ];

        /// A function of the table by its method.
        fn function<R: Arithmetic>(place: usize, x: &[R]) -> R {
            let mut options = [1.0, 2.0, 3.0].into_iter();
            let mut option = |_| options.next().unwrap();
            match FUNCTIONS[place % FUNCTIONS.len()] {
                "neg" => -x[0],
                $( stringify!($bn) => x[0].$bn($(option(stringify!($bp))),*), )*
                $( stringify!($mn) => x[0].$mn($(option(stringify!($mp))),*), )*
                $( stringify!($pn) => x[0].$pn(x[1]), )*
                $( stringify!($on) => value::$on(x[0], x[1]), )*
                _ => unreachable!(),
            }
        }
    };
}
elementary!(names);

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

fn on_tape(
    x: &[f64],
    f: impl for<'t> Fn(&[Scalar<'t>]) -> Vec<Scalar<'t>>,
) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
    let tape = Tape::new();
    let x = tape.scalars(x);
    let results = f(&x);
    let row = |y: &Scalar<'_>| {
        if y.id() == 0 {
            return Ok(vec![0.0; x.len()]);
        }
        let grads = y.backward()?;
        Ok(x.iter().map(|&x| grads.scalar(x)).collect())
    };
    Ok((results.iter().map(|y| y.value()).collect(), results.iter().map(row).collect::<Result<_>>()?))
}

const POINTS: [f64; 18] = [
    0.0,
    -0.0,
    0.3,
    -0.3,
    0.5,
    1.0,
    -1.0,
    1.7,
    2.0,
    -2.6,
    3.0,
    -3.0,
    6.0,
    40.0,
    -750.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

#[test]
fn every_function_has_the_values_and_derivatives_of_a_tape() -> Result<()> {
    for (place, name) in FUNCTIONS.iter().enumerate() {
        let program = ScalarProgram::new(2, |x| vec![function(place, x)])?;
        let pairs = Tensor::from_fn([POINTS.len() * POINTS.len(), 2], |i| {
            let (pair, second) = (i / 2, i % 2 == 1);
            POINTS[if second { pair % POINTS.len() } else { pair / POINTS.len() }]
        });
        let (values, slopes) = program.value_and_grad(&pairs)?;
        let (x, values, slopes) = (pairs.to_vec(), values.to_vec(), slopes.to_vec());
        for (i, x) in x.chunks(2).enumerate() {
            let (y, d) = on_tape(x, |x| vec![function(place, x)])?;
            let found = &slopes[2 * i..2 * i + 2];
            assert!(same(y[0], values[i]), "{name} of {x:?}: {}, of a tape {}", values[i], y[0]);
            let equal = found.iter().zip(&d[0]).all(|(&a, &b)| same(a, b) || (a == 0.0 && b == 0.0));
            assert!(equal, "{name} at {x:?}: {found:?}, of a tape {:?}", d[0]);
            // Alone it is no loop.
            let (y, d) = program.value_and_grad(&Tensor::from(x.to_vec()))?;
            let equal = found.iter().zip(d.to_vec()).all(|(&a, b)| same(a, b));
            assert!(equal && same(y.item()?, values[i]), "{name} of {x:?} alone: {y:?}, {d:?}");
        }
    }
    Ok(())
}

/// A formula that a seed makes: steps that each take what is there, and are kept within bounds by choices.
fn formula<R: Arithmetic + Sum>(seed: u64, x: &[R]) -> Vec<R> {
    let rng = &mut Random::new(seed);
    let mut pick = |n: usize| (rng.uniform() * n as f64) as usize % n;
    let mut all = x.to_vec();
    for _ in 0..40 {
        let z = match pick(12) {
            0 => {
                let terms: Vec<R> = (0..1 + pick(5)).map(|_| all[pick(all.len())]).collect();
                terms.into_iter().sum()
            }
            1 => {
                let [a, b] = [0, 1].map(|_| (0..3).map(|_| all[pick(all.len())]).collect::<Vec<R>>());
                R::dot(&a, &b)
            }
            2 => all[pick(all.len())].fixed() * R::constant(0.5),
            3 => all[pick(all.len())] + R::constant(pick(5) as f64),
            _ => {
                let (a, b) = (all[pick(all.len())], all[pick(all.len())]);
                function(pick(1 << 20), &[a, b])
            }
        };
        let low = z.abs().less_equal(R::constant(10.0)) & !z.equal(R::constant(0.0));
        all.push(R::select(low, z, R::constant(0.25) * all[pick(all.len())]));
    }
    // The same once more, which a program does only once.
    let again = all[4] * all[5] + all[4] * all[5];
    vec![all[all.len() - 1] + again, all[all.len() - 2], x[0], R::constant(2.5), all[all.len() - 1] + again]
}

#[test]
fn random_formulas_have_the_bits_of_plain_numbers_and_the_derivatives_of_a_tape() -> Result<()> {
    let mut used = 0;
    for seed in 0..300 {
        let program = ScalarProgram::new(3, |x| formula(seed, x))?;
        let rng = &mut Random::new(1000 + seed);
        let x = Tensor::from_fn([5, 3], |_| rng.uniform() * 4.0 - 2.0);
        let (values, slopes) = program.jacobian(&x)?;
        let (x, values, slopes) = (x.to_vec(), values.to_vec(), slopes.to_vec());
        for (run, x) in x.chunks(3).enumerate() {
            let alone = program.jacobian(&Tensor::from(x.to_vec()))?;
            let others = [&values[run * 5..][..5], &slopes[run * 15..][..15]].concat();
            let equal =
                [alone.0.to_vec(), alone.1.to_vec()].concat().iter().zip(others).all(|(&a, b)| same(a, b));
            assert!(equal, "seed {seed}, {x:?} alone");
            let plain = formula(seed, x);
            let (_, rows) = on_tape(x, |x| formula(seed, x))?;
            for (r, (y, row)) in plain.iter().zip(rows).enumerate() {
                let found = values[run * 5 + r];
                assert!(same(*y, found), "seed {seed}, result {r} of {x:?}: {found}, plain {y}");
                // A tape hands NaN on to what wasn't chosen, too: its statements know slopes alone.
                if row.iter().any(|d| !d.is_finite()) {
                    continue;
                }
                let found = &slopes[(run * 5 + r) * 3..][..3];
                for (a, b) in found.iter().zip(&row) {
                    let near = (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()));
                    assert!(
                        near || same(*a, *b) || a.abs() > 1e9,
                        "seed {seed}, {r} at {x:?}: {found:?}, {row:?}"
                    );
                    used += usize::from(*a != 0.0 && a.abs() < 1e9);
                }
            }
        }
    }
    assert!(used > 5000, "only {used} derivatives say anything");
    Ok(())
}

/// Points of a circle, a straight line of them, and what they have in common: blocks of every kind.
fn model<R: Arithmetic + Sum>(x: &[R]) -> Vec<R> {
    let [a, b, c] = [x[0], x[1], x[2]];
    let terms = (0..100).map(|i| {
        let t = R::constant(i as f64 * 0.07);
        let wave = (a * t + b).sin() * c;
        let part = x[3 + i * 7 % 20] * wave - x[3 + i % 20].exp() * R::constant(0.01);
        part * part
    });
    let terms: Vec<R> = terms.collect();
    let pairs = R::dot(&terms[..50], &terms[50..]);
    vec![terms.iter().copied().sum::<R>().log() + pairs, terms[3].maximum(terms[4])]
}

#[test]
fn an_input_has_the_same_bits_alone_and_among_others_and_on_any_number_of_threads() -> Result<()> {
    let program = ScalarProgram::new(23, |x| model(x))?;
    let rng = &mut Random::new(1);
    let all = Tensor::from_fn([700, 23], |_| rng.uniform() * 2.0 - 1.0);
    let weights = Tensor::from_fn([700, 2], |_| rng.uniform());
    let before = crate::runtime::num_threads();
    let mut found = Vec::new();
    for threads in [1, 3] {
        crate::runtime::set_num_threads(threads);
        let ((values, grads), (_, slopes)) = (program.vjp(&all, &weights)?, program.jacobian(&all)?);
        found.push([values.to_vec(), grads.to_vec(), slopes.to_vec(), program.run(&all)?.to_vec()]);
    }
    crate::runtime::set_num_threads(before);
    assert_eq!(found[0], found[1]);
    let [values, grads, slopes, alone] = &found[0];
    assert_eq!(values, alone);
    // Some at a time: other numbers of runs side by side.
    for n in [1, 2, 5, 40, 80, 130] {
        let (x, w) = (all.narrow(0, 13, n)?, weights.narrow(0, 13, n)?);
        assert_eq!(program.vjp(&x, &w)?.0.to_vec(), values[13 * 2..][..n * 2], "{n}");
        assert_eq!(program.vjp(&x, &w)?.1.to_vec(), grads[13 * 23..][..n * 23], "{n}");
        assert_eq!(program.jacobian(&x)?.1.to_vec(), slopes[13 * 46..][..n * 46], "{n}");
    }
    let x = all.narrow(0, 699, 1)?.reshape([23])?;
    let (y, jacobian) = program.jacobian(&x)?;
    assert_eq!((y.shape(), jacobian.shape()), (&[2].into(), &[2, 23].into()));
    assert_eq!((y.to_vec(), jacobian.to_vec()), (values[1398..].to_vec(), slopes[699 * 46..].to_vec()));
    // And those of plain numbers, and nearly of a tape.
    let (y, rows) = on_tape(&x.to_vec(), |x| model(x))?;
    assert_eq!(values[1398..], y);
    for (a, b) in jacobian.to_vec().iter().zip(rows.concat()) {
        assert!((a - b).abs() <= 1e-12 * (1.0 + b.abs()), "{a} {b}");
    }
    Ok(())
}

#[test]
fn what_no_result_needs_is_left_out_and_what_is_equal_is_done_once() -> Result<()> {
    let program = ScalarProgram::with_data(2, 1, |x, data| {
        let _ = x[1].exp();
        let y = x[0].sin() * data[0];
        vec![x[0].sin() * data[0] + y, (x[0] + 2.0).fixed(), x[1]]
    })?;
    assert_eq!(program.len(), 5); // sin, ·, +, +, fixed
    let text = "ScalarProgram { inputs: 3, results: 3, constants: 1, operations: 5, blocks: 5 }";
    assert_eq!(format!("{program:?}"), text);
    let (y, d) = program.jacobian(&Tensor::from(vec![0.5, 7.0, 3.0]))?;
    assert_eq!(y.to_vec(), [6.0 * Arithmetic::sin(0.5), 2.5, 7.0]);
    assert_eq!(d.to_vec(), [6.0 * Arithmetic::cos(0.5), 0.0, 0.0, 0.0, 0.0, 1.0]);
    // Again: nothing is left of the run before.
    assert_eq!(program.jacobian(&Tensor::from(vec![0.5, 7.0, 3.0]))?.1.to_vec(), d.to_vec());
    assert_eq!(program.run(&Tensor::zeros([0, 3]))?.shape(), &[0, 3]);
    let nothing = ScalarProgram::new(0, |_| vec![Arithmetic::constant(2.0)])?;
    assert!(nothing.is_empty() && nothing.run(&Tensor::zeros([4, 0]))?.to_vec() == [2.0; 4]);
    assert_eq!(nothing.value_and_grad(&Tensor::zeros([0]))?.1.numel(), 0);
    Ok(())
}

#[test]
fn what_a_program_can_not_do_is_told() -> Result<()> {
    let error = |made: Result<ScalarProgram>| made.unwrap_err().to_string();
    let line = line!() + 1;
    let read = ScalarProgram::new(1, |x| if x[0].primal() > 0.0 { vec![x[0]] } else { vec![-x[0]] });
    let read = error(read);
    assert!(read.contains("a value was read") && read.contains(&format!("tests.rs:{line}")), "{read}");
    assert!(error(ScalarProgram::new(1, |_| vec![])).contains("no result"));
    assert!(error(ScalarProgram::new(usize::MAX, |x| x.to_vec())).contains("more than there are places"));
    let outer = ScalarProgram::new(1, |outer| {
        let inner = ScalarProgram::new(1, |x| {
            let _ = x[0] * outer[0];
            x.to_vec()
        });
        assert!(error(inner).contains("a number of another program was used"));
        outer.to_vec()
    })?;
    let width = outer.run(&Tensor::zeros([3])).unwrap_err().to_string();
    assert!(width.contains("recorded with 1 inputs, so it takes [1] or [n, 1], not [3]"), "{width}");
    let program = ScalarProgram::new(2, |x| vec![x[0] * x[1]])?;
    let weights = program.vjp(&Tensor::zeros([4, 2]), &Tensor::zeros([3, 1])).unwrap_err().to_string();
    assert!(weights.contains("weights [3, 1] are neither one for each result, [1], nor"), "{weights}");
    Ok(())
}
