//! Every operation and layer at several sizes, forward, and forward and backward: `sweep [FAMILIES] [THREADS]`,
//! families separated by commas, one line of JSON for each case. `benches/sweep.py` compares them with
//! PyTorch's; for that `--cases` prints what the cases are, and `--ask` reads from the standard input which to
//! time. `$BENCH_BUDGET` is the time to spend on each in seconds, by default 0.05.
#[path = "sweep/case.rs"]
mod case;
#[path = "sweep/elementwise.rs"]
mod elementwise;
#[path = "sweep/layers.rs"]
mod layers;
#[path = "sweep/parts.rs"]
mod parts;
#[path = "sweep/products.rs"]
mod products;
#[path = "sweep/reduce.rs"]
mod reduce;
#[allow(dead_code, reason = "the suite of workloads needs more of it")]
#[path = "suite/timing.rs"]
mod timing;

use case::{Case, List};
use serde_json::json;
use std::io::stdin;

fn main() {
    let (flags, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let threads = words.get(1).and_then(|t| t.parse().ok()).unwrap_or_else(kolmo::runtime::num_threads);
    kolmo::runtime::set_num_threads(threads);
    let mut list = List::default();
    elementwise::cases(&mut list);
    reduce::cases(&mut list);
    parts::cases(&mut list);
    products::cases(&mut list);
    layers::cases(&mut list);
    let families: Vec<&str> = words.first().map(|w| w.split(',').collect()).unwrap_or_default();
    let asked = |case: &&Case| families.is_empty() || families == ["all"] || families.contains(&case.family);
    let all: Vec<(&Case, bool)> = list
        .0
        .iter()
        .filter(asked)
        .flat_map(|case| case.timed().map(move |backward| (case, backward)))
        .collect();
    let has = |flag| flags.iter().any(|f| f == flag);
    if has("--cases") {
        all.iter().for_each(|(case, backward)| println!("{}", case.described(*backward)));
    } else if has("--ask") {
        let numbers =
            stdin().lines().map_while(Result::ok).filter_map(|line| line.trim().parse::<usize>().ok());
        numbers.filter_map(|k| all.get(k)).for_each(|(case, backward)| time(case, *backward, threads));
    } else {
        all.iter().for_each(|(case, backward)| time(case, *backward, threads));
    }
}

fn time(case: &Case, backward: bool, threads: usize) {
    let mut line = json!({
        "peer": "kolmo", "family": case.family, "case": case.name, "dtype": case.dtype(),
        "backward": backward, "threads": threads,
    });
    match case.time(backward) {
        Ok([median, least, checksum]) => {
            line["median_s"] = json!(median);
            line["min_s"] = json!(least);
            line["checksum"] = json!(checksum);
        }
        Err(error) => line["error"] = json!(error.to_string()),
    }
    println!("{line}");
}
