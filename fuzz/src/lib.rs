//! What the targets share: the readers and their bounds are those of the tests.
#[path = "../../tests/memory/counting.rs"]
#[allow(dead_code)]
mod counting;
#[path = "../../tests/memory/readers.rs"]
#[allow(dead_code)]
pub mod readers;

#[path = "../../tests/suite/checked/mutate.rs"]
pub mod mutate;
#[path = "../../tests/suite/checked/types.rs"]
mod types;

use readers::{READERS, Reader};
use std::{cell::OnceCell, fs, path::PathBuf, sync::atomic::Ordering::Relaxed};
pub use types::Kind;

/// Memory that doesn't come in one piece, so that a saved program which asks for much gets an error.
const PIECE: usize = 1 << 26;

struct Place(&'static Reader, PathBuf);

thread_local! {
    static PLACE: OnceCell<Place> = const { OnceCell::new() };
    static KINDS: OnceCell<Vec<Kind>> = const { OnceCell::new() };
}

/// One thread, whose memory is counted, and no large pieces.
fn begin() {
    kolmo::runtime::set_num_threads(1);
    counting::LIMIT.store(PIECE, Relaxed);
}

/// The types that serde reads.
pub fn with_kinds<R>(f: impl FnOnce(&[Kind]) -> R) -> R {
    KINDS.with(|kinds| {
        f(kinds.get_or_init(|| {
            begin();
            types::all().expect("types that work")
        }))
    })
}

/// Writes a file of these bytes where it costs no disk, reads it within its bound of memory, and uses what was read.
pub fn file(name: &str, bytes: &[u8]) {
    PLACE.with(|place| {
        let Place(reader, path) = place.get_or_init(|| {
            begin();
            let reader = READERS.iter().find(|reader| reader.name == name);
            let memory = PathBuf::from("/dev/shm");
            let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
            let file = folder.join(format!("kolmo-fuzz-{name}-{}", std::process::id()));
            Place(reader.expect("the name of a reader"), file)
        });
        let whole = (reader.whole)(bytes);
        fs::write(path, &whole).expect("a file to read");
        let (read, most) = counting::most(|| (reader.read)(path));
        let bound = (reader.bound)(whole.len());
        assert!(most < bound, "{most} bytes of memory for a file of {}", whole.len());
        read.into_iter().for_each(|used| used());
    });
}

/// For each target, inputs to begin with.
pub fn seeds() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let mut all: Vec<_> = READERS.iter().map(|reader| (reader.name, (reader.seeds)())).collect();
    let json = |(i, kind): (usize, &Kind)| [&[i as u8], kind.whole.to_string().as_bytes()].concat();
    all.push(("serde", with_kinds(|kinds| kinds.iter().enumerate().map(json).collect())));
    all
}
