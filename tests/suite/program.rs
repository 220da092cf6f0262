//! Programs give what the tape gives, to the bit, with less to do; and say so where they can't.
use kolmo::{
    Error, Program, Random, Result, Tape, Tensor, Var,
    nn::{
        BatchNorm, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Param, Recurrent, RecurrentMode,
        RecurrentOptions, Relu, Sequential, init, visit_params,
    },
    optim::{Adam, Optimizer},
};

fn bits(t: &Tensor) -> Vec<u32> {
    t.to_vec().iter().map(|v| v.to_bits()).collect()
}

fn batch(step: usize, shape: &[usize], classes: u32) -> (Tensor, Tensor<u32>) {
    let x = init::normal(shape, 0.0, 1.0, &mut Random::new(step as u64));
    (x, Tensor::from_fn([shape[0]], |i| (i * 7 + step * 3) as u32 % classes))
}

fn weights(model: &impl serde::Serialize) -> Vec<Vec<u32>> {
    let mut weights = Vec::new();
    visit_params(model, |_, p| weights.push(bits(&p.value())));
    weights
}

/// Trains a model step by step on the tape, and its twin by a program, on other data each time.
fn trains_alike<M: Layer + serde::Serialize>(model: impl Fn() -> M, shape: &[usize]) -> Result<()> {
    let (plain, replayed) = (model(), model());
    let (mut adam, mut twin) = (Adam::new(1e-2), Adam::new(1e-2));
    let (x, labels) = batch(0, shape, 5);
    let mut program = Program::new(&[&x], &[&labels], |_, x, labels| {
        vec![replayed.forward(&x[0]).cross_entropy(&labels[0])]
    })?;
    let mut tape = Tape::new();
    for step in 1..6 {
        let (x, labels) = batch(step, shape, 5);
        tape.reset();
        let loss = plain.forward(&tape.constant(&x)).cross_entropy(&labels);
        adam.step(&plain, &loss.backward()?)?;
        // With less and less that is kept.
        program.limit_recomputation((step - 1) as f64 * 0.25);
        let (values, grads) = program.value_and_grad(&[&x], &[&labels])?;
        twin.step(&replayed, &grads)?;
        assert_eq!(values[0].item()?.to_bits(), loss.item()?.to_bits(), "step {step}");
    }
    assert_eq!(weights(&plain), weights(&replayed));
    Ok(())
}

#[test]
fn a_perceptron_trains_to_the_same_bits() -> Result<()> {
    let model = || {
        let rng = &mut Random::new(1);
        Sequential((Linear::new(20, 16, rng), Relu, Linear::new(16, 5, rng)))
    };
    trains_alike(model, &[8, 20])
}

/// Four steps of five numbers, read both ways.
#[derive(serde::Serialize)]
struct Sequences {
    cells: Recurrent,
    last: Linear,
}

impl Layer for Sequences {
    fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let (y, end) = self.cells.forward(&x.reshape([-1, 4, 5]).transpose(0, 1), None);
        self.last.forward(&(y.mean_dim(0, false) + end.hidden.select(0, 0).sum()))
    }
}

#[test]
fn recurrent_networks_train_to_the_same_bits() -> Result<()> {
    for mode in [RecurrentMode::RnnTanh, RecurrentMode::RnnRelu, RecurrentMode::Lstm, RecurrentMode::Gru] {
        let model = || {
            let rng = &mut Random::new(1);
            let options = RecurrentOptions::new().bidirectional(true);
            Sequences {
                cells: Recurrent::with_options(mode, 5, 6, options, rng),
                last: Linear::new(12, 5, rng),
            }
        };
        trains_alike(model, &[8, 20])?;
    }
    Ok(())
}

#[test]
fn a_convolutional_network_trains_to_the_same_bits() -> Result<()> {
    let model = || {
        let rng = &mut Random::new(1);
        Sequential((
            Conv2d::new(1, 4, 3, rng),
            Relu,
            MaxPool2d::new(2),
            Flatten,
            Linear::new(4 * 5 * 5, 5, rng),
        ))
    };
    trains_alike(model, &[6, 1, 12, 12])
}

/// Enough to fill several blocks and both threads, and not a multiple of anything.
const MANY: usize = 70_001;

fn curve<'t>(x: &[Var<'t, f32>]) -> Var<'t, f32> {
    let (a, b) = (&x[0], &x[1]);
    let s = (a * b + 0.5).sigmoid();
    ((&s * a).tanh() - b.exp() * 0.25).abs().sqrt() + s / (a * a + 1.0)
}

#[test]
fn chains_run_block_by_block_to_the_same_bits() -> Result<()> {
    for n in [1, 5, 1024, 1500, MANY] {
        let [a, b]: [Tensor; 2] = [3, 4].map(|seed| init::normal([n], 0.0, 1.0, &mut Random::new(seed)));
        let mut program = Program::new(&[&a, &b], &[], |_, x, _| vec![curve(x)])?;
        let [a, b]: [Tensor; 2] = [5, 6].map(|seed| init::normal([n], 0.0, 1.0, &mut Random::new(seed)));
        let tape = Tape::new();
        let direct = curve(&[tape.input(&a), tape.input(&b)]);
        let threads = crate::Threads::lock();
        for n in [1, 2] {
            threads.set(n);
            assert_eq!(bits(&program.run(&[&a, &b], &[])?[0]), bits(direct.value()?), "{n} elements");
        }
    }
    Ok(())
}

