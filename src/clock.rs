//! The one door to the clock. WebAssembly without a system has none, and asking it panics: there no time
//! passes.
use std::time::{Duration, Instant, SystemTime};

/// Seconds since 1970, by the system's clock; 0 where there is none.
pub(crate) fn wall() -> f64 {
    let since = Clock::THERE.then(|| SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok());
    since.flatten().map_or(0.0, |since| since.as_secs_f64())
}

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
