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
        let f1 = m.precision_recall_f1(Average::Macro).f1;
        let recall = m.fbeta(f64::INFINITY, Average::Weighted);
        let kappa = m.cohen_kappa(KappaWeights::None);
        let found = [m.accuracy(), m.balanced_accuracy(), m.matthews_corrcoef(), kappa, f1, recall];
        assert!(
            found.iter().zip(expected).all(|(a, b)| near(*a, *b)),
            "{predictions:?} {targets:?}: {found:?}"
        );
    }
    Ok(())
}

#[test]
fn weighted_samples_have_the_figures_of_scikit_learn() -> Result<()> {
    let y = Tensor::from([0u32, 2, 1, 1, 0, 2, 1]);
    let called = Tensor::from([0u32, 2, 1, 0, 2, 2, 1]);
    let w = Tensor::from([0.5f64, 2.0, 0.0, 1.5, 1.0, 3.0, 0.25]);
    let m = ConfusionMatrix::from_predictions(&called, (&y, &w))?;
    assert_eq!(m.counts().to_vec(), [0.5, 0.0, 1.0, 1.5, 0.25, 0.0, 0.0, 0.0, 5.0]);
    assert_eq!(m.per_class().iter().map(|c| c.support).collect::<Vec<_>>(), [1.5, 1.75, 5.0]);
    let p = Tensor::from([
        [0.5f64, 0.3, 0.2],
        [0.1, 0.2, 0.7],
        [0.3, 0.4, 0.3],
        [0.6, 0.3, 0.1],
        [0.2, 0.2, 0.6],
        [0.1, 0.1, 0.8],
        [0.25, 0.5, 0.25],
    ]);
    let figures = |average| {
        let f = m.precision_recall_f1(average);
        [f.precision, f.recall, f.f1, m.fbeta(2.0, average)]
    };
    let ovr = |average| roc_auc_ovr(&p, (&y, &w), average);
    let rows: &[(&str, &[f64], &[f64])] = &[
        ("accuracy", &[accuracy(&called, (&y, &w))?, m.accuracy()], &[0.696969696969697; 2]),
        (
            "balanced",
            &[m.balanced_accuracy(), m.matthews_corrcoef()],
            &[0.4920634920634921, 0.4306163763446055],
        ),
        (
            "kappa",
            &[m.cohen_kappa(KappaWeights::None), m.cohen_kappa(KappaWeights::Quadratic)],
            &[0.4043321299638988, 0.504774897680764],
        ),
        (
            "macro",
            &figures(Average::Macro),
            &[0.6944444444444445, 0.4920634920634921, 0.4816017316017316, 0.4821507515473033],
        ),
        ("micro", &figures(Average::Micro), &[0.696969696969697; 4]),
        (
            "weighted",
            &figures(Average::Weighted),
            &[0.7626262626262627, 0.696969696969697, 0.6559425423061787, 0.6761413873482839],
        ),
        (
            "probabilities",
            &[log_loss(&p, (&y, &w))?, brier_score(&p, (&y, &w))?, top_k_accuracy(&p, (&y, &w), 2)?],
            &[0.6446106722621887, 0.3725757575757575, 0.8787878787878788],
        ),
        (
            "one against the rest",
            &[ovr(Average::Macro)?, ovr(Average::Micro)?, ovr(Average::Weighted)?],
            &[0.9067064622620178, 0.9173553719008264, 0.9481136147802814],
        ),
    ];
    for (what, found, expected) in rows {
        assert!(found.iter().zip(*expected).all(|(a, b)| near(*a, *b)), "{what}: {found:?} {expected:?}");
    }
    Ok(())
}