#[test]
fn what_is_computed_twice_or_for_nobody_is_left_out() -> Result<()> {
    let x = Tensor::from([0.5f32, 2.0]);
    let mut program = Program::new(&[&x], &[], |_, x, _| {
        let x = &x[0];
        let _nobody = x.exp().sum();
        vec![(x.tanh() * x.tanh() + 1.0).sum()]
    })?;
    assert_eq!(program.len(), 4, "tanh, mul, add, sum");
    let y = 0.5f32.tanh().powi(2) + 2f32.tanh().powi(2) + 2.0;
    assert!((program.run(&[&x], &[])?[0].item()? - y).abs() < 1e-5);
    Ok(())
}

#[test]
fn a_look_at_values_is_noticed_whatever_they_are() {
    for example in [[1.0f32, 2.0, 3.0], [1.0; 3], [0.0; 3]] {
        let x = &Tensor::from(example);
        let branch = |f: for<'t> fn(&Var<'t>) -> Result<f32>| {
            refused(x, &[], move |_, x, _| {
                vec![if f(&x[0]).unwrap() > 0.5 { &x[0] * 2.0 } else { &x[0] * 3.0 }]
            })
        };
        assert!(branch(|x| x.sum().item()).contains("a value was read"));
        assert!(branch(|x| x.max().item()).contains("a value was read"));
        assert!(branch(|x| x.norm_dim(2.0, [], false).item()).contains("a value was read"));
        assert!(branch(|x| x.detach().sum().item()).contains("a value was read"));
        assert!(branch(|x| Ok(x.gt(0.0)?.all([], false)?.item()? as u8 as f32)).contains("a value was read"));
        assert!(branch(|x| x.tape().no_grad(|| x.sum().item())).contains("without being recorded"));
        assert!(branch(|x| Ok(x.at([1]).value())).contains("scalars"));
    }
}

#[test]
fn what_is_detached_is_computed_anew() -> Result<()> {
    let p = Param::new(Tensor::from([0.5f32, -2.0]));
    p.set_steps(4, 0, Tensor::from([0.25]))?;
    let x = Tensor::from([3.0f32, 4.0]);
    let mut program =
        Program::new(&[&x], &[], |tape, x, _| vec![(&x[0] * tape.param(&p) + x[0].exp().detach()).sum()])?;
    for value in [[0.5, -2.0], [1.1, 0.3], [-0.4, 9.0]] {
        p.set(Tensor::from(value));
        let tape = Tape::new();
        let x1 = Tensor::from([1.0f32, value[0]]);
        let x2 = tape.input(&x1);
        let direct = (&x2 * tape.param(&p) + x2.exp().detach()).sum();
        let (values, grads) = program.value_and_grad(&[&x1], &[])?;
        assert_eq!(values[0].item()?, direct.item()?);
        assert_eq!(grads.param(&p).map(Tensor::to_vec), direct.backward()?.param(&p).map(Tensor::to_vec));
    }
    Ok(())
}

#[test]
fn a_tensor_taken_into_many_parts_is_recorded_in_time() -> Result<()> {
    let x = Tensor::<f32>::from_fn([1 << 16], |i| i as f32);
    let program = Program::new(&[&x], &[], |_, x, _| x[0].unbind(0).into())?;
    assert_eq!(program.len(), 2 << 16);
    Ok(())
}

#[test]
fn derivatives_inside_a_program_are_replayed_too() -> Result<()> {
    fn slope<'t>(x: &Var<'t, f64>) -> Var<'t, f64> {
        let y = (x.relu() * x.sin()).sum();
        y.grad(&[x]).unwrap().remove(0)
    }
    let x = Tensor::from([1.0, 2.0, 3.0]);
    let mut program = Program::new(&[&x], &[], |_, x, _| vec![slope(&x[0])])?;
    let dy = program.run(&[&Tensor::from([4.0, -5.0, 6.0])], &[])?;
    for (dy, x) in dy[0].to_vec().iter().zip([4.0f64, -5.0, 6.0]) {
        let expected = if x > 0.0 { x.sin() + x * x.cos() } else { 0.0 };
        assert!((dy - expected).abs() < 1e-12);
    }
    Ok(())
}

