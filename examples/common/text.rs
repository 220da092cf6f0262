//! The text that language models learn by default: this crate's own source.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// All Rust files below `src`, one after the other.
pub fn source() -> io::Result<String> {
    below(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../src")))
}

fn below(folder: &Path) -> io::Result<String> {
    let mut entries = fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    entries.sort();
    let mut text = String::new();
    for path in entries {
        if path.is_dir() {
            text += &below(&path)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            text += &fs::read_to_string(path)?;
        }
    }
    Ok(text)
}
