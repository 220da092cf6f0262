//! The conformance vectors: inputs, outputs and gradients that PyTorch and scikit-learn computed, against
//! this library.
//!
//! `cargo test --test conformance` runs all of them; words after `--` choose families and operations
//! (`-- reduce linalg.det`) and leave the other instruction sets out. `KOLMO_CONFORMANCE` names another
//! folder of cases. The last line is `conformance: P passed, R unrepresentable, U unsupported, F failed`.
mod activation;
mod binary;
mod case;
mod compress;
mod conv;
mod index;
mod init;
mod layout;
mod linalg;
mod loss;
mod metrics;
mod modules;
mod norm;
mod optim;
mod read;
mod reduce;
mod run;
mod schedule;
mod shape;
mod transformer;
mod unary;

use case::{Call, Outs, Stop, unknown};
use kolmo::Float;
use read::Case;
use run::{RUNS, Verdict};
use std::{env, path::PathBuf, process::Command};

/// The families' mappings; the first that knows an operation has it.
fn dispatch<'t, T: Float>(call: &Call<'t, T>) -> Outs<'t, T> {
    macro_rules! first {
        ($($family:ident)*) => {$(
            match $family::call(call) {
                Err(Stop::Unsupported(why)) if why.is_empty() => {}
                known => return known,
            }
        )*};
    }
    first!(unary binary activation reduce linalg shape index loss metrics compress conv norm transformer modules optim schedule init);
    unknown()
}

/// What isn't supported, and why: lines `family = reason`, `family/op = reason`; `*` stands for any family,
/// and at the end of an operation for any rest.
struct Unsupported(Vec<(String, String)>);

impl Unsupported {
    fn read() -> Unsupported {
        let lines = include_str!("unsupported.txt").lines().map(str::trim);
        let lines = lines.filter(|l| !l.is_empty() && !l.starts_with('#'));
        let parts =
            lines.map(|l| l.split_once('=').unwrap_or_else(|| panic!("unsupported.txt: no reason in {l:?}")));
        Unsupported(parts.map(|(what, why)| (what.trim().to_string(), why.trim().to_string())).collect())
    }

    fn lists(&self, case: &Case) -> bool {
        self.0.iter().any(|(what, _)| {
            let (family, op) = what.split_once('/').unwrap_or((what, "*"));
            let op_fits = op.strip_suffix('*').map_or(case.op == op, |start| case.op.starts_with(start));
            (family == "*" || family == case.family) && op_fits
        })
    }
}

#[derive(Default)]
struct Counts {
    passed: usize,
    skipped: usize,
    unrepresentable: usize,
    unsupported: usize,
    failed: usize,
}

fn main() {
    let filters: Vec<String> = env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    if env::args().any(|a| a == "--list") {
        return println!("conformance: test");
    }
    run::hush_panics();
    let root = env::var_os("KOLMO_CONFORMANCE").map(PathBuf::from);
    let root =
        root.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/data/conformance")));
    let unsupported = Unsupported::read();
    let mut total = Counts::default();
    for family in read::families(&root) {
        let mut cases = read::load(&root, &family);
        let chosen = |case: &Case| {
            let fits = |f: &String| *f == case.family || *f == case.op || *f == case.id;
            filters.is_empty() || filters.iter().any(fits)
        };
        cases.retain(chosen);
        if cases.is_empty() {
            continue;
        }
        let (counts, line) = check(&cases, &unsupported, !filters.is_empty());
        println!("{family}: {line}");
        total.passed += counts[0].passed;
        total.unrepresentable += counts[0].unrepresentable;
        total.unsupported += counts[0].unsupported;
        total.failed += counts.iter().map(|c| c.failed).sum::<usize>();
    }
    if filters.is_empty() && env::var_os("KOLMO_ISA").is_none() {
        for isa in ["portable", "avx2"]
            .into_iter()
            .take_while(|&isa| isa != kolmo::runtime::instruction_set())
            .filter(|&isa| isa != "avx2" || cfg!(target_arch = "x86_64"))
        {
            total.failed += with_isa(isa);
        }
    }
    println!("instruction set: {}", kolmo::runtime::instruction_set());
    println!(
        "conformance: {} passed, {} unrepresentable, {} unsupported, {} failed",
        total.passed, total.unrepresentable, total.unsupported, total.failed
    );
    std::process::exit((total.failed > 0) as i32);
}

/// Runs the cases of a family in every way; prints the failures (and what is unrepresentable, if `verbose`)
/// and gives the counts with their line.
fn check(cases: &[Case], unsupported: &Unsupported, verbose: bool) -> (Vec<Counts>, String) {
    let mut all = Vec::new();
    let mut line = Vec::new();
    for run in RUNS {
        let mut counts = Counts::default();
        for case in cases {
            match (run.check)(case) {
                Verdict::Passed => counts.passed += 1,
                Verdict::Skipped => counts.skipped += 1,
                Verdict::Unrepresentable(why) => {
                    counts.unrepresentable += 1;
                    if verbose && all.is_empty() {
                        println!("  {} {}: unrepresentable: {why}", case.id, case.summary());
                    }
                }
                Verdict::Unsupported(_) if unsupported.lists(case) => counts.unsupported += 1,
                Verdict::Unsupported(why) => {
                    counts.failed += 1;
                    // Said once, not in every run.
                    if all.is_empty() {
                        println!("  {} {}: not dispatched, nor in unsupported.txt {why}", case.id, case.op);
                    }
                }
                Verdict::Failed(why) => {
                    counts.failed += 1;
                    println!("  {} [{}] {}\n    {why}", case.id, run.name, case.summary());
                }
            }
        }
        let mut part = format!("{} {} passed", run.name, counts.passed);
        for (n, what) in [
            (counts.skipped, "skipped"),
            (counts.unrepresentable, "unrepresentable"),
            (counts.unsupported, "unsupported"),
            (counts.failed, "failed"),
        ] {
            if n > 0 {
                part += &format!(", {n} {what}");
            }
        }
        line.push(part);
        all.push(counts);
    }
    (all, line.join("; "))
}

/// The whole run in a process of its own, since the instruction set is chosen once; gives its failures.
fn with_isa(isa: &str) -> usize {
    let executable = env::current_exe().unwrap_or_else(|e| panic!("the path of this program: {e}"));
    let output = Command::new(executable).env("KOLMO_ISA", isa).output();
    let output = output.unwrap_or_else(|e| panic!("running for {isa}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or("no output");
    println!("KOLMO_ISA={isa}: {last}");
    let failed = last.rsplit_once(" failed").and_then(|(head, _)| head.rsplit(' ').next()?.parse().ok());
    failed.unwrap_or(1)
}
