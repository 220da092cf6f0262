//! Optimisers beyond the reference trajectories: resuming, groups, options that make no sense.
use kolmo::{Float, Gradients, Result, Tape, Tensor, Var, nn::Param, optim::*};
use serde::Serialize;

#[derive(Serialize)]
struct Model {
    weight: Param,
    bias: Param,
}

fn model() -> Model {
    let weight = Tensor::from([[0.3f32, -0.7], [1.1, 0.2]]);
    Model { weight: Param::new(weight), bias: Param::new(Tensor::from([0.5f32, -0.1])) }
}

fn gradients(model: &Model, step: usize) -> Result<Gradients<f32>> {
    let tape = Tape::new();
    let x = tape.constant([[1.0f32, 0.3 * step as f32]]);
    let y = x.matmul(&tape.param(&model.weight)) + tape.param(&model.bias);
    (&y * &y * &y).sum().backward()
}

fn bits(model: &Model) -> Vec<u32> {
    let all = [model.weight.value().to_vec(), model.bias.value().to_vec()];
    all.concat().into_iter().map(f32::to_bits).collect()
}

/// Six steps at once, and three steps, a file, and three steps of another optimiser on another model.
fn resumes<O: Optimizer>(name: &str, new: impl Fn() -> O) -> Result<()> {
    let (whole, mut optimizer) = (model(), new());
    for step in 0..6 {
        optimizer.step(&whole, &gradients(&whole, step)?)?;
    }
    let (first, mut optimizer) = (model(), new());
    for step in 0..3 {
        optimizer.step(&first, &gradients(&first, step)?)?;
    }
    let text = serde_json::to_string(&optimizer.state(&first)).unwrap();
    let (second, mut optimizer) = (model(), new());
    second.weight.set(first.weight.value());
    second.bias.set(first.bias.value());
    optimizer.load_state(&second, serde_json::from_str(&text).unwrap())?;
    for step in 3..6 {
        optimizer.step(&second, &gradients(&second, step)?)?;
    }
    assert_eq!(bits(&second), bits(&whole), "{name}");
    Ok(())
}

#[test]
fn a_resumed_run_has_the_same_bits() -> Result<()> {
    resumes("Sgd", || Sgd::new(0.01).momentum(0.9).dampening(0.3))?;
    resumes("Adam", || Adam::new(0.01).amsgrad(true))?;
    resumes("AdamW", || AdamW::new(0.01))?;
    resumes("NAdam", || NAdam::new(0.01))?;
    resumes("RAdam", || RAdam::new(0.01))?;
    resumes("Adamax", || Adamax::new(0.01))?;
    resumes("RmsProp", || RmsProp::new(0.01).momentum(0.9).centered(true))?;
    resumes("Adagrad", || Adagrad::new(0.01).lr_decay(0.1))?;
    resumes("Adadelta", || Adadelta::new(1.0))?;
    resumes("Lion", || Lion::new(0.01).weight_decay(0.1))
}

#[test]
fn a_state_of_another_model_or_optimizer_is_an_error() -> Result<()> {
    let model = model();
    let mut adam = Adam::new(0.01);
    adam.step(&model, &gradients(&model, 0)?)?;
    let state = adam.state(&model);
    let error = Sgd::new(0.01).load_state(&model, state.clone()).unwrap_err().to_string();
    assert!(error.contains("bias") && error.contains("expected 0 tensors"), "{error}");
    let error = adam.load_state(&model.weight, state).unwrap_err().to_string();
    assert!(error.contains("none of this name"), "{error}");
    Ok(())
}

