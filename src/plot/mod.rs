//! Pictures of curves and matrices, as SVG or PNG by the ending of the file's name. The feature `plot` has
//! them.
mod axis;
mod canvas;
mod frontier;
mod heatmap;
mod history;
mod labels;

pub use heatmap::Heatmap;

use crate::error::{Checked, Result};
use crate::real::Arithmetic;
use axis::{Axis, clipped, ends, inside, range};
use canvas::{COLOURS, Drawn, FONT, draw_all, save, whole, wrong};
use plotters::{coord::Shift, element::DashedPathElement, prelude::*};
use std::{fmt, path::Path};

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Line,
    Dashed,
    Points,
}

#[derive(Clone)]
struct Series {
    name: String,
    style: Style,
    colour: usize,
    points: Vec<(f64, f64)>,
}

#[derive(Clone)]
struct Label {
    series: String,
    at: (f64, f64),
    text: String,
}

impl Series {
    fn colour(&self) -> RGBColor {
        match self.style {
            Style::Dashed => RGBColor(120, 120, 120),
            _ => COLOURS[self.colour % COLOURS.len()],
        }
    }
}

/// Curves and points over two axes.
///
/// ```
/// use kolmo::plot::Plot;
/// let path = std::env::temp_dir().join(format!("kolmo-plot-{}.svg", std::process::id()));
/// let points = (0..100).map(|i| i as f64 / 10.0).map(|x| (x, x.sin()));
/// Plot::new("A wave").axes("x", "sin x").line("sin", points).save(&path)?;
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is drawn until `save` is called"]
pub struct Plot {
    title: String,
    x: String,
    y: String,
    x_range: Option<(f64, f64)>,
    y_range: Option<(f64, f64)>,
    /// Whether an axis is logarithmic.
    log: (bool, bool),
    series: Vec<Series>,
    labels: Vec<Label>,
    colours: usize,
}

