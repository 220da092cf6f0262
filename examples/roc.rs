//! A classifier that says how sure it is: logistic regression with a penalty on breast cancer data, its ROC
//! curve, and whether its probabilities are true.
//!
//! ```sh
//! cargo run --release --example roc -- --out target/roc
//! ```
use clap::Parser;
use kolmo::{
    Random, Result, Tape, Tensor,
    data::{self, StandardScaler, Table},
    loss::l2_penalty,
    metrics::{
        ConfusionMatrix, average_precision, brier_score, calibration_curve, expected_calibration_error,
        roc_auc, roc_curve,
    },
    nn::{Layer, Linear},
    optim::Lbfgs,
    plot::{Heatmap, Plot},
};
use std::{fs, path::PathBuf};

#[derive(Parser)]
struct Options {
    /// Where the pictures go
    #[arg(long, default_value = "target/roc")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let table = Table::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/breast_cancer.csv"))?;
    let names: Vec<&str> = table.names().iter().map(String::as_str).filter(|n| *n != "class").collect();
    let x = table.numbers(&names)?.cast::<f32>();
    // Classes are numbered by the alphabet: 0 is benign, 1 malignant.
    let (y, classes) = table.classes("class")?;

    // Ten parts, each predicted by a model that was trained on the nine others.
    let mut probabilities = vec![0.0; y.numel()];
    for (train, test) in data::stratified_k_fold(&y, 10, &mut Random::new(0))? {
        let scale = StandardScaler::fit(&x.rows(&train)?)?;
        let (inputs, targets) = (scale.apply(&x.rows(&train)?)?, y.rows(&train)?.cast::<f32>());
        let net = Linear::new(names.len(), 1, &mut Random::new(0));
        Lbfgs::new(1.0).max_iter(200).minimize(&net, |tape| {
            let scores = net.forward(&tape.constant(&inputs)).squeeze(1);
            let loss = scores.binary_cross_entropy_with_logits(&targets);
            loss + l2_penalty(&net, tape, |name, _| name == "weight") / (2.0 * train.len() as f64)
        })?;
        let tape = Tape::inference();
        let found = net.forward(&tape.constant(scale.apply(&x.rows(&test)?)?)).sigmoid().to_vec()?;
        test.iter().zip(found).for_each(|(&i, p)| probabilities[i] = p);
    }
    let p = Tensor::from(probabilities);

    let called = Tensor::from_fn([y.numel()], |i| u32::from(p.get([i]).is_some_and(|p| p >= 0.5)));
    let matrix = ConfusionMatrix::from_predictions(&called, &y)?;
    println!("{} tumours, {} measures each, 10-fold cross-validation", y.numel(), names.len());
    println!(
        "error               {:.2} % (2.28 % is known for this kind of model)",
        100.0 * (1.0 - matrix.accuracy())
    );
    println!("area under ROC      {:.4}", roc_auc(&p, &y)?);
    println!("average precision   {:.4}", average_precision(&p, &y)?);
    println!("Brier score         {:.4}", brier_score(&p, &y)?);
    println!("calibration error   {:.4}", expected_calibration_error(&p, &y, 10)?);

    fs::create_dir_all(&options.out).ok();
    let unit = ((0.0, 1.0), (0.0, 1.0));
    let roc = roc_curve(&p, &y, true)?;
    Plot::new("ROC: found of the malignant, against false alarms")
        .axes("false positive rate", "true positive rate")
        .range(unit.0, unit.1)
        .line(format!("area {:.4}", roc_auc(&p, &y)?), roc.fpr.into_iter().zip(roc.tpr))
        .dashed("chance", [(0.0, 0.0), (1.0, 1.0)])
        .save(options.out.join("roc.svg"))?;
    let curve = calibration_curve(&p, &y, 8, true)?;
    let points: Vec<(f64, f64)> = curve.predicted.into_iter().zip(curve.observed).collect();
    Plot::new("Reliability: what came true where the model was how sure")
        .axes("predicted probability of malignant", "share that is malignant")
        .range(unit.0, unit.1)
        .line("model", points.clone())
        .points("model", points)
        .dashed("perfect", [(0.0, 0.0), (1.0, 1.0)])
        .save(options.out.join("reliability.svg"))?;
    let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
    Heatmap::confusion(&matrix, &classes).save(options.out.join("confusion.svg"))?;
    println!("ROC, reliability and confusion are in {}", options.out.display());
    Ok(())
}
