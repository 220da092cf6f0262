//! A recorded computation as data: written to a file, read again, and run, without the program that recorded
//! it.
mod build;
mod run;
mod tape;

pub use run::Replay;
pub use tape::SavedTape;
