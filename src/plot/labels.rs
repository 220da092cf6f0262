//! Texts beside points, where nothing else is.
use super::{
    Chart, Drawn, FONT, Plot, Ranges, Style,
    axis::{clipped, inside, range},
};
use plotters::{coord::Shift, prelude::*};

impl Plot {
    pub(super) fn draw_labels<B: DrawingBackend>(
        &self,
        area: &DrawingArea<B, Shift>,
        chart: &Chart<B>,
        (x, y): Ranges,
    ) -> Drawn<B> {
        if self.labels.is_empty() {
            return Ok(());
        }
        // What must stay free of what is seen: points, and lines in small steps.
        let mut taken = Vec::new();
        for series in &self.series {
            let seen = series.points.iter().filter(|&&point| inside(point, x, y));
            taken.extend(
                seen.map(|point| chart.backend_coord(point)).map(|(x, y)| Rectangle::around(x, y, 7)),
            );
            if series.style != Style::Points {
                for part in clipped(&series.points, x, y) {
                    let spots: Vec<(i32, i32)> =
                        part.iter().map(|point| chart.backend_coord(point)).collect();
                    let between = |a: i32, b: i32, i: i32| a + (b - a) * i / 100;
                    for ends in spots.windows(2) {
                        let spot = |i| (between(ends[0].0, ends[1].0, i), between(ends[0].1, ends[1].1, i));
                        taken.extend((0..=100).map(spot).map(|(x, y)| Rectangle::around(x, y, 2)));
                    }
                }
            }
        }
        for label in self.labels.iter().filter(|label| inside(label.at, x, y)) {
            let series = self.series.iter().find(|series| series.name == label.series);
            let colour = series.map_or(BLACK, |series| series.colour());
            let (x, y) = chart.backend_coord(&label.at);
            let style = (FONT, 15).into_font().color(&colour);
            let (width, height) = area.estimate_text_size(&label.text, &style)?;
            let place = Rectangle::free(x, y, width as i32, height as i32, &taken);
            let near = (x.clamp(place.left, place.right), y.clamp(place.top, place.bottom));
            area.draw(&PathElement::new([(x, y), near], colour.mix(0.5)))?;
            area.draw(&Text::new(label.text.as_str(), (place.left, place.top), style))?;
            taken.push(place);
        }
        Ok(())
    }

    /// The corner with the fewest points.
    pub(super) fn corner(&self) -> SeriesLabelPosition {
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

    /// A place for a text near a point: above, below, to the right or to the left of it, wherever nothing is
    /// yet.
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
