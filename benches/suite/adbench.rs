//! The objectives of ADBench: the time of value and derivatives over that of the same program on plain numbers.
#[path = "../../tests/adbench/ba.rs"]
pub mod ba;
#[path = "../../tests/adbench/gmm.rs"]
mod gmm;
#[path = "../../tests/adbench/lstm.rs"]
mod lstm;

use crate::timing::{budget, peak_rss_mb};
use ba::Way;
use kolmo::{Result, Sparse, Tape};
use std::{hint::black_box, time::Instant};

/// Runs one of the workloads; `None` if it isn't here.
pub fn run(workload: &str, threads: usize) -> Option<Result<()>> {
    let tape = &mut Tape::new();
    let gmm = || gmm::read(include_str!("../../tests/data/adbench/gmm_d10_K25.txt"));
    let ba = || ba::read(include_str!("../../tests/data/adbench/ba1.txt"));
    let mut gmm_as = |program: gmm::Program| {
        let p = gmm();
        compare(workload, threads, || gmm::value(&p), || Ok(program(tape, &p)?.1.iter().sum()))
    };
    Some(match workload {
        "adbench_gmm_scalars" => gmm_as(gmm::scalars),
        "adbench_gmm_mixed" => gmm_as(gmm::mixed),
        "adbench_gmm_tensors" => gmm_as(gmm::tensors),
        "adbench_lstm" => {
            let p = lstm::read(include_str!("../../tests/data/adbench/lstm_l2_c1024.txt"));
            compare(workload, threads, || lstm::value(&p), || Ok(lstm::scalars(tape, &p)?.1.iter().sum()))
        }
        "adbench_ba" | "adbench_ba_plain" | "adbench_ba_preaccumulated" => {
            let p = ba();
            let way = match workload {
                "adbench_ba_plain" => Way::Plain,
                "adbench_ba" => Way::Forward,
                _ => Way::Preaccumulated,
            };
            let primal = || ba::values(&p).iter().sum();
            let mut jacobian = Sparse::default();
            compare(workload, threads, primal, || {
                ba::derivatives(tape, &p, way, &mut jacobian)?;
                Ok(jacobian.csr().2.iter().sum())
            })
        }
        _ => return None,
    })
}

/// Times both in turn and prints the medians and their ratio.
fn compare(
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
