//! Activations that are kept in bfloat16: less memory, the same values, gradients near to what they were.
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    autodiff::Block,
    compress::{HalfFloat, matrices, quantize},
    nn::{Gelu, Layer, LayerNorm, Linear, Param, Sequential, init, named_params},
    optim::{AdamW, Optimizer},
};

type Net = Sequential<(Linear, LayerNorm, Gelu, Linear, Gelu, Linear)>;

fn net() -> Net {
    let rng = &mut Random::new(3);
    Sequential((
        Linear::new(24, 64, rng),
        LayerNorm::new([64]),
        Gelu,
        Linear::new(64, 64, rng),
        Gelu,
        Linear::new(64, 5, rng),
    ))
}

fn batch(seed: u64) -> (Tensor, Tensor<u32>) {
    let rng = &mut Random::new(seed);
    let x: Tensor = init::normal([32, 24], 0.0, 1.0, rng);
    let labels = x
        .to_vec()
        .chunks(24)
        .map(|row| u32::from(row[0] > 0.0) + 2 * u32::from(row[1] > 0.5))
        .collect::<Vec<_>>();
    (x, Tensor::from(labels))
}

/// Loss, bytes that the sweep will read, and gradients.
fn step(net: &Net, half: bool) -> Result<(u32, usize, Vec<Vec<f32>>)> {
    let tape = Tape::new();
    tape.set_half_activations(half);
    let (x, labels) = batch(1);
    let loss = net.forward(&tape.input(&x)).cross_entropy(&labels);
    let (bits, bytes) = (loss.item()?.to_bits(), tape.saved_bytes());
    assert_eq!(tape.memory().bytes(), bytes);
    let grads = loss.backward()?;
    let all = named_params::<f32>(net).iter().map(|(_, p)| grads.param(p).unwrap().to_vec()).collect();
    Ok((bits, bytes, all))
}

fn size(v: &[f32]) -> f32 {
    v.iter().map(|v| v * v).sum::<f32>().sqrt()
}

#[test]
fn half_activations_take_half_and_change_no_value() -> Result<()> {
    let net = net();
    let ((loss, bytes, grads), (loss_h, bytes_h, grads_h)) = (step(&net, false)?, step(&net, true)?);
    assert_eq!(loss, loss_h);
    // The input, which isn't the tape's, stays as it is.
    let input = 32 * 24 * 4;
    assert!(2 * (bytes_h - input) <= (bytes - input) + 64, "{bytes_h} of {bytes}");
    for (a, b) in grads.iter().zip(&grads_h) {
        let gap: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        assert!(size(&gap) > 0.0 && size(&gap) < 0.01 * size(a), "{} {}", size(&gap), size(a));
    }
    Ok(())
}

#[test]
fn what_several_read_is_kept_once() -> Result<()> {
    let kept = |half: bool| -> Result<usize> {
        let tape = Tape::<f32>::new();
        tape.set_half_activations(half);
        let x = tape.input(Tensor::ones([8, 8])).exp();
        let y = x.square() + x.sin() * x.cos();
        y.value()?;
        Ok(tape.saved_bytes())
    };
    assert_eq!(kept(true)?, kept(false)? / 2);
    Ok(())
}

struct Twice;

impl Block<f32> for Twice {
    fn params(&self) -> Vec<Param> {
        vec![]
    }
    fn forward<'t>(&self, x: &[Var<'t>]) -> Var<'t> {
        x[0].exp().sin()
    }
}

#[test]
fn second_derivatives_and_checkpoints_go_through_halves() -> Result<()> {
    let tape = Tape::<f32>::new();
    tape.set_half_activations(true);
    let x = tape.input([0.5f32, -1.25]);
    let y = (&x * 2.0).exp().sum();
    let slope = y.grad(&[&x])?.remove(0);
    let curve = slope.sum().grad(&[&x])?.remove(0).to_vec()?;
    for (c, x) in curve.iter().zip([0.5f32, -1.25]) {
        assert!((c / (4.0 * (2.0 * x).exp()) - 1.0).abs() < 0.02, "{c}");
    }
    let tape = Tape::<f32>::new();
    tape.set_half_activations(true);
    let x = tape.input([0.5f32, -1.25]);
    let y = tape.checkpoint(Twice, &[&(&x * 2.0)]).sum();
    let g = y.backward()?.get(&x).unwrap().to_vec();
    for (g, x) in g.iter().zip([0.5f32, -1.25]) {
        let e = (2.0 * x).exp();
        assert!((g - 2.0 * e * e.cos()).abs() < 0.05, "{g}");
    }
    Ok(())
}

/// The last loss of some steps with activations in halves.
fn trained(net: &Net) -> Result<f32> {
    let (mut optimizer, mut tape, mut last) = (AdamW::new(3e-3), Tape::new(), f32::INFINITY);
    tape.set_half_activations(true);
    for i in 0..150 {
        tape.reset();
        let (x, labels) = batch(i);
        let loss = net.forward(&tape.input(&x)).cross_entropy(&labels);
        last = loss.item()?;
        optimizer.step(net, &loss.backward()?)?;
    }
    Ok(last)
}

#[test]
fn training_in_halves_learns_and_frozen_halves_run() -> Result<()> {
    let last = trained(&net())?;
    assert!(last < 0.35, "{last}");
    // So do weights of 16 bits with masters underneath, which a step that is less than a rounding moves.
    let net = net();
    quantize::mixed_precision(&net, HalfFloat::Bf16, matrices)?;
    let last = trained(&net)?;
    assert!(last < 0.35, "{last}");
    let (x, _) = batch(200);
    let run = || net.forward(&Tape::inference().constant(&x)).to_vec();
    let (before, used) = (run()?, net.0.3.weight.effective()?);
    quantize::freeze(&net)?;
    assert_eq!(net.0.0.weight.value().packed().and_then(|p| p.half_float()), Some(HalfFloat::Bf16));
    assert_eq!(net.0.3.weight.effective()?, used);
    assert!(run()?.iter().zip(before).all(|(a, b)| (a - b).abs() < 1e-4));
    // A packed weight is kept as it is held, and not once more.
    let p: Param = Param::new(init::normal([16, 16], 0.0, 1.0, &mut Random::new(0)));
    quantize::WeightOnly::new(4).apply(&p, matrices)?;
    let tape = Tape::new();
    tape.set_half_activations(true);
    let x = tape.input(Tensor::ones([2, 16]));
    let y = x.linear(&tape.param(&p), None).sum();
    assert!(y.backward()?.get(&x).is_some());
    Ok(())
}
