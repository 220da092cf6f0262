//! A program run by the crate, compared with its definition, and made smaller where both differ.
use super::{
    arr::Arr,
    number::{N, margin},
    program::{Gen, Program, V, What},
};
use kolmo::{Tape, Tensor, runtime::set_num_threads};
use std::{
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Relative to the largest magnitude there is in what is compared: rounding errors of a few dozen operations,
/// each well conditioned, remain far below.
const VALUE: f64 = 1e-9;
const FIRST: f64 = 1e-7;
const SECOND: f64 = 1e-5;
/// A result that moves by more than the tolerance when its inputs move by this is ill conditioned.
const SHAKE: f64 = 1e-12;

pub enum Verdict {
    Passed,
    /// Ill conditioned.
    Skipped,
    Failed(String),
}

/// All that the crate has to say about a program.
struct Ran {
    values: Vec<(Vec<usize>, Vec<f64>)>,
    /// Gradients of the inputs: as a program, as plain tensors, and of `Σ gradient · direction`.
    first: Vec<Vec<f64>>,
    eager: Vec<Vec<f64>>,
    second: Vec<Vec<f64>>,
}

impl Ran {
    fn bits(&self) -> Vec<u64> {
        let lists =
            self.values.iter().map(|v| &v.1).chain(&self.first).chain(&self.eager).chain(&self.second);
        // One NaN is as good as another.
        let bits = |x: &f64| if x.is_nan() { f64::NAN } else { *x }.to_bits();
        lists.flat_map(|l| l.iter().map(bits)).collect()
    }
}

fn tensor(x: &Arr, part: impl Fn(&N) -> f64) -> Tensor<f64> {
    Tensor::from_fn(&x.shape[..], |i| part(&x.data[i]))
}

fn text(e: kolmo::Error) -> String {
    e.to_string()
}

fn run(p: &Program, threads: usize) -> Result<Ran, String> {
    set_num_threads(threads);
    let tape = Tape::<f64>::new();
    let (mut vars, mut inputs, mut directions): (Vec<V>, Vec<usize>, Vec<V>) = Default::default();
    let mut values = Vec::new();
    for (i, s) in p.statements.iter().enumerate() {
        let var = match &s.what {
            What::Input(x) => {
                inputs.push(i);
                directions.push(tape.constant(tensor(x, |x| x.a)));
                tape.input(tensor(x, |x| x.v))
            }
            What::Constant(x) => tape.constant(tensor(x, |x| x.v)),
            What::Operation { operands, call, .. } => {
                call(&operands.iter().map(|&o| vars[o].clone()).collect::<Vec<_>>())
            }
        };
        let value = var.value().map_err(|e| format!("%{i} is refused: {e}"))?;
        values.push((value.shape().to_vec(), value.to_vec()));
        vars.push(var);
    }
    let mut loss = tape.constant(0.0);
    for (i, w) in &p.loss {
        let w = Tensor::new(vars[*i].shape().clone(), w.clone()).map_err(|e| format!("%{i}: {e}"))?;
        loss = loss + (&vars[*i] * tape.constant(w)).sum();
    }
    let inputs: Vec<&V> = inputs.iter().map(|&i| &vars[i]).collect();
    let mut ran = Ran { values, first: vec![], eager: vec![], second: vec![] };
    if !loss.is_recorded() {
        return Ok(ran);
    }
    let lists = |vars: &[V]| vars.iter().map(|v| v.to_vec().map_err(text)).collect::<Result<Vec<_>, _>>();
    if !p.first_only {
        let first = loss.grad(&inputs).map_err(|e| format!("gradient: {e}"))?;
        ran.first = lists(&first)?;
        let mut along = tape.constant(0.0);
        for (g, d) in first.iter().zip(&directions) {
            along = along + (g * d).sum();
        }
        if along.is_recorded() {
            ran.second = lists(&along.grad(&inputs).map_err(|e| format!("second order: {e}"))?)?;
        }
    }
    let grads = loss.backward().map_err(|e| format!("backward: {e}"))?;
    ran.eager = inputs.iter().map(|x| grads.get(x).map_or(vec![0.0; x.numel()], |g| g.to_vec())).collect();
    Ok(ran)
}

thread_local! {
    /// A hash of all that programs computed (FNV-1a).
    static BITS: Cell<u64> = const { Cell::new(0xcbf2_9ce4_8422_2325) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps panics off the terminal: they are reasons of failures.
pub fn hush_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANIC.with(|p| p.replace(info.to_string()));
    }));
}

fn guarded(p: &Program, threads: usize) -> Result<Ran, String> {
    catch_unwind(AssertUnwindSafe(|| run(p, threads)))
        .unwrap_or_else(|_| Err(format!("panicked: {}", PANIC.with(|p| p.take()))))
}

/// The largest magnitude; what is smaller than this came about by cancellation.
fn largest(x: &[N]) -> f64 {
    x.iter().fold(1e-3, |m, x| m.max(x.v.abs()))
}

/// `Σ gradient · direction` and the sum of its terms' magnitudes.
fn along(p: &Program, gradients: &[Vec<f64>], direction: impl Fn(&N) -> f64) -> (f64, f64) {
    let inputs =
        p.statements.iter().filter_map(|s| if let What::Input(x) = &s.what { Some(x) } else { None });
    let terms = inputs.zip(gradients).flat_map(|(x, g)| x.data.iter().zip(g).map(|(x, g)| direction(x) * g));
    terms.fold((0.0, 1e-3), |(sum, size), t| (sum + t, size + t.abs()))
}

