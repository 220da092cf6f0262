//! A tool of GradBench (<https://gradben.ch>): answers its messages, JSON lines on standard input, on standard
//! output. What it computes, and how to run GradBench with it, says README.md.
//!
//! ```sh
//! echo '{"id": 0, "kind": "evaluate", "module": "hello", "function": "double", "input": 3}' |
//!     cargo run --release -p kolmo-gradbench
//! ```
#[path = "../adbench/ba.rs"]
mod ba;
#[path = "../adbench/gmm.rs"]
mod gmm;
#[path = "../adbench/hand.rs"]
mod hand;
#[path = "../adbench/hand_model.rs"]
mod hand_model;
#[path = "../adbench/lstm.rs"]
mod lstm;
mod modules;
mod nested;
#[path = "../adbench/numbers.rs"]
mod numbers;
mod objectives;
mod protocol;
#[path = "../adbench/rotation.rs"]
mod rotation;
mod tensors;
#[cfg(test)]
mod tests;

use clap::Parser;
use std::io::{self, BufRead, Write};

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    /// As many threads as there are processors, or as `KOLMO_NUM_THREADS` says; else one
    #[arg(long)]
    multithreaded: bool,
}

fn main() -> Result<()> {
    if !Options::parse().multithreaded {
        kolmo::runtime::set_num_threads(1);
    }
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        serde_json::to_writer(&mut out, &protocol::answer(&line?)?)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}
