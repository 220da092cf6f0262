//! Bytes against accuracy: one line for each model, from its dense form to its smallest.
use crate::report::Stage;
use kolmo::plot::Plot;

pub fn plot(stages: &[Stage]) -> Plot {
    let point = |stage: &Stage| (stage.bytes as f64, 100.0 * stage.test_accuracy);
    let range = |values: Vec<f64>| {
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)))
    };
    let (small, large) = range(stages.iter().map(|s| point(s).0).collect());
    let (worst, best) = range(stages.iter().map(|s| point(s).1).collect());
    // Room for the labels.
    let margin = 0.25 * (best - worst).max(0.4);
    let plot = Plot::new("What a model needs")
        .axes("bytes on disk", "test accuracy, %")
        .log_x(true)
        .range((small / 2.0, large * 2.0), (worst - margin, best + margin));
    ["teacher", "student"].iter().fold(plot, |plot, model| {
        let stages = || stages.iter().filter(|stage| stage.model == *model);
        let name = format!("{model} {}", stages().next().map_or("", |stage| &stage.sizes));
        let plot = plot.line(&name, stages().map(point)).points(&name, stages().map(point));
        stages().fold(plot, |plot, stage| plot.label(&name, point(stage), stage.stage))
    })
}
