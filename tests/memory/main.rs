//! What is asked of the system's allocator: by a training step nothing, by a damaged file little.
mod allocations;
mod bounded;
#[path = "../suite/catalogue.rs"]
mod catalogue;
mod counting;
mod pressure;
mod readers;
mod sizes;

use counting::{COUNT, Full, most};

/// The side of the catalogue's operands.
const CATALOGUE: usize = 64;

/// One test at a time: a counter is the whole process's.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
