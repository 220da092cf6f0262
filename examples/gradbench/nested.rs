//! Derivatives within derivatives: a descent whose function is found by derivatives itself, each of the two
//! forward (dual numbers) or in reverse (a tape), over whatever kind of number the other one needs.
use crate::{
    Result,
    modules::unknown,
    protocol::{Runs, read},
};
use kolmo::{
    Scalar, Tape,
    number::{Dual, TapeNumber},
};
use serde::Deserialize;
use serde_json::Value;
use std::marker::PhantomData;

type Found<V> = Result<V, kolmo::Error>;

/// A function of `N` numbers that knows others, of kind `R`: those are lifted to the kind that it is computed with.
trait Function<R, const N: usize> {
    fn at<D: TapeNumber>(&self, x: [D; N], lift: impl Fn(R) -> D) -> Found<D>;
}

/// How gradients are computed.
trait Mode {
    /// Memory that one after the other uses.
    type Memory<R: TapeNumber>: Default;

    fn gradient<R: TapeNumber, const N: usize>(
        memory: &mut Self::Memory<R>,
        f: &impl Function<R, N>,
        x: [R; N],
    ) -> Found<[R; N]>;
}

struct Forward;

impl Mode for Forward {
    type Memory<R: TapeNumber> = ();

    fn gradient<R: TapeNumber, const N: usize>(
        (): &mut (),
        f: &impl Function<R, N>,
        x: [R; N],
    ) -> Found<[R; N]> {
        let x = std::array::from_fn(|i| Dual::<R, N>::variable(x[i], i));
        Ok(f.at(x, Dual::constant)?.eps)
    }
}

struct Reverse;

impl Mode for Reverse {
    type Memory<R: TapeNumber> = Tape<R>;

    fn gradient<R: TapeNumber, const N: usize>(
        tape: &mut Tape<R>,
        f: &impl Function<R, N>,
        x: [R; N],
    ) -> Found<[R; N]> {
        tape.reset();
        let tape = &*tape;
        let x = x.map(|x| tape.scalar(x));
        let grads = f.at(x, Scalar::constant)?.backward()?;
        Ok(x.map(|x| grads.scalar(x)))
    }
}

/// Where gradient descent ends: steps that grow after ten in a row and shrink where they lead up.
fn descend<R: TapeNumber, const N: usize>(
    start: [R; N],
    f: impl Fn([R; N]) -> Found<R>,
    mut gradient: impl FnMut([R; N]) -> Found<[R; N]>,
) -> Found<[R; N]> {
    const LEAST: f64 = 1e-5;
    let long = |v: [R; N]| v.iter().map(|v| v.primal() * v.primal()).sum::<f64>().sqrt() > LEAST;
    let (mut x, mut value, mut slope) = (start, f(start)?, gradient(start)?);
    let (mut rate, mut steps) = (LEAST, 0);
    while long(slope) {
        if steps == 10 {
            (rate, steps) = (2.0 * rate, 0);
            continue;
        }
        let change = slope.map(|s| s * R::constant(rate));
        if !long(change) {
            break;
        }
        let next = std::array::from_fn(|i| x[i] - change[i]);
        let found = f(next)?;
        if found.primal() < value.primal() {
            (x, value, slope) = (next, found, gradient(next)?);
            steps += 1;
        } else {
            (rate, steps) = (rate / 2.0, 0);
        }
    }
    Ok(x)
}

#[derive(Deserialize)]
struct Particle {
    w: f64,
}

pub fn particle(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let Particle { w } = read(input)?;
    let end = match function {
        "ff" => runs.time(|| aim::<Forward, Forward>(w)),
        "fr" => runs.time(|| aim::<Forward, Reverse>(w)),
        "rf" => runs.time(|| aim::<Reverse, Forward>(w)),
        "rr" => runs.time(|| aim::<Reverse, Reverse>(w)),
        _ => return unknown(function),
    };
    Ok(end?.into())
}

