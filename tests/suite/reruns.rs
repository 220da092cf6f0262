//! What a layer does beside its result happens once, and as it was, however often a block is run; and a tape
//! that has seen a parameter sees when it is changed.
use kolmo::{
    autodiff::{Block, MemoryBudget},
    nn::{BatchNorm, Dropout, Layer, Linear, Param, Sequential, named_params},
    optim::{Optimizer, Sgd},
    *,
};

#[derive(Clone)]
struct Part<L>(L);

impl<L: Layer<f64> + serde::Serialize + Send + Sync> Block<f64> for Part<L> {
    fn params(&self) -> Vec<Param<f64>> {
        named_params(&self.0).into_iter().map(|(_, p)| p).collect()
    }
    fn forward<'t>(&self, x: &[Var<'t, f64>]) -> Var<'t, f64> {
        self.0.forward(&x[0])
    }
}

fn norm() -> Part<BatchNorm<f64>> {
    Part(BatchNorm::with_dtype(2))
}

fn example() -> Tensor<f64> {
    Tensor::from([[1.0, 2.0], [3.0, 5.0], [4.0, 9.0]])
}

/// Running mean and variance, and the number of batches.
fn statistics(part: &Part<BatchNorm<f64>>) -> Vec<f64> {
    [&part.0.running_mean, &part.0.running_var, &part.0.num_batches_tracked]
        .iter()
        .flat_map(|p| p.value().to_vec())
        .collect()
}

#[test]
fn running_statistics_move_once_for_each_batch() -> Result<()> {
    let plain = norm();
    let tape = Tape::new();
    let _ = plain.0.forward(&tape.input(example())).square().sum().backward()?;
    let expected = statistics(&plain);
    assert!((expected[0] - 0.8 / 3.0).abs() < 1e-12 && expected[4] == 1.0, "{expected:?}");
    let run = |f: &dyn Fn(&Part<BatchNorm<f64>>) -> Result<()>| -> Result<Vec<f64>> {
        let part = norm();
        f(&part)?;
        Ok(statistics(&part))
    };
    let checkpoint = run(&|part| {
        let tape = Tape::new();
        let y = tape.checkpoint(part.clone(), &[&tape.input(example())]);
        y.square().sum().backward().map(drop)
    })?;
    let twice = run(&|part| {
        let tape = Tape::new();
        let x = tape.input(example());
        let y = tape.checkpoint(part.clone(), &[&x]).square().sum();
        y.grad(&[&x])?[0].square().sum().backward().map(drop)
    })?;
    let budget = run(&|part| {
        let tape = Tape::new();
        let y = MemoryBudget::new(1 << 20).run(std::slice::from_ref(part), &tape.input(example()));
        y.square().sum().backward().map(drop)
    })?;
    assert_eq!([checkpoint, twice, budget], [(); 3].map(|()| expected.clone()));
    // As little as will do, for which some blocks are run again.
    let chain = || [norm(), norm(), norm(), norm()];
    let all = |parts: &[Part<BatchNorm<f64>>]| parts.iter().flat_map(statistics).collect::<Vec<_>>();
    let (whole, thrifty) = (chain(), chain());
    let tape = Tape::new();
    let y = whole.iter().fold(tape.input(example()), |x, part| part.0.forward(&x));
    let _ = y.square().sum().backward()?;
    let mut budget = (1..100).map(|k| MemoryBudget::new(64 * k)).find_map(|mut budget| {
        let tape = Tape::new();
        tape.set_training(false);
        budget.run(&thrifty, &tape.input(example())).value().is_ok().then_some(budget)
    });
    let tape = Tape::new();
    let budget = budget.as_mut().unwrap();
    let _ = budget.run(&thrifty, &tape.input(example())).square().sum().backward()?;
    assert!(budget.recomputed() > 0);
    assert_eq!(all(&thrifty), all(&whole));
    let program = run(&|part| {
        let refused = Program::new(&[&example()], &[], |_, x, _| vec![part.0.forward(&x[0])]);
        assert!(refused.is_err_and(|e| e.to_string().contains("running statistics")));
        Ok(())
    })?;
    assert_eq!(program, statistics(&norm()), "what can't become a program has done nothing");
    Ok(())
}

#[test]
fn a_block_is_run_again_in_the_mode_in_which_it_was_recorded() -> Result<()> {
    let part = Part(Sequential((Dropout::new(0.5), BatchNorm::<f64>::with_dtype(2))));
    let x = Tensor::from_fn([8, 2], |i| (i * i % 7) as f64);
    let gradient = |checkpointed: bool, second: bool| -> Result<Vec<f64>> {
        let tape = Tape::new();
        let input = tape.input(&x);
        let y = match checkpointed {
            true => tape.checkpoint(part.clone(), &[&input]),
            false => part.0.forward(&input),
        };
        tape.set_training(false);
        tape.set_random(Random::new(99));
        let y = (y * tape.constant(Tensor::from_fn([8, 2], |i| (i as f64).cos()))).sum();
        if second { y.grad(&[&input])?[0].to_vec() } else { Ok(y.backward()?.get(&input).unwrap().to_vec()) }
    };
    assert_eq!(gradient(true, false)?, gradient(false, false)?);
    assert_eq!(gradient(true, true)?, gradient(false, true)?);
    Ok(())
}

