//! Runs a case and compares what it gives with what it must give: values, gradients by both kinds of sweep,
//! and gradients of gradients. Which library call a case stands for is left to the families.
use crate::{
    case::{Form, Out, Reader, Stop, wanted},
    dispatch,
    read::{Case, Stored},
};
use kolmo::{
    Float, Tape, Tensor, Var,
    tensor::{Element, Shape},
};
use serde_json::Value;
use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// How a case fared.
pub enum Verdict {
    Passed,
    /// Not meaningful in `f32`.
    Skipped,
    Unrepresentable(String),
    Unsupported(String),
    Failed(String),
}

/// One way to run the cases.
#[derive(Clone, Copy)]
pub struct Run {
    pub name: &'static str,
    pub check: fn(&Case) -> Verdict,
}

/// Every case is run in each of these ways; the first one counts as the case's own.
pub const RUNS: [Run; 3] = [
    Run { name: "f64", check: in_f64 },
    Run { name: "strided", check: strided },
    Run { name: "f32", check: in_f32 },
];

fn in_f64(case: &Case) -> Verdict {
    verdict(case, evaluate::<f64>(case, Form::default(), true), f64_bound)
}

/// The same with every operand a strided view.
fn strided(case: &Case) -> Verdict {
    if case.is_error() {
        return Verdict::Skipped;
    }
    verdict(case, evaluate::<f64>(case, Form { strided: true, ..Form::default() }, true), f64_bound)
}

/// Values and gradients in `f32`. A case is skipped where `f32` can't hold its numbers, or where rounding its
/// inputs to `f32` alone moves the result (computed in `f64`) further than the tolerance.
fn in_f32(case: &Case) -> Verdict {
    if case.is_error() || beyond_f32(case) {
        return Verdict::Skipped;
    }
    let found = verdict(case, evaluate::<f32>(case, Form::default(), false), f32_bound);
    if let Verdict::Failed(_) = found {
        let rounded = evaluate::<f64>(case, Form { rounded: true, ..Form::default() }, false);
        if let Verdict::Failed(_) = verdict(case, rounded, f32_bound)
            && let Verdict::Passed = verdict(case, evaluate::<f64>(case, Form::default(), false), f64_bound)
        {
            return Verdict::Skipped;
        }
    }
    found
}

/// Whether a finite number of the case is infinite in `f32`.
fn beyond_f32(case: &Case) -> bool {
    fn walk(case: &Case, item: &Value) -> bool {
        match (case.stored(item), item) {
            (Some(Stored::Floats(t)), _) => {
                t.to_vec().iter().any(|v| v.is_finite() && !(*v as f32).is_finite())
            }
            (None, Value::Array(items)) => items.iter().any(|i| walk(case, i)),
            (None, Value::Object(map)) => map.values().any(|i| walk(case, i)),
            _ => false,
        }
    }
    walk(case, &case.json)
}

/// What may be between a found and an expected number, given the largest magnitude expected in its tensor.
type Bound = fn(order: Order, expected: f64, largest: f64) -> f64;

#[derive(Clone, Copy, PartialEq)]
enum Order {
    First,
    Second,
}

fn f64_bound(order: Order, expected: f64, _: f64) -> f64 {
    match order {
        Order::First => 1e-9 + 1e-7 * expected.abs(),
        Order::Second => 1e-7 + 1e-5 * expected.abs(),
    }
}

fn f32_bound(_: Order, _: f64, largest: f64) -> f64 {
    1e-6 + 1e-4 * largest
}

/// A result as plain data.
enum Plain {
    Floats(Tensor<f64>),
    Ints(Tensor<i64>),
    Bools(Tensor<bool>),
    Num(f64),
}

/// What a case gave.
#[derive(Default)]
struct Found {
    outputs: Vec<Plain>,
    /// By a sweep that is recorded, and by the plain one.
    grads: [Vec<Tensor<f64>>; 2],
    second: Option<Vec<Tensor<f64>>>,
    /// For operations that order elements: what `ties` needs.
    ordered: Option<(Tensor<f64>, isize)>,
}