#[test]
fn groups_change_the_rates_of_the_parameters_they_take() -> Result<()> {
    let model = model();
    let (weight, bias) = (model.weight.value(), model.bias.value());
    let frozen = Group::new(|name, _| name == "bias").lr_factor(0.0);
    Sgd::new(0.01).group(frozen).step(&model, &gradients(&model, 1)?)?;
    assert_eq!(model.bias.value(), bias);
    assert_ne!(model.weight.value(), weight);

    let (weight, bias) = (model.weight.value(), model.bias.value());
    let large = weight.shape().clone();
    let frozen = Group::new(move |_, shape| *shape == large).lr_factor(0.0);
    Sgd::new(0.01).group(frozen).step(&model, &gradients(&model, 1)?)?;
    assert_eq!(model.weight.value(), weight);
    assert_ne!(model.bias.value(), bias);
    Ok(())
}

#[test]
fn lion_moves_each_weight_by_the_rate() -> Result<()> {
    let p = Param::new(Tensor::from([1.0f64, 2.0, 3.0]));
    let tape = Tape::new();
    let grads = (tape.param(&p) * tape.constant([4.0, -0.01, 0.0])).sum().backward()?;
    Lion::new(0.5).weight_decay(0.2).step(&p, &grads)?;
    // Shrunk by 1 - 0.5 · 0.2 first.
    assert_eq!(p.value().to_vec(), [0.9 - 0.5, 1.8 + 0.5, 3.0 * 0.9]);
    Ok(())
}

#[test]
fn options_that_make_no_sense_are_errors_and_change_nothing() -> Result<()> {
    let model = model();
    let (grads, before) = (gradients(&model, 0)?, bits(&model));
    fn refused(model: &Model, grads: &Gradients<f32>, mut optimizer: impl Optimizer, says: &str) {
        let error = optimizer.step(model, grads).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    refused(&model, &grads, Sgd::new(-0.1), "lr is -0.1");
    refused(&model, &grads, Sgd::new(0.1).nesterov(true), "nesterov");
    refused(&model, &grads, Adam::new(0.1).betas(0.9, 1.0), "beta2 is 1");
    refused(&model, &grads, AdamW::new(0.1).weight_decay(f64::NAN), "weight_decay is NaN");
    refused(&model, &grads, Adadelta::new(1.0).rho(1.5), "rho is 1.5");
    refused(&model, &grads, NAdam::new(0.1).momentum_decay(-1.0), "momentum_decay is -1");
    refused(&model, &grads, RmsProp::new(0.1).alpha(-1.0), "alpha is -1");
    refused(&model, &grads, Adam::new(0.1).group(Group::new(|_, _| true).lr_factor(-1.0)), "lr_factor is -1");
    assert_eq!(bits(&model), before);
    Ok(())
}

#[test]
fn schedules_come_back_from_a_file() -> Result<()> {
    let chained =
        ChainedLr::new(CyclicLr::new(0.1, 1.0).mode(CyclicMode::ExpRange(0.9))).and(StepLr::new(1.0, 2));
    let schedule = SequentialLr::new(WarmupCosineLr::new(0.1, 3, 9)).then(5, chained);
    let schedule = AnySchedule::from(schedule);
    let again: AnySchedule = serde_json::from_str(&serde_json::to_string(&schedule).unwrap()).unwrap();
    assert_eq!(again, schedule);
    let rates = (0..9).map(|t| again.lr(t)).collect::<Result<Vec<_>>>()?;
    assert_eq!(rates[..4], [0.025, 0.05, 0.1 * 3.0 / 4.0, 0.1]);
    Ok(())
}

/// Rosenbrock's curved valley, whose floor is 0 at (1, 1).
fn rosenbrock<'t, T: Float>(tape: &'t Tape<T>, p: &Param<T>) -> Var<'t, T> {
    let x = tape.param(p);
    let (a, b) = (x.narrow(0, 0, 1), x.narrow(0, 1, 1));
    let (valley, rest) = (b - &a * &a, 1.0 - a);
    (&valley * &valley * 100.0 + &rest * &rest).sum()
}

