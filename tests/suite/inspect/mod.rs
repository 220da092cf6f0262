//! Reports on tapes and models against facts worked out by hand.
mod model;
mod observed;
mod saved;

use std::sync::atomic::{AtomicU64, Ordering};

/// Uniform numbers between -1 and 1, others at each call.
fn noise(n: usize) -> Vec<f32> {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let random = kolmo::Random::new(CALLS.fetch_add(1, Ordering::Relaxed));
    (0..n as u64).map(|i| 2.0 * random.uniform(i) as f32 - 1.0).collect()
}
