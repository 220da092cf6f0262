//! An operation of one's own: its value, its derivative, the check that both fit each other, and its use.
//!
//! ```sh
//! cargo run --release --example custom_op
//! ```
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    autodiff::{CustomOp, GradCheck},
    fuse,
    nn::Param,
    optim::{Adam, Optimizer},
};

/// `log cosh x`, a loss like the square near 0 and like the magnitude far away. As an expression
/// `log(cosh(x))` it overflows from 710 on; written this way it never does.
struct LogCosh;

impl CustomOp<f64> for LogCosh {
    fn name(&self) -> &str {
        "log_cosh"
    }

    fn forward(&self, x: &[&Tensor<f64>]) -> Result<Tensor<f64>> {
        let value = |x: &f64| x.abs() + (-2.0 * x.abs()).exp().ln_1p() - std::f64::consts::LN_2;
        Tensor::new(x[0].shape(), x[0].to_vec().iter().map(value).collect())
    }

    // Operations on values of the tape: so it can be differentiated again.
    fn backward<'t>(
        &self,
        x: &[Var<'t, f64>],
        _y: &Var<'t, f64>,
        grad: &Var<'t, f64>,
    ) -> Vec<Option<Var<'t, f64>>> {
        vec![Some(grad * x[0].tanh())]
    }
}

fn main() -> Result<()> {
    // Value and derivative against finite differences, first and second order.
    let points = Tensor::from([-3.0, -0.5, 0.1, 2.0]);
    GradCheck::new().second_order(true).check(|x| x[0].tape().custom(LogCosh, &[&x[0]]), &[points])?;
    let tape = Tape::new();
    let far = tape.constant(1000.0);
    println!(
        "log cosh 1000 = {:.4}; as a plain expression {}",
        tape.custom(LogCosh, &[&far]).item()?,
        far.cosh().log().item()?
    );

    // A line through points, some of which are far off: the square listens to these, log cosh hardly.
    let mut rng = Random::new(0);
    let x = Tensor::<f64>::linspace(-1.0, 1.0, 50);
    let y = Tensor::from_fn([50], |i| {
        let line = 2.0 * (i as f64 / 24.5 - 1.0) + 1.0 + rng.uniform_range(-0.1..0.1);
        if i % 7 == 3 { line - 20.0 } else { line }
    });
    let fit = |robust: bool| -> Result<[f64; 2]> {
        let line = [Param::new(Tensor::scalar(0.0)), Param::new(Tensor::scalar(0.0))];
        let mut adam = Adam::new(0.05);
        let mut tape = Tape::new();
        for _ in 0..3000 {
            let [slope, start] = [0, 1].map(|i| tape.param(&line[i]));
            let (x, y) = (tape.constant(&x), tape.constant(&y));
            let off = fuse!(|x, y, slope, start| slope * x + start - y).apply([&x, &y, &slope, &start]);
            let loss = if robust { tape.custom(LogCosh, &[&off]) } else { off.square() };
            adam.step(&line, &loss.mean().backward()?)?;
            tape.reset();
        }
        Ok([line[0].value().item()?, line[1].value().item()?])
    };
    let [square, robust] = [fit(false)?, fit(true)?];
    println!("the line is 2.00·x + 1.00, but one point in seven is 20 too low");
    println!("least squares       {:.2}·x + {:.2}", square[0], square[1]);
    println!("log cosh            {:.2}·x + {:.2}", robust[0], robust[1]);
    Ok(())
}
