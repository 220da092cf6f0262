//! The bar of a run on the terminal, if the feature `progress` has one.
use super::position::Position;

/// How far a run is, on the terminal.
#[cfg(feature = "progress")]
pub(super) struct Bar {
    bar: Option<indicatif::ProgressBar>,
    epochs: u64,
}

#[cfg(not(feature = "progress"))]
pub(super) struct Bar;

#[cfg(feature = "progress")]
impl Bar {
    /// Of a run of so many epochs of so many steps each, if it is to be shown.
    pub fn new(shown: bool, epochs: u64, steps: u64, at: &Position) -> Bar {
        let bar = shown.then(|| indicatif::ProgressBar::new(epochs.saturating_mul(steps)));
        let template = "{prefix} {wide_bar} {pos}/{len} {per_sec} {eta} {msg}";
        if let (Some(bar), Ok(style)) = (&bar, indicatif::ProgressStyle::with_template(template)) {
            bar.set_style(style);
            bar.set_position(at.step);
            bar.reset_eta();
        }
        Bar { bar, epochs }
    }

    fn show(&self, at: &Position, loss: f64, metrics: &[(String, f64)]) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(at.step);
        let metrics: String = metrics.iter().map(|(name, value)| format!(" {name} {value:.4}")).collect();
        bar.set_message(format!("loss {loss:.4}{metrics}"));
    }

    pub fn step(&self, at: &Position) {
        let metrics = at.history.last().map_or(&[][..], |r| &r.metrics);
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("epoch {}/{}", at.epoch + 1, self.epochs));
        }
        self.show(at, at.losses.0 / at.losses.1 as f64, metrics);
    }

    pub fn epoch(&self, at: &Position) {
        if let Some(last) = at.history.last() {
            self.show(at, last.loss, &last.metrics);
        }
    }

    pub fn finish(&self) {
        self.bar.iter().for_each(|bar| bar.finish_and_clear());
    }
}

#[cfg(not(feature = "progress"))]
impl Bar {
    /// Asked for or not: there is none.
    pub fn new(_: bool, _: u64, _: u64, _: &Position) -> Bar {
        Bar
    }
    pub fn step(&self, _: &Position) {}
    pub fn epoch(&self, _: &Position) {}
    pub fn finish(&self) {}
}
