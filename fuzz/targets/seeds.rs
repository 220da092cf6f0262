//! Writes files to begin with into `corpus/`, and is done.
#![no_main]
use std::{fs, path::Path, process::exit};

fn write() -> std::io::Result<()> {
    for (target, seeds) in kolmo_fuzz::seeds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        for (i, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{i}")), seed)?;
        }
    }
    Ok(())
}

fn run() {
    if let Err(error) = write() {
        eprintln!("{error}");
        exit(1);
    }
    exit(0);
}

libfuzzer_sys::fuzz_target!(init: run(), |_bytes: &[u8]| ());
