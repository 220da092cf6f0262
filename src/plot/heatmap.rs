//! Matrices as colours: confusion, decision boundaries, weights, pictures.
use super::{
    axis::{ends, inside, range},
    canvas::{COLOURS, Drawn, FONT, draw_all, save, whole, wrong},
};
use crate::{error::Result, metrics::ConfusionMatrix, tensor::Tensor};
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use std::{fmt, path::Path};

/// A matrix whose elements are colours, from white (the smallest) to blue, NaN black; the first row is above.
///
/// ```
/// use kolmo::{Tensor, metrics::ConfusionMatrix, plot::Heatmap};
/// let matrix = ConfusionMatrix::from_predictions(&Tensor::from([0u32, 1, 1]), &Tensor::from([0u32, 1, 0]))?;
/// let path = std::env::temp_dir().join(format!("kolmo-heatmap-{}.svg", std::process::id()));
/// Heatmap::confusion(&matrix, &["cat", "dog"]).save(&path)?;
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is drawn until `save` is called"]
pub struct Heatmap {
    title: String,
    axes: Option<(String, String)>,
    values: Vec<f64>,
    rows: usize,
    columns: usize,
    /// What stands in each field.
    texts: Option<Vec<String>>,
    names: Vec<String>,
    grayscale: bool,
    range: Option<(f64, f64)>,
    /// Points over the picture: x and y as columns and rows, and a class.
    points: Vec<(f64, f64, usize)>,
}