#[test]
fn a_parameter_that_a_block_does_not_name_is_an_error() {
    #[derive(Clone)]
    struct Silent(Param<f64>);
    impl Block<f64> for Silent {
        fn params(&self) -> Vec<Param<f64>> {
            Vec::new()
        }
        fn forward<'t>(&self, x: &[Var<'t, f64>]) -> Var<'t, f64> {
            &x[0] * x[0].tape().param(&self.0)
        }
    }
    let block = Silent(Param::new(Tensor::from([2.0, 3.0])));
    let tape = Tape::new();
    let x = tape.input([1.0, 1.0]);
    let y = tape.checkpoint(block.clone(), &[&x]).sum();
    for error in [y.backward_retain_graph().err(), y.grad(&[&x]).err()] {
        let error = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("shape [2] that Block::params doesn't name"), "{error}");
    }
    // One that isn't trained needs no gradient.
    block.0.set_trainable(false);
    let tape = Tape::new();
    assert!(tape.checkpoint(block, &[&tape.input([1.0, 1.0])]).sum().backward().is_ok());
}

#[test]
fn a_changed_parameter_is_seen_on_the_same_tape() -> Result<()> {
    let p = Param::new(Tensor::from([1.0, 2.0]));
    let tape = Tape::<f64>::new();
    let v = tape.param(&p);
    assert_eq!(tape.param(&p).to_vec()?, [1.0, 2.0]);
    type Change<'a> = (&'a dyn Fn() -> Result<()>, [f64; 2]);
    let set = |value: [f64; 2]| {
        p.set(Tensor::from(value));
        Ok(())
    };
    let update = || {
        p.update(|t| t.as_mut_slice()[0] = 5.0);
        Ok(())
    };
    let codebook = || {
        p.codebook().unwrap().1.set(Tensor::from([8.0]));
        Ok(())
    };
    let changes: [Change; 6] = [
        (&|| set([3.0, 4.0]), [3.0, 4.0]),
        (&update, [5.0, 4.0]),
        (&|| p.set_mask(Some(&Tensor::from([true, false]))), [5.0, 0.0]),
        (&|| p.set_mask(None), [5.0, 4.0]),
        (&|| p.set_codebook(Tensor::from([0u32, 0]), Tensor::from([7.0])), [7.0, 7.0]),
        // Of what the parameter is made of, too.
        (&codebook, [8.0, 8.0]),
    ];
    for (change, expected) in changes {
        change()?;
        assert_eq!(tape.param(&p).to_vec()?, expected);
        assert_eq!(tape.param(&p).to_vec()?, expected);
    }
    p.remove_codebook();
    p.set_steps(2, 0, Tensor::from([3.0]))?;
    assert_eq!(tape.param(&p).to_vec()?, [3.0, 3.0]);
    p.steps().unwrap().sizes.set(Tensor::from([2.0]));
    assert_eq!(tape.param(&p).to_vec()?, [2.0, 2.0]);
    assert_eq!(v.to_vec()?, [1.0, 2.0], "what was recorded stays");
    Ok(())
}

#[test]
fn a_tape_says_why_there_is_no_gradient() {
    let p = Param::new(Tensor::from([1.0, f64::NAN]));
    let tape = Tape::<f64>::inference();
    let error = tape.param(&p).sum().backward().unwrap_err().to_string();
    assert!(error.contains("this tape records nothing"), "{error}");
    let tape = Tape::<f64>::new();
    tape.set_detect_anomaly(true);
    let error = (tape.param(&p) * 2.0).value().unwrap_err().to_string();
    assert!(
        error.starts_with("param: the parameter of shape [2] has NaN") && error.contains(file!()),
        "{error}"
    );
    let (one, other) = (Tape::<f64>::new(), Tape::<f64>::new());
    let error = (one.scalar(1.0) + other.scalar(2.0)).exp().backward().unwrap_err().to_string();
    assert!(error.contains("two tapes") && error.contains(file!()), "{error}");
    let tape = Tape::<f64>::new();
    let x = tape.input([1.0]);
    let grads = (&x * tape.param(&Param::new(Tensor::ones([2])))).sum().backward().unwrap();
    assert_eq!(format!("{grads:?}").matches('[').count(), 2, "{grads:?}");
}

#[test]
fn an_optimiser_in_the_middle_of_a_tape_is_seen_whatever_the_sweep_was() -> Result<()> {
    let net = Linear::<f64>::with_dtype(2, 1, &mut Random::new(0)).bias(false);
    let tape = Tape::new();
    let x = tape.constant([[1.0, 2.0]]);
    let before = net.forward(&x).item()?;
    let grads = net.forward(&x).sum().backward_retain_graph()?;
    Sgd::new(0.1).step(&net, &grads)?;
    assert!((net.forward(&x).item()? - (before - 0.5)).abs() < 1e-12);
    // A sum over both uses: 1·x before, and once more after.
    let p = Param::new(Tensor::from([1.0]));
    let tape = Tape::<f64>::new();
    let first = tape.param(&p) * 3.0;
    p.set(Tensor::from([10.0]));
    let y = (first + tape.param(&p).square()).sum();
    assert_eq!(y.item()?, 103.0);
    assert_eq!(y.backward()?.param(&p).map(Tensor::to_vec), Some(vec![3.0 + 20.0]));
    Ok(())
}
