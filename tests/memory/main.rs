//! What is asked of the system's allocator: by a training step nothing, by a damaged file little.
mod allocations;
mod bounded;
mod counting;
mod readers;
mod sizes;

use counting::{COUNT, Full, most};

/// One test at a time: a counter is the whole process's.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