fn evaluate<T: Float>(case: &Case, form: Form, second: bool) -> Result<Found, Stop> {
    guarded(|| {
        let tape = Tape::<T>::new();
        let mut reader = Reader::new(case, &tape, form);
        let call = reader.call();
        let outs = dispatch(&call)?;
        let mut found = Found::default();
        for out in &outs {
            found.outputs.push(match out {
                Out::Var(v) => Plain::Floats(v.value()?.cast()),
                Out::Ints(t) => Plain::Ints(t.clone()),
                Out::Bools(t) => Plain::Bools(t.clone()),
                Out::Num(v) => Plain::Num(*v),
            });
        }
        if let Ok(x) = call.var(0, "input") {
            // Where the axis stands among the arguments.
            let dim = match case.op.as_str() {
                "topk" | "kthvalue" => call.int(2, "dim", -1),
                "msort" => Ok(0),
                _ => call.int(1, "dim", -1),
            };
            found.ordered = Some((x.value()?.cast(), dim.unwrap_or(-1)));
        }
        let inputs = reader.inputs();
        if case.is_error() || inputs.is_empty() {
            return Ok(found);
        }
        let refs: Vec<&Var<'_, T>> = inputs.iter().collect();
        let cotangents = case.items("cotangents");
        let weighted = outs.iter().enumerate().filter_map(|(i, out)| match (out, cotangents.get(i)) {
            (Out::Var(y), Some(item)) => Some((y, reader.constant(item)?)),
            (Out::Var(y), None) if case.json.get("cotangent").is_some() => {
                Some((y, reader.constant(&case.json["cotangent"])?))
            }
            (Out::Var(y), None) => Some((y, tape.constant(Tensor::ones(y.shape())))),
            _ => None,
        });
        let total = weighted.map(|(y, c)| (y * c).sum()).reduce(|a, b| a + b);
        let Some(total) = total else { return Ok(found) };
        let grads = total.grad(&refs)?;
        let plain = |v: &Var<'_, T>| Ok::<_, kolmo::Error>(v.value()?.cast::<f64>());
        found.grads[0] = grads.iter().map(plain).collect::<Result<_, _>>()?;
        found.grads[1] = if total.is_recorded() {
            let swept = total.backward_retain_graph()?;
            let zeros = |x: &Var<'_, T>| Tensor::zeros(x.shape());
            refs.iter().map(|x| swept.get(x).map_or_else(|| zeros(x), Tensor::cast)).collect()
        } else {
            found.grads[0].clone()
        };
        let directions = case.items("u");
        if second && !directions.is_empty() {
            let along = grads.iter().zip(directions);
            let along = along.filter_map(|(g, u)| Some((g * reader.constant(u)?).sum())).reduce(|a, b| a + b);
            if let Some(along) = along {
                let grads2 = along.grad(&refs)?;
                found.second = Some(grads2.iter().map(plain).collect::<Result<_, _>>()?);
            }
        }
        Ok(found)
    })
}

thread_local!(static PANIC: RefCell<String> = const { RefCell::new(String::new()) });

/// Keeps panics from being printed where they happen; `guarded` reports them.
pub fn hush_panics() {
    std::panic::set_hook(Box::new(|info| {
        PANIC.with(|p| p.replace(info.to_string()));
    }));
}

/// A panic is the reason of a failure, not the end of the run.
fn guarded(f: impl FnOnce() -> Result<Found, Stop>) -> Result<Found, Stop> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| Err(Stop::Panicked(PANIC.with(|p| p.take()))))
}

fn verdict(case: &Case, found: Result<Found, Stop>, bound: Bound) -> Verdict {
    match found {
        Err(Stop::Panicked(why)) => Verdict::Failed(why),
        Err(Stop::Unrepresentable(why)) => Verdict::Unrepresentable(why),
        Err(Stop::Unsupported(why)) => Verdict::Unsupported(why),
        Err(Stop::Failed(_)) if case.is_error() => Verdict::Passed,
        Err(Stop::Failed(error)) => Verdict::Failed(format!("error: {error}")),
        Ok(_) if case.is_error() => {
            Verdict::Failed(format!("gave a result; PyTorch says: {}", case.json["torch_says"]))
        }
        Ok(found) => match compare(case, &found, bound) {
            Ok(()) => Verdict::Passed,
            Err(difference) => Verdict::Failed(difference),
        },
    }
}

