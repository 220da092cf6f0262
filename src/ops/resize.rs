//! Images made larger and smaller, channels turned into pixels and back, windows as columns.
use super::{
    conv_options::{ConvOptions, Padding, Sizes},
    index::valid,
    list::Float,
    take::NOWHERE,
};
use crate::{
    error::Checked,
    tape::Var,
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};

/// To which size [`Var::interpolate`] goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InterpolateTo {
    /// These sizes of the last axes, or one for all.
    Size(Sizes),
    /// So many times as large, rounded down.
    Scale(f64),
}

/// How [`Var::interpolate`] finds the values between elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InterpolateMode {
    /// The nearest element before.
    Nearest,
    /// Between the two neighbours along each axis: linear, bilinear, trilinear.
    Linear {
        /// Whether the centres of the first and last elements stay where they are.
        align_corners: bool,
    },
}

/// # Pictures resized and rearranged
impl<'t, T: Float> Var<'t, T> {
    /// Elements at other distances along all axes but the first two: `[n, channels, …]`.
    #[track_caller]
    #[doc(alias = "upsample")]
    pub fn interpolate(&self, to: &InterpolateTo, mode: InterpolateMode) -> Var<'t, T> {
        let planned = valid!(self, "interpolate", self.resized(to));
        let mut x = self.clone();
        for (i, (out, scale)) in planned.into_iter().enumerate() {
            let (axis, size) = (i + 2, self.shape()[i + 2]);
            x = match mode {
                InterpolateMode::Nearest => {
                    // PyTorch reckons in single precision here.
                    let place = |o: usize| ((o as f32 * scale as f32).floor() as usize).min(size - 1) as u32;
                    x.slices(axis, Tensor::from_fn([out], place))
                }
                InterpolateMode::Linear { align_corners } => {
                    let at = |o: usize| match align_corners {
                        true if out > 1 => o as f64 * (size - 1) as f64 / (out - 1) as f64,
                        true => 0.0,
                        false => ((o as f64 + 0.5) * scale - 0.5).max(0.0),
                    };
                    let low = |o: usize| (at(o).floor() as usize).min(size - 1);
                    let part = |o: usize| at(o) - low(o) as f64;
                    let mut column = Shape::new(&vec![1; x.rank() - axis]);
                    column.set(0, out);
                    let weight = |f: &dyn Fn(usize) -> f64| {
                        x.tape().constant(Tensor::from_fn(&column, |o| T::from_f64(f(o))))
                    };
                    let first = x.slices(axis, Tensor::from_fn([out], |o| low(o) as u32));
                    let second =
                        x.slices(axis, Tensor::from_fn([out], |o| (low(o) + 1).min(size - 1) as u32));
                    first * weight(&|o| 1.0 - part(o)) + second * weight(&part)
                }
            };
        }
        x
    }

    /// The new size of each axis, and the steps in the old one from an element to the next.
    fn resized(&self, to: &InterpolateTo) -> Checked<Vec<(usize, f64)>> {
        let shape = self.shape();
        let axes = shape.rank().saturating_sub(2);
        if !(1..=3).contains(&axes) || shape[2..].contains(&0) {
            return Err(format!(
                "takes [n, channels, …] with 1 to 3 axes more that are not empty, not {shape}"
            ));
        }
        let sizes = match to {
            InterpolateTo::Size(sizes) => sizes.spread("size", axes, 1)?[3 - axes..].to_vec(),
            InterpolateTo::Scale(scale) if *scale > 0.0 && scale.is_finite() => {
                shape[2..].iter().map(|&size| (size as f64 * scale).floor() as usize).collect()
            }
            InterpolateTo::Scale(scale) => return Err(format!("scale {scale} is not positive and finite")),
        };
        if sizes.iter().any(|s| !(1..1 << 24).contains(s)) {
            return Err(format!("makes an axis of {shape} empty or too long: {sizes:?}"));
        }
        let step = |size: usize, out: usize| match to {
            InterpolateTo::Size(_) => size as f64 / out as f64,
            InterpolateTo::Scale(scale) => 1.0 / scale,
        };
        Ok(shape[2..].iter().zip(sizes).map(|(&size, out)| (out, step(size, out))).collect())
    }

    /// `[…, c·r², h, w] -> […, c, h·r, w·r]`: each r² channels become squares of pixels (Shi et al., 2016).
    #[track_caller]
    pub fn pixel_shuffle(&self, upscale_factor: usize) -> Var<'t, T> {
        let (lead, [c, h, w]) = valid!(self, "pixel_shuffle", self.image());
        let r = upscale_factor;
        if r == 0 || r > c.max(1) || c % (r * r) != 0 {
            let message = format!("{c} channels of {} aren't a multiple of {r}²", self.shape());
            return self.tape().fail_op("pixel_shuffle", message, &[self]);
        }
        let with = |rest: &[usize]| lead.iter().chain(rest).copied().collect::<Shape>();
        let n = lead.len() as isize;
        let apart = self.reshape_to(&with(&[c / (r * r), r, r, h, w]));
        let order: Vec<isize> = (0..n).chain([0, 3, 1, 4, 2].map(|a| n + a)).collect();
        apart.permute(&order).reshape_to(&with(&[c / (r * r), h * r, w * r]))
    }

    /// `[…, c, h·r, w·r] -> […, c·r², h, w]`, the inverse of [`pixel_shuffle`](Var::pixel_shuffle).
    #[track_caller]
    pub fn pixel_unshuffle(&self, downscale_factor: usize) -> Var<'t, T> {
        let (lead, [c, h, w]) = valid!(self, "pixel_unshuffle", self.image());
        let r = downscale_factor;
        if r == 0 || r > h.max(w).max(1) || h % r != 0 || w % r != 0 {
            let message = format!("height and width of {} aren't multiples of {r}", self.shape());
            return self.tape().fail_op("pixel_unshuffle", message, &[self]);
        }
        let with = |rest: &[usize]| lead.iter().chain(rest).copied().collect::<Shape>();
        let n = lead.len() as isize;
        let apart = self.reshape_to(&with(&[c, h / r, r, w / r, r]));
        let order: Vec<isize> = (0..n).chain([0, 2, 4, 1, 3].map(|a| n + a)).collect();
        apart.permute(&order).reshape_to(&with(&[c * r * r, h / r, w / r]))
    }

    /// The leading axes, and channels, height and width.
    fn image(&self) -> Checked<(Shape, [usize; 3])> {
        match self.shape().split_last_chunk::<3>() {
            Some((lead, image)) => Ok((Shape::new(lead), *image)),
            None => Err(format!("takes […, channels, height, width], not {}", self.shape())),
        }
    }

    /// The windows of a convolution with these options as columns: `[n, c, h, w] -> [n, c·kh·kw, windows]`
    /// (PyTorch's `nn.functional.unfold`); `n` may be missing. Padding is a number of zeros, and there is one
    /// group.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor, ops::ConvOptions};
    /// let tape = Tape::<f64>::inference();
    /// let x = tape.constant(Tensor::from_fn([1, 1, 4, 4], |i| i as f64));
    /// let columns = x.im2col(2, &ConvOptions::new().stride(2));
    /// assert_eq!(columns.shape(), &[1, 4, 4]);
    /// assert_eq!(columns.select(2, 0).to_vec()?, [0.0, 1.0, 4.0, 5.0]); // the first window
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    #[doc(alias("F.unfold", "Unfold"))]
    pub fn im2col(&self, kernel_size: impl Into<Sizes>, options: &ConvOptions) -> Var<'t, T> {
        self.columns(&kernel_size.into(), options)
    }

    #[track_caller]
    fn columns(&self, kernel_size: &Sizes, options: &ConvOptions) -> Var<'t, T> {
        if self.failed_id().is_none() && self.rank() == 3 {
            return self.unsqueeze(0).columns(kernel_size, options).squeeze(0);
        }
        let padding = match &options.padding {
            Padding::Zeros(sizes) if options.groups == 1 && options.output_padding == Sizes::from(0) => sizes,
            _ => {
                let message = "takes a stride, a dilation and a number of zeros as padding, no other options";
                return self.tape().fail_op("im2col", message, &[self]);
            }
        };
        let spread = |name, sizes: &Sizes, rest| sizes.spread(name, 2, rest);
        let [_, kh, kw] = valid!(self, "im2col", spread("kernel_size", kernel_size, 1));
        let [_, dh, dw] = valid!(self, "im2col", spread("dilation", &options.dilation, 1));
        let [_, ph, pw] = valid!(self, "im2col", spread("padding", padding, 0));
        let [_, sh, sw] = valid!(self, "im2col", spread("stride", &options.stride, 1));
        let [n, c, h, w] = self.shape()[..] else {
            let message = format!("takes [n, channels, height, width], not {}", self.shape());
            return self.tape().fail_op("im2col", message, &[self]);
        };
        let count = |size: usize, k: usize, d: usize, p: usize, s: usize| {
            let span = d.saturating_mul(k.saturating_sub(1)).saturating_add(1);
            let room = p
                .saturating_mul(2)
                .saturating_add(size)
                .checked_sub(span)
                .filter(|_| k > 0 && d > 0 && s > 0);
            room.map(|room| room / s + 1).ok_or_else(|| {
                format!("windows of {k} elements, {d} apart, {s} from one to the next, don't fit {size} with padding {p}")
            })
        };
        let (oh, ow) = (
            valid!(self, "im2col", count(h, kh, dh, ph, sh)),
            valid!(self, "im2col", count(w, kw, dw, pw, sw)),
        );
        let places = |size: usize, k: usize, d: usize, p: usize, s: usize, out: usize| {
            let place = |i: usize| (i / out * d + i % out * s).checked_sub(p).filter(|&at| at < size);
            Tensor::from_fn([k.saturating_mul(out)], |i| place(i).map_or(NOWHERE, |at| at as u32))
        };
        let sizes = [c, kh, kw, oh, ow].iter().try_fold(n, |all, &size| all.checked_mul(size.max(1)));
        let message =
            || format!("[{n}, {c} · {kh} · {kw}, {oh} · {ow}] has more elements than there is memory for");
        valid!(self, "im2col", sizes.ok_or_else(message));
        let read = self.slices(2, places(h, kh, dh, ph, sh, oh)).slices(3, places(w, kw, dw, pw, sw, ow));
        let apart = read.reshape_to(&Shape::new(&[n, c, kh, oh, kw, ow]));
        apart.permute([0, 1, 2, 4, 3, 5]).reshape_to(&Shape::new(&[n, c * kh * kw, oh * ow]))
    }
}
