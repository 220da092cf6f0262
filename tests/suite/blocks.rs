//! Blocks of scalars made short, and Jacobians and Hessians that are mostly zeros.
use kolmo::{
    autodiff::{
        Block, MemoryBudget, Sparse, SparsityPattern, hessian, jacobian, sparse_hessian, sparse_jacobian,
    },
    nn::{Layer, Linear, Param, init, named_params},
    number::Arithmetic,
    *,
};

/// A program with branches, constants and inner values that several results share.
fn tangle<'t>(x: &[Scalar<'t>]) -> [Scalar<'t>; 3] {
    let shared = (x[0] * x[1]).sin() + x[2];
    let sum: Scalar = x.iter().map(|&v| v * shared).sum();
    [shared * shared, Arithmetic::dot(x, &[sum, shared, x[0], sum]), x[3] * 2.0]
}

#[test]
fn a_short_block_has_the_gradients_of_the_long_one() -> Result<()> {
    let point = [0.3, -1.2, 0.7, 2.0];
    let run = |short: bool| -> Result<(usize, Vec<f64>)> {
        let tape = Tape::<f64>::new();
        let x = tape.scalars(&point);
        let y = if short { tape.preaccumulate(|| tangle(&x)) } else { tangle(&x) };
        let out = y[0] * y[1] + y[2].exp();
        let grads = out.backward()?;
        Ok((tape.len(), x.iter().map(|&v| grads.scalar(v)).chain([out.value()]).collect()))
    };
    let ((long, expected), (short, found)) = (run(false)?, run(true)?);
    assert_eq!(short, 4 + 3 + 3, "four inputs, three results, three statements after them; {long} without");
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() <= 1e-14 * b.abs().max(1.0), "{found:?}, expected {expected:?}");
    }
    Ok(())
}

#[test]
fn a_block_of_a_thousand_arguments_and_one_with_tensors() -> Result<()> {
    let tape = Tape::<f64>::new();
    let x = tape.scalars(&(0..1000).map(f64::from).collect::<Vec<_>>());
    let [y, one, constant] =
        tape.preaccumulate(|| [x.iter().map(|&v| v * v).sum::<Scalar>(), x[1], Scalar::constant(2.0)]);
    assert!(tape.len() < 1010);
    let grads = (y * constant + one).backward()?;
    let gradient: Vec<f64> = x.iter().map(|&v| grads.scalar(v)).collect();
    assert_eq!(gradient, (0..1000).map(|i| 4.0 * i as f64 + (i == 1) as u8 as f64).collect::<Vec<_>>());
    let [z] = tape.preaccumulate(|| [tape.stack_scalars(&x[..3], [3]).square().sum().at([])]);
    assert_eq!(z.backward()?.scalar(x[2]), 4.0);
    Ok(())
}

#[test]
fn a_value_that_left_its_short_block_does_no_harm_beyond_wrong_numbers() -> Result<()> {
    let tape = Tape::<f64>::new();
    let x = tape.scalar(1.0);
    let mut lost = x;
    let [y] = tape.preaccumulate(|| {
        lost = (0..100).fold(x, |y, _| y * 1.5);
        [lost]
    });
    assert!((y + lost).backward().is_ok());
    assert!(lost.backward().is_err());
    let [_] = tape.preaccumulate(|| [lost * x]);
    let [z] = tape.preaccumulate(|| [(0..200).fold(x, |z, _| z + x)]);
    assert_eq!(z.backward()?.scalar(x), 201.0);
    assert!(tape.sparse_jacobian(&[y, lost, lost * x], &[x]).is_ok());
    Ok(())
}

fn neighbours<'t>(x: &Var<'t, f64>) -> Var<'t, f64> {
    x.narrow(0, 1, 5) * x.narrow(0, 0, 5).sin()
}

fn sums<'t>(x: &Var<'t, f64>) -> Var<'t, f64> {
    x.tape().cat(&[&x.square(), &(x * &x.sum())], 0)
}

fn chain<'t>(x: &Var<'t, f64>) -> Var<'t, f64> {
    neighbours(x).square().sum()
}

