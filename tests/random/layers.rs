//! What layers are made of: recurrent cells, places, random masks, rounding that training feels, a user's own
//! operation.
use super::{
    arr::Arr,
    number::{N, n, near},
    program::{Op, V, op},
};
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    autodiff::CustomOp,
    compress::{Affine, Along},
    nn::{Recurrent, RecurrentMode, RecurrentOptions, State},
};
use std::iter::once;

/// `x³ y`, with the derivatives that its author wrote.
struct Cubed;

impl CustomOp<f64> for Cubed {
    fn name(&self) -> &str {
        "cubed"
    }

    fn forward(&self, v: &[&Tensor<f64>]) -> Result<Tensor<f64>> {
        let [x, y] = [v[0].to_vec(), v[1].to_vec()];
        Tensor::new(v[0].shape(), x.iter().zip(&y).map(|(x, y)| x * x * x * y).collect())
    }

    fn backward<'t>(&self, v: &[V<'t>], _: &V<'t>, grad: &V<'t>) -> Vec<Option<V<'t>>> {
        vec![Some(grad * v[0].square() * &v[1] * 3.0), Some(grad * v[0].powf(3.0))]
    }
}

/// What a random operation makes of a tensor of this shape and these values, from this seed.
fn drawn(shape: &[usize], value: f64, seed: u64, f: impl for<'t> Fn(&V<'t>) -> V<'t>) -> Vec<f64> {
    let tape = Tape::new();
    tape.seed(seed);
    f(&tape.constant(Tensor::full(shape, value))).to_vec().unwrap_or_default()
}

fn seeded<'t>(x: &V<'t>, seed: u64) -> &'t Tape<f64> {
    x.tape().set_random(Random::new(seed));
    x.tape()
}

/// One step of a cell from its parts of the input and the state, of `hidden` elements: the next state.
fn step(cell: RecurrentMode, x: &[N], h: &[N], state: &[N], memory: Option<&[N]>) -> (Vec<N>, Vec<N>) {
    let size = state.len();
    let both = |gate: usize, k: usize| x[gate * size + k] + h[gate * size + k];
    let memory_at = |k: usize| memory.map_or(n(0.0), |m| m[k]);
    (0..size)
        .map(|k| match cell {
            RecurrentMode::RnnTanh => (both(0, k).tanh(), n(0.0)),
            RecurrentMode::RnnRelu => (both(0, k).max(n(0.0)), n(0.0)),
            RecurrentMode::Lstm => {
                let new = both(1, k).sigmoid() * memory_at(k) + both(0, k).sigmoid() * both(2, k).tanh();
                (both(3, k).sigmoid() * new.tanh(), new)
            }
            RecurrentMode::Gru => {
                let (r, z) = (both(0, k).sigmoid(), both(1, k).sigmoid());
                let new = (x[2 * size + k] + r * h[2 * size + k]).tanh();
                ((n(1.0) - z) * new + z * state[k], n(0.0))
            }
            new => unimplemented!("{new:?}"),
        })
        .unzip()
}

/// `W v + b` for one vector.
fn affine(w: &Arr, b: &Arr, v: &[N]) -> Vec<N> {
    let row = |r: usize| v.iter().enumerate().map(|(c, &v)| w.at(&[r, c]) * v).sum::<N>() + b.at(&[r]);
    (0..w.shape[0]).map(row).collect()
}

/// A layer there and perhaps back: outputs `[steps, n, ways · hidden]`, states and memories at the end
/// `[ways, n, hidden]`.
fn recurrent(cell: RecurrentMode, a: &[&Arr], hidden: usize, ways: usize, begun: bool) -> [Arr; 3] {
    let (steps, count) = (a[0].shape[0], a[0].shape[1]);
    let mut outputs = vec![n(0.0); steps * count * ways * hidden];
    let (mut states, mut memories) = (Vec::new(), Vec::new());
    for way in 0..ways {
        let w = &a[1 + 4 * way..5 + 4 * way];
        for row in 0..count {
            let at = |k: usize| {
                let from = |j: usize| a[1 + 4 * ways + k].at(&[way, row, j]);
                (0..hidden).map(|j| if begun { from(j) } else { n(0.0) }).collect::<Vec<N>>()
            };
            let lstm = matches!(cell, RecurrentMode::Lstm);
            let (mut state, mut memory) = (at(0), if lstm { at(1) } else { vec![n(0.0); hidden] });
            for k in 0..steps {
                let t = if way == 1 { steps - 1 - k } else { k };
                let x: Vec<N> = (0..a[0].shape[2]).map(|j| a[0].at(&[t, row, j])).collect();
                let (x, h) = (affine(w[0], w[2], &x), affine(w[1], w[3], &state));
                (state, memory) = step(cell, &x, &h, &state, Some(&memory));
                let to = ((t * count + row) * ways + way) * hidden;
                outputs[to..to + hidden].copy_from_slice(&state);
            }
            states.extend(state);
            memories.extend(memory);
        }
    }
    let ends = [ways, count, hidden];
    [Arr::new(&[steps, count, ways * hidden], outputs), Arr::new(&ends, states), Arr::new(&ends, memories)]
}

