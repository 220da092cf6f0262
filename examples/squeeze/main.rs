//! A text squeezed by prediction: dozens of contexts and a small recurrent network foretell each bit, a mixer
//! that takes a gradient step on the code length after each weighs them, and the crate's range coder writes
//! what is left. Nothing is trained beforehand: the decoder learns as the encoder did, from what it has read.
//! Any file comes back to the byte, on every machine.
//!
//! ```sh
//! cargo run --release --example squeeze                       # the crate's source, its beginning, there and back
//! cargo run --release --example squeeze -- FILE OUT
//! cargo run --release --example squeeze -- --decode FILE OUT
//! cargo run --release --example squeeze -- --prime KNOWN FILE OUT    # as what follows a text that the decoder has too
//! ```
mod file;
mod lines;
mod parts;
mod predictor;
#[cfg(test)]
mod tests;
#[path = "../common/text.rs"]
mod text;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use parts::Result;
use std::{fs, path::PathBuf, time::Instant};

#[derive(Parser)]
struct Options {
    /// What is squeezed, or a squeezed file with --decode; without it the beginning of the crate's source
    #[arg(requires = "out")]
    file: Option<PathBuf>,
    /// Where the result goes
    out: Option<PathBuf>,
    /// Back from a squeezed file
    #[arg(long, requires = "file")]
    decode: bool,
    /// The most that the table of histories may take, in MiB, beside which all else takes at most 250 and
    /// what the file itself has; decoding takes what encoding took
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=65_536))]
    memory: u64,
    /// A text that stands before the file, so to speak: what it teaches is known when the file begins. Decoding
    /// takes the same
    #[arg(long, value_name = "FILE", requires = "file")]
    prime: Option<PathBuf>,
    /// No bar and no words
    #[arg(long)]
    quiet: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let (Some(path), Some(out)) = (&options.file, &options.out) else {
        let bytes = text::source()?.into_bytes();
        let bytes = &bytes[..bytes.len().min(100_000)];
        let file = squeeze(bytes, &[], &options);
        if file::decode(&file, &[], options.memory, |_, _| {})? != bytes {
            return Err("the text did not come back".into());
        }
        println!("and back, to the byte");
        return Ok(());
    };
    let read = |path: &PathBuf| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let (bytes, prime) = (read(path)?, options.prime.as_ref().map(read).transpose()?.unwrap_or_default());
    let result = if options.decode {
        let bar = bar(&options, bytes.len() as u64);
        let result = file::decode(&bytes, &prime, options.memory, |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        result.map_err(|error| format!("{}: {error}", path.display()))?
    } else {
        squeeze(&bytes, &prime, &options)
    };
    Ok(kolmo::data::write_file(result, out)?)
}

/// Squeezes bytes and says what came out.
fn squeeze(bytes: &[u8], prime: &[u8], options: &Options) -> Vec<u8> {
    let begun = Instant::now();
    let bar = bar(options, (prime.len() + bytes.len()) as u64);
    let file = file::encode(bytes, prime, options.memory, |done| bar.set_position(done));
    bar.finish_and_clear();
    if !options.quiet {
        let (from, to, seconds) = (bytes.len(), file.len(), begun.elapsed().as_secs_f64());
        let bits = 8.0 * to as f64 / from.max(1) as f64;
        println!("{from} bytes in {to}, {bits:.4} bits a byte, {seconds:.1} s");
    }
    file
}

fn bar(options: &Options, length: u64) -> ProgressBar {
    if options.quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
