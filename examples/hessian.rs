//! Second derivatives: a whole Hessian for Newton's method, and products with one too large to write down,
//! which tell how curved the loss of a network is where training has led it.
//!
//! ```sh
//! cargo run --release --example hessian
//! ```
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    autodiff::{hessian, hvp},
    data,
    nn::{Layer, Linear, Sequential, Tanh, init, named_params},
    optim::{Optimizer, Sgd},
};

/// Rosenbrock's valley: from the start (-1.2, 1) to the minimum 0 at (1, 1) the way is bent.
fn valley<'t>(x: &Var<'t, f64>) -> Var<'t, f64> {
    let (a, b) = (x.select(0, 0), x.select(0, 1));
    (1.0 - &a).square() + (b - a.square()).square() * 100.0
}

fn main() -> Result<()> {
    let mut x = Tensor::from([-1.2, 1.0]);
    println!("Newton's method in Rosenbrock's valley");
    for step in 0..7 {
        let (value, gradient, _) = hvp(valley, &x, &Tensor::zeros([2]))?;
        println!("  step {step}: {value:.3e} at {:8.5?}", x.to_vec());
        let tape = Tape::inference();
        let hessian = tape.constant(hessian(valley, &x)?);
        x = (tape.constant(&x) - hessian.solve(&gradient)).value()?.clone();
    }

    // A network on digits, trained with steps of 0.1.
    let (images, labels) = data::digits();
    let rng = &mut Random::new(0);
    let training = Training {
        net: Sequential((Linear::new(64, 32, rng), Tanh, Linear::new(32, 10, rng))),
        images: data::StandardScaler::fit(&images)?.apply(&images)?,
        labels,
    };
    let params = named_params::<f32>(&training.net);
    let size: usize = params.iter().map(|(_, p)| p.shape().numel()).sum();
    println!("\nSharpness, the largest eigenvalue of the Hessian of {size} weights, and the loss");
    let (mut sgd, mut tape) = (Sgd::new(0.1), Tape::new());
    for step in 0..=400 {
        let loss = training.loss(&tape);
        if step % 100 == 0 {
            println!("  after {step:3} steps: {:7.3}, loss {:.4}", training.sharpness()?, loss.item()?);
        }
        sgd.step(&training.net, &loss.backward()?)?;
        tape.reset();
    }
    println!("gradient descent with a rate of 0.1 is stable as long as this stays below 2 / 0.1 = 20");
    Ok(())
}

struct Training {
    net: Sequential<(Linear, Tanh, Linear)>,
    images: Tensor,
    labels: Tensor<u32>,
}

impl Training {
    fn loss<'t>(&self, tape: &'t Tape) -> Var<'t> {
        self.net.forward(&tape.constant(&self.images)).cross_entropy(&self.labels)
    }

    /// The largest eigenvalue by power iteration: a product with the Hessian is the gradient of (gradient ·
    /// v), a second sweep.
    fn sharpness(&self) -> Result<f32> {
        let params = named_params::<f32>(&self.net);
        let rng = &mut Random::new(1);
        let mut v: Vec<Tensor> = params.iter().map(|(_, p)| init::normal(p.shape(), 0.0, 1.0, rng)).collect();
        let mut largest = 0.0;
        for _ in 0..30 {
            let tape = Tape::new();
            let leaves: Vec<Var> = params.iter().map(|(_, p)| tape.param(p)).collect();
            let leaves: Vec<&Var> = leaves.iter().collect();
            let slopes = self.loss(&tape).grad(&leaves)?;
            let dots = slopes.iter().zip(&v).map(|(g, v)| (g * v).sum());
            let along = dots.reduce(|a, b| a + b).unwrap_or_else(|| tape.constant(0.0));
            let product = along.grad(&leaves)?;
            let norm = product.iter().map(|p| p.square().sum().item()).sum::<Result<f32>>()?.sqrt();
            v = product.iter().map(|p| Ok((p / f64::from(norm)).value()?.clone())).collect::<Result<_>>()?;
            largest = norm;
        }
        Ok(largest)
    }
}