fn cells(list: &mut Vec<Op>, name: &'static str, cell: RecurrentMode, gates: usize) {
    op(list, name, move |g| {
        let (steps, count, width, hidden, ways) =
            (g.int(1, 4), g.int(1, 3), g.int(1, 3), g.int(1, 3), g.int(1, 2));
        let x = g.of(&[steps, count, width]);
        let mut operands = vec![g.within(x, -3.0, 3.0)?];
        let rows = gates * hidden;
        for _ in 0..ways {
            for shape in [vec![rows, width], vec![rows, hidden], vec![rows], vec![rows]] {
                operands.push(g.of_within(&shape, -1.0, 1.0));
            }
        }
        let begun = g.chance(60);
        let lstm = matches!(cell, RecurrentMode::Lstm);
        for _ in 0..if begun { 1 + usize::from(lstm) } else { 0 } {
            operands.push(g.of_within(&[ways, count, hidden], -1.0, 1.0));
        }
        let which = g.int(0, if lstm { 2 } else { 1 });
        let text = format!("{cell:?}(x $0, weights $1 …), {ways} ways, state {begun}: part {which}");
        g.emit(
            text,
            &operands,
            move |v| {
                let tape = v[0].tape();
                let options = RecurrentOptions::new().bidirectional(ways == 2);
                let layer = Recurrent::<f64>::with_dtype(cell, width, hidden, options, &mut Random::new(0));
                let mut k = 1;
                for way in ["", "_reverse"].into_iter().take(ways) {
                    for part in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
                        tape.substitute(&layer.params[&format!("{part}_l0{way}")], &v[k]);
                        k += 1;
                    }
                }
                let state =
                    begun.then(|| State { hidden: v[k].clone(), cell: lstm.then(|| v[k + 1].clone()) });
                let (y, end) = layer.forward(&v[0], state.as_ref());
                match which {
                    0 => y,
                    1 => end.hidden,
                    _ => end.cell.unwrap_or(y),
                }
            },
            move |a| recurrent(cell, a, hidden, ways, begun)[which].clone(),
        )?;
        Some(())
    });
}

