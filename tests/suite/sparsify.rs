//! Weights that learn to be nothing: sparse variational dropout and hard concrete gates.
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    autodiff::GradCheck,
    compress::{Gate, Gates, Variational, all_params, matrices, prune},
    data,
    metrics::accuracy,
    nn::{Conv2d, Layer, Linear, Param, Relu, Sequential, named_params},
    optim::{Adam, Optimizer},
};
use std::f64::consts::PI;

fn numbers(shape: &[usize]) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| ((i * 37 + 11) % 97) as f64 / 97.0 * 3.8 - 1.903)
}

/// The divergence is an expectation, which a sum over a fine grid gives.
#[test]
fn the_divergence_is_that_of_the_paper() -> Result<()> {
    let w = Param::new(Tensor::from([1.0f64]));
    let noise = Variational::new(&w, all_params)?;
    let log_sigma2 = &named_params::<f64>(&noise)[0].1;
    for log_alpha in [-4.0f64, -1.0, 0.0, 1.0, 3.0] {
        log_sigma2.set([log_alpha]);
        let got: f64 = noise.divergence(&w, &Tape::inference()).item()?;
        let (step, deviation) = (1e-4, (log_alpha / 2.0).exp());
        let at = |i: i32| (f64::from(i) + 0.5) * step;
        let density = |z: f64| (-z * z / 2.0).exp() / (2.0 * PI).sqrt();
        // E log|ε| for ε ~ N(1, α), less what it is for α without end: log √α - 0.635181.
        let mean: f64 =
            (-90_000..90_000).map(|i| density(at(i)) * (1.0 + deviation * at(i)).abs().ln() * step).sum();
        let expected = mean - log_alpha / 2.0 + 0.635_181;
        assert!((got - expected).abs() < 0.012, "log α {log_alpha}: {got}, by the integral {expected}");
    }
    Ok(())
}

#[test]
fn gradients_are_those_of_finite_differences() -> Result<()> {
    let linear = Linear::<f64>::with_dtype(3, 2, &mut Random::new(0));
    let noise = Variational::new(&linear, matrices)?;
    let log_sigma2 = named_params::<f64>(&noise)[0].1.clone();
    let sizes = [numbers(&[2, 3]), numbers(&[2, 3])];
    let x = numbers(&[4, 3]);
    let stand_in = |v: &[Var<'_, f64>]| {
        let tape = v[0].tape();
        tape.seed(5);
        tape.substitute(&linear.weight, &v[0]);
        tape.substitute(&log_sigma2, &v[1]);
    };
    GradCheck::new().check(
        |v| {
            stand_in(v);
            let divergence = noise.sample(&linear, v[0].tape());
            linear.forward(&v[0].tape().constant(&x)).square().sum() + divergence
        },
        &sizes,
    )?;
    GradCheck::new().check(
        |v| {
            stand_in(v);
            noise.linear("weight", &linear, &v[0].tape().constant(&x)).square()
        },
        &sizes,
    )?;
    let conv = Conv2d::<f64>::with_dtype(1, 2, 3, kolmo::ops::ConvOptions::new(), &mut Random::new(0));
    let noise = Variational::new(&conv, |name, _| name == "weight")?;
    let log_sigma2 = named_params::<f64>(&noise)[0].1.clone();
    GradCheck::new().check(
        |v| {
            v[0].tape().seed(5);
            v[0].tape().substitute(&conv.weight, &v[0]);
            v[0].tape().substitute(&log_sigma2, &v[1]);
            noise.conv2d("weight", &conv, &v[2]).square()
        },
        &[numbers(&[2, 1, 3, 3]), numbers(&[2, 1, 3, 3]), numbers(&[2, 1, 4, 5])],
    )?;
    for gate in [Gate::Weight, Gate::Axis(1)] {
        let gates = Gates::new(&linear, gate, 0.5, matrices)?;
        let log_alpha = named_params::<f64>(&gates)[0].1.clone();
        GradCheck::new().check(
            |v| {
                v[0].tape().seed(5);
                v[0].tape().substitute(&linear.weight, &v[0]);
                v[0].tape().substitute(&log_alpha, &v[1]);
                let expected = gates.sample(&linear, v[0].tape());
                linear.forward(&v[0].tape().constant(&x)).square().sum() + expected
            },
            &[numbers(&[2, 3]), numbers(&log_alpha.shape())],
        )?;
    }
    Ok(())
}

/// Mean and variance of a layer's results, over many drawings.
#[test]
fn noise_on_results_is_distributed_as_noise_on_weights() -> Result<()> {
    let layer = Linear::<f64>::with_dtype(6, 2, &mut Random::new(1));
    let noise = Variational::new(&layer, matrices)?;
    named_params::<f64>(&noise)[0].1.set(Tensor::full([2, 6], -2.0));
    let x = numbers(&[1, 6]);
    let moments = |local: bool| -> Result<[f64; 2]> {
        let mut tape = Tape::new();
        tape.seed(3);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..4000 {
            let y = if local {
                noise.linear("weight", &layer, &tape.constant(&x))
            } else {
                let _ = noise.sample(&layer, &tape);
                layer.forward(&tape.constant(&x))
            };
            let y = y.to_vec()?[0];
            (sum, squares) = (sum + y, squares + y * y);
            tape.reset();
        }
        Ok([sum / 4000.0, squares / 4000.0 - (sum / 4000.0).powi(2)])
    };
    let ([mean, variance], [other_mean, other]) = (moments(true)?, moments(false)?);
    let expected: f64 = x.to_vec().iter().map(|v| v * v * (-2f64).exp()).sum();
    assert!((mean - other_mean).abs() < 0.1 * expected.sqrt(), "{mean} {other_mean}");
    assert!((variance / expected - 1.0).abs() < 0.1 && (other / expected - 1.0).abs() < 0.1);
    Ok(())
}