#[test]
fn weighted_rankings_and_numbers_have_the_figures_of_scikit_learn() -> Result<()> {
    let (y, scores) =
        (Tensor::from([0u32, 1, 0, 1, 1, 0]), Tensor::from([0.1f64, 0.4, 0.35, 0.8, 0.35, 0.9]));
    let w = Tensor::from([1.0f64, 2.0, 0.5, 3.0, 0.0, 1.5]);
    let roc = roc_curve(&scores, (&y, &w), true)?;
    let curve = precision_recall_curve(&scores, (&y, &w), false)?;
    let (x, t) = (
        Tensor::from([[1.0f64, 4.0], [2.0, 5.0], [2.0, 7.5]]),
        Tensor::from([[1.0, 5.0], [2.0, 5.0], [3.0, 8.0]]),
    );
    let v = Tensor::from([1.0f64, 2.0, 0.5]);
    let rows: &[(&str, &[f64], &[f64])] = &[
        ("fpr", &roc.fpr, &[0.0, 0.5, 0.5, 0.5, 2.0 / 3.0, 1.0]),
        ("tpr", &roc.tpr, &[0.0, 0.0, 0.6, 1.0, 1.0, 1.0]),
        ("precision", &curve.precision, &[0.625, 5.0 / 7.0, 10.0 / 13.0, 2.0 / 3.0, 0.0, 1.0]),
        ("recall", &curve.recall, &[1.0, 1.0, 1.0, 0.6, 0.0, 0.0]),
        (
            "areas",
            &[roc_auc(&scores, (&y, &w))?, average_precision(&scores, (&y, &w))?],
            &[0.5, 0.7076923076923076],
        ),
        (
            "two classes",
            &[log_loss(&scores, (&y, &w))?, brier_score(&scores, (&y, &w))?],
            &[0.7845802163607577, 0.26578124999999997],
        ),
        (
            "numbers",
            &[
                mean_squared_error(&x, (&t, &v))?,
                mean_absolute_error(&x, (&t, &v))?,
                r2_score(&x, (&t, &v), true)?,
            ],
            &[0.23214285714285715, 0.25, 0.6791666666666667],
        ),
    ];
    for (what, found, expected) in rows {
        assert_eq!(found.len(), expected.len(), "{what}");
        assert!(found.iter().zip(*expected).all(|(a, b)| near(*a, *b)), "{what}: {found:?} {expected:?}");
    }
    assert_eq!(&roc.thresholds[1..], &[0.9, 0.8, 0.4, 0.35, 0.1]);
    Ok(())
}

#[test]
fn a_weight_of_two_is_a_sample_that_is_there_twice_and_one_of_nothing_is_told() -> Result<()> {
    let (p, y) = (Tensor::from([[0.75f64, 0.25], [0.625, 0.375]]), Tensor::from([0u32, 1]));
    let twice = Tensor::from([[0.75f64, 0.25], [0.75, 0.25], [0.625, 0.375]]);
    let weights = Tensor::from([2.0f64, 1.0]);
    let expected = expected_calibration_error(&twice, &Tensor::from([0u32, 0, 1]), 4)?;
    assert!(near(expected_calibration_error(&p, (&y, &weights), 4)?, expected));
    let mut m = ConfusionMatrix::new(2)?;
    for (bad, told) in [
        (Tensor::from([1.0f64]), "takes weights [2] for targets [2], not [1]"),
        (Tensor::from([1.0, -1.0]), "takes finite weights of 0 or more, not -1"),
        (Tensor::from([f64::NAN, 1.0]), "not NaN"),
        (Tensor::from([0.0, 0.0]), "a finite sum above 0, not 0"),
    ] {
        let errors = [
            accuracy(&p, (&y, &bad)).err(),
            log_loss(&p, (&y, &bad)).err(),
            m.update(&p, (&y, &bad)).err(),
            roc_auc(&Tensor::from([0.5f32, 0.5]), (&y, &bad)).err(),
            r2_score(&Tensor::from([0.5f64, 0.5]), (&Tensor::from([1.0, 2.0]), &bad), true).err(),
        ];
        for error in errors {
            let error = error.map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(told), "{error} / {told}");
        }
    }
    assert_eq!(m, ConfusionMatrix::new(2)?, "nothing was counted");
    // One class alone has no spread, however its weights are rounded.
    let ones = Tensor::from([1u32; 3]);
    let m = ConfusionMatrix::from_predictions(
        &ones,
        (&Tensor::from([1u32, 0, 1]), &Tensor::from([0.1f64, 0.2, 0.3])),
    )?;
    assert_eq!(m.matthews_corrcoef(), 0.0);
    Ok(())
}
