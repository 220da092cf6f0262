//! The digits of `docs/play` as a native program, and the builder of that page.
//!
//! ```sh
//! cargo run --release -p kolmo-play             # the run that the page shows, with its times
//! cargo run --release -p kolmo-play -- --save   # the same; the page tells these times beside its own
//! cargo run --release -p kolmo-play -- --page   # builds the module, and docs/play/index.html around it
//! ```
//!
//! What compiles for WebAssembly stands in docs/browser.md.
mod assemble;

use clap::Parser;
use kolmo::runtime;
use kolmo_play::{Event, Result, Run};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

#[derive(Parser)]
struct Options {
    /// The same seed gives the same files, byte for byte, on every processor with fused multiply-adds
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A tenth of the epochs, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Writes the last model to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Writes the times to examples/play/native.json
    #[arg(long, conflicts_with_all = ["quick", "page"])]
    save: bool,
    /// Builds the module and writes docs/play/index.html
    #[arg(long)]
    page: bool,
    /// For the module another compiler, whose library for the target is made of the sources that come with it
    #[arg(long, value_name = "RUSTC", requires = "page")]
    compiler: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if options.page { page(&options, here) } else { run(&options, here) }
}

fn run(options: &Options, here: &Path) -> Result<()> {
    let mut run = Run::new(options.seed, options.quick)?;
    let mut seconds = Vec::new();
    let mut began = Instant::now();
    while let Some(event) = run.next_event()? {
        let Event::File { stage, parameters, kept, bytes, accuracy } = event else { continue };
        let took = began.elapsed().as_secs_f64();
        println!(
            "{:<10}{took:>7.2} s{kept:>8} of {parameters} weights{bytes:>8} bytes{:>9.2} % of test images",
            format!("{stage:?}"),
            100.0 * accuracy
        );
        seconds.push((took * 1000.0).round() / 1000.0);
        began = Instant::now();
    }
    println!("{:<10}{:>7.2} s", "all", seconds.iter().sum::<f64>());
    if let Some(out) = &options.out {
        kolmo::data::write_file(run.file(), out)?;
    }
    if options.save {
        let (threads, isa) = (runtime::num_threads(), runtime::instruction_set());
        let text = json!({
            "seconds": seconds,
            "measure": "time by the clock",
            "threads": threads,
            "instructions": isa,
            "processor": processor(),
        });
        kolmo::data::write_file(format!("{text:#}\n"), here.join("native.json"))?;
    }
    Ok(())
}

/// What the system calls its processor.
fn processor() -> String {
    let known = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = known.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or(std::env::consts::ARCH.to_string(), |(_, name)| name.to_string())
}

/// What the module is compiled with: 128-bit vectors, everything as one unit, and small, as it is part of a
/// page; what computes is compiled for speed.
const BUILD: &[&str] = &[
    "build",
    "--release",
    "--package=kolmo-play",
    "--lib",
    "--target",
    TARGET,
    "--config=profile.release.package.kolmo.opt-level=2",
    "--config=profile.release.package.kolmo-play.opt-level=2",
];
const TARGET: &str = "wasm32-unknown-unknown";

/// Digits of base 85, as `page/worker.js` reads them: none of them means anything inside of a script element.
const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%()*+,./:;=?[]^_{|}~";

/// Bytes as text: five digits for four of them, one more than there are for the last ones. Base64 would take
/// a sixteenth more.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / 4 * 5 + 5);
    for four in bytes.chunks(4) {
        let mut whole = [0; 4];
        whole[..four.len()].copy_from_slice(four);
        let number = u32::from_be_bytes(whole);
        let digits = [85u32.pow(4), 85u32.pow(3), 85u32.pow(2), 85, 1].map(|unit| number / unit % 85);
        text.extend(digits.iter().take(four.len() + 1).map(|&digit| char::from(DIGITS[digit as usize])));
    }
    text
}

/// Vectors, and no folders of this machine in what panics say.
fn flags() -> String {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).unwrap_or_default();
    let sources = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    let remapped = sources.map(|folder| format!(" --remap-path-prefix={}=crates", folder.path().display()));
    "-Ctarget-feature=+simd128".to_string() + &remapped.collect::<String>()
}

fn page(options: &Options, here: &Path) -> Result<()> {
    let root = here.join("../..");
    let mut cargo = Command::new("cargo");
    cargo
        .args(BUILD)
        .current_dir(&root)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags())
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true");
    if let Some(compiler) = &options.compiler {
        cargo.arg("-Zbuild-std=std,panic_abort").env("RUSTC", compiler).env("RUSTC_BOOTSTRAP", "1");
    }
    if !cargo.status()?.success() {
        return Err("the module could not be built: docs/browser.md says what it takes".into());
    }
    let target = std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root.join("target"), |dir| root.join(dir));
    let module = fs::read(target.join(TARGET).join("release/kolmo_play.wasm"))?;
    // A twentieth less than zlib makes of it.
    let (options, mut deflated) = (zopfli::Options::default(), Vec::new());
    zopfli::compress(options, zopfli::Format::Deflate, &module[..], &mut deflated)?;
    let packed = text(&deflated);
    let page = assemble::assemble(&packed, &fs::read_to_string(here.join("native.json"))?);
    let path = root.join("docs/play/index.html");
    fs::create_dir_all(path.parent().unwrap_or(&root))?;
    kolmo::data::write_file(&page, &path)?;
    println!("module {} bytes, page {} bytes: {}", module.len(), page.len(), path.display());
    Ok(())
}
