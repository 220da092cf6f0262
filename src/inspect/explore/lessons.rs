//! Short lessons, each on a small tape that is recorded when the page is written.
use super::data::Data;
use crate::{
    autodiff::Block,
    error::Result,
    param::Param,
    real::Arithmetic,
    tape::{Tape, Var},
    tensor::Tensor,
};
use serde::Serialize;

/// This file: the programs of the lessons are shown beside their rows.
const SOURCE: (&str, &str) = (file!(), include_str!("lessons.rs"));

#[derive(Debug, Serialize)]
pub(super) struct Lesson {
    /// Paragraphs; `%3` leads to that row.
    text: Vec<String>,
    tape: Data,
}

type Program = fn(&Tape<f64>) -> Result<()>;

/// What there is of a lesson: title, text, program, and the chapter of `docs/course` that it belongs to.
type Outline = (&'static str, &'static [&'static str], Program, &'static str);

const LESSONS: [Outline; 13] = [
    ("A tape is a list", LIST, list, "02-a-tape-of-scalars"),
    ("The sweep is one formula", SWEEP, sweep, "03-the-reverse-sweep"),
    ("A shared input accumulates", SHARED, shared, "questions"),
    ("Each sweep begins at zero", ZERO, zero, "questions"),
    ("Why reverse", REVERSE, reverse, "questions"),
    ("exp keeps its output", KEEPS, keeps, "05-rules-as-programs"),
    ("Broadcasting sums back", BROADCAST, broadcast, "04-tensors-and-broadcasting"),
    ("One product, two products back", PRODUCT, product, "04-tensors-and-broadcasting"),
    ("A kink has many slopes", KINK, kink, "questions"),
    ("A checkpoint runs again", CHECKPOINT, checkpoint, "07-memory-and-reset"),
    ("Hessian times vector: a second sweep", SECOND, second, "06-gradients-of-gradients"),
    ("One turn each", ORDER, order, "03-the-reverse-sweep"),
    ("The order of a sum is in its digits", DIGITS, digits, "questions"),
];

/// All lessons, recorded anew.
pub(super) fn all() -> Result<Vec<Lesson>> {
    let source = [(SOURCE.0.to_string(), SOURCE.1.to_string())];
    let lesson = |&(title, text, program, chapter): &Outline| {
        let tape = Tape::new();
        tape.set_observing(true);
        program(&tape)?;
        let seen = tape.observation();
        let more = format!("More on this in the course: docs/course/{chapter}.md in kolmo's repository.");
        let text = text.iter().map(|paragraph| paragraph.to_string()).chain([more]).collect();
        Ok(Lesson { text, tape: Data::of(title, &tape, &seen, &source) })
    };
    LESSONS.iter().map(lesson).collect()
}

const LIST: &[&str] = &[
    "Each operation that ran left one row, in the order in which it ran. %1 and %2 are inputs, %3 is their product, and so on down to the result %5.",
    "Step with → and watch the values fill in. A row knows two things: which rows it read, and how its value changes with each of them, a plain number beside each operand.",
    "That is all. Loops, branches and functions leave no trace but the rows of what they did. So one sweep over a list can differentiate any program.",
];

fn list(tape: &Tape<f64>) -> Result<()> {
    let (x, y) = (tape.scalar(2.0), tape.scalar(3.0));
    let z = (x * y).sin() + x;
    z.backward().map(drop)
}

const SWEEP: &[&str] = &[
    "The adjoint v̄ of a row is the derivative of the result with respect to the row's value. The result's own adjoint is 1: that is the seed.",
    "Now walk upwards. A row whose adjoint is known adds v̄ᵢ · ∂φᵢ/∂vⱼ to the adjoint of each row that it read. It is the chain rule, one link at a time.",
    "When the walk comes to a row, every row that read it lies below and has had its turn. So its adjoint is complete, and the order of recording, turned round, is always a right order.",
    "Switch on “predict” and work out the adjoints of %3, %2 and %1 yourself.",
];

fn sweep(tape: &Tape<f64>) -> Result<()> {
    let x = tape.scalar(0.5);
    let y = (x * 3.0).square().log();
    y.backward().map(drop)
}

const SHARED: &[&str] = &[
    "x is read three times: twice by %2 = x · x, once by %3. Three paths lead from x to the result, and the derivative is the sum over all of them.",
    "The sweep needs no list of paths. %3 adds 1 to x̄. Then %2 adds 3 for its first operand and 3 for its second: 1 + 3 + 3 = 7, which is 2x + 1.",
    "This is what the plus in v̄ⱼ += … is for. A rule that wrote v̄ⱼ = … would be right on every program that uses each value once, and wrong on all others.",
];

fn shared(tape: &Tape<f64>) -> Result<()> {
    let x = tape.scalar(3.0);
    let y = x * x + x;
    y.backward().map(drop)
}

const ZERO: &[&str] = &[
    "Two losses of one number: %3 = (x − 3)² and %5 = (x − 1)², with derivatives −6 and −2 at x = 0. Which does x̄ become?",
    "In PyTorch a gradient is kept inside the parameter. A sweep from one loss leaves −6 there; a sweep from the other, in the next step, finds it and adds: −8. Within a sweep that is right, as uses add up. Between steps it is wrong, and zero_grad has to come in between.",
    "Here the adjoints belong to a sweep, and the gradients are what it returns. This page shows the second one, from %5, on a tape that was swept from %3 before: step to the end, and x̄ is −2. The rows of the first loss have adjoint 0: of the sweep from %3 nothing is left.",
    "So there is nothing to clear and nothing to forget. Who wants the sum says so: add the losses, or the gradients.",
];

fn zero(tape: &Tape<f64>) -> Result<()> {
    let x = tape.scalar(0.0);
    let first = (x - 3.0).square();
    let second = (x - 1.0).square();
    let _ = first.backward()?;
    second.backward().map(drop)
}

const REVERSE: &[&str] = &[
    "Five inputs, one result. One sweep, as long as the program itself, gave the derivative with respect to every input.",
    "The other direction asks: when this one input moves, how does everything below move? It takes a whole run for each input. The differences in an opened row do that, and even two runs for each.",
    "A network has a million inputs, its weights, and one result, its loss. That is why training goes in reverse. With one input and a million results, forward would win.",
    "The multiplications are a loop in the program: fold “by loop” shows it as one.",
];

fn reverse(tape: &Tape<f64>) -> Result<()> {
    let x = tape.scalars(&[0.5, 1.5, 2.0, -1.0, 3.0]);
    let mut y = x[0];
    for &factor in &x[1..] {
        y *= factor;
    }
    y.backward().map(drop)
}

const KEEPS: &[&str] = &[
    "A rule reads values that are long computed. They must be kept until the sweep comes by: that is where the memory of training goes.",
    "%2 = exp keeps its result, since the derivative of eᵃ is eᵃ: 800 bytes. %3 = sin needs its operand, but that is the very same tensor: nothing more is kept.",
    "%4 multiplies by a number, which the operation itself knows, and %5 sums: nothing is kept for either. Look at the memory curve: it rises once and falls when the sweep has passed %2.",
];

fn keeps(tape: &Tape<f64>) -> Result<()> {
    let x = tape.input(Tensor::linspace(-1.0, 1.0, 100));
    let y = x.exp().sin() * 2.0;
    y.sum().backward().map(drop)
}

const BROADCAST: &[&str] = &[
    "%3 adds a row of four numbers to each row of a matrix: b is used three times, once for each row.",
    "So its adjoint is a sum of three parts, as with any shared input: the adjoint of the result, summed over the axis along which b was repeated.",
    "The rule: what is copied on the way down is summed on the way up. The shapes say it all: an adjoint always has the shape of its value.",
];

fn broadcast(tape: &Tape<f64>) -> Result<()> {
    let x = tape.input([[1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 0.0, -1.0], [2.0, -2.0, 1.0, 0.5]]);
    let b = tape.input([0.1, 0.2, 0.3, 0.4]);
    let y = (&x + &b).square();
    y.sum().backward().map(drop)
}

const PRODUCT: &[&str] = &[
    "%3 = x · w, with shapes [3, 4] and [4, 2]. Its adjoint has its own shape, [3, 2].",
    "What can x̄ be? It has shape [3, 4] and is made of ȳ [3, 2] and w [4, 2]: only ȳ · wᵀ fits. And w̄, [4, 2], of x and ȳ: xᵀ · ȳ.",
    "So the way back costs two products where the way down took one, and a training step about three times the work of a prediction. Both operands are kept, each for the other's derivative.",
];

fn product(tape: &Tape<f64>) -> Result<()> {
    let x = tape.input(Tensor::from_fn([3, 4], |i| Arithmetic::sin(i as f64)));
    let w = tape.input(Tensor::from_fn([4, 2], |i| Arithmetic::cos(i as f64)));
    let y = x.matmul(&w).tanh();
    y.sum().backward().map(drop)
}

const KINK: &[&str] = &[
    "relu has no derivative at 0: to the left the slope is 0, to the right 1. Any number between is a subgradient, and the rule takes 0. %1 is exactly 0, so %2 has a badge.",
    "Open %1: the rule says 1, all of it from %4, since relu passes nothing on. The differences say 3: they look at both sides, take ½ for relu, and 4 · ½ + 1 = 3. Both are right in their way.",
    "In training it hardly matters, as it happens to few elements. Where it happens to many, as after initialising with zeros, whole units get no gradient.",
];

fn kink(tape: &Tape<f64>) -> Result<()> {
    let x = tape.scalar(0.0);
    let y = x.relu() * 4.0 + x;
    y.backward().map(drop)
}

const CHECKPOINT: &[&str] = &[
    "The same block of three operations is used twice. First plainly: three rows, and each keeps a tensor.",
    "The second time inside a checkpoint: one row, %5, which keeps what went in and nothing else, and %4 is kept already. In the sweep the block is run again on a tape of its own, and that is swept.",
    "The times show what it costs: one more run of the block. The memory curve shows what it saves: it rises for the first three rows and not for %5. The spike in the sweep is the moment in which the block runs again, and its own tape holds what one block keeps. So a network of n steps, cut into √n blocks, needs about 2√n activations and not n: the inputs of all blocks, and one block whole.",
];

/// The block of the lesson on checkpoints.
struct Curved;

impl Block<f64> for Curved {
    fn params(&self) -> Vec<Param<f64>> {
        Vec::new()
    }
    fn forward<'t>(&self, x: &[Var<'t, f64>]) -> Var<'t, f64> {
        x[0].sin().square().tanh()
    }
}