pub fn ops(list: &mut Vec<Op>) {
    for (name, cell, gates) in [
        ("recurrent tanh", RecurrentMode::RnnTanh, 1),
        ("recurrent relu", RecurrentMode::RnnRelu, 1),
        ("recurrent lstm", RecurrentMode::Lstm, 4),
        ("recurrent gru", RecurrentMode::Gru, 3),
    ] {
        cells(list, name, cell, gates);
    }
    op(list, "dropout", |g| {
        let x = g.any_or_empty(0, 4);
        let (p, seed) = (g.choose(&[0.0, 0.2, 0.5, 1.0]), g.bits());
        // Of ones it leaves the mask; what it does with a mask is the question here.
        let mask = drawn(&g.shape(x), 1.0, seed, |x| x.dropout(p));
        let known = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
        if mask.iter().any(|&m| m != 0.0 && m != known) {
            return None;
        }
        g.emit(
            format!("$0.dropout({p}) with seed {seed}"),
            &[x],
            move |v| {
                seeded(&v[0], seed);
                v[0].dropout(p)
            },
            move |a| Arr::new(&a[0].shape, a[0].data.iter().zip(&mask).map(|(&x, &m)| x * m).collect()),
        )?;
        Some(())
    });
    op(list, "rrelu", |g| {
        let x = g.any_or_empty(0, 4);
        let (seed, training) = (g.bits(), g.chance(70));
        let slopes = drawn(&g.shape(x), -1.0, seed, |x| x.rrelu(0.1, 0.4));
        let slopes: Vec<f64> = slopes.iter().map(|s| if training { -s } else { 0.25 }).collect();
        g.emit(
            format!("$0.rrelu(0.1, 0.4) with seed {seed}, training {training}"),
            &[x],
            move |v| {
                let tape = seeded(&v[0], seed);
                tape.set_training(training);
                let y = v[0].rrelu(0.1, 0.4);
                tape.set_training(true);
                y
            },
            move |a| {
                let each = a[0].data.iter().zip(&slopes);
                Arr::new(&a[0].shape, each.map(|(&x, &s)| if x.positive() { x } else { x * s }).collect())
            },
        )?;
        Some(())
    });
    for (name, neighbours) in [("rotary", false), ("rotary_interleaved", true)] {
        op(list, name, move |g| {
            let (length, half, start) = (g.int(1, 4), g.int(1, 3), g.int(0, 5));
            let lead: Vec<usize> = (0..g.int(0, 2)).map(|_| g.int(1, 3)).collect();
            let x = g.of(&[&lead[..], &[length, 2 * half]].concat());
            let base = g.choose(&[10.0, 10_000.0]);
            // The places of a pair, and whether an element is its first one.
            let pair = move |k: usize| match neighbours {
                true => (k / 2, k / 2 * 2, k / 2 * 2 + 1, k.is_multiple_of(2)),
                false => (k % half, k % half, k % half + half, k < half),
            };
            let definition = move |a: &[&Arr]| {
                Arr::build(&a[0].shape, |i| {
                    let (place, (number, first, second, is_first)) = (i[i.len() - 2], pair(i[i.len() - 1]));
                    let angle = (start + place) as f64 / f64::powf(base, number as f64 / half as f64);
                    let lead = || i[..i.len() - 1].iter().copied();
                    let [first, second] =
                        [first, second].map(|k| a[0].at(&lead().chain(once(k)).collect::<Vec<_>>()));
                    match is_first {
                        true => first * angle.cos() - second * angle.sin(),
                        false => second * angle.cos() + first * angle.sin(),
                    }
                })
            };
            let text = format!("$0.{name}({start}, {base})");
            fn apply<'t>(x: &V<'t>, neighbours: bool, start: usize, base: f64) -> V<'t> {
                if neighbours { x.rotary_interleaved(start, base) } else { x.rotary(start, base) }
            }
            g.emit(text, &[x], move |v| apply(&v[0], neighbours, start, base), definition)?;
            Some(())
        });
    }
    op(list, "fake_quantize_learned", |g| {
        let x = g.any(1, 3);
        let x = g.within(x, -4.0, 4.0)?;
        let shape = g.shape(x);
        let sizes = if g.chance(50) {
            vec![]
        } else {
            vec![shape[0]; 1].into_iter().chain(shape[1..].iter().map(|_| 1)).collect()
        };
        let s = g.of_within(&sizes, 0.3, 1.5);
        let (low, high) = g.choose(&[(-4.0, 3.0), (-1.0, 1.0), (0.0, 7.0)]);
        let each = g.values[x].data.len() as f64 / g.values[s].data.len() as f64;
        let share = 1.0 / f64::max((each * high).sqrt(), 1.0);
        let definition = move |a: &[&Arr]| {
            a[0].zip(a[1], |x, s| {
                // The size's own gradient is its share.
                let s = N { a: s.a * share, b: s.b * share, ab: s.ab * share, ..s };
                let code = x.v / s.v;
                let whole = code.round_ties_even();
                near(code - code.floor() - 0.5);
                match whole < low || whole > high {
                    true => s * whole.clamp(low, high),
                    false => x + s * (whole - code),
                }
            })
        };
        let text = format!("$0.fake_quantize_learned($1, {low}, {high})");
        g.emit(text, &[x, s], move |v| v[0].fake_quantize_learned(&v[1], low, high), definition)?;
        Some(())
    });
    op(list, "fake_quantize", |g| {
        let x = g.any(1, 3);
        let x = g.within(x, -4.0, 4.0)?;
        let (d, along_axis) = (g.axis(x), g.chance(50));
        let count = if along_axis { g.values[x].dim(d) } else { 1 };
        let scales: Vec<f64> = (0..count).map(|_| g.real(0.2, 1.0)).collect();
        let zeros: Vec<i32> = (0..count).map(|_| g.int(0, 7) as i32).collect();
        let along = if along_axis { Along::Axis(d) } else { Along::Tensor };
        let q = Affine::new(scales.clone(), zeros.clone(), along, 0..=7).ok()?;
        let at = super::arr::axis(d, g.rank(x));
        let definition = move |a: &[&Arr]| {
            Arr::build(&a[0].shape, |i| {
                let (k, x) = (if along_axis { i[at] } else { 0 }, a[0].at(i));
                let code = x.v / scales[k];
                near(code - code.floor() - 0.5);
                let whole = code.round_ties_even() as i32 + zeros[k];
                let v = (whole.clamp(0, 7) - zeros[k]) as f64 * scales[k];
                if (0..=7).contains(&whole) { N { v, ..x } } else { n(v) }
            })
        };
        g.emit(format!("$0.fake_quantize({q:?})"), &[x], move |v| v[0].fake_quantize(&q), definition)?;
        Some(())
    });
    op(list, "custom", |g| {
        let x = g.any_or_empty(0, 3);
        let x = g.within(x, -4.0, 4.0)?;
        let y = g.of(&g.shape(x));
        g.emit(
            "custom(x³ y)($0, $1)",
            &[x, y],
            |v: &[Var<'_, f64>]| v[0].tape().custom(Cubed, &[&v[0], &v[1]]),
            |a| a[0].zip(a[1], |x, y| x * x * x * y),
        )?;
        Some(())
    });
}
