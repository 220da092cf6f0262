//! The objectives of ADBench: the time of value and derivatives over that of the same program on plain
//! numbers.
#[path = "../../examples/adbench/ba.rs"]
mod ba;
#[path = "../../examples/adbench/gmm.rs"]
mod gmm;
#[path = "../../examples/adbench/hand.rs"]
mod hand;
#[path = "../../examples/adbench/hand_model.rs"]
mod hand_model;
#[path = "../../examples/adbench/lstm.rs"]
mod lstm;
#[path = "../../examples/adbench/numbers.rs"]
mod numbers;
#[path = "../../examples/adbench/rotation.rs"]
mod rotation;

use crate::{measure::peak_rss_mb, timing::budget};
use ba::Way;
use kolmo::{Result, Tape, Tensor, autodiff::Sparse};
use std::{hint::black_box, time::Instant};

/// Runs one of the workloads; `None` if it isn't here.
pub fn run(workload: &str, threads: usize) -> Option<Result<()>> {
    Some(match workload {
        "adbench_gmm_scalars" => mixture(workload, threads, gmm::scalars),
        "adbench_gmm_mixed" => mixture(workload, threads, gmm::mixed),
        "adbench_gmm_tensors" => mixture(workload, threads, gmm::tensors),
        "adbench_gmm_replayed" => mixture_replayed(workload, threads),
        "adbench_lstm" => text(workload, threads),
        "adbench_lstm_replayed" => text_replayed(workload, threads),
        "adbench_ba" => bundle(workload, threads, Way::Forward),
        "adbench_ba_plain" => bundle(workload, threads, Way::Plain),
        "adbench_ba_preaccumulated" => bundle(workload, threads, Way::Preaccumulated),
        "adbench_ba_replayed" => bundle_replayed(workload, threads),
        "adbench_hand" | "adbench_hand_tensors" => track(workload, threads),
        _ => return None,
    })
}

fn mixture(workload: &str, threads: usize, program: gmm::Program) -> Result<()> {
    let p = gmm::read("gmm_d10_K25", include_str!("../../tests/data/adbench/gmm_d10_K25.txt"))?;
    let tape = &mut Tape::new();
    compare(workload, threads, || gmm::value(&p), || Ok(program(tape, &p)?.1.iter().sum()))
}

fn text(workload: &str, threads: usize) -> Result<()> {
    let p = lstm::read("lstm_l2_c1024", include_str!("../../tests/data/adbench/lstm_l2_c1024.txt"))?;
    let tape = &mut Tape::new();
    compare(workload, threads, || lstm::value(&p), || Ok(lstm::scalars(tape, &p)?.1.iter().sum()))
}

fn mixture_replayed(workload: &str, threads: usize) -> Result<()> {
    let p = gmm::read("gmm_d10_K25", include_str!("../../tests/data/adbench/gmm_d10_K25.txt"))?;
    let (program, x) = (gmm::program(&p)?, Tensor::from([&p.alphas[..], &p.means, &p.icf].concat()));
    compare(workload, threads, || gmm::value(&p), || Ok(program.value_and_grad(&x)?.1.to_vec().iter().sum()))
}

fn text_replayed(workload: &str, threads: usize) -> Result<()> {
    let p = lstm::read("lstm_l2_c1024", include_str!("../../tests/data/adbench/lstm_l2_c1024.txt"))?;
    let (program, x) = (lstm::program(&p)?, lstm::parameters(&p));
    compare(workload, threads, || lstm::value(&p), || Ok(program.value_and_grad(&x)?.1.to_vec().iter().sum()))
}

fn bundle_replayed(workload: &str, threads: usize) -> Result<()> {
    let p = ba::read("ba1", include_str!("../../tests/data/adbench/ba1.txt"))?;
    let program = ba::program()?;
    compare(
        workload,
        threads,
        || ba::values(&p, &p.variables).iter().sum(),
        || Ok(ba::replayed(&program, &p)?.1.as_slice().unwrap_or_default().iter().step_by(16).sum()),
    )
}

fn bundle(workload: &str, threads: usize, way: Way) -> Result<()> {
    let p = ba::read("ba1", include_str!("../../tests/data/adbench/ba1.txt"))?;
    let (tape, mut jacobian) = (&mut Tape::new(), Sparse::default());
    compare(
        workload,
        threads,
        || ba::values(&p, &p.variables).iter().sum(),
        || {
            ba::derivatives(tape, &p, way, &mut jacobian)?;
            Ok(jacobian.as_csr().2.iter().sum())
        },
    )
}

/// The Jacobian of a hundred points anywhere on the skin of a hand, by dual numbers alone or with tensors for
/// the skin.
fn track(workload: &str, threads: usize) -> Result<()> {
    let model = hand_model::Model::parse([
        ("bones", include_str!("../../tests/data/adbench/hand_model/bones.txt")),
        ("vertices", include_str!("../../tests/data/adbench/hand_model/vertices.txt")),
        ("triangles", include_str!("../../tests/data/adbench/hand_model/triangles.txt")),
    ])?;
    let text = include_str!("../../tests/data/adbench/hand1_complicated_c100.txt");
    let p = hand::read(model, "hand1", text)?;
    let skin = hand::skin(&p.model)?;
    compare(
        workload,
        threads,
        || hand::errors(&p, &p.variables).iter().sum(),
        || {
            let found = if workload == "adbench_hand" { hand::forward(&p) } else { hand::both(&p, &skin)? };
            Ok(found.jacobian.iter().sum())
        },
    )
}

/// Times both in turn and prints the medians and their ratio.
pub fn compare(
    workload: &str,
    threads: usize,
    mut primal: impl FnMut() -> f64,
    mut derivatives: impl FnMut() -> Result<f64>,
) -> Result<()> {
    let (mut plain, mut times, mut checksum) = (Vec::new(), Vec::new(), 0.0);
    let start = Instant::now();
    while times.len() < 9 || start.elapsed().as_secs_f64() < budget() {
        let begin = Instant::now();
        black_box(primal());
        plain.push(begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        checksum = derivatives()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    let samples = times.iter().map(|v| format!("{v:.9}")).collect::<Vec<_>>().join(",");
    plain.sort_by(f64::total_cmp);
    times.sort_by(f64::total_cmp);
    let (primal, median) = (plain[plain.len() / 2], times[times.len() / 2]);
    println!(
        "{{\"peer\":\"kolmo\",\"workload\":\"{workload}\",\"threads\":{threads},\"median_s\":{median},\"min_s\":{},\
         \"repeats\":{},\"checksum\":{checksum},\"primal_s\":{primal},\"ratio\":{:.3},\"peak_rss_mb\":{},\
         \"samples\":[{samples}]}}",
        times[0],
        times.len(),
        median / primal,
        peak_rss_mb()
    );
    Ok(())
}
