//! Metrics: scikit-learn's calls as the library's. scikit-learn's targets come first, the library's second.
use crate::case::{Call, Out, Outs, Stop, one, unknown};
use kolmo::{
    Float, Tensor,
    metrics::{self, Average, ConfusionMatrix, KappaWeights, Normalize, PrecisionRecallF1},
};

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let targets = || c.ints(0, "y_true");
    let predicted = || c.ints(1, "y_pred");
    let scores = || c.var(1, "y_score").and_then(|v| Ok(v.value()?.clone()));
    let numbers = |i, name| c.var(i, name).and_then(|v| Ok(v.value()?.clone()));
    let matrix = || {
        let (predicted, targets) = (predicted()?, targets()?);
        match c.int_opt(usize::MAX, "n_classes")? {
            None => Ok::<_, Stop>(ConfusionMatrix::from_predictions(&predicted, &targets)?),
            Some(_) => {
                let mut matrix = ConfusionMatrix::new(c.size(usize::MAX, "n_classes", None)?)?;
                matrix.update(&predicted, &targets)?;
                Ok(matrix)
            }
        }
    };
    let floats = |v: &[f64]| Out::Var(c.tape.constant(Tensor::from(v).cast::<T>()));
    let drop = |default| c.flag(usize::MAX, "drop_intermediate", default);
    match c.op.strip_prefix("metrics.").unwrap_or_default() {
        "accuracy" => one(metrics::accuracy(&predicted()?, &targets()?)?),
        "balanced_accuracy" => one(matrix()?.balanced_accuracy()),
        "matthews_corrcoef" => one(matrix()?.matthews_corrcoef()),
        "cohen_kappa" => {
            let weights = match c.text(usize::MAX, "weights", "")?.as_str() {
                "" => KappaWeights::None,
                "linear" => KappaWeights::Linear,
                "quadratic" => KappaWeights::Quadratic,
                other => return Err(Stop::Unrepresentable(format!("no weights {other:?}"))),
            };
            one(matrix()?.cohen_kappa(weights))
        }
        "confusion_matrix" => {
            let normalize = match c.text(usize::MAX, "normalize", "")?.as_str() {
                "" => return one(matrix()?.counts().cast::<i64>()),
                "true" => Normalize::True,
                "pred" => Normalize::Pred,
                "all" => Normalize::All,
                other => {
                    return Err(Stop::Unrepresentable(format!("nothing to normalise over named {other:?}")));
                }
            };
            one(c.tape.constant(matrix()?.normalized(normalize).cast::<T>()))
        }
        "precision_recall_f1" => {
            let zero_division = c.num(usize::MAX, "zero_division", 0.0)?;
            let averaged = |f: PrecisionRecallF1| Ok(vec![f.precision.into(), f.recall.into(), f.f1.into()]);
            if c.get(usize::MAX, "average").is_none() {
                let classes = matrix()?.zero_division(zero_division).per_class();
                let all = |figure: fn(&PrecisionRecallF1) -> f64| {
                    floats(&classes.iter().map(figure).collect::<Vec<_>>())
                };
                let support: Vec<i64> = classes.iter().map(|f| f.support as i64).collect();
                let figures = [all(|f| f.precision), all(|f| f.recall), all(|f| f.f1)];
                return Ok(figures.into_iter().chain([Tensor::from(support).into()]).collect());
            }
            match c.text(usize::MAX, "average", "")?.as_str() {
                "binary" => {
                    let positive = c.size(usize::MAX, "pos_label", 1)?;
                    averaged(matrix()?.zero_division(zero_division).binary(positive)?)
                }
                other => {
                    averaged(matrix()?.zero_division(zero_division).precision_recall_f1(average(other)?))
                }
            }
        }
        "log_loss" => one(metrics::log_loss(&scores()?, &targets()?)?),
        "brier" => one(metrics::brier_score(&scores()?, &targets()?)?),
        "expected_calibration_error" => {
            let bins = c.size(usize::MAX, "bins", 10)?;
            one(metrics::expected_calibration_error(&scores()?, &targets()?, bins)?)
        }
        "top_k_accuracy" => {
            one(metrics::top_k_accuracy(&scores()?, &targets()?, c.size(usize::MAX, "k", 2)?)?)
        }
        "roc_auc" => one(metrics::roc_auc(&scores()?, &targets()?)?),
        "roc_auc_ovr" => {
            let average = average(&c.text(usize::MAX, "average", "macro")?)?;
            one(metrics::roc_auc_ovr(&scores()?, &targets()?, average)?)
        }
        "roc_curve" => {
            let curve = metrics::roc_curve(&scores()?, &targets()?, drop(true)?)?;
            Ok(vec![floats(&curve.fpr), floats(&curve.tpr), floats(&curve.thresholds)])
        }
        "precision_recall_curve" => {
            let curve = metrics::precision_recall_curve(&scores()?, &targets()?, drop(false)?)?;
            Ok(vec![floats(&curve.precision), floats(&curve.recall), floats(&curve.thresholds)])
        }
        "average_precision" => one(metrics::average_precision(&scores()?, &targets()?)?),
        "mean_squared_error" => {
            one(metrics::mean_squared_error(&numbers(1, "y_pred")?, &numbers(0, "y_true")?)?)
        }
        "mean_absolute_error" => {
            one(metrics::mean_absolute_error(&numbers(1, "y_pred")?, &numbers(0, "y_true")?)?)
        }
        "r2" => {
            let force_finite = c.flag(usize::MAX, "force_finite", true)?;
            one(metrics::r2_score(&numbers(1, "y_pred")?, &numbers(0, "y_true")?, force_finite)?)
        }
        _ => unknown(),
    }
}

fn average(name: &str) -> Result<Average, Stop> {
    match name {
        "macro" => Ok(Average::Macro),
        "micro" => Ok(Average::Micro),
        "weighted" => Ok(Average::Weighted),
        other => Err(Stop::Unrepresentable(format!("no average {other:?}"))),
    }
}
