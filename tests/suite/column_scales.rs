//! Scales that move from one parameter to the next and leave what a model computes as it is.
use crate::calibrated::{inputs, seen_by};
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    compress::quantize::ColumnScales,
    nn::{Layer, Linear, Param, RmsNorm},
};
use serde::Serialize;

/// What values are to attention: two heads of queries share each of two heads of four numbers.
#[derive(Serialize)]
struct Shared {
    norm: RmsNorm,
    values: Linear,
    output: Linear,
}

impl Shared {
    fn new() -> Shared {
        let rng = &mut Random::new(19);
        let norm = RmsNorm::new([24]);
        norm.weight.as_ref().unwrap().set(Tensor::<f32>::from_fn([24], |i| 0.2 + i as f32));
        Shared { norm, values: Linear::new(24, 8, rng), output: Linear::new(16, 12, rng) }
    }

    fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let rows = x.dim(0) as isize;
        let heads = self.values.forward(&self.norm.forward(x)).reshape([rows, 2, 1, 4]);
        let twice = heads.expand([rows, 2, 2, 4]);
        self.output.forward(&twice.reshape([rows, 16]))
    }
}

#[test]
fn columns_are_scaled_and_the_model_computes_what_it_did() -> Result<()> {
    for scales in [ColumnScales::errors(0.1), ColumnScales::awq(0.5)] {
        let (model, x) = (Shared::new(), inputs(90, 24, 20));
        let tape = Tape::inference();
        let run = || model.forward(&tape.constant(&x)).to_vec();
        let (before, calibration) = (run()?, seen_by(&model, &x, |x| model.forward(x)));
        let spread = || {
            let means = calibration.mean_magnitudes(&model.values.weight).unwrap();
            let (least, most) = means.iter().fold((f64::MAX, 0.0f64), |(a, b), &v| (a.min(v), b.max(v)));
            most / least
        };
        let wide = spread();
        let bias = model.values.bias.as_ref().unwrap();
        let norm = model.norm.weight.as_ref().unwrap();
        scales.fold(&[norm], &[&model.values.weight], &calibration)?;
        let heads = [&model.values.weight, bias];
        scales.heads(4).fold(&heads, &[&model.output.weight], &calibration)?;
        let most = before.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        assert!(before.iter().zip(run()?).all(|(a, b)| (a - b).abs() < 1e-5 * most));
        // The calibration is what it would be of the model as it is now.
        let again = seen_by(&model, &x, |x| model.forward(x));
        for weight in [&model.values.weight, &model.output.weight] {
            let [one, other] =
                [&calibration, &again].map(|seen| seen.second_moments(weight).unwrap().to_vec());
            let most = one.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            assert!(one.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-4 * most));
        }
        // Magnitudes that differed by much differ by less.
        assert!(spread() < wide / 2.0, "{wide}");
    }
    Ok(())
}

#[test]
fn column_scales_that_do_not_fit_are_told() -> Result<()> {
    let (model, x) = (Shared::new(), inputs(90, 24, 20));
    let calibration = seen_by(&model, &x, |x| model.forward(x));
    let (norm, before) = (model.norm.weight.as_ref().unwrap(), model.values.weight.value());
    let told = |producer, consumers: &[&Param], what: &str| {
        let result = ColumnScales::awq(0.5).fold(&[producer], consumers, &calibration);
        let message = result.unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
        assert_eq!(model.values.weight.value(), before);
    };
    told(norm, &[], "takes one consumer at least");
    told(norm, &[norm], "saw no input of the first consumer");
    told(norm, &[&model.values.weight, &model.output.weight], "output.weight has another input");
    told(norm, &[&model.output.weight], "for 16 inputs: takes as many rows");
    told(&model.values.weight, &[&model.output.weight], "heads()");
    Ok(())
}
