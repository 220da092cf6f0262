//! A model in several sizes: what each is worth, as a table and a picture.
use crate::{folder::Fails, goal::Goal};
use clap::Args;
use kolmo::plot::Plot;
use std::path::PathBuf;

#[derive(Args)]
pub struct Curve {
    /// Measures the model in several sizes instead, each as `--compress` has it, such as 8,4,60MB.
    #[arg(long, value_delimiter = ',', value_name = "BITS|BYTES")]
    pub sizes: Vec<Goal>,
    /// Draws them, .svg or .png.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

/// A file, its bytes, and what it is worth.
pub type Point = (String, u64, f64);

impl Curve {
    /// Measures all sizes, and shows them beside files that were measured before.
    pub fn run(
        &self,
        [title, what]: [&str; 2],
        beside: &[Point],
        mut each: impl FnMut(Goal) -> Fails<(usize, f64)>,
    ) -> Fails<()> {
        let told = |(name, bytes, worth): &Point| println!("{name:>24} {bytes:>12} bytes  {what} {worth:.4}");
        beside.iter().for_each(told);
        let (mut rounded, mut budgets) = (Vec::new(), Vec::new());
        for &goal in &self.sizes {
            let (bytes, worth) = each(goal)?;
            let point = (goal.to_string(), bytes as u64, worth);
            told(&point);
            let kind = if matches!(goal, Goal::Bits(_)) { &mut rounded } else { &mut budgets };
            kind.push(point);
        }
        let Some(path) = &self.picture else { return Ok(()) };
        let mut plot = Plot::new(title).axes("MB of the file", what).log_y(true);
        let places = |points: &[Point]| -> Vec<(f64, f64)> {
            points.iter().map(|(_, bytes, worth)| (*bytes as f64 / 1e6, *worth)).collect()
        };
        for (name, points) in [("steps for a number of bytes", &budgets), ("rounded", &rounded)] {
            if !points.is_empty() {
                plot = plot.line(name, places(points)).points(name, places(points));
            }
        }
        if !beside.is_empty() {
            plot = plot.points("other files", places(beside));
        }
        plot.save(path)?;
        println!("{}", path.display());
        Ok(())
    }
}