impl fmt::Debug for Heatmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heatmap")
            .field("title", &self.title)
            .field("rows", &self.rows)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl Heatmap {
    /// A matrix `[rows, columns]`; any other shape is taken as one row.
    pub fn new(title: impl Into<String>, values: &Tensor<f64>) -> Heatmap {
        let (rows, columns) = match values.shape()[..] {
            [rows, columns] => (rows, columns),
            _ => (1, values.numel()),
        };
        Heatmap {
            title: title.into(),
            axes: None,
            values: values.to_vec(),
            rows,
            columns,
            texts: None,
            names: Vec::new(),
            grayscale: false,
            range: None,
            points: Vec::new(),
        }
    }

    /// The counts of a confusion matrix: a row for each true class, coloured by the share of it.
    pub fn confusion(matrix: &ConfusionMatrix, names: &[&str]) -> Heatmap {
        let shares = matrix.normalized(crate::metrics::Normalize::True);
        let counts = matrix.counts().to_vec();
        Heatmap {
            texts: Some(counts.iter().map(|n| ((n * 1e4).round() / 1e4).to_string()).collect()),
            names: (0..matrix.classes())
                .map(|i| names.get(i).map_or_else(|| i.to_string(), |n| n.to_string()))
                .collect(),
            range: Some((0.0, 1.0)),
            ..Heatmap::new("Confusion matrix", &shares).axes("predicted", "true")
        }
    }

    /// Pictures `[n, height, width]` side by side, so many in a row, from black (the smallest number) to
    /// white.
    pub fn images(title: impl Into<String>, images: &Tensor<f64>, per_row: usize) -> Heatmap {
        let [n, height, width] = images.shape()[..] else { return Heatmap::new(title, images) };
        let (across, data) = (per_row.clamp(1, n.max(1)), images.to_vec());
        let low = range(data.iter().copied(), 0.0).0;
        // A line between any two.
        let (rows, columns) = (n.div_ceil(across) * (height + 1), across * (width + 1));
        let pixel = |i: usize| {
            let (r, c) = (i / columns, i % columns);
            let image = r / (height + 1) * across + c / (width + 1);
            let (y, x) = (r % (height + 1), c % (width + 1));
            if y < height && x < width && image < n { data[(image * height + y) * width + x] } else { low }
        };
        Heatmap { grayscale: true, ..Heatmap::new(title, &Tensor::from_fn([rows, columns], pixel)) }
    }

    /// What columns and rows stand for.
    pub fn axes(self, columns: impl Into<String>, rows: impl Into<String>) -> Heatmap {
        Heatmap { axes: Some((columns.into(), rows.into())), ..self }
    }

    /// The numbers that have the outermost colours (default: the smallest and the largest).
    pub fn range(self, low: f64, high: f64) -> Heatmap {
        Heatmap { range: Some((low, high)), ..self }
    }

    /// Dots over the matrix, at a column and a row (fractions allowed), coloured by class.
    pub fn points(self, points: impl IntoIterator<Item = (f64, f64, usize)>) -> Heatmap {
        Heatmap { points: points.into_iter().collect(), ..self }
    }

    /// Draws it into a file that ends in `.svg` or `.png`. The file is whole or not there.
    ///
    /// # Errors
    /// The file can't be written, or has another name; an end of the range is not finite.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_at(path.as_ref())
    }

    fn save_at(&self, path: &Path) -> Result<()> {
        let colours = self.range.unwrap_or_else(|| range(self.values.iter().copied(), 0.0));
        let colours = ends("colours", colours, false).map_err(|message| wrong(path, message))?;
        let (rows, columns) = (self.rows.max(1) as f64, self.columns.max(1) as f64);
        let field = (640.0 / rows.max(columns)).max(1.0);
        let size = |n: f64, extra: f64| (n * field + extra).clamp(200.0, 2000.0) as u32;
        let extra = if self.axes.is_some() { 100.0 } else { 30.0 };
        save(path, (size(columns, extra), size(rows, extra + 40.0)), |area| {
            draw_all!(area, |area| whole(&area, |area| self.draw(area, colours)))
        })
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, (low, high): (f64, f64)) -> Drawn<B> {
        let (rows, columns) = (self.rows.max(1) as f64, self.columns.max(1) as f64);
        let labels = if self.axes.is_some() { 60 } else { 0 };
        let longest = self.names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
        let mut builder = ChartBuilder::on(area);
        builder.margin(12).x_label_area_size(labels).y_label_area_size(if labels > 0 {
            labels.max(40 + 8 * longest as u32)
        } else {
            0
        });
        if !self.title.is_empty() {
            builder.caption(&self.title, (FONT, 22));
        }
        let mut chart = builder.build_cartesian_2d(0.0..columns, rows..0.0)?;
        let part = |v: f64| ((v - low) / (high - low)).clamp(0.0, 1.0);
        let colour = |v: f64| {
            let mix = |end: u8| (255.0 + (f64::from(end) - 255.0) * part(v)).round() as u8;
            let RGBColor(r, g, b) = COLOURS[0];
            let bright = (255.0 * part(v)).round() as u8;
            if self.grayscale { RGBColor(bright, bright, bright) } else { RGBColor(mix(r), mix(g), mix(b)) }
        };
        let place = |i: usize| ((i % self.columns) as f64, (i / self.columns) as f64);
        chart.draw_series(self.values.iter().enumerate().map(|(i, &v)| {
            let (x, y) = place(i);
            Rectangle::new([(x, y), (x + 1.0, y + 1.0)], colour(v).filled())
        }))?;
        if let Some((x, y)) = &self.axes {
            let name = |v: &f64| match self.names.get(*v as usize) {
                Some(name) if v.fract() == 0.0 => name.clone(),
                _ if self.names.is_empty() => format!("{v}"),
                _ => String::new(),
            };
            let shift = (640.0 / rows.max(columns) / 2.0) as i32;
            let mut mesh = chart.configure_mesh();
            mesh.disable_mesh().x_desc(x).y_desc(y).axis_desc_style((FONT, 17)).label_style((FONT, 15));
            mesh.x_label_formatter(&name).y_label_formatter(&name);
            if !self.names.is_empty() {
                mesh.x_labels(self.columns + 1).y_labels(self.rows + 1);
                mesh.x_label_offset(shift).y_label_offset(shift);
            }
            mesh.draw()?;
        }
        if let Some(texts) = &self.texts {
            let size = (320.0 / rows.max(columns)).clamp(8.0, 20.0);
            let centre = Pos::new(HPos::Center, VPos::Center);
            chart.draw_series(texts.iter().zip(&self.values).enumerate().map(|(i, (text, &v))| {
                let ink = if part(v) > 0.5 { WHITE } else { BLACK };
                let style = (FONT, size).into_font().color(&ink).pos(centre);
                let (x, y) = place(i);
                Text::new(text.clone(), (x + 0.5, y + 0.5), style)
            }))?;
        }
        // A white rim keeps dots apart from a field of their colour.
        let points = || self.points.iter().filter(|p| inside((p.0, p.1), (0.0, columns), (0.0, rows)));
        chart.draw_series(points().map(|&(x, y, _)| Circle::new((x, y), 5, WHITE.filled())))?;
        let dots = points()
            .map(|&(x, y, class)| Circle::new((x, y), 3, COLOURS[(class + 1) % COLOURS.len()].filled()));
        chart.draw_series(dots)?;
        Ok(())
    }
}
