//! Windows and resized pictures as nodes.
use super::{
    dim::Dim,
    emit::{Arg, Emitter, int, ints, word},
    functions::REFUSED,
};
use crate::{
    compress::{Windows, windows},
    error::Checked,
    tape::Choice,
    tensor::Shape,
};

/// Axes in front of those with windows: samples and channels.
pub(super) const LEAD: usize = 2;

pub(super) fn max_pool(
    to: &mut Emitter,
    choice: &Choice<f32>,
    x: &Arg,
    name: &str,
    shape: &Shape,
) -> Checked<String> {
    // Before the axes of windows are channels, and perhaps samples.
    let fits = |axes: &usize| (1..=LEAD).contains(&shape.rank().saturating_sub(*axes));
    let found = [2, 1].into_iter().filter(fits).find_map(|axes| windows(&**choice, &x.sizes, shape, axes));
    let found =
        found.ok_or("windows of different sizes or with gaps: MaxPool here has equal ones side by side")?;
    let lead = shape.rank() - found.len();
    // One sample may be without an axis of its own.
    let mut with: Vec<Dim> = x.shape.clone();
    let mut out: Vec<Dim> = with[..lead].to_vec();
    out.extend(shape[lead..].iter().map(|&n| Dim::number(n as i64)));
    let mut name = name.to_string();
    if lead == 1 {
        with.insert(0, Dim::ONE);
        name = to.reshaped(&name, &with)?;
    } else if lead != LEAD {
        return Err(REFUSED.into());
    }
    let y = pool(to, "MaxPool", &name, &with, &found, None)?;
    if lead == 1 { to.reshaped(&y, &out) } else { Ok(y) }
}

/// A node of windows; of means `count_pads` says whether places of the padding count.
pub(super) fn pool(
    to: &mut Emitter,
    op: &str,
    name: &str,
    shape: &[Dim],
    found: &[Windows],
    count_pads: Option<bool>,
) -> Checked<String> {
    let sizes: Option<Vec<usize>> = shape[LEAD..].iter().map(|dim| Some(dim.known()? as usize)).collect();
    let sizes = sizes.ok_or("windows along an axis whose size is left open")?;
    let after = found
        .iter()
        .zip(&sizes)
        .map(|(w, &size)| ((w.count - 1) * w.stride + w.kernel).saturating_sub(size + w.padding));
    let pads: Vec<usize> = found.iter().map(|w| w.padding).chain(after).collect();
    let attributes = [
        ints("kernel_shape", found.iter().map(|w| w.kernel)),
        ints("pads", pads),
        ints("strides", found.iter().map(|w| w.stride)),
    ];
    let count_pads = count_pads.map(|count| int("count_include_pad", i64::from(count)));
    let mut y = to.node(op, &[name], attributes.into_iter().chain(count_pads));
    // The end of an axis may have room for a window more than there are.
    for (k, (w, &size)) in found.iter().zip(&sizes).enumerate() {
        if (size + w.padding).saturating_sub(w.kernel) / w.stride + 1 > w.count {
            let (start, end) = (to.integers(&[0]), to.integers(&[w.count as i64]));
            let axis = to.integers(&[(LEAD + k) as i64]);
            y = to.plain("Slice", &[&y, &start, &end, &axis]);
        }
    }
    Ok(y)
}

/// A picture resized, the sizes of whose last axes are known.
pub(super) fn resized(to: &mut Emitter, x: &Arg, out: &[usize], mode: Mode) -> Checked<String> {
    let (lead, last) = x.shape.split_at(LEAD);
    if last.iter().any(|dim| dim.is_open()) {
        return Err("a picture resized along an axis whose size is left open".into());
    }
    let dims: Vec<Dim> = lead.iter().copied().chain(out.iter().map(|&n| Dim::number(n as i64))).collect();
    let (name, sizes) = (to.read(x)?, to.sizes(&dims)?);
    let (mode, places) = match mode {
        Mode::Nearest => ("nearest", "asymmetric"),
        Mode::Linear => ("linear", "half_pixel"),
        Mode::Corners => ("linear", "align_corners"),
    };
    let round = (mode == "nearest").then(|| word("nearest_mode", "floor"));
    let attributes = [word("mode", mode), word("coordinate_transformation_mode", places)];
    Ok(to.node("Resize", &[&name, "", "", &sizes], attributes.into_iter().chain(round)))
}

/// What lies between elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mode {
    /// The element before.
    Nearest,
    /// What is on a line between both, elements standing for their middles.
    Linear,
    /// The same where the first and the last stay where they are.
    Corners,
}

impl Mode {
    /// The element before a place of a resized axis, and how far the place is towards the next one.
    pub fn place(self, at: usize, size: usize, out: usize) -> (usize, f64) {
        let step = size as f64 / out as f64;
        let place = match self {
            Mode::Nearest => return ((at * size / out).min(size - 1), 0.0),
            Mode::Linear => ((at as f64 + 0.5) * step - 0.5).max(0.0),
            Mode::Corners if out > 1 => at as f64 * (size - 1) as f64 / (out - 1) as f64,
            Mode::Corners => 0.0,
        };
        let low = (place.floor() as usize).min(size - 1);
        (low, place - low as f64)
    }
}
