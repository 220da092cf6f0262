//! The same seed gives the same bits on any number of threads.
use kolmo::{
    Random, Result, Tape, Tensor,
    nn::{Dropout, Layer, Linear, Relu, Sequential, init, named_params},
    optim::{Optimizer, Sgd},
};

fn train() -> Result<(Vec<u32>, Vec<u32>)> {
    let rng = &mut Random::new(7);
    let net = Sequential((
        Linear::new(300, 500, rng),
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
        named_params::<f32>(&net).iter().flat_map(|(_, p)| p.value().to_vec()).map(f32::to_bits).collect();
    Ok((losses, weights))
}

#[test]
fn a_training_run_has_the_same_bits_on_one_two_and_three_threads() -> Result<()> {
    let threads = crate::Threads::lock();
    threads.set(1);
    let one = train()?;
    assert!(one.0.windows(2).any(|w| w[0] != w[1]), "the loss moves");
    for n in [2, 3] {
        threads.set(n);
        assert!(train()? == one, "{n} threads");
    }
    Ok(())
}

/// Large enough to be split, also where one operand is a single number, a row or a column, or turned.
#[test]
fn broadcast_operands_are_split_without_a_trace() -> Result<()> {
    let (rows, columns) = (70, 1001);
    let number = |i: usize| (i % 997) as f64 / 100.0;
    let large = Tensor::<f64>::from_fn([rows, columns], number);
    let turned = Tensor::<f64>::from_fn([columns, rows], number);
    let row = Tensor::<f64>::from_fn([columns], |j| j as f64);
    let column = Tensor::<f64>::from_fn([rows, 1], |i| i as f64 * 1e4);
    let threads = crate::Threads::lock();
    for n in 1..=3 {
        threads.set(n);
        let tape = Tape::new();
        let [x, t, r, c] = [&large, &turned, &row, &column].map(|t| tape.constant(t));
        let at = |i: usize| (i / columns, i % columns);
        let check = |name: &str, y: kolmo::Var<f64>, expected: &dyn Fn(usize) -> f64| -> Result<()> {
            let wrong =
                y.value()?.to_vec().iter().enumerate().find(|(i, v)| **v != expected(*i)).map(|(i, _)| i);
            assert_eq!(wrong, None, "{name} on {n} threads");
            Ok(())
        };
        check("row", &x + &r, &|i| number(i) + at(i).1 as f64)?;
        check("column", &x * &c, &|i| number(i) * (at(i).0 as f64 * 1e4))?;
        check("turned", &x - t.t(), &|i| number(i) - number(at(i).1 * rows + at(i).0))?;
        let flat = x.reshape([-1]);
        check("number", &flat * tape.constant(3.0), &|i| number(i) * 3.0)?;
    }
    Ok(())
}
