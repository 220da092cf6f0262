//! A workload's line.
use crate::{
    counting::{peak, start},
    timing::{Plan, Times, budget},
};
use kolmo::Result;

/// Trained much longer on its one batch, a model gets gradients so small that moments become denormal.
fn max_steps(workload: &str) -> usize {
    let short = ["mlp300", "mlp1200", "lenet5", "cnn3", "gpt_nano", "gru_char"];
    if short.contains(&workload) { 400 } else { usize::MAX }
}

/// Runs `step` for about the budget in at least seven repeats and prints the times. The result of the
/// tenth call is the checksum.
pub fn measure(peer: &str, workload: &str, threads: usize, step: impl FnMut() -> Result<f32>) -> Result<()> {
    let plan = Plan { budget: budget(), warmup: 10, repeats: 7, most: max_steps(workload) };
    kolmo::runtime::release_memory();
    start();
    let times = Times::take(plan, step)?;
    let samples = times.samples.iter().map(|v| format!("{v:.9}")).collect::<Vec<_>>().join(",");
    println!(
        "{{\"peer\":\"{peer}\",\"workload\":\"{workload}\",\"threads\":{threads},\"median_s\":{},\"min_s\":{},\
         \"repeats\":{},\"checksum\":{},\"peak_bytes\":{},\"peak_rss_mb\":{},\"first_step_s\":{},\"samples\":[{samples}]}}",
        times.median(),
        times.sorted[0],
        times.samples.len(),
        times.value,
        peak(),
        peak_rss_mb(),
        times.first
    );
    Ok(())
}

/// The most memory that the process ever held; 0 where the system doesn't tell.
pub fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).map_or(0.0, |kb| kb / 1024.0)
}
