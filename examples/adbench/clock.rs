//! How long something takes.
use kolmo::Result;
use std::time::Instant;

/// The least number of seconds of several runs, and what the last one gave.
pub fn seconds<V>(mut run: impl FnMut() -> Result<V>) -> Result<(f64, V)> {
    let (start, mut least, mut runs) = (Instant::now(), f64::INFINITY, 0);
    loop {
        let begin = Instant::now();
        let value = run()?;
        least = least.min(begin.elapsed().as_secs_f64());
        runs += 1;
        if runs >= 3 && start.elapsed().as_secs_f64() > 0.5 {
            return Ok((least, value));
        }
    }
}
