use super::*;
use crate::{Tape, error::Result, threads::set_num_threads};

const CELLS: [Cell; 4] = [Cell::Tanh, Cell::Relu, Cell::Lstm, Cell::Gru];

const ALL: usize = usize::MAX;

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

fn as_bits<T: Float>(values: impl IntoIterator<Item = Vec<T>>) -> Vec<Vec<u64>> {
    values.into_iter().map(|v| v.iter().map(|v| v.to_f64().to_bits()).collect()).collect()
}

/// The bits of the value and of the gradients of those operands that are in the mask.
fn bits<T: Float>(
    operands: &[Tensor<T>],
    f: impl for<'t> Fn(&[Var<'t, T>]) -> Var<'t, T>,
    part: usize,
    mask: usize,
) -> Result<Vec<Vec<u64>>> {
    let tape = Tape::new();
    let wanted = |i: usize| mask >> i & 1 == 1;
    let on = |(i, x): (usize, &Tensor<T>)| if wanted(i) { tape.input(x) } else { tape.constant(x) };
    let x: Vec<Var<'_, T>> = operands.iter().enumerate().map(on).collect();
    let y = f(&x);
    // All steps, or the last row alone.
    let seen = if part == 0 { y.clone() } else { y.select(0, -1) };
    let grads = (seen.square() * 0.5 + seen.sin()).sum().backward()?;
    let all = x.iter().enumerate().filter(|(i, _)| wanted(*i)).map(|(_, x)| grads.get(x).unwrap().to_vec());
    Ok(as_bits([y.to_vec()?].into_iter().chain(all)))
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
                let expected = bits(&operands, |x| by_hand(op, x), part, ALL)?;
                for threads in [1, 2] {
                    set_num_threads(threads);
                    let found = bits(&operands, |x| layer(op, x), part, ALL)?;
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
    let sizes =
        [[1, 1, 1, 1], [4, 1, 3, 5], [3, 3, 2, 1], [5, 2, 3, 33], [3, 17, 4, 9], [2, 70, 1, 3], [2, 0, 3, 2]];
    same_bits::<f32>(&sizes)?;
    same_bits::<f64>(&sizes)
}

#[test]
fn a_large_layer_has_the_bits_of_its_steps() -> Result<()> {
    same_bits::<f32>(&[[2, 300, 3, 10], [7, 40, 2, 70]])
}

#[test]
fn what_is_not_wanted_changes_nothing() -> Result<()> {
    for op in options() {
        let operands = operands::<f64>(op, [4, 2, 3, 5]);
        for mask in (0..operands.len()).flat_map(|i| [1 << i, !(1 << i)]) {
            let expected = bits(&operands, |x| by_hand(op, x), 0, mask)?;
            assert_eq!(bits(&operands, |x| layer(op, x), 0, mask)?, expected, "{op:?}, operands {mask:b}");
        }
    }
    Ok(())
}

#[test]
fn second_derivatives_are_those_of_the_steps() -> Result<()> {
    for op in options() {
        let operands = operands::<f64>(op, [3, 2, 3, 4]);
        let second = |f: &dyn for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>| -> Result<Vec<Vec<f64>>> {
            let tape = Tape::new();
            let x: Vec<Var<'_, f64>> = operands.iter().map(|x| tape.input(x)).collect();
            let first = f(&x).square().sum().grad(&x.iter().collect::<Vec<_>>())?;
            let sums: Vec<Var<'_, f64>> = first.iter().map(|g| (g.sin() + g).sum()).collect();
            let grads = tape.stack(&sums.iter().collect::<Vec<_>>(), 0).sum().backward()?;
            let second = x.iter().map(|x| grads.get(x).unwrap().to_vec());
            Ok(first.iter().map(|g| g.to_vec().unwrap()).chain(second).collect())
        };
        let (found, expected) = (second(&|x| layer(op, x))?, second(&|x| by_hand(op, x))?);
        for (i, (found, expected)) in found.iter().flatten().zip(expected.iter().flatten()).enumerate() {
            assert!(
                (found - expected).abs() <= 1e-12 * (1.0 + expected.abs()),
                "{op:?} {i}: {found}, not {expected}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_sweep_that_frees_nothing_can_be_done_again() -> Result<()> {
    for op in options() {
        let operands = operands::<f32>(op, [4, 2, 3, 5]);
        let tape = Tape::new();
        let x: Vec<Var<'_, f32>> = operands.iter().map(|x| tape.input(x)).collect();
        let y = layer(op, &x).square().sum();
        let gradients = |grads: crate::Gradients| as_bits(x.iter().map(|x| grads.get(x).unwrap().to_vec()));
        let first = gradients(y.backward_retain_graph()?);
        assert_eq!(gradients(y.backward_retain_graph()?), first, "{op:?}");
        assert_eq!(gradients(y.backward()?), first, "{op:?}");
    }
    Ok(())
}

#[test]
fn where_nothing_is_recorded_nothing_is_kept() -> Result<()> {
    for op in options() {
        let operands = operands::<f32>(op, [5, 2, 3, 4]);
        let (tape, bare) = (Tape::new(), Tape::new());
        let x: Vec<Var<'_, f32>> = operands.iter().map(|x| tape.input(x)).collect();
        let y = layer(op, &x);
        let each = 4 * 5 * 2 * 4 * (op.cell.gates() + 1);
        let beside = if op.cell.is_gated() { each } else { 0 };
        let kept = tape.tensors.kept.borrow();
        let found = kept.iter().find(|(slot, _)| *slot == crate::tape::EXTRA);
        assert_eq!(found.and_then(|(_, t)| t.as_ref()).map_or(0, |t| 4 * t.numel()), beside, "{op:?}");
        let constants: Vec<Var<'_, f32>> = operands.iter().map(|x| bare.constant(x)).collect();
        assert_eq!(as_bits([layer(op, &constants).to_vec()?]), as_bits([y.to_vec()?]), "{op:?}");
        assert!(bare.tensors.kept.borrow().is_empty() && bare.tensors.nodes.borrow().is_empty());
    }
    Ok(())
}

#[test]
fn shapes_that_do_not_fit_are_told() {
    let op = Recurrence { cell: Cell::Gru, reverse: false, projects: true, biased: true };
    let mut operands = operands::<f32>(op, [4, 2, 3, 5]);
    operands[5] = Tensor::zeros([14]);
    let tape = Tape::new();
    let x: Vec<Var<'_, f32>> = operands.iter().map(|x| tape.input(x)).collect();
    let error = layer(op, &x).ok().unwrap_err().to_string();
    assert!(
        error.contains("gru: input [4, 2, 3], state [1, 2, 5], weights [15, 5], [15, 3], [15], [14]"),
        "{error}"
    );
    let error = layer(op, &x[..5]).ok().unwrap_err().to_string();
    assert!(error.contains("takes 6 operands, not 5"), "{error}");
}

#[test]
fn a_layer_that_is_used_twice_has_the_bits_of_its_steps() -> Result<()> {
    for op in options() {
        let operands = operands::<f32>(op, [3, 2, 3, 5]);
        let twice = |f: &dyn for<'t> Fn(&[Var<'t, f32>]) -> Var<'t, f32>, x: &[Var<'_, f32>]| -> Result<_> {
            let (y, mut again) = (f(x), x.to_vec());
            again[0] = &x[0] * 0.5;
            let grads = (y.square() + f(&again).sin()).sum().backward()?;
            Ok(as_bits(x[1..].iter().map(|x| grads.get(x).unwrap().to_vec())))
        };
        let tape = Tape::new();
        let x: Vec<Var<'_, f32>> = operands.iter().map(|x| tape.input(x)).collect();
        let found = twice(&|x| layer(op, x), &x)?;
        // The gradients that are sums over steps.
        for i in [Recurrence::W_HH, op.b_hh()].into_iter().filter(|&i| i < x.len()) {
            assert_eq!(found[i - 1], twice(&|x| by_hand(op, x), &x)?[i - 1], "{op:?}: operand {i}");
        }
    }
    Ok(())
}