#[test]
fn lbfgs_finds_the_end_of_a_curved_valley() -> Result<()> {
    let single = Param::<f32>::new(Tensor::from([-1.2, 1.0]));
    let mut lbfgs = Lbfgs::new(1.0).strong_wolfe(true).max_iter(100);
    assert!((lbfgs.minimize(&single, |tape| rosenbrock(tape, &single))? - 24.2).abs() < 1e-4);
    // In a valley with a curvature of 0.4, a loss within rounding of 0 leaves a weight this much room.
    assert!(single.value().to_vec().iter().all(|x| (x - 1.0).abs() < 1e-3), "{:?}", single.value());
    let double = Param::<f64>::new(Tensor::from([-1.2, 1.0]));
    let mut lbfgs = Lbfgs::new(1.0).strong_wolfe(true).max_iter(100).tolerance_change(0.0);
    lbfgs.minimize(&double, |tape| rosenbrock(tape, &double))?;
    assert!(double.value().to_vec().iter().all(|x| (x - 1.0).abs() < 1e-6), "{:?}", double.value());
    Ok(())
}

#[test]
fn lbfgs_resumes_from_a_file_and_refuses_another_model() -> Result<()> {
    let run = |through_file: bool| -> Result<(Vec<f64>, Lbfgs)> {
        let p = Param::<f64>::new(Tensor::from([-1.2, 1.0]));
        let mut lbfgs = Lbfgs::new(1.0).strong_wolfe(true).max_iter(3);
        for _ in 0..3 {
            lbfgs.minimize(&p, |tape| rosenbrock(tape, &p))?;
            if through_file {
                lbfgs = serde_json::from_str(&serde_json::to_string(&lbfgs).unwrap()).unwrap();
            }
        }
        Ok((p.value().to_vec(), lbfgs))
    };
    let ((whole, _), (resumed, mut lbfgs)) = (run(false)?, run(true)?);
    // serde_json may read a number back one unit in the last place off.
    assert!(whole.iter().zip(&resumed).all(|(a, b)| (a - b).abs() < 1e-12), "{whole:?} {resumed:?}");
    let other = Param::<f64>::new(Tensor::from([1.0]));
    let error = lbfgs.minimize(&other, |tape| tape.param(&other).sum()).unwrap_err().to_string();
    assert!(error.contains("2 weights, this one has 1"), "{error}");
    Ok(())
}

#[test]
fn a_failing_loss_leaves_the_weights() -> Result<()> {
    let p = Param::<f64>::new(Tensor::from([2.0, 3.0]));
    assert!(Lbfgs::new(1.0).minimize(&p, |tape| tape.param(&p).reshape([5])).is_err());
    assert_eq!(p.value().to_vec(), [2.0, 3.0]);
    Ok(())
}

#[test]
fn an_infinite_weight_without_decay_stays_infinite() -> Result<()> {
    fn stays(name: &str, mut optimizer: impl Optimizer) -> Result<()> {
        let p = Param::<f32>::new(Tensor::from([f32::INFINITY, 1.0]));
        let tape = Tape::new();
        let grads = (tape.param(&p).clamp(-9.0, 9.0).sum()
            + tape.param(&p).nan_to_num(0.0, None, None).sum())
        .backward()?;
        optimizer.step(&p, &grads)?;
        assert!(p.value().to_vec()[0] == f32::INFINITY && p.value().to_vec()[1].is_finite(), "{name}: {p:?}");
        Ok(())
    }
    stays("Sgd", Sgd::new(0.1))?;
    stays("Sgd with momentum", Sgd::new(0.1).momentum(0.9))?;
    stays("Adam", Adam::new(0.1))?;
    stays("AdamW", AdamW::new(0.1).weight_decay(0.0))?;
    stays("Adagrad", Adagrad::new(0.1))?;
    stays("Adadelta", Adadelta::new(0.1))?;
    stays("Adamax", Adamax::new(0.1))?;
    stays("NAdam", NAdam::new(0.1))?;
    stays("RAdam", RAdam::new(0.1))?;
    stays("RmsProp", RmsProp::new(0.1))?;
    stays("Lion", Lion::new(0.1))
}