/// A hash of all that was computed so far, to the last bit.
pub fn bits() -> u64 {
    BITS.get()
}

/// Compares one program with its definition, on one thread and on three.
pub fn check(p: &Program) -> Verdict {
    match difference(p) {
        None => Verdict::Passed,
        Some((_, true)) => Verdict::Skipped,
        Some((why, false)) => Verdict::Failed(why),
    }
}

/// What differs, and whether that is because the program is ill conditioned.
fn difference(p: &Program) -> Option<(String, bool)> {
    let (values, loss) = p.evaluate(0.0);
    let ran = match guarded(p, 1) {
        Ok(ran) => ran,
        Err(why) => return Some((why, false)),
    };
    let shaken = || p.evaluate(SHAKE);
    for (i, (value, (shape, found))) in values.iter().zip(&ran.values).enumerate() {
        if *shape != value.shape {
            return Some((format!("%{i} has shape {shape:?}, not {:?}", value.shape), false));
        }
        let bound = VALUE * largest(&value.data);
        for (k, (wanted, found)) in value.data.iter().zip(found).enumerate() {
            // NaN is no small difference.
            if !((wanted.v - found).abs() <= bound) {
                let moved = (shaken().0[i].data[k].v - wanted.v).abs();
                return Some((format!("%{i}, element {k}: {found:?}, not {:?}", wanted.v), moved > bound));
            }
        }
    }
    let mut orders = vec![
        ("gradient by backward()", &ran.eager, FIRST, loss.a, 0),
        ("the same", &ran.eager, FIRST, loss.b, 1),
    ];
    if !p.first_only {
        orders.push(("gradient by grad()", &ran.first, FIRST, loss.a, 0));
        orders.push(("second order", &ran.second, SECOND, loss.ab, 2));
    }
    for (what, gradients, tolerance, wanted, which) in orders {
        let (found, size) = along(p, gradients, |x| if which == 0 { x.a } else { x.b });
        let bound = tolerance * size.max(wanted.abs());
        if !((found - wanted).abs() <= bound) {
            let moved = shaken().1;
            let moved = ([moved.a, moved.b, moved.ab][which] - wanted).abs();
            return Some((format!("{what} along a direction: {found:?}, not {wanted:?}"), moved > bound));
        }
    }
    let three = match guarded(p, 3) {
        Ok(three) => three,
        Err(why) => return Some((format!("on three threads: {why}"), false)),
    };
    let (one, three) = (ran.bits(), three.bits());
    BITS.set(one.iter().fold(BITS.get(), |hash, bits| (hash ^ bits).wrapping_mul(0x0100_0000_01b3)));
    (one != three).then(|| ("one thread and three give other bits".to_string(), false))
}

/// Whether a smaller program differs, too, without being near a kink.
fn still(p: &Program) -> bool {
    margin();
    p.evaluate(0.0);
    margin() >= 1e-5 && matches!(difference(p), Some((_, false)))
}

/// The smallest program found that still differs: fewer values in the loss, fewer statements, fewer inputs.
pub fn shrink(program: &Program) -> Program {
    let mut p = program.pruned();
    if !still(&p) {
        return program.clone();
    }
    let mut rng = Gen::new(1, 3);
    // One value alone in the loss, the earliest for which it differs.
    for i in 0..p.statements.len() {
        let count: usize = p.statements[i].shape.iter().product();
        let weights = (0..count).map(|_| rng.real(-1.0, 1.0)).collect();
        let q = Program { loss: vec![(i, weights)], ..p.clone() }.pruned();
        if still(&q) {
            p = q;
            break;
        }
    }
    // A statement's result as an input: what came before it isn't needed then.
    let mut i = p.statements.len();
    while i > 0 {
        i -= 1;
        if i >= p.statements.len() || matches!(p.statements[i].what, What::Constant(_)) {
            continue;
        }
        let (values, _) = p.evaluate(0.0);
        let fixed = values[i].map(|x| N { a: 0.0, b: 0.0, ab: 0.0, ..x });
        let free = Arr::new(
            &fixed.shape,
            fixed.data.iter().map(|x| N { a: rng.real(-1.0, 1.0), b: rng.real(-1.0, 1.0), ..*x }).collect(),
        );
        for (what, text) in [(What::Constant(fixed), "constant"), (What::Input(free), "input")] {
            if matches!((&p.statements[i].what, &what), (What::Input(_), What::Input(_))) {
                continue;
            }
            let mut q = p.clone();
            q.statements[i].what = what;
            q.statements[i].text = text.into();
            let q = q.pruned();
            if still(&q) {
                i = i.min(q.statements.len());
                p = q;
                break;
            }
        }
    }
    p
}

/// A listing with the values of small leaves, and what differs.
pub fn report(p: &Program) -> String {
    let mut text = p.listing();
    for (i, s) in p.statements.iter().enumerate() {
        if let What::Input(x) | What::Constant(x) = &s.what
            && x.data.len() <= 24
        {
            text += &format!("\n    %{i}: {:?}", x.data.iter().map(|x| x.v).collect::<Vec<_>>());
        }
    }
    match difference(p) {
        Some((why, _)) => text + "\n    " + &why,
        None => text,
    }
}
