//! Handwritten digits learnt, pruned and packed in a browser: what the worker of `docs/play` calls.
//!
//! The interface is a few functions on numbers. What is text or bytes lies in one buffer, `play_output`,
//! whose length the functions return; pixels go into `play_pixels`. Text is JSON, with a field `error` where
//! something went wrong.
#[path = "../common/images.rs"]
mod images;
mod run;

pub use run::{Event, Net, Run, Stage};

use serde_json::json;
use std::cell::RefCell;

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
    static PIXELS: RefCell<[f32; 64]> = const { RefCell::new([0.0; 64]) };
    static OUTPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Puts bytes where the caller finds them, or what went wrong as JSON; gives their length.
fn put(bytes: Result<Vec<u8>>) -> usize {
    let bytes = bytes.unwrap_or_else(|e| json!({"error": e.to_string()}).to_string().into_bytes());
    OUTPUT.with(|output| {
        *output.borrow_mut() = bytes;
        output.borrow().len()
    })
}

/// What a function makes of the run that is under way.
fn with(f: impl FnOnce(&mut Run) -> Result<Vec<u8>>) -> usize {
    let made = RUN.with(|run| match run.borrow_mut().as_mut() {
        Some(run) => f(run),
        None => Err("no run has begun: call play_begin first".into()),
    });
    put(made)
}

/// Where the last function left its bytes.
#[unsafe(no_mangle)]
pub extern "C" fn play_output() -> *const u8 {
    OUTPUT.with(|output| output.borrow().as_ptr())
}

/// Where `play_read` finds 64 pixels, from 0 to 1.
#[unsafe(no_mangle)]
pub extern "C" fn play_pixels() -> *mut f32 {
    PIXELS.with(|pixels| pixels.as_ptr().cast())
}

/// Begins a run, with a tenth of the epochs unless `quick` is 0: JSON of images to show.
#[unsafe(no_mangle)]
pub extern "C" fn play_begin(seed: u32, quick: u32) -> usize {
    match Run::new(u64::from(seed), quick != 0) {
        Err(e) => put(Err(e)),
        Ok(new) => {
            RUN.with(|run| *run.borrow_mut() = Some(new));
            with(|run| Ok(serde_json::to_vec(&run.samples()?)?))
        }
    }
}

/// Goes on to the next epoch or file: JSON of what came of it, `null` at the end.
#[unsafe(no_mangle)]
pub extern "C" fn play_next() -> usize {
    with(|run| Ok(serde_json::to_vec(&run.next_event()?)?))
}

/// Reads a digit: JSON of ten probabilities.
#[unsafe(no_mangle)]
pub extern "C" fn play_read() -> usize {
    let pixels = PIXELS.with(|pixels| *pixels.borrow());
    with(|run| Ok(serde_json::to_vec(&run.read(&pixels)?)?))
}

/// A step of this moment, as the explorer's page.
#[unsafe(no_mangle)]
pub extern "C" fn play_explore() -> usize {
    with(|run| Ok(run.explore()?.into_bytes()))
}

/// The last file.
#[unsafe(no_mangle)]
pub extern "C" fn play_file() -> usize {
    with(|run| Ok(run.file().to_vec()))
}
