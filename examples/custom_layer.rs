//! A layer of one's own: a struct with parameters and a `forward`. No macro, no registration: serde's derive
//! is all that optimisers, files and counts need to find the parameters by name.
//!
//! ```sh
//! cargo run --release --example custom_layer
//! ```
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    data::{self, DataLoader},
    metrics::accuracy,
    nn::{Layer, LayerNorm, Linear, Param, Sequential, named_params},
    optim::AdamW,
    train::Trainer,
};
use serde::{Deserialize, Serialize};

/// `x + scale · (gate(x) ⊙ value(x))`, with what goes in normalised: a residual block with a gate (after
/// Dauphin et al., 2017).
#[derive(Serialize, Deserialize)]
struct Gated {
    norm: LayerNorm,
    gate: Linear,
    value: Linear,
    /// `[width]`, small at first: the block begins as nearly nothing.
    scale: Param,
}

impl Gated {
    fn new(width: usize, rng: &mut Random) -> Gated {
        Gated {
            norm: LayerNorm::new([width]),
            gate: Linear::new(width, width, rng),
            value: Linear::new(width, width, rng),
            scale: Param::new(Tensor::full([width], 0.1)),
        }
    }
}

// With this trait it goes where the crate's own layers go.
impl Layer for Gated {
    fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let h = self.norm.forward(x);
        x + x.tape().param(&self.scale) * self.gate.forward(&h).sigmoid() * self.value.forward(&h)
    }
}

fn main() -> Result<()> {
    let (x, y) = data::digits();
    let (train, test) = data::train_test_split(y.numel(), 0.25, &mut Random::new(0))?;
    let x = data::StandardScaler::fit(&x.rows(&train)?)?.apply(&x)?;
    let (train, test) = ((x.rows(&train)?, y.rows(&train)?), (x.rows(&test)?, y.rows(&test)?));

    let rng = &mut Random::new(0);
    let blocks: Vec<Gated> = (0..4).map(|_| Gated::new(64, rng)).collect();
    let net = Sequential((blocks, Linear::new(64, 10, rng)));
    for (name, p) in named_params::<f32>(&net.0.0[0]) {
        println!("{:12} {}", name, p.shape());
    }
    let right = || {
        let tape = Tape::inference();
        accuracy(net.forward(&tape.constant(&test.0)).value()?, &test.1)
    };
    Trainer::new(DataLoader::new(train.1.numel(), 64), 30).fit(
        &net,
        &mut AdamW::new(2e-3),
        move |rows, _| Ok((train.0.rows(rows)?, train.1.rows(rows)?)),
        |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
        || Ok(vec![("accuracy", right()?)]),
    )?;
    println!("four such blocks: {:.2} % of the held-out digits are right", 100.0 * right()?);
    Ok(())
}
