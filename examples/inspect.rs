//! Looking into a network: trains one on handwritten digits for a moment, and prints what a tape can tell
//! about a step of it.
//!
//! ```sh
//! cargo run --release --example inspect
//! ```
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    autodiff::GradCheck,
    compress::prune,
    data,
    inspect::{SavedTape, summary},
    nn::{Conv2d, Layer, Linear},
    ops::PoolOptions,
    optim::{Adam, Optimizer},
};

#[derive(serde::Serialize)]
struct Net {
    conv: Conv2d,
    hidden: Linear,
    out: Linear,
}

impl Net {
    fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let channels = self.conv.forward(x).relu();
        let pooled = channels.max_pool2d(&PoolOptions::new(2));
        let units = self.hidden.forward(&pooled.flatten(1, -1)).relu();
        self.out.forward(&units)
    }

    /// Cross entropy, and a little of the size of the hidden layer's weights.
    fn loss<'t>(&self, x: &Var<'t>, y: &Tensor<u32>) -> Var<'t> {
        let size = x.tape().param(&self.hidden.weight).abs().sum();
        self.forward(x).cross_entropy(y) + size * 1e-4
    }
}

fn main() -> Result<()> {
    let (x, y) = data::digits();
    let x = data::StandardScaler::fit(&x)?.apply(&x)?.reshape([-1, 1, 8, 8])?;
    let rng = &mut Random::new(0);
    let net = Net {
        conv: Conv2d::new(1, 16, 3, rng).padding(1),
        hidden: Linear::new(16 * 4 * 4, 64, rng),
        out: Linear::new(64, 10, rng),
    };
    let mut tape = Tape::new();
    let mut adam = Adam::new(1e-3);
    let mut batches = data::batches(y.numel(), 64, rng);
    for batch in batches.by_ref().take(20) {
        let loss = net.loss(&tape.input(x.rows(&batch)?), &y.rows(&batch)?);
        adam.step(&net, &loss.backward()?)?;
        tape.reset();
    }
    // Half of the hidden layer's weights are zeros from here on.
    prune::global(&net, prune::Amount::Fraction(0.5), |name, _| name == "hidden.weight")?;

    let _ = net.forward(&tape.input(x.rows(&[0])?));
    println!("== summary\n\n{}", summary(&net).with_operations(&net, &tape));

    // One more step, and this one is watched.
    tape.reset();
    tape.set_observing(true);
    let batch = batches.next().unwrap_or_default();
    let (x, y) = (x.rows(&batch)?, y.rows(&batch)?);
    let loss = net.loss(&tape.input(&x), &y);
    println!("== memory\n\n{}", tape.memory().with_names(&net, &tape));
    println!("== dead units\n\n{}", tape.dead_units()?.with_names(&net, &tape));
    let grads = loss.backward()?;
    println!("== gradients\n\n{}", grads.statistics(&net));
    let seen = tape.observation().with_names(&net);
    println!("== profile\n\n{}", seen.profile());
    println!("== kinks\n\n{}", seen.kinks());
    println!("== rounding\n\n{}", seen.rounding());

    // The computation as data, which runs without this program, and the same step with one number changed.
    println!("== saved tape\n");
    let file = std::path::Path::new("target/inspect.json");
    std::fs::create_dir_all("target").ok();
    SavedTape::from_var(&loss)?.with_names(&net).save(file)?;
    let saved = SavedTape::load(file)?;
    let again = saved.replay::<f32>()?.value.item()?;
    println!(
        "{} statements in {}; run again the loss is {again}, it was {}",
        saved.len(),
        file.display(),
        loss.item()?
    );
    match saved.gradcheck(GradCheck::new().max_elements(3)) {
        Ok(()) => println!("its gradients agree with finite differences"),
        Err(error) => println!("{error}"),
    }
    println!("\n== where two runs part\n");
    let (mut weights, other) = (net.out.weight.value(), Tape::new());
    weights.set([3, 1], 0.5)?;
    net.out.weight.set(weights);
    other.set_observing(true);
    let _ = net.loss(&other.input(&x), &y).backward()?;
    if let Some(difference) = seen.diff(&other.observation(), 0.0) {
        println!("{difference}");
    }
    Ok(())
}
