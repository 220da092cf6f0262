//! A training run's curves.
use super::{
    Plot,
    canvas::{draw_all, save, whole, wrong},
};
use crate::{error::Result, train::History};
use std::path::Path;

impl History {
    /// Columns against the epochs, each a curve, as a plot that can be changed before it is saved: `loss`, `lr`
    /// or metrics by their names. A name that no epoch has is a curve without points.
    ///
    /// ```no_run
    /// # let history = kolmo::train::History::default();
    /// history.curves(&["loss"]).log_y(true).save("loss.svg")?;
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn curves<N: AsRef<str>>(&self, names: &[N]) -> Plot {
        let label = match names {
            [one] => one.as_ref(),
            _ => "",
        };
        names.iter().fold(Plot::new("").axes("epoch", label), |plot, name| {
            let points = self.column(name.as_ref()).into_iter();
            plot.line(name.as_ref(), points.map(|(epoch, value)| (epoch as f64, value)))
        })
    }

    /// Draws the losses and, below them, the metrics of all epochs. What is not finite is left out. The file
    /// is whole or not there. For other choices see [`curves`](History::curves).
    pub fn plot(&self, path: impl AsRef<Path>) -> Result<()> {
        self.plot_at(path.as_ref())
    }

    fn plot_at(&self, path: &Path) -> Result<()> {
        let names = self.metrics();
        let loss = self.curves(&["loss"]).axes("epoch", "mean loss of the training examples");
        let loss = Plot { title: "Training".into(), ..loss };
        let metrics = self.curves(&names).axes("epoch", "metrics");
        let height = if names.is_empty() { 500 } else { 900 };
        let of = |plot: &Plot| plot.ranges().map_err(|message| wrong(path, message));
        let (above, below) = (of(&loss)?, of(&metrics)?);
        save(path, (900, height), |area| {
            draw_all!(area, |area| {
                whole(&area, |area| {
                    if names.is_empty() {
                        return loss.draw(area, above);
                    }
                    let (top, bottom) = area.split_vertically(450);
                    loss.draw(&top, above)?;
                    metrics.draw(&bottom, below)
                })
            })
        })
    }
}