/// The w whose particle goes through the origin, from a first guess.
fn aim<Outer: Mode, Inner: Mode>(w: f64) -> Found<f64> {
    let (path, mut memory) = (Path::<Inner>(PhantomData), Outer::Memory::default());
    let [w] = descend([w], |w| path.at(w, |v| v), |w| Outer::gradient(&mut memory, &path, w))?;
    Ok(w)
}

/// The potential of two charges, at (10, 0) and at (10, 10 - w).
struct Potential<R>(R);

impl<R: Copy> Function<R, 2> for Potential<R> {
    fn at<D: TapeNumber>(&self, [x, y]: [D; 2], lift: impl Fn(R) -> D) -> Found<D> {
        let ten = D::constant(10.0);
        let inverse = |dx: D, dy: D| (dx * dx + dy * dy).rsqrt();
        Ok(inverse(x - ten, y) + inverse(x - ten, y - ten + lift(self.0)))
    }
}

/// The square of where the path of a particle, by steps of Euler, meets the horizontal axis; of w.
struct Path<M>(PhantomData<M>);

impl<M: Mode> Function<f64, 1> for Path<M> {
    fn at<D: TapeNumber>(&self, [w]: [D; 1], _: impl Fn(f64) -> D) -> Found<D> {
        let time = D::constant(0.1);
        let mut place = [0.0, 8.0].map(D::constant);
        let mut speed = [0.75, 0.0].map(D::constant);
        let mut memory = M::Memory::default();
        // Some paths never get there.
        for _ in 0..1_000_000 {
            let slope = M::gradient(&mut memory, &Potential(w), place)?;
            let next: [D; 2] = std::array::from_fn(|i| place[i] + time * speed[i]);
            if next[1].primal() < 0.0 {
                break;
            }
            (place, speed) = (next, std::array::from_fn(|i| speed[i] - time * slope[i]));
        }
        let end = place[0] - place[1] / speed[1] * speed[0];
        Ok(end * end)
    }
}

#[derive(Deserialize)]
struct Saddle {
    start: [f64; 2],
}

pub fn saddle(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let Saddle { start } = read(input)?;
    let point = match function {
        "ff" => runs.time(|| point::<Forward, Forward>(start)),
        "fr" => runs.time(|| point::<Forward, Reverse>(start)),
        "rf" => runs.time(|| point::<Reverse, Forward>(start)),
        "rr" => runs.time(|| point::<Reverse, Reverse>(start)),
        _ => return unknown(function),
    };
    Ok(point?.into())
}

/// The x whose largest value along y is least, and that y.
fn point<Outer: Mode, Inner: Mode>(start: [f64; 2]) -> Found<Vec<f64>> {
    let (most, mut memory) = (Most::<Inner>(start, PhantomData), Outer::Memory::default());
    let x = descend(start, |x| most.at(x, |v| v), |x| Outer::gradient(&mut memory, &most, x))?;
    Ok([x, most.place(x)?].concat())
}

/// (x₁² + x₂²) - (y₁² + y₂²), with its sign turned: of y, for some x.
struct Turned<R>([R; 2]);

impl<R: Copy> Function<R, 2> for Turned<R> {
    fn at<D: TapeNumber>(&self, y: [D; 2], lift: impl Fn(R) -> D) -> Found<D> {
        let square = |v: [D; 2]| v[0] * v[0] + v[1] * v[1];
        Ok(square(y) - square(self.0.map(lift)))
    }
}

/// The largest value along y, found by a descent from a first guess; of x.
struct Most<M>([f64; 2], PhantomData<M>);

impl<M: Mode> Most<M> {
    /// The y where it is.
    fn place<D: TapeNumber>(&self, x: [D; 2]) -> Found<[D; 2]> {
        let (turned, mut memory) = (Turned(x), M::Memory::default());
        let gradient = |y| M::gradient(&mut memory, &turned, y);
        descend(self.0.map(D::constant), |y| turned.at(y, |v| v), gradient)
    }
}

impl<M: Mode> Function<f64, 2> for Most<M> {
    fn at<D: TapeNumber>(&self, x: [D; 2], _: impl Fn(f64) -> D) -> Found<D> {
        Ok(-Turned(x).at(self.place(x)?, |v| v)?)
    }
}
