//! Reports on tapes and models against facts worked out by hand.
mod model;
mod observed;
mod saved;

/// Uniform numbers between -1 and 1, others for each seed.
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let random = kolmo::Random::new(seed);
    (0..n as u64).map(|i| 2.0 * random.uniform_at(i) as f32 - 1.0).collect()
}
