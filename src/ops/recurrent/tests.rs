use super::*;
use crate::{Tape, error::Result, threads::set_num_threads};

const CELLS: [Cell; 4] = [Cell::Tanh, Cell::Relu, Cell::Lstm, Cell::Gru];

/// Operands of a layer with these sizes: steps, sequences, input, hidden.
fn operands<T: Float>(op: Recurrence, [steps, n, input, hidden]: [usize; 4]) -> Vec<Tensor<T>> {
    let rows = op.cell.gates() * hidden;
    let mut shapes = vec![vec![steps, n, if op.projects { input } else { rows }]];
    shapes.extend([vec![op.cell.states(), n, hidden], vec![rows, hidden]]);
    shapes.extend(op.projects.then(|| vec![vec![rows, input], vec![rows]]).into_iter().flatten());
    shapes.extend(op.biased.then(|| vec![rows]));
    let number = |k: usize, i: usize| ((i * 7919 + k * 104_729) as f64 * 0.618).fract() - 0.45;
    let of = |(k, shape): (usize, &Vec<usize>)| Tensor::from_fn(&shape[..], |i| T::from_f64(number(k, i)));
    shapes.iter().enumerate().map(of).collect()
}

fn by_hand<'t, T: Float>(op: Recurrence, x: &[Var<'t, T>]) -> Var<'t, T> {
    let all = op.operands(x).unwrap();
    let inputs = all.input.map_or_else(|| x[0].clone(), |[w, b]| x[0].linear(w, Some(b)));
    let hand = ByHand { cell: op.cell, reverse: op.reverse, w_hh: all.w_hh, b_hh: all.b_hh };
    let cell = (op.cell == Cell::Lstm).then(|| all.state.select(0, 1));
    let (y, _, cell) = hand.run(&inputs, None, (all.state.select(0, 0), cell));
    cell.map_or(y.clone(), |cell| y.tape().cat(&[&y, &cell.unsqueeze(0)], 0))
}

fn layer<'t, T: Float>(op: Recurrence, x: &[Var<'t, T>]) -> Var<'t, T> {
    x[0].tape().apply(op, &x.iter().collect::<Vec<_>>())
}

/// The bits of the value and of all gradients.
fn bits<T: Float>(
    operands: &[Tensor<T>],
    f: impl for<'t> Fn(&[Var<'t, T>]) -> Var<'t, T>,
    part: usize,
) -> Result<Vec<Vec<u64>>> {
    let tape = Tape::new();
    let x: Vec<Var<'_, T>> = operands.iter().map(|x| tape.input(x)).collect();
    let y = f(&x);
    // All steps, or the last row alone.
    let seen = if part == 0 { y.clone() } else { y.select(0, -1) };
    let grads = (seen.square() * 0.5 + seen.sin()).sum().backward()?;
    let all = x.iter().map(|x| grads.get(x).unwrap().to_vec());
    Ok([y.to_vec()?].into_iter().chain(all).map(|v| v.iter().map(|v| v.to_f64().to_bits()).collect()).collect())
}

fn options() -> impl Iterator<Item = Recurrence> {
    let all = CELLS.into_iter().flat_map(|cell| (0..8).map(move |k| (cell, k)));
    all.map(|(cell, k)| Recurrence { cell, reverse: k & 1 > 0, projects: k & 2 > 0, biased: k & 4 > 0 })
}

fn same_bits<T: Float>(sizes: &[[usize; 4]]) -> Result<()> {
    for op in options() {
        for &sizes in sizes {
            let operands = operands::<T>(op, sizes);
            for part in 0..2 {
                set_num_threads(1);
                let expected = bits(&operands, |x| by_hand(op, x), part)?;
                for threads in [1, 2] {
                    set_num_threads(threads);
                    let found = bits(&operands, |x| layer(op, x), part)?;
                    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        assert_eq!(found, expected, "{op:?} {sizes:?}, {threads} threads, part {part}: {i}");
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_layer_has_the_bits_of_its_steps() -> Result<()> {
    let sizes = [[1, 1, 1, 1], [4, 1, 3, 5], [3, 3, 2, 1], [5, 2, 3, 33], [3, 17, 4, 9], [2, 70, 1, 3]];
    same_bits::<f32>(&sizes)?;
    same_bits::<f64>(&sizes)
}

#[test]
fn a_large_layer_has_the_bits_of_its_steps() -> Result<()> {
    same_bits::<f32>(&[[2, 300, 3, 10], [3, 16, 8, 150]])
}
