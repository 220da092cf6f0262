//! What all pictures are drawn on and with: an area of either kind of file, its font and its colours.
use crate::{
    data::png,
    error::{Error, Result},
    files::write_atomically,
};
use plotters::{
    coord::Shift,
    prelude::*,
    style::{FontStyle, register_font},
};
use std::path::Path;

pub(super) const FONT: &str = "sans-serif";
/// Colours that people who see fewer of them can tell apart (Okabe and Ito, 2008).
pub(super) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// Runs one generic drawing for either kind of file.
macro_rules! draw_all {
    ($area:expr, |$inner:ident| $draw:expr) => {
        match $area {
            $crate::plot::canvas::Area::Svg($inner) => $draw.map_err(|e| e.to_string()),
            $crate::plot::canvas::Area::Png($inner) => $draw.map_err(|e| e.to_string()),
        }
    };
}
pub(super) use draw_all;

pub(super) type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// What can draw on either kind of file.
pub(super) enum Area<'a> {
    Svg(DrawingArea<SVGBackend<'a>, Shift>),
    Png(DrawingArea<BitMapBackend<'a>, Shift>),
}

/// A picture on white, finished.
pub(super) fn whole<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    draw: impl FnOnce(&DrawingArea<B, Shift>) -> Drawn<B>,
) -> Drawn<B> {
    area.fill(&WHITE)?;
    draw(area)?;
    area.present()
}

pub(super) fn wrong(path: &Path, message: String) -> Error {
    Error::invalid("plot", format!("{}: {message}", path.display()))
}

/// Draws into memory and then writes the file.
pub(super) fn save(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(Area) -> Result<(), String>,
) -> Result<()> {
    let wrong = |message: String| wrong(path, message);
    // A font of our own, so that none has to be installed.
    register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| wrong("the font can't be read".into()))?;
    let ends = |end: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(end));
    let bytes = if ends("svg") {
        let mut text = String::new();
        draw(Area::Svg(SVGBackend::with_string(&mut text, size).into_drawing_area())).map_err(wrong)?;
        text.into_bytes()
    } else if ends("png") {
        let mut pixels = vec![0; 3 * size.0 as usize * size.1 as usize];
        draw(Area::Png(BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area())).map_err(wrong)?;
        png::encode(&pixels, size).map_err(|e| wrong(e.to_string()))?
    } else {
        return Err(wrong("the name must end in .svg or .png".into()));
    };
    write_atomically(path, &bytes).map_err(|e| Error::io(path, e))
}
