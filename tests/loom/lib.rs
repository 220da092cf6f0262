//! The buffers' pool of the library, which two threads can only meet in by sharing a buffer. A crate of its own, as the file has
//! tests that are not for loom.
#[path = "../../src/threads/blocks.rs"]
#[allow(dead_code)]
mod blocks;
#[path = "../../src/tensor/pool.rs"]
#[allow(dead_code)]
mod pool;
mod shared;
#[path = "../../src/tensor/storage.rs"]
#[allow(dead_code)]
mod storage;

/// What it is made of.
mod sync {
    pub(crate) use crate::blocks::Piece;
    pub use crate::blocks::{Blocks, Zeroed};
    pub use crate::shared::Arc;
    pub use loom::thread::LocalKey;
}

use loom::{cell::UnsafeCell, thread};
use pool::{Pool, PoolKey};
use std::{cell::RefCell, fmt};
use sync::{Blocks, Zeroed};
use storage::Storage;

/// What a buffer holds, with what it asks of numbers.
trait Element: Zeroed + PartialEq + Default {
    const NAME: &'static str;
    const POISON: Self;
    fn pool() -> PoolKey<Self>;
    fn blocks() -> &'static Blocks<Self>;
}

/// An element of which loom sees who reads and writes it. None is poison.
#[derive(Default)]
struct Watched(Option<Box<UnsafeCell<u64>>>);

// SAFETY: no promise at all; that nobody uses an element while another one writes it is what loom finds out.
unsafe impl Sync for Watched {}
// SAFETY: as above.
unsafe impl Send for Watched {}

impl Clone for Watched {
    fn clone(&self) -> Watched {
        Watched(Some(Box::new(UnsafeCell::new(0))))
    }
}

// SAFETY: zeros are none, and no buffer here is so large that it would be one of these.
unsafe impl Zeroed for Watched {}

impl PartialEq for Watched {
    fn eq(&self, other: &Watched) -> bool {
        self.0.is_some() == other.0.is_some()
    }
}

impl Element for Watched {
    const NAME: &'static str = "watched";
    const POISON: Watched = Watched(None);
    fn pool() -> PoolKey<Watched> {
        loom::thread_local!(static POOL: RefCell<Pool<Watched>> = RefCell::new(Pool::new()));
        &POOL
    }
    fn blocks() -> &'static Blocks<Watched> {
        static BLOCKS: Blocks<Watched> = Blocks::new(Watched::POISON);
        &BLOCKS
    }
}

impl Watched {
    fn read(&self) -> u64 {
        // SAFETY: as above.
        self.0.as_ref().expect("loom's elements are there in release builds").with(|p| unsafe { *p })
    }

    fn write(&mut self, value: u64) {
        // SAFETY: as above.
        let cell = self.0.as_ref().expect("loom's elements are there in release builds");
        cell.with_mut(|p| unsafe { *p = value });
    }
}

/// So many elements.
struct Shape(usize);

impl Shape {
    fn numel(&self) -> usize {
        self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

fn take() -> Storage<Watched> {
    Storage::take(&Shape(1)).ok().expect("there is room")
}

fn write(buffer: &mut Storage<Watched>, value: u64) -> bool {
    buffer.get_mut().is_some_and(|elements| {
        elements[0].write(value);
        true
    })
}

/// Threads read a buffer that they share and let it go; whoever has it last hands it out again, to be written.
pub fn shared_buffers_go_back(threads: u64) {
    loom::model(move || {
        let mut shared = take();
        assert!(write(&mut shared, 7));
        let reader = |shared: Storage<Watched>, value| {
            assert_eq!(shared.as_slice()[0].read(), 7);
            drop(shared);
            let mut own = take();
            assert!(write(&mut own, value), "what was taken is one's own");
            assert_eq!(own.as_slice()[0].read(), value);
        };
        let readers: Vec<_> = (1..threads)
            .map(|k| {
                let shared = shared.clone();
                thread::spawn(move || reader(shared, k))
            })
            .collect();
        reader(shared, 0);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

/// A buffer is written in place if nobody else reads it any more.
pub fn what_is_shared_is_not_written() {
    loom::model(|| {
        let mut shared = take();
        assert!(write(&mut shared, 7));
        let theirs = shared.clone();
        let reader = thread::spawn(move || assert_eq!(theirs.as_slice()[0].read(), 7));
        if !write(&mut shared, 8) {
            assert_eq!(shared.as_slice()[0].read(), 7);
        }
        reader.join().unwrap();
        assert!(write(&mut shared, 9));
    });
}