#[test]
fn sparse_jacobians_of_scalars_and_tensors_are_the_dense_ones() -> Result<()> {
    let point = [0.3, -1.2, 0.7, 2.0];
    let tape = Tape::<f64>::new();
    let x = tape.scalars(&point);
    let y = tangle(&x);
    let rows = tape.sparse_jacobian(&[y[2], y[0], x[1], y[1], y[0]], &x)?;
    for (i, v) in [y[2], y[0], x[1], y[1], y[0]].iter().enumerate() {
        let grads = v.backward()?;
        let dense: Vec<f64> = x.iter().map(|&v| grads.scalar(v)).collect();
        let mut found = vec![0.0; 4];
        rows.row(i).for_each(|(j, d)| found[j] = d);
        for (a, b) in found.iter().zip(&dense) {
            assert!((a - b).abs() < 1e-13, "row {i}: {found:?}, expected {dense:?}");
        }
    }
    assert_eq!(rows.row(0).collect::<Vec<_>>(), [(3, 2.0)]);
    for (ys, xs, message) in [
        (&y[..], &[x[0], x[0]][..], "are one scalar"),
        (&y[..], &[Scalar::constant(1.0)][..], "is a constant"),
    ] {
        let error = tape.sparse_jacobian(ys, xs).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    // Tall, wide and square; by rows, by columns, by products with the Hessian.
    let tensor = Tensor::from_fn([6], |i| 0.5 + i as f64);
    let check = |dense: Tensor<f64>, sparse: Sparse<f64>, sweeps: usize, expected: usize| {
        assert_eq!(sweeps, expected);
        for (a, b) in sparse.to_tensor().to_vec().iter().zip(dense.to_vec()) {
            assert!((a - b).abs() < 1e-12, "{sparse:?}, expected {dense:?}");
        }
    };
    let dense = jacobian(neighbours, &tensor)?;
    let pattern = SparsityPattern::from_tensor(&dense)?;
    check(dense, sparse_jacobian(neighbours, &tensor, &pattern)?, pattern.num_colors(), 2);
    let dense = jacobian(sums, &tensor)?;
    let pattern = SparsityPattern::from_tensor(&dense)?;
    check(dense, sparse_jacobian(sums, &tensor, &pattern)?, pattern.num_colors(), 6);
    let dense = hessian(chain, &tensor)?;
    let pattern = SparsityPattern::from_tensor(&dense)?;
    check(dense, sparse_hessian(chain, &tensor, &pattern)?, pattern.num_colors(), 3);
    assert!(sparse_hessian(chain, &Tensor::zeros([5]), &pattern).is_err());
    assert!(SparsityPattern::new(2, [vec![0, 2]]).unwrap_err().to_string().contains("column 2"));
    Ok(())
}

/// A residual part of a network, with dropout.
#[derive(Clone)]
struct Residual(Linear<f64>, Linear<f64>);

impl Block<f64> for Residual {
    fn params(&self) -> Vec<Param<f64>> {
        named_params(&[&self.0, &self.1]).into_iter().map(|(_, p)| p).collect()
    }
    fn forward<'t>(&self, x: &[Var<'t, f64>]) -> Var<'t, f64> {
        &x[0] + self.1.forward(&self.0.forward(&x[0]).gelu().dropout(0.3)).tanh()
    }
}

#[test]
fn a_budget_of_bytes_is_kept_and_changes_no_bit() -> Result<()> {
    let rng = &mut Random::new(1);
    let parts: Vec<Residual> =
        (0..6).map(|_| Residual(Linear::with_dtype(8, 64, rng), Linear::with_dtype(64, 8, rng))).collect();
    let x: Tensor<f64> = init::normal([16, 8], 0.0, 1.0, rng);
    let run = |bytes: usize| -> Result<(Vec<f64>, usize, MemoryBudget)> {
        let (tape, mut budget) = (Tape::new(), MemoryBudget::new(bytes));
        tape.set_random(Random::new(7));
        let loss = budget.run(&parts, &tape.input(&x)).square().mean();
        let kept = tape.saved_bytes();
        let grads = loss.backward()?;
        let all = parts.iter().flat_map(Block::params);
        let mut found: Vec<f64> = all.flat_map(|p| grads.param(&p).unwrap().to_vec()).collect();
        found.push(loss.item()?);
        Ok((found, kept, budget))
    };
    let (expected, all, free) = run(usize::MAX)?;
    assert_eq!(free.recomputed(), 0);
    let mut seen = 0;
    for bytes in (all / 4..all).step_by(all / 20) {
        match run(bytes) {
            Ok((found, kept, budget)) => {
                assert!(kept <= bytes && budget.planned_bytes() <= bytes, "{kept} of {bytes}: {budget:?}");
                assert!(budget.recomputed() > 0);
                assert_eq!(found, expected, "{budget:?}");
                seen += 1;
            }
            Err(error) => assert!(error.to_string().contains("the budget is"), "{error}"),
        }
    }
    assert!(seen > 5, "{seen}");
    let error = run(1000).unwrap_err().to_string();
    assert!(error.contains("6 blocks need") && error.contains("the budget is 1000"), "{error}");
    Ok(())
}
