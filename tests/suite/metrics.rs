//! Metrics on degenerate samples: one class, equal scores, ties, one sample. What they must be comes from
//! scikit-learn 1.9.
use kolmo::{Result, Tensor, metrics::*};
use std::f64::consts::LN_2;

fn near(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * b.abs().max(1.0)
}

#[test]
fn degenerate_scores_have_the_figures_of_scikit_learn() -> Result<()> {
    // ROC AUC, average precision, log loss, Brier score.
    type Row = (&'static [f64], &'static [i64], [f64; 4]);
    let rows: &[Row] = &[
        (&[0.5, 0.5, 0.5, 0.5], &[0, 1, 1, 0], [0.5, 0.5, LN_2, 0.25]),
        (&[0.5, 0.5, 0.5], &[1, 1, 1], [f64::NAN, 1.0, LN_2, 0.25]),
        (&[0.25, 0.25, 0.25], &[0, 0, 0], [f64::NAN, 0.0, 0.2876820724517809, 0.0625]),
        (&[0.0, 1.0, 0.0, 1.0], &[0, 1, 1, 0], [0.5, 0.5, 18.021826694558577, 0.5]),
        (&[1.0, 0.0], &[0, 1], [0.0, 0.5, 36.04365338911715, 1.0]),
        (&[0.3], &[1], [f64::NAN, 1.0, 1.2039728043259361, 0.48999999999999994]),
        (&[0.3], &[0], [f64::NAN, 0.0, 0.35667494393873245, 0.09000000000000001]),
        (
            &[0.1, 0.1, 0.4, 0.4, 0.8],
            &[0, 1, 0, 1, 1],
            [0.6666666666666666, 0.7555555555555555, 0.8116411031212454, 0.276],
        ),
        (&[0.0, -0.0, 1.0], &[0, 1, 1], [0.75, 0.8333333333333333, 12.014551129705717, 0.3333333333333333]),
        (&[5e-324, 0.0, 1e-300], &[1, 0, 1], [1.0, 1.0, 24.029102259411435, 0.6666666666666666]),
    ];
    for (scores, targets, expected) in rows {
        let (p, y) = (Tensor::from(*scores), Tensor::from(*targets));
        let found = [roc_auc(&p, &y)?, average_precision(&p, &y)?, log_loss(&p, &y)?, brier_score(&p, &y)?];
        assert!(found.iter().zip(expected).all(|(a, b)| near(*a, *b)), "{scores:?} {targets:?}: {found:?}");
    }
    Ok(())
}

#[test]
fn degenerate_labels_have_the_figures_of_scikit_learn() -> Result<()> {
    // Accuracy, balanced accuracy, Matthews, kappa, macro F1, weighted F-beta of an infinite beta.
    type Row = (&'static [i64], &'static [i64], [f64; 6]);
    let rows: &[Row] = &[
        (&[0, 0, 0], &[0, 0, 0], [1.0, 1.0, 0.0, f64::NAN, 1.0, 1.0]),
        (&[0, 0, 0], &[0, 1, 1], [0.3333333333333333, 0.5, 0.0, 0.0, 0.25, 0.3333333333333333]),
        (
            &[1, 1, 0],
            &[1, 0, 0],
            [0.6666666666666666, 0.75, 0.5, 0.3999999999999999, 0.6666666666666666, 0.6666666666666666],
        ),
        (&[0], &[1], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
        (
            &[2, 0, 2, 2],
            &[0, 1, 2, 2],
            [0.5, 0.3333333333333333, 0.12909944487358055, 0.11111111111111116, 0.26666666666666666, 0.5],
        ),
    ];
    for (predictions, targets, expected) in rows {
        let m = ConfusionMatrix::from_predictions(&Tensor::from(*predictions), &Tensor::from(*targets))?;
        let f1 = m.precision_recall_f1(Average::Macro, 0.0).f1;
        let recall = m.fbeta(f64::INFINITY, Average::Weighted, 0.0);
        let kappa = m.cohen_kappa(KappaWeights::None);
        let found = [m.accuracy(), m.balanced_accuracy(), m.matthews_corrcoef(), kappa, f1, recall];
        assert!(
            found.iter().zip(expected).all(|(a, b)| near(*a, *b)),
            "{predictions:?} {targets:?}: {found:?}"
        );
    }
    Ok(())
}
