//! Layers in the form that they are stored in, against dense ones of floats, one thread, in one run:
//! `cargo bench --bench compact`.
#![allow(clippy::disallowed_methods)]
use kolmo::{
    Random, Result, Tape, Tensor,
    compress::{
        Channels, Int8Linear, SparseLinear, matrices,
        prune::{self, Amount},
    },
    nn::{Conv2d, Flatten, Layer, Linear, MaxPool2d, Relu, Sequential, init},
};
use std::time::Instant;

/// The median of twenty times, in microseconds; each is of so many calls that it takes five milliseconds.
fn time(mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut calls = 0;
    while calls < 3 || start.elapsed().as_secs_f64() < 0.02 {
        f()?;
        calls += 1;
    }
    let calls = (calls / 4).max(1);
    let mut times = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        (0..calls).try_for_each(|_| f())?;
        times.push(start.elapsed().as_secs_f64() * 1e6 / calls as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[10])
}

fn line(name: &str, dense: f64, compact: f64) {
    println!("{name:<64}{dense:>10.2}{compact:>10.2}{:>8.2}", dense / compact);
}

fn relu(mut x: Tensor) -> Tensor {
    x.as_mut_slice().iter_mut().for_each(|v| *v = v.max(0.0));
    x
}

fn mlp(rng: &mut Random) -> Sequential<(Linear, Relu, Linear, Relu, Linear)> {
    Sequential((
        Linear::new(784, 300, rng),
        Relu,
        Linear::new(300, 100, rng),
        Relu,
        Linear::new(100, 10, rng),
    ))
}

fn main() -> Result<()> {
    kolmo::runtime::set_num_threads(1);
    println!("{:<64}{:>10}{:>10}{:>8}", "", "f32, µs", "here, µs", "ratio");
    let rng = &mut Random::new(0);
    let tape = Tape::inference();
    for blocks in [false, true] {
        let net = mlp(rng);
        let amount = Amount::Density(0.08);
        if blocks {
            prune::blocks(&net, amount, 16, matrices)?;
        } else {
            prune::global(&net, amount, matrices)?;
        }
        let layers = [&net.0.0, &net.0.2, &net.0.4].map(SparseLinear::from_linear);
        let [a, b, c] = [layers[0].clone()?, layers[1].clone()?, layers[2].clone()?];
        // The dense network has its zeros in the tensors, as if nobody had masked anything.
        [&net.0.0, &net.0.2, &net.0.4].iter().try_for_each(|layer| layer.weight.bake())?;
        for (n, blank) in [(1, false), (1, true), (64, true)] {
            let x: Tensor = init::normal([n, 784], 0.0, 1.0, rng);
            let values = x.to_vec();
            // An image of which four fifths are blank, as MNIST's are.
            let x = Tensor::from_fn([n, 784], |i| if blank && i % 5 > 0 { 0.0 } else { values[i] });
            let dense = time(|| net.forward(&tape.constant(&x)).value().map(|_| ()))?;
            let compact = time(|| c.forward(&relu(b.forward(&relu(a.forward(&x)?))?)).map(|_| ()))?;
            let kind = if blocks { "blocks of 16" } else { "single weights" };
            let images = if blank { "images four fifths blank" } else { "no input is 0" };
            line(&format!("784-300-100-10, 92 % pruned, {kind}, batch {n}, {images}"), dense, compact);
        }
    }
    for (size, n) in [(1024, 1), (4096, 1), (4096, 64)] {
        let layer = Linear::new(size, size, rng);
        let compact = Int8Linear::from_linear(&layer)?;
        let x: Tensor = init::normal([n, size], 0.0, 1.0, rng);
        let dense = time(|| layer.forward(&tape.constant(&x)).value().map(|_| ()))?;
        let here = time(|| compact.forward(&x).map(|_| ()))?;
        line(&format!("int8, {size} by {size}, batch {n}"), dense, here);
    }
    let net = Sequential((
        Conv2d::new(1, 20, 5, rng),
        MaxPool2d::new(2),
        Conv2d::new(20, 50, 5, rng),
        MaxPool2d::new(2),
        Flatten,
        Linear::new(800, 500, rng),
        Relu,
        Linear::new(500, 10, rng),
    ));
    for n in [1, 64] {
        let rng = &mut Random::new(1);
        let x: Tensor = init::normal([n, 1, 28, 28], 0.0, 1.0, rng);
        let whole = time(|| net.forward(&tape.constant(&x)).value().map(|_| ()))?;
        let half = Sequential((
            Conv2d::new(1, 20, 5, rng),
            MaxPool2d::new(2),
            Conv2d::new(20, 50, 5, rng),
            MaxPool2d::new(2),
            Flatten,
            Linear::new(800, 500, rng),
            Relu,
            Linear::new(500, 10, rng),
        ));
        Channels::trace(&half, &x, |x| half.forward(x))?.shrink(&half, 0.5)?;
        let smaller = time(|| half.forward(&tape.constant(&x)).value().map(|_| ()))?;
        // 20·24²·25 + 50·8²·500 + 800·500 + 5,000 multiply-adds, and 10, 25, 400 and 250 in their places.
        let cut = 2_293_000.0 / (10 * 576 * 25 + 25 * 64 * 250 + 400 * 250 + 2_500) as f64;
        line(
            &format!("LeNet-5, half of all channels ({cut:.2} times fewer multiply-adds), batch {n}"),
            whole,
            smaller,
        );
    }
    Ok(())
}
