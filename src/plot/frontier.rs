//! What a search has found, as a picture.
use super::Plot;
use crate::search::{Finished, Report};

impl Report {
    /// Two measured figures of all trials, each a point, and a dashed line through the
    /// [front](Report::front), as a plot that can be changed before it is saved. What isn't finite is left out.
    ///
    /// ```no_run
    /// # let report = kolmo::search::Report::default();
    /// report.frontier("bytes", "error").log_x(true).save("frontier.svg")?;
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn frontier(&self, x: &str, y: &str) -> Plot {
        let point = |trial: &Finished| Some((*trial.measured.get(x)?, *trial.measured.get(y)?));
        let mut front: Vec<(f64, f64)> = self.front().into_iter().filter_map(point).collect();
        front.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = self.trials.iter().filter_map(point);
        Plot::new("").axes(x, y).points("trials", all).dashed("front", front)
    }
}