fn compare(case: &Case, found: &Found, bound: Bound) -> Result<(), String> {
    let mut expected = Vec::new();
    case.items("outputs").iter().for_each(|item| flatten(item, &mut expected));
    if let Some(after) = case.json.get("buffers_after") {
        flatten(after, &mut expected);
    }
    if expected.len() != found.outputs.len() {
        return Err(format!("{} outputs, expected {}", found.outputs.len(), expected.len()));
    }
    for (i, (item, output)) in expected.iter().zip(&found.outputs).enumerate() {
        let what = format!("output {i}");
        match (output, case.stored(item)) {
            (Plain::Floats(t), Some(Stored::Floats(e))) => floats(&what, t, e, Order::First, bound)?,
            (Plain::Ints(t), Some(Stored::Ints(e))) => {
                exact(&what, t, e).or_else(|why| if ties(case, found, t, e) { Ok(()) } else { Err(why) })?
            }
            // Counts that the reference keeps as floats.
            (Plain::Ints(t), Some(Stored::Floats(e))) => exact(&what, &t.cast::<f64>(), e)?,
            (Plain::Bools(t), Some(Stored::Bools(e))) => exact(&what, t, e)?,
            (Plain::Num(v), Some(Stored::Floats(e))) if e.rank() == 0 => {
                floats(&what, &Tensor::scalar(*v), e, Order::First, bound)?
            }
            (Plain::Num(v), None) => {
                let e = item.as_f64().or_else(|| item["float"].as_str()?.parse().ok());
                let e = Tensor::scalar(e.ok_or_else(|| format!("{what} is a number, expected {item}"))?);
                floats(&what, &Tensor::scalar(*v), &e, Order::First, bound)?
            }
            _ => return Err(format!("{what} has not the type of {item}")),
        }
    }
    let wanted = wanted(case);
    // Which of equal elements comes first is open, and with it which of them has which gradient.
    let tied = found.ordered.as_ref().filter(|_| orders(case));
    for (name, grads) in [("recorded gradient", &found.grads[0]), ("gradient", &found.grads[1])] {
        if found.grads[0].is_empty() {
            break;
        }
        for ((input, item), grad) in wanted.iter().zip(grads) {
            let what = format!("{name} of {}", input.rsplit('/').next().unwrap_or(input));
            match (tied, case.stored(item)) {
                (Some((x, dim)), Some(Stored::Floats(expected))) => {
                    let (grad, expected) = (among_equals(x, *dim, grad), among_equals(x, *dim, expected));
                    floats(&what, &grad, &expected, Order::First, bound)?;
                }
                _ => gradient(case, &what, grad, item, Order::First, bound)?,
            }
        }
    }
    if let Some(second) = &found.second {
        for (((input, _), item), grad) in wanted.iter().zip(case.items("grads2")).zip(second) {
            let what = format!("second-order gradient of {}", input.rsplit('/').next().unwrap_or(input));
            gradient(case, &what, grad, item, Order::Second, bound)?;
        }
    }
    Ok(())
}

/// The leaves of nested lists and dictionaries.
fn flatten(item: &Value, leaves: &mut Vec<Value>) {
    match item {
        Value::Array(items) => items.iter().for_each(|i| flatten(i, leaves)),
        Value::Object(map) if !map.contains_key("t") && !map.contains_key("float") => {
            map.values().for_each(|i| flatten(i, leaves));
        }
        leaf => leaves.push(leaf.clone()),
    }
}

/// No expected gradient means no dependence: zeros are as good.
fn gradient(
    case: &Case,
    what: &str,
    found: &Tensor<f64>,
    item: &Value,
    order: Order,
    bound: Bound,
) -> Result<(), String> {
    match case.stored(item) {
        Some(Stored::Floats(expected)) => floats(what, found, expected, order, bound),
        Some(_) => Err(format!("{what}: the expected gradient is no tensor of floats")),
        None => floats(what, found, &Tensor::zeros(found.shape()), order, bound),
    }
}

