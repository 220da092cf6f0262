//! The one door to the clock. WebAssembly without a system has none, and asking it panics: there no time
//! passes.
use std::time::{Duration, Instant};

/// When something began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Option<Instant>);

impl Clock {
    /// Whether time can be measured here.
    pub const THERE: bool = !cfg!(all(target_family = "wasm", target_os = "unknown"));

    pub fn now() -> Clock {
        Clock(Clock::THERE.then(Instant::now))
    }

    pub fn elapsed(self) -> Duration {
        self.0.map_or(Duration::ZERO, |began| began.elapsed())
    }
}