#[test]
fn what_was_pruned_before_has_no_noise_and_stays_pruned() -> Result<()> {
    let layer = Linear::new(10, 4, &mut Random::new(0));
    prune::global(&layer, prune::Amount::Density(0.5), matrices)?;
    let before = layer.weight.mask().unwrap().to_vec();
    let zero = |values: Vec<f32>| values.iter().zip(&before).all(|(v, keep)| *keep || *v == 0.0);
    let noise = Variational::new(&layer, matrices)?;
    let tape = Tape::new();
    let _ = noise.sample(&layer, &tape);
    assert!(zero(tape.param(&layer.weight).to_vec()?));
    assert!(noise.prune(&layer, 3.0)?.kept <= 20 && zero(layer.weight.effective()?.to_vec()));
    let gates: Gates = Gates::new(&layer, Gate::Weight, 0.9, matrices)?;
    assert!(gates.prune(&layer)?.kept <= 20 && zero(layer.weight.effective()?.to_vec()));
    assert!(Gates::<f32>::new(&layer, Gate::Axis(2), 0.9, matrices).is_err());
    assert!(Gates::<f32>::new(&layer, Gate::Weight, 1.0, matrices).is_err());
    assert!(Variational::<f32>::new(&layer, |_, _| false).unwrap_err().to_string().contains("no parameter"));
    Ok(())
}

type Net = Sequential<(Linear, Relu, Linear)>;

/// The digits, scaled: training images and their classes, then those for testing.
fn digits() -> Result<[(Tensor, Tensor<u32>); 2]> {
    let (x, y) = data::digits();
    let (train, test) = data::train_test_split(x.dim(0), 0.25, &mut Random::new(0))?;
    let scale = data::StandardScaler::fit(&x.rows(&train)?)?;
    let part = |rows: &[usize]| Ok::<_, kolmo::Error>((scale.apply(&x.rows(rows)?)?, y.rows(rows)?));
    Ok([part(&train)?, part(&test)?])
}

fn train<E: serde::Serialize>(
    net: &Net,
    extra: &E,
    lr: f64,
    epochs: usize,
    penalty: impl for<'t> Fn(&'t Tape, f64) -> Option<Var<'t>>,
) -> Result<f64> {
    let [(x, y), (test, classes)] = digits()?;
    let rng = &mut Random::new(1);
    // What decides about weights may move faster than they do.
    let (mut adam, mut quick) = (Adam::new(5e-3), Adam::new(lr));
    let mut tape = Tape::new();
    for epoch in 0..epochs {
        let progress = epoch as f64 / epochs as f64;
        adam.set_lr(5e-3 * (1.0 - progress));
        for rows in data::batches(x.dim(0), 64, rng) {
            let penalty = penalty(&tape, progress);
            let mut loss = net.forward(&tape.constant(x.rows(&rows)?)).cross_entropy(&y.rows(&rows)?);
            if let Some(penalty) = penalty {
                loss = loss + penalty / x.dim(0) as f64;
            }
            let grads = loss.backward()?;
            adam.step(net, &grads)?;
            if lr > 0.0 {
                quick.step(extra, &grads)?;
            }
            tape.reset();
        }
    }
    accuracy(net.forward(&Tape::inference().constant(test)).value()?, &classes)
}

#[test]
fn nine_tenths_of_a_network_for_digits_are_not_needed() -> Result<()> {
    let net = || {
        let rng = &mut Random::new(0);
        Sequential((Linear::new(64, 50, rng), Relu, Linear::new(50, 10, rng)))
    };
    let dense = train(&net(), &(), 0.0, 20, |_, _| None)?;
    let accuracy_of = |net: &Net| train(net, &(), 0.0, 0, |_, _| None);

    let one = net();
    train(&one, &(), 0.0, 10, |_, _| None)?;
    let noise = Variational::new(&one, matrices)?;
    train(&one, &noise, 5e-3, 50, |tape, progress| Some(noise.sample(&one, tape) * progress.min(0.5) * 2.0))?;
    let left = noise.prune(&one, 3.0)?;
    let accuracy = accuracy_of(&one)?;
    assert!(left.density() < 0.1 && accuracy > dense - 0.02, "{accuracy} at {}", left.density());

    let two = net();
    train(&two, &(), 0.0, 10, |_, _| None)?;
    let gates = Gates::new(&two, Gate::Weight, 0.9, matrices)?;
    train(&two, &gates, 3e-2, 40, |tape, _| Some(gates.sample(&two, tape) * 3.0))?;
    let left = gates.prune(&two)?;
    train(&two, &(), 0.0, 5, |_, _| None)?;
    let accuracy = accuracy_of(&two)?;
    assert!(left.density() < 0.1 && accuracy > dense - 0.02, "{accuracy} at {}", left.density());
    // Nothing comes back.
    train(&two, &(), 0.0, 2, |_, _| None)?;
    assert_eq!(prune::count(&two, matrices), left);
    Ok(())
}
