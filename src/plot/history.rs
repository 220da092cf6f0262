//! A training run's curves.
use super::{
    Plot,
    canvas::{draw_all, save, whole, wrong},
};
use crate::{error::Result, train::History};
use std::path::Path;

impl History {
    /// Draws the losses and, below them, the metrics of all epochs. What is not finite is left out. The file
    /// is whole or not there.
    pub fn plot(&self, path: impl AsRef<Path>) -> Result<()> {
        self.plot_at(path.as_ref())
    }

    fn plot_at(&self, path: &Path) -> Result<()> {
        let curve = |name: &str| self.column(name).into_iter().map(|(epoch, value)| (epoch as f64, value));
        let loss = Plot::new("Training").axes("epoch", "loss").line("loss", curve("loss"));
        let names = self.metrics();
        let metrics = Plot::new("").axes("epoch", "metrics");
        let metrics = names.iter().fold(metrics, |plot, name| plot.line(name, curve(name)));
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
