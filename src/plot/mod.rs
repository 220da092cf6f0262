//! Pictures of curves and matrices, as SVG or PNG by the ending of the file's name. The feature `plot` has them.
/// Runs one generic drawing for either kind of file.
macro_rules! draw_all {
    ($area:expr, |$inner:ident| $draw:expr) => {
        match $area {
            $crate::plot::Area::Svg($inner) => $draw.map_err(|e| e.to_string()),
            $crate::plot::Area::Png($inner) => $draw.map_err(|e| e.to_string()),
        }
    };
}
mod heatmap;

pub use heatmap::Heatmap;

use crate::{
    error::{Error, Result},
    train::History,
};
use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
    style::{FontStyle, register_font},
};
use std::path::Path;

const FONT: &str = "sans-serif";
/// Colours that people who see fewer of them can tell apart (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

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
pub struct Plot {
    title: String,
    x: String,
    y: String,
    x_range: Option<(f64, f64)>,
    y_range: Option<(f64, f64)>,
    series: Vec<Series>,
    colours: usize,
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
            series: Vec::new(),
            colours: 0,
        }
    }

    /// What the axes stand for.
    pub fn axes(self, x: impl Into<String>, y: impl Into<String>) -> Plot {
        Plot { x: x.into(), y: y.into(), ..self }
    }

    /// Where both axes begin and end (default: where the points do).
    pub fn range(self, x: (f64, f64), y: (f64, f64)) -> Plot {
        Plot { x_range: Some(x), y_range: Some(y), ..self }
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

    /// Draws it into a file that ends in `.svg` or `.png`.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        save(path.as_ref(), (900, 600), |area| draw_all!(area, |area| whole(&area, |area| self.draw(area))))
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Drawn<B> {
        let all = || self.series.iter().flat_map(|s| &s.points);
        let x = self.x_range.unwrap_or_else(|| range(all().map(|p| p.0), 0.0));
        let y = self.y_range.unwrap_or_else(|| range(all().map(|p| p.1), 0.04));
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 24))
            .margin(16)
            .x_label_area_size(if self.x.is_empty() { 30 } else { 50 })
            .y_label_area_size(if self.y.is_empty() { 50 } else { 75 })
            .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .label_style((FONT, 15))
            .axis_desc_style((FONT, 17))
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .draw()?;
        self.draw_series(&mut chart)
    }

    fn draw_series<'a, B: DrawingBackend + 'a>(&self, chart: &mut Chart<'a, B>) -> Drawn<B> {
        let mut named: Vec<&str> = Vec::new();
        for series in &self.series {
            let colour = match series.style {
                Style::Dashed => RGBColor(120, 120, 120),
                _ => COLOURS[series.colour % COLOURS.len()],
            };
            let points = series.points.iter().copied();
            let drawn = match series.style {
                Style::Line => chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?,
                Style::Dashed => {
                    chart.draw_series(DashedLineSeries::new(points, 6, 5, colour.stroke_width(2)))?
                }
                Style::Points => chart.draw_series(points.map(|p| Circle::new(p, 3, colour.filled())))?,
            };
            if !series.name.is_empty() && !named.contains(&series.name.as_str()) {
                named.push(&series.name);
                let dots = series.style == Style::Points;
                drawn.label(&series.name).legend(move |(x, y)| {
                    let (left, right) = if dots { (x + 7, x + 13) } else { (x, x + 20) };
                    PathElement::new([(left, y), (right, y)], colour.stroke_width(if dots { 6 } else { 3 }))
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

    /// The corner with the fewest points.
    fn corner(&self) -> SeriesLabelPosition {
        let all: Vec<(f64, f64)> = self.series.iter().flat_map(|s| s.points.clone()).collect();
        let (x, y) = (range(all.iter().map(|p| p.0), 0.0), range(all.iter().map(|p| p.1), 0.0));
        let part = |v: f64, (a, b): (f64, f64)| (v - a) / (b - a);
        let near = |right: bool, top: bool| {
            let inside = |v: f64, high: bool| if high { v > 0.6 } else { v < 0.4 };
            all.iter().filter(|p| inside(part(p.0, x), right) && inside(part(p.1, y), top)).count()
        };
        use SeriesLabelPosition::*;
        let corners = [(UpperRight, near(true, true)), (LowerRight, near(true, false))];
        let corners =
            corners.into_iter().chain([(UpperLeft, near(false, true)), (LowerLeft, near(false, false))]);
        corners.min_by_key(|c| c.1).map_or(UpperRight, |c| c.0)
    }
}

impl History {
    /// Draws the losses and, below them, the metrics of all epochs.
    pub fn plot(&self, path: impl AsRef<Path>) -> Result<()> {
        let curve = |name: &str| self.column(name).into_iter().map(|(epoch, value)| (epoch as f64, value));
        let loss = Plot::new("Training").axes("epoch", "loss").line("loss", curve("loss"));
        let names = self.metrics();
        let metrics = Plot::new("").axes("epoch", "metrics");
        let metrics = names.iter().fold(metrics, |plot, name| plot.line(name, curve(name)));
        let height = if names.is_empty() { 500 } else { 900 };
        save(path.as_ref(), (900, height), |area| {
            draw_all!(area, |area| {
                whole(&area, |area| {
                    if names.is_empty() {
                        return loss.draw(area);
                    }
                    let (top, bottom) = area.split_vertically(450);
                    loss.draw(&top)?;
                    metrics.draw(&bottom)
                })
            })
        })
    }
}

type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// What can draw on either kind of file.
pub(crate) enum Area<'a> {
    Svg(DrawingArea<SVGBackend<'a>, Shift>),
    Png(DrawingArea<BitMapBackend<'a>, Shift>),
}

/// A picture on white, finished.
fn whole<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    draw: impl FnOnce(&DrawingArea<B, Shift>) -> Drawn<B>,
) -> Drawn<B> {
    area.fill(&WHITE)?;
    draw(area)?;
    area.present()
}

/// A label's number without the dust of its computation.
fn number(v: &f64) -> String {
    format!("{}", (v * 1e9).round() / 1e9)
}

/// From the smallest to the largest, with a margin of this share; never empty.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> (f64, f64) {
    let (a, b) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    match a.partial_cmp(&b) {
        Some(std::cmp::Ordering::Less) => (a - margin * (b - a), b + margin * (b - a)),
        Some(std::cmp::Ordering::Equal) => (a - 0.5, b + 0.5),
        _ => (0.0, 1.0),
    }
}

fn save(path: &Path, size: (u32, u32), draw: impl FnOnce(Area) -> Result<(), String>) -> Result<()> {
    let wrong = |message: String| Error::invalid("plot", format!("{}: {message}", path.display()));
    // A font of our own, so that none has to be installed.
    register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| wrong("the font can't be read".into()))?;
    let ends = |end: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(end));
    let area = if ends("svg") {
        Area::Svg(SVGBackend::new(path, size).into_drawing_area())
    } else if ends("png") {
        Area::Png(BitMapBackend::new(path, size).into_drawing_area())
    } else {
        return Err(wrong("the name must end in .svg or .png".into()));
    };
    draw(area).map_err(wrong)
}