fn refused(
    x: &Tensor,
    labels: &[&Tensor<u32>],
    f: impl for<'t> Fn(&'t Tape, &[Var<'t>], &[Tensor<u32>]) -> Vec<Var<'t>>,
) -> String {
    Program::new(&[x], labels, f).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_a_program_cannot_do_again_is_an_error() {
    let x = &init::normal([4, 3], 0.0, 1.0, &mut Random::new(0));
    let labels = &Tensor::from([0u32, 2, 1, 1]);
    let dropout = Dropout::new(0.5);
    assert!(refused(x, &[], |_, x, _| vec![dropout.forward(&x[0])]).contains("random numbers"));
    let norm = BatchNorm::new(3);
    assert!(refused(x, &[], |_, x, _| vec![norm.forward(&x[0])]).contains("running statistics"));
    let masked = refused(x, &[], |_, x, _| {
        let mask = x[0].gt(0.0).unwrap();
        vec![x[0].where_(&mask, &(&x[0] * 2.0))]
    });
    assert!(masked.contains("a value was read") && masked.contains("tests/suite/program.rs"), "{masked}");
    let branch = refused(x, &[], |_, x, _| {
        let first = x[0].to_vec().unwrap()[0];
        vec![if first > x[0].to_vec().unwrap()[11] { x[0].exp() } else { x[0].sin() }]
    });
    assert!(branch.contains("a value was read"), "{branch}");
    let chosen = refused(x, &[], |_, x, _| {
        let largest = x[0].max_dim(1, false).1;
        vec![x[0].index_select(0, &largest)]
    });
    assert!(chosen.contains("a value was read") && chosen.contains("tests/suite/program.rs"), "{chosen}");
    // By ways on which nothing is read: another run shows it.
    let runs = std::cell::Cell::new(0.0);
    let counted = refused(x, &[], |_, x, _| vec![&x[0] * runs.replace(runs.get() + 1.0)]);
    assert!(counted.contains("depends on values"), "{counted}");
    let detached = refused(x, &[], |tape, x, _| vec![tape.no_grad(|| x[0].exp())]);
    assert!(detached.contains("without being recorded"), "{detached}");
    let unused = refused(x, &[labels], |_, x, _| vec![x[0].sum()]);
    assert!(unused.contains("no operation takes index 0"), "{unused}");
    let failed = refused(x, &[labels], |_, x, labels| vec![x[0].reshape([5]).cross_entropy(&labels[0])]);
    assert!(failed.contains("reshape"), "{failed}");
}

#[test]
fn a_run_checks_what_it_is_given_and_loses_nothing() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Linear::new(3, 3, rng);
    let (x, labels) = batch(0, &[4, 3], 3);
    let mut program =
        Program::new(&[&x], &[&labels], |_, x, y| vec![net.forward(&x[0]).cross_entropy(&y[0]), x[0].exp()])?;
    let message = |r: Result<Vec<Tensor>, Error>| r.unwrap_err().to_string();
    assert!(message(program.run(&[], &[&labels])).contains("recorded with 1 inputs, not 0"));
    let longer: Tensor = Tensor::zeros([5, 3]);
    assert!(message(program.run(&[&longer], &[&labels])).contains("had shape [4, 3]"));
    let wrong = Tensor::from([0u32, 1, 3, 0]);
    assert!(message(program.run(&[&x], &[&wrong])).contains("target 3 is out of range: 0 to 2"));
    let before = net.weight.value();
    net.weight.set(Tensor::zeros([3, 2]));
    assert!(message(program.run(&[&x], &[&labels])).contains("a parameter has shape [3, 2]"));
    net.weight.set(before);
    let values = program.run(&[&x], &[&labels])?;
    assert_eq!(values[1].shape()[..], [4, 3]);
    assert!(program.value_and_grad(&[&x], &[&labels])?.1.param(&net.weight).is_some());
    Ok(())
}

#[test]
fn an_embedding_takes_new_indices() -> Result<()> {
    let table: Tensor = init::normal([9, 2], 0.0, 1.0, &mut Random::new(0));
    let index = Tensor::from([[0u32, 4], [8, 1]]);
    let mut program =
        Program::new(&[&table], &[&index], |_, x, index| vec![x[0].embedding(&index[0], None)])?;
    let other = Tensor::from([[3u32, 3], [2, 7]]);
    let tape = Tape::new();
    let direct = tape.input(&table).embedding(&other, None);
    assert_eq!(program.run(&[&table], &[&other])?[0], *direct.value()?);
    assert!(program.run(&[&table], &[&Tensor::from([[9u32, 0], [0, 0]])]).is_err());
    Ok(())
}

#[test]
fn a_frozen_parameter_is_read_anew_and_gets_no_gradient() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Sequential((Linear::new(3, 4, rng), Linear::new(4, 2, rng)));
    net.0.0.weight.set_trainable(false);
    let x: Tensor = init::normal([2, 3], 0.0, 1.0, rng);
    let mut program = Program::new(&[&x], &[], |_, x, _| vec![net.forward(&x[0]).sum()])?;
    let before = program.run(&[&x], &[])?[0].item()?;
    net.0.0.weight.update(|w| *w = Tensor::zeros([4, 3]));
    let (values, grads) = program.value_and_grad(&[&x], &[])?;
    assert_ne!(values[0].item()?, before);
    assert!(grads.param(&net.0.0.weight).is_none());
    assert!(grads.param(&net.0.1.weight).is_some());
    Ok(())
}
