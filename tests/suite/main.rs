//! The promises of the crate, a file for each kind, in one program: what compiles once runs at once, and one
//! failure hides no other.
mod adbench;
mod bits;
mod blocks;
mod cache;
mod calibrated;
mod catalogue;
mod checked;
mod column_scales;
mod compact;
mod compress;
mod degenerate;
mod distributed;
mod documents;
mod each;
mod explore;
mod extremes;
mod failures;
mod format;
mod gradcheck;
mod halves;
mod inspect;
mod layers;
mod listing;
mod lora;
mod metrics;
mod names;
mod observe;
mod old_files;
#[cfg(feature = "formats")]
mod onnx;
#[path = "../operations.rs"]
mod operations;
mod optim;
mod packed;
mod packed_convolutions;
mod play;
mod program;
mod properties;
mod quantize;
mod recipe;
mod refused;
mod replayed;
mod reruns;
mod resume;
mod rewritten;
mod rounded;
mod runs;
mod scores;
mod search;
mod sequences;
mod shortest;
mod shown;
mod shrunk;
mod sparse_gpt;
mod sparsify;
mod special;
mod standalone;
mod structure;
mod tape;
mod tensorboard;
mod threads;
mod weights;

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The side of the catalogue's operands.
const CATALOGUE: usize = 4;

/// A folder of a test's own inside `target/`, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        Folder::within(Path::new(env!("CARGO_TARGET_TMPDIR")), name)
    }

    fn within(parent: &Path, name: &str) -> Folder {
        let folder = parent.join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Deref for Folder {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// For tests that choose the number of threads, which is the whole process's: one at a time, and afterwards
/// it is what it was.
struct Threads {
    before: usize,
    _one: MutexGuard<'static, ()>,
}

impl Threads {
    fn lock() -> Threads {
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        Threads { before: kolmo::runtime::num_threads(), _one: one }
    }

    fn set(&self, n: usize) {
        kolmo::runtime::set_num_threads(n);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        kolmo::runtime::set_num_threads(self.before);
    }
}