fn checkpoint(tape: &Tape<f64>) -> Result<()> {
    let x = tape.input(Tensor::linspace(-2.0, 2.0, 200));
    let plain = x.sin().square().tanh();
    let again = tape.checkpoint(Curved, &[&plain]);
    again.sum().backward().map(drop)
}

const SECOND: &[&str] = &[
    "The rules are programs over the tape. Asked for a gradient that can be differentiated again, the sweep records what it does: the rows in the scope “gradient” are the derivative of Σ x³, written by the rules.",
    "Their result is multiplied by a vector v and summed: g(x) · v, one number. Its gradient is H · v, the Hessian times v, and the Hessian itself is never built.",
    "The sweep over this tape starts at the last row, passes the first sweep's rows and ends at x. Here H is diagonal with 6x, so x̄ = 6x · v. No second set of rules was needed.",
];

fn second(tape: &Tape<f64>) -> Result<()> {
    let x = tape.input([1.0, 2.0, 3.0]);
    let y = (&x * &x * &x).sum();
    let g = tape.scope("gradient", || y.grad(&[&x]))?.remove(0);
    let v = tape.constant([1.0, 0.0, -1.0]);
    (g * v).sum().backward().map(drop)
}

const ORDER: &[&str] = &[
    "%2 = %1 + %1, and %3 = %2 + %2: a number doubled twice, so the derivative is 4. Why does the sweep go row by row, and not straight on from each operand to its own operands?",
    "Try it. %3 gives 1 to %2, which at once gives 1 and 1 to %1. Then %3 gives its second 1 to %2, which holds 2 now and gives 2 and 2: %1 has 6. The first part was handed on twice.",
    "A row may hand on what it has only when all that read it have had their turn: that is a topological order, and the tape turned round is one. Handing on each part by itself would be right as well, but sixty such rows have 2⁶⁰ paths, and only 60 turns.",
];

fn order(tape: &Tape<f64>) -> Result<()> {
    let a = tape.scalar(1.0);
    let b = a + a;
    let c = b + b;
    c.backward().map(drop)
}

const DIGITS: &[&str] = &[
    "%1 + %2 + %3 is added in two orders. In %4 the 1 meets 10¹⁶ first. A float of 64 bits has 16 digits, and the 1 is rounded away: %5 is 0. In %6 the large numbers cancel first, and %7 is 1.",
    "The derivatives know nothing of it: each input has slope 1 in both sums, and %8 adds them. Rounding is no step of the program that could have a rule.",
    "A float of 32 bits has 7 digits, so the same happens with everyday numbers. Two libraries that add in different orders differ in the last digits, and both are right. kolmo's order depends on shapes alone, so the same program gives the same bits on any number of threads.",
];

fn digits(tape: &Tape<f64>) -> Result<()> {
    let (large, less, one) = (tape.scalar(1e16), tape.scalar(-1e16), tape.scalar(1.0));
    let lost = (large + one) + less;
    let kept = (large + less) + one;
    (lost + kept).backward().map(drop)
}
