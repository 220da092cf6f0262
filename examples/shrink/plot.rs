//! Bytes against accuracy: one line for each model, from its dense form to its smallest.
use crate::{Result, report::Stage};
use plotters::{
    coord::Shift,
    prelude::*,
    style::{FontStyle, register_font},
};
use std::path::Path;

const SIZE: (u32, u32) = (1000, 640);
const FONT: &str = "sans-serif";
const COLOURS: [RGBColor; 2] = [RGBColor(0, 90, 181), RGBColor(204, 85, 0)];

pub fn svg(stages: &[Stage], path: &Path) -> Result<()> {
    let mut text = String::new();
    draw(stages, SVGBackend::with_string(&mut text, SIZE).into_drawing_area())?;
    Ok(kolmo::data::write_file(path, text)?)
}

pub fn png(stages: &[Stage], path: &Path) -> Result<()> {
    // The backend writes files itself; whole they become here.
    let draft = path.with_extension("draft.png");
    draw(stages, BitMapBackend::new(&draft, SIZE).into_drawing_area())?;
    kolmo::data::write_file(path, std::fs::read(&draft)?)?;
    Ok(std::fs::remove_file(draft)?)
}

fn draw<B: DrawingBackend>(stages: &[Stage], area: DrawingArea<B, Shift>) -> Result<()>
where
    B::ErrorType: 'static,
{
    // A font of our own, so that none has to be installed.
    register_font(FONT, FontStyle::Normal, dejavu::sans::regular()).map_err(|_| "the font can't be read")?;
    let points: Vec<(f64, f64)> = stages.iter().map(|s| (s.bytes as f64, 100.0 * s.test_accuracy)).collect();
    let range = |values: Vec<f64>| {
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)))
    };
    let (small, large) = range(points.iter().map(|p| p.0).collect());
    let (worst, best) = range(points.iter().map(|p| p.1).collect());
    // Room for labels, and for the legend below.
    let margin = 0.25 * (best - worst).max(0.4);

    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(20)
        .x_label_area_size(55)
        .y_label_area_size(80)
        .build_cartesian_2d((small / 2.0..large * 2.0).log_scale(), worst - margin..best + margin)?;
    chart
        .configure_mesh()
        .x_desc("bytes on disk")
        .y_desc("test accuracy, %")
        .x_label_formatter(&|bytes| crate::report::thousands(*bytes as usize))
        .y_label_formatter(&|percent| format!("{percent:.1}"))
        .light_line_style(WHITE)
        .label_style((FONT, 16))
        .axis_desc_style((FONT, 18))
        .draw()?;

    for (model, colour) in ["teacher", "student"].into_iter().zip(COLOURS) {
        let series = stages.iter().zip(&points).filter(|(stage, _)| stage.model == model);
        let line: Vec<_> = series.clone().map(|(_, point)| *point).collect();
        let sizes = series.clone().next().map_or("", |(stage, _)| &stage.sizes);
        chart
            .draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?
            .label(format!("{model} {sizes}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(3)));
        chart.draw_series(line.iter().map(|&point| Circle::new(point, 5, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font((FONT, 17))
        .border_style(BLACK.mix(0.3))
        .background_style(WHITE)
        .margin(12)
        .draw()?;

    let spots: Vec<(i32, i32)> = points.iter().map(|point| chart.backend_coord(point)).collect();
    // Labels keep off points and lines.
    let mut taken: Vec<Rectangle> = spots.iter().map(|&(x, y)| Rectangle::around(x, y, 7)).collect();
    for (pair, ends) in stages.windows(2).zip(spots.windows(2)) {
        if pair[0].model == pair[1].model {
            let between = |a: i32, b: i32, i: i32| a + (b - a) * i / 100;
            let step =
                |i| Rectangle::around(between(ends[0].0, ends[1].0, i), between(ends[0].1, ends[1].1, i), 2);
            taken.extend((0..=100).map(step));
        }
    }
    for (stage, &(x, y)) in stages.iter().zip(&spots) {
        let colour = COLOURS[usize::from(stage.model != "teacher")];
        let style = (FONT, 16).into_font().color(&colour);
        let (width, height) = area.estimate_text_size(stage.stage, &style)?;
        let label = Rectangle::free(x, y, width as i32, height as i32, &taken);
        let near = (x.clamp(label.left, label.right), y.clamp(label.top, label.bottom));
        area.draw(&PathElement::new([(x, y), near], colour.mix(0.5)))?;
        area.draw(&Text::new(stage.stage, (label.left, label.top), style))?;
        taken.push(label);
    }
    area.present()?;
    Ok(())
}

/// A part of the picture, in pixels.
struct Rectangle {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Rectangle {
    fn around(x: i32, y: i32, radius: i32) -> Rectangle {
        Rectangle { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }
    }

    fn overlaps(&self, other: &Rectangle) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    /// A place for a label near a point: above, below, to the right or to the left of it, wherever nothing is yet.
    fn free(x: i32, y: i32, width: i32, height: i32, taken: &[Rectangle]) -> Rectangle {
        let at = |left: i32, top: i32| Rectangle { left, top, right: left + width, bottom: top + height };
        let mut places = (1..8).flat_map(|step| {
            let gap = 12 * step;
            [
                at(x - width / 2, y - gap - height),
                at(x - width / 2, y + gap),
                at(x + gap, y - height / 2),
                at(x - gap - width, y - height / 2),
                at(x + gap, y - gap - height),
                at(x - gap - width, y - gap - height),
                at(x + gap, y + gap),
                at(x - gap - width, y + gap),
            ]
        });
        places
            .find(|place| !taken.iter().any(|other| place.overlaps(other)))
            .unwrap_or_else(|| at(x - width / 2, y - 12 - height))
    }
}