impl fmt::Debug for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let series = self.series.iter().map(|series| (&series.name, series.points.len()));
        f.debug_struct("Plot")
            .field("title", &self.title)
            .field("axes", &(&self.x, &self.y))
            .field("points", &series.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Plot {
    /// Nothing yet but a title.
    pub fn new(title: impl Into<String>) -> Plot {
        Plot {
            title: title.into(),
            x: String::new(),
            y: String::new(),
            x_range: None,
            y_range: None,
            log: (false, false),
            series: Vec::new(),
            labels: Vec::new(),
            colours: 0,
        }
    }

    /// What the axes stand for.
    pub fn axes(self, x: impl Into<String>, y: impl Into<String>) -> Plot {
        Plot { x: x.into(), y: y.into(), ..self }
    }

    /// Where both axes begin and end (default: where the points do), finite numbers. What lies outside is not
    /// drawn.
    pub fn range(self, x: (f64, f64), y: (f64, f64)) -> Plot {
        Plot { x_range: Some(x), y_range: Some(y), ..self }
    }

    /// A logarithmic x axis. Points that aren't positive are left out.
    pub fn log_x(self, on: bool) -> Plot {
        Plot { log: (on, self.log.1), ..self }
    }

    /// A logarithmic y axis. Points that aren't positive are left out.
    pub fn log_y(self, on: bool) -> Plot {
        Plot { log: (self.log.0, on), ..self }
    }

    /// A text beside a point, in the colour of the series of this name, where it covers neither points nor
    /// lines.
    pub fn label(mut self, name: impl Into<String>, at: (f64, f64), text: impl Into<String>) -> Plot {
        self.labels.push(Label { series: name.into(), at, text: text.into() });
        self
    }

    fn add(
        mut self,
        name: impl Into<String>,
        style: Style,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Plot {
        // Points have the colour of the line of their name.
        let name = name.into();
        let known = self.series.iter().find(|s| s.name == name).map(|s| s.colour);
        let colour = known.unwrap_or_else(|| {
            self.colours += 1;
            self.colours - 1
        });
        let points = points.into_iter().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
        self.series.push(Series { name, style, colour, points });
        self
    }

    /// A curve; points that aren't finite are left out.
    pub fn line(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Plot {
        self.add(name, Style::Line, points)
    }

    /// A grey curve to compare with.
    pub fn dashed(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Plot {
        self.add(name, Style::Dashed, points)
    }

    /// Dots. Series of one name share a colour and a line of the legend.
    pub fn points(self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Plot {
        self.add(name, Style::Points, points)
    }

    /// Draws it into a file that ends in `.svg` or `.png`. The file is whole or not there.
    ///
    /// # Errors
    /// The file can't be written, or has another name; an end of an axis is not finite, or so large that the
    /// width isn't, or not positive where the axis is logarithmic.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_at(path.as_ref())
    }

    fn save_at(&self, path: &Path) -> Result<()> {
        let plot = self.scaled();
        let ranges = plot.ranges().map_err(|message| wrong(path, message))?;
        save(path, (900, 600), |area| draw_all!(area, |area| whole(&area, |area| plot.draw(area, ranges))))
    }

    /// The same with the logarithms of what is drawn on a logarithmic axis.
    fn scaled(&self) -> Plot {
        let scale = |v: f64, log: bool| if log { Arithmetic::log10(v) } else { v };
        let point = |(x, y): (f64, f64)| (scale(x, self.log.0), scale(y, self.log.1));
        let ends = |range: Option<(f64, f64)>, log| range.map(|(a, b)| (scale(a, log), scale(b, log)));
        let mut plot = self.clone();
        plot.x_range = ends(self.x_range, self.log.0);
        plot.y_range = ends(self.y_range, self.log.1);
        for series in &mut plot.series {
            let points = series.points.iter().map(|&p| point(p));
            series.points = points.filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
        }
        for label in &mut plot.labels {
            label.at = point(label.at);
        }
        plot
    }

    /// Where the axes begin and end.
    fn ranges(&self) -> Checked<Ranges> {
        let all = || self.series.iter().flat_map(|s| &s.points);
        let x = self.x_range.unwrap_or_else(|| range(all().map(|p| p.0), 0.0));
        let y = self.y_range.unwrap_or_else(|| range(all().map(|p| p.1), 0.04));
        Ok((ends("x", x, self.log.0)?, ends("y", y, self.log.1)?))
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, (x, y): Ranges) -> Drawn<B> {
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 24))
            .margin(16)
            .x_label_area_size(if self.x.is_empty() { 30 } else { 50 })
            .y_label_area_size(if self.y.is_empty() { 50 } else { 75 })
            .build_cartesian_2d(Axis::new(x, self.log.0), Axis::new(y, self.log.1))?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .label_style((FONT, 15))
            .axis_desc_style((FONT, 17))
            .draw()?;
        self.draw_series(&mut chart, (x, y))?;
        self.draw_labels(area, &chart, (x, y))
    }

    fn draw_series<'a, B: DrawingBackend + 'a>(&self, chart: &mut Chart<'a, B>, (x, y): Ranges) -> Drawn<B> {
        let mut named: Vec<&str> = Vec::new();
        for series in &self.series {
            let colour = series.colour();
            let stroke = colour.stroke_width(2);
            let drawn = match series.style {
                Style::Line => {
                    let parts = clipped(&series.points, x, y).into_iter();
                    chart.draw_series(parts.map(|part| PathElement::new(part, stroke)))?
                }
                Style::Dashed => {
                    let parts = clipped(&series.points, x, y).into_iter();
                    let dashes = |part: Vec<(f64, f64)>| DashedPathElement::new(part, 6, 5, stroke);
                    chart.draw_series(parts.map(dashes))?
                }
                Style::Points => {
                    let points = series.points.iter().filter(|&&p| inside(p, x, y));
                    chart.draw_series(points.map(|&p| Circle::new(p, 3, colour.filled())))?
                }
            };
            if !series.name.is_empty() && !named.contains(&series.name.as_str()) {
                named.push(&series.name);
                let style = series.style;
                drawn.label(&series.name).legend(move |(x, y)| match style {
                    Style::Line => PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(3)).into_dyn(),
                    Style::Dashed => {
                        let ends = [(x, y), (x + 20, y)];
                        DashedPathElement::new(ends, 5, 3, colour.stroke_width(3)).into_dyn()
                    }
                    Style::Points => {
                        PathElement::new([(x + 7, y), (x + 13, y)], colour.stroke_width(6)).into_dyn()
                    }
                });
            }
        }
        if named.len() > 1 || self.title.is_empty() {
            chart
                .configure_series_labels()
                .position(self.corner())
                .label_font((FONT, 15))
                .border_style(BLACK.mix(0.3))
                .background_style(WHITE.mix(0.85))
                .draw()?;
        }
        Ok(())
    }
}

/// Where the axes begin and end.
type Ranges = ((f64, f64), (f64, f64));
type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<Axis, Axis>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        tensor::Tensor,
        train::{History, Record},
    };

    /// Runs with a picture's path of either kind.
    fn each(name: &str, f: impl Fn(&Path)) {
        for end in ["svg", "png"] {
            let path = std::env::temp_dir().join(format!("kolmo-{name}-{}.{end}", std::process::id()));
            f(&path);
            let _ = std::fs::remove_file(&path);
        }
    }

    #[test]
    fn any_numbers_give_a_picture_or_an_error() {
        let inf = f64::INFINITY;
        let plot = |points: &[(f64, f64)]| {
            let all = points.to_vec();
            Plot::new("all").line("a", all.clone()).dashed("b", all.clone()).points("c", all)
        };
        let series: [&[(f64, f64)]; 8] = [
            &[],
            &[(1.0, 2.0)],
            &[(1.0, 2.0), (1.0, 2.0)],
            &[(f64::NAN, 1.0), (inf, 2.0), (1.0, -inf)],
            &[(0.0, 0.0), (5e-324, 1e-310)],
            &[(1e17, 1.0), (1e17 + 32.0, 1.0 + 1e-16)],
            &[(-1e200, 1e-200), (1e200, 1e200), (3.0, 4.0)],
            &[(0.0, 1e-15), (1e-14, 1e-13), (1e-13, 0.0)],
        ];
        each("plot-any", |path| {
            for points in series {
                plot(points).save(path).unwrap();
                plot(points).range((0.0, 1.0), (1.0, 0.0)).save(path).unwrap();
                plot(points).range((1e300, 1e300), (0.0, 1e-300)).save(path).unwrap();
                let labelled = plot(points).label("a", (1.0, 1.0), "here").label("a", (1e200, 1.0), "far");
                labelled.range((0.0, 1.0), (0.0, 1.0)).save(path).unwrap();
            }
            for bad in [(0.0, inf), (f64::NAN, 1.0), (-inf, inf), (0.0, f64::MAX)] {
                let error = plot(series[1]).range((0.0, 1.0), bad).save(path).unwrap_err().to_string();
                assert!(error.contains("y from"), "{error}");
                assert!(plot(series[1]).range(bad, (0.0, 1.0)).save(path).is_err());
                let heat = Heatmap::new("h", &Tensor::from([[1.0, 2.0]]));
                assert!(
                    heat.range(bad.0, bad.1).save(path).unwrap_err().to_string().contains("colours from")
                );
            }
            assert!(plot(&[(0.0, f64::MAX), (1.0, -f64::MAX)]).save(path).is_err());
            for points in series {
                let labelled = points
                    .iter()
                    .fold(plot(points).log_x(true).log_y(true), |p, &at| p.label("a", at, "here"));
                labelled.save(path).unwrap();
            }
            let error =
                plot(series[1]).log_y(true).range((0.0, 1.0), (0.0, 1.0)).save(path).unwrap_err().to_string();
            assert!(error.contains("y from") && error.contains("positive"), "{error}");
            for values in [Tensor::zeros([0, 0]), Tensor::zeros([3, 0]), Tensor::from([[f64::NAN, inf]])] {
                let points = [(f64::NAN, 1.0, 0), (0.5, 0.5, 9), (1e300, 0.0, 1)];
                Heatmap::new("h", &values).axes("x", "y").points(points).save(path).unwrap();
            }
            let record = |loss| Record { epoch: 1, step: 1, lr: 0.1, loss, metrics: vec![("a".into(), inf)] };
            let history = History { records: vec![record(f64::NAN), record(inf)] };
            history.plot(path).unwrap();
            for names in [&[][..], &["loss"], &["lr", "a", "nothing"]] {
                history.curves(names).log_y(true).save(path).unwrap();
            }
        });
    }

    #[test]
    fn a_png_has_the_pixels_that_were_drawn() {
        let path = std::env::temp_dir().join(format!("kolmo-pixels-{}.png", std::process::id()));
        Plot::new("").line("a", [(0.0, 0.0), (1.0, 1.0)]).save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bytes[16..24], [0, 0, 3, 132, 0, 0, 2, 88]);
        #[cfg(feature = "images")]
        {
            let picture = image::load_from_memory(&bytes).unwrap().to_rgb8();
            assert!(picture.get_pixel(0, 0).0 == [255; 3]);
            let RGBColor(r, g, b) = COLOURS[0];
            assert!(picture.pixels().any(|p| p.0 == [r, g, b]));
        }
    }
}
