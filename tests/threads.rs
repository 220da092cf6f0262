//! The same seed gives the same bits on any number of threads.
use kolmo::{
    Random, Result, Tape, Tensor,
    nn::{Dropout, Layer, Linear, Relu, Sequential, init, named_params},
    optim::{Optimizer, Sgd},
};

fn train(threads: usize) -> Result<(Vec<u32>, Vec<u32>)> {
    kolmo::set_threads(threads);
    let rng = &mut Random::new(7);
    let net = Sequential((
        Linear::<f32>::new(300, 500, rng),
        Relu,
        Dropout::new(0.2),
        Linear::new(500, 200, rng),
        Relu,
        Linear::new(200, 10, rng),
    ));
    let x: Tensor = init::normal([256, 300], 0.0, 1.0, rng);
    let y: Tensor<u32> = Tensor::from_fn([256], |i| (i * 7 % 10) as u32);
    let mut sgd = Sgd::new(0.05).momentum(0.9);
    let mut tape = Tape::new();
    let mut losses = Vec::new();
    for _ in 0..8 {
        tape.reset();
        let scores = net.forward(&tape.constant(&x));
        let loss = scores.cross_entropy(&y) + scores.exp().sum() * 1e-6;
        let grads = loss.backward()?;
        sgd.step(&net, &grads)?;
        losses.push(loss.item()?.to_bits());
    }
    let weights =
        named_params::<f32, _>(&net).iter().flat_map(|(_, p)| p.value().to_vec()).map(f32::to_bits).collect();
    Ok((losses, weights))
}

#[test]
fn a_training_run_has_the_same_bits_on_one_two_and_three_threads() -> Result<()> {
    let one = train(1)?;
    assert!(one.0.windows(2).any(|w| w[0] != w[1]), "the loss moves");
    assert!(train(2)? == one);
    assert!(train(3)? == one);
    Ok(())
}