fn floats(
    what: &str,
    found: &Tensor<f64>,
    expected: &Tensor<f64>,
    order: Order,
    bound: Bound,
) -> Result<(), String> {
    same_shape(what, found.shape(), expected.shape())?;
    let (f, e) = (found.to_vec(), expected.to_vec());
    let largest = e.iter().filter(|v| v.is_finite()).fold(0.0f64, |m, v| m.max(v.abs()));
    // The worst by how far it is beyond its bound; NaN and infinity must be what they are.
    let excess = |f: f64, e: f64| match f == e || (f.is_nan() && e.is_nan()) {
        true => 0.0,
        false if !f.is_finite() || !e.is_finite() => f64::INFINITY,
        false => (f - e).abs() / bound(order, e, largest),
    };
    let worst = (0..f.len()).max_by(|&i, &j| excess(f[i], e[i]).total_cmp(&excess(f[j], e[j])));
    match worst.filter(|&i| excess(f[i], e[i]) > 1.0) {
        Some(i) => Err(format!(
            "{what} of shape {} at {}: {}, expected {}",
            found.shape(),
            at(i, found.shape()),
            f[i],
            e[i]
        )),
        None => Ok(()),
    }
}

fn exact<V: Element>(what: &str, found: &Tensor<V>, expected: &Tensor<V>) -> Result<(), String> {
    same_shape(what, found.shape(), expected.shape())?;
    let (f, e) = (found.to_vec(), expected.to_vec());
    match (0..f.len()).find(|&i| f[i] != e[i]) {
        Some(i) => Err(format!("{what} at {}: {:?}, expected {:?}", at(i, found.shape()), f[i], e[i])),
        None => Ok(()),
    }
}

fn same_shape(what: &str, found: &Shape, expected: &Shape) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} has shape {found}, expected {expected}")) }
}

/// The place of the i-th element as a list of indices.
fn at(mut i: usize, shape: &Shape) -> Shape {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let k = i % size.max(1);
            i /= size.max(1);
            k
        })
        .collect();
    index.reverse();
    Shape::from(index)
}

/// Whether the operation puts elements in an order, in which equal ones have no fixed place.
fn orders(case: &Case) -> bool {
    ["sort", "argsort", "topk", "msort", "kthvalue"].contains(&case.op.as_str())
}

/// Gradients `g` of the elements of `x`, in ascending order among those that are equal on a line along the
/// axis.
fn among_equals(x: &Tensor<f64>, dim: isize, g: &Tensor<f64>) -> Tensor<f64> {
    if x.rank() == 0 || g.shape() != x.shape() {
        return g.clone();
    }
    let (lines, grads) = (x.transpose(dim, -1).unwrap_or_else(|_| x.clone()), g.transpose(dim, -1));
    let lines = lines.to_vec();
    let Ok(grads) = grads else { return g.clone() };
    let (shape, mut grads) = (grads.shape().clone(), grads.to_vec());
    let n = shape.last().copied().unwrap_or(1).max(1);
    for (line, grads) in lines.chunks(n).zip(grads.chunks_mut(n)) {
        let mut order: Vec<usize> = (0..line.len()).collect();
        order.sort_by(|&i, &j| line[i].total_cmp(&line[j]));
        for group in order.chunk_by(|&i, &j| line[i] == line[j]) {
            let mut places = group.to_vec();
            places.sort();
            let mut own: Vec<f64> = places.iter().map(|&i| grads[i]).collect();
            own.sort_by(f64::total_cmp);
            places.iter().zip(own).for_each(|(&i, g)| grads[i] = g);
        }
    }
    let sorted = Tensor::new(shape, grads).and_then(|t| t.transpose(dim, -1));
    sorted.unwrap_or_else(|_| g.clone())
}

/// Whether indices of operations that order elements differ from the expected only among equal elements.
fn ties(case: &Case, found: &Found, indices: &Tensor<i64>, expected: &Tensor<i64>) -> bool {
    let Some((x, dim)) =
        found.ordered.as_ref().filter(|_| orders(case) && indices.shape() == expected.shape())
    else {
        return false;
    };
    let axis = dim.rem_euclid(x.rank().max(1) as isize) as usize;
    (0..indices.numel()).all(|i| {
        let mut place = at(i, indices.shape()).to_vec();
        let mut value = |k: i64| {
            if let Some(slot) = place.get_mut(axis) {
                *slot = k as usize;
            }
            x.get(&place).map(f64::to_bits)
        };
        value(indices.to_vec()[i]) == value(expected.to_vec()[i])
    })
}
