//! Pooling: largest and mean elements of windows along the last axes. Windows are lists of places along each
//! axis; what is read comes down to reading by position, so derivatives of any order are there.
use super::{
    conv_options::Sizes,
    index::{small, valid},
    list::Float,
    take::NOWHERE,
    windows::{Windows, largest},
};
use crate::{
    checked::{Check, checked, option},
    error::Checked,
    tape::Var,
    tensor::{Shape, Tensor, room::room},
};
use serde::Serialize;
use smallvec::SmallVec;

/// The windows along each of the last axes.
type Axes = SmallVec<[Windows; 3]>;

/// Options of pooling, with PyTorch's names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use = "options do nothing until they are given to what they are for"]
pub struct PoolOptions {
    kernel_size: Sizes,
    stride: Option<Sizes>,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: Option<f64>,
}

checked!(PoolOptions {
    kernel_size: Sizes,
    stride: Option<Sizes>,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: Option<f64>,
});

impl Check for PoolOptions {
    fn check(&self) -> Checked<()> {
        self.kernel_size.positive("kernel_size")?;
        self.stride.as_ref().map_or(Ok(()), |stride| stride.positive("stride"))?;
        self.dilation.positive("dilation")?;
        let divisor = self.divisor_override.unwrap_or(1.0);
        option("divisor_override", divisor, divisor != 0.0 && divisor.is_finite(), "a finite number but 0")
    }
}

impl PoolOptions {
    /// Windows of this size, one beside the other, without padding.
    pub fn new(kernel_size: impl Into<Sizes>) -> PoolOptions {
        PoolOptions {
            kernel_size: kernel_size.into(),
            stride: None,
            padding: 0.into(),
            dilation: 1.into(),
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }

    /// Steps from one window to the next (default: the size of a window).
    pub fn stride(self, stride: impl Into<Sizes>) -> PoolOptions {
        PoolOptions { stride: Some(stride.into()), ..self }
    }

    /// Places without a value at both ends of each axis, at most half a window (default 0).
    pub fn padding(self, padding: impl Into<Sizes>) -> PoolOptions {
        PoolOptions { padding: padding.into(), ..self }
    }

    /// Steps from one element of a window to the next; of max pooling only (default 1).
    pub fn dilation(self, dilation: impl Into<Sizes>) -> PoolOptions {
        PoolOptions { dilation: dilation.into(), ..self }
    }

    /// Whether a window may reach beyond the end (default no).
    pub fn ceil_mode(self, ceil_mode: bool) -> PoolOptions {
        PoolOptions { ceil_mode, ..self }
    }

    /// Whether places of the padding count in a mean (default yes).
    pub fn count_include_pad(self, count_include_pad: bool) -> PoolOptions {
        PoolOptions { count_include_pad, ..self }
    }

    /// What sums are divided by instead of the number of elements.
    pub fn divisor_override(self, divisor: f64) -> PoolOptions {
        PoolOptions { divisor_override: Some(divisor), ..self }
    }

    /// The windows along each of the last axes of a shape.
    fn windows(&self, shape: &Shape, axes: usize) -> Checked<Axes> {
        let spatial = spatial(shape, axes)?;
        let kernel = self.kernel_size.spread("kernel_size", axes, 1)?;
        let stride = self.stride.as_ref().unwrap_or(&self.kernel_size).spread("stride", axes, 1)?;
        let padding = self.padding.spread("padding", axes, 0)?;
        let dilation = self.dilation.spread("dilation", axes, 1)?;
        let last = |all: [usize; 3], i: usize| all[3 - axes + i];
        let windows: Axes = spatial
            .iter()
            .enumerate()
            .map(|(i, &size)| {
                let (kernel, stride, padding, dilation) =
                    (last(kernel, i), last(stride, i), last(padding, i), last(dilation, i));
                if kernel == 0 || stride == 0 || dilation == 0 {
                    return Err(format!(
                        "kernel_size {kernel}, stride {stride} and dilation {dilation} must be at least 1"
                    ));
                }
                let span = dilation.saturating_mul(kernel - 1).saturating_add(1);
                if padding > span / 2 {
                    return Err(format!("padding {padding} is more than half a window of {span} elements"));
                }
                let padded = padding.saturating_mul(2).saturating_add(size);
                if span > padded {
                    return Err(format!(
                        "a window of {span} elements doesn't fit the {padded} of an axis of {shape}"
                    ));
                }
                let room = padded - span;
                let mut count = if self.ceil_mode { room.div_ceil(stride) } else { room / stride } + 1;
                // The last window begins inside the input or the padding before it.
                if (count - 1).saturating_mul(stride) >= size + padding {
                    count -= 1;
                }
                if kernel.saturating_mul(count) > NOWHERE as usize {
                    return Err(format!("{count} windows of {kernel} elements are more than can be indexed"));
                }
                Ok(Windows::strided(size, count, kernel, stride, padding, dilation))
            })
            .collect::<Checked<_>>()?;
        check_room(shape, windows.iter().map(|w| w.count))?;
        // A dilated window can step over all that is inside.
        for (i, windows) in windows.iter().enumerate().filter(|(i, _)| last(dilation, *i) > 1) {
            if let Some(w) = windows.empty() {
                return Err(format!(
                    "window {w} along an axis of {} elements, with kernel_size {}, padding {} and dilation {}, has only \
                     padding in it",
                    spatial[i],
                    last(kernel, i),
                    last(padding, i),
                    last(dilation, i)
                ));
            }
        }
        Ok(windows)
    }
}

/// The sizes of the last axes; before them are channels, and perhaps samples.
fn spatial(shape: &Shape, axes: usize) -> Checked<&[usize]> {
    let (lead, last) = shape.split_at(shape.rank().saturating_sub(axes));
    let empty = last.contains(&0) || lead.last() == Some(&0);
    if !(1..=2).contains(&lead.len()) || empty {
        return Err(format!(
            "takes [channels, …] or [n, channels, …] with {axes} axes more, none but n empty, not {shape}"
        ));
    }
    Ok(last)
}

/// Whether there is room for so many windows of each channel: asked before the first of them is looked at.
fn check_room(shape: &Shape, counts: impl ExactSizeIterator<Item = usize>) -> Checked<()> {
    let channels = &shape[..shape.rank() - counts.len()];
    let all = channels.iter().copied().chain(counts).fold(1, usize::saturating_mul);
    // Of fewer there is no need to ask.
    const MANY: usize = 1 << 20;
    if all < MANY { Ok(()) } else { room::<u32>(all).map(drop) }
}

impl<'t, T: Float> Var<'t, T> {
    /// The largest elements and their flat positions, of which there are none where something failed.
    #[track_caller]
    fn max_windows(&self, name: &str, windows: Checked<Axes>) -> (Var<'t, T>, Tensor<u32>) {
        let windows = windows.and_then(|w| small(self.shape()).map(|()| w));
        match windows {
            _ if self.failed_id().is_some() => (self.clone(), Tensor::zeros([0])),
            Err(message) => (self.tape().fail_op(name, message, &[self]), Tensor::zeros([0])),
            Ok(windows) => {
                let samples = if self.rank() > windows.len() + 1 { self.dim(0) } else { 1 };
                self.chosen_elements(samples, move |x| largest(x, &windows))
            }
        }
    }

    /// With positions within the elements of a channel.
    fn within_channel(&self, (y, flat): (Var<'t, T>, Tensor<u32>), axes: usize) -> (Var<'t, T>, Tensor<u32>) {
        let plane: usize = self.shape().iter().rev().take(axes).product();
        self.tape().note_read(self);
        let found = flat.list().map(|positions| {
            Tensor::from_fn(flat.shape(), |i| (positions[i] as usize % plane.max(1)) as u32)
        });
        (y, found.unwrap_or_else(Tensor::lacking))
    }

    /// The sums of windows.
    fn sum_windows(&self, windows: &[Windows]) -> Var<'t, T> {
        if windows.iter().all(Windows::is_whole) {
            let axes: SmallVec<[isize; 3]> = (1..=windows.len() as isize).map(|axis| -axis).collect();
            return self.sum_dim(&axes[..], true);
        }
        let mut sums = self.clone();
        for (i, w) in windows.iter().enumerate() {
            let axis = self.rank() - windows.len() + i;
            let mut shape = sums.shape().clone();
            shape.set(axis, w.count);
            let (before, after) = (&shape[..axis + 1], &shape[axis + 1..]);
            let (places, most) = valid!(self, "avg_pool", w.places());
            let apart: Shape = before.iter().chain(&[most]).chain(after).copied().collect();
            // Windows side by side read the axis as it is.
            let whole = places.iter().copied().eq(0..sums.shape()[axis] as u32);
            let read = if whole { sums.clone() } else { sums.slices(axis, Tensor::from(places)) };
            sums = read.reshape_to(&apart).sum_dim([axis as isize + 1], false);
        }
        sums
    }

    /// The sums divided by the product of counts along each axis.
    fn mean_windows(&self, windows: &[Windows], counts: &[Vec<f64>]) -> Var<'t, T> {
        let mut means = self.sum_windows(windows);
        for (i, counts) in counts.iter().enumerate() {
            let shape: Shape =
                [counts.len()].into_iter().chain(std::iter::repeat_n(1, windows.len() - 1 - i)).collect();
            means = means / self.tape().constant(Tensor::from_fn(shape, |k| T::from_f64(counts[k])));
        }
        means
    }

    #[track_caller]
    fn avg_pool(&self, name: &str, axes: usize, options: &PoolOptions) -> Var<'t, T> {
        if self.failed_id().is_some() {
            return self.clone();
        }
        let options = options.clone().dilation(1);
        let windows = match options.windows(self.shape(), axes) {
            Ok(_) if options.divisor_override == Some(0.0) => Err("divisor_override is 0".into()),
            windows => windows,
        };
        match windows {
            Err(message) => self.tape().fail_op(name, message, &[self]),
            Ok(windows) => match options.divisor_override {
                Some(divisor) => self.sum_windows(&windows) / divisor,
                None => {
                    let count = |w: &Windows| if options.count_include_pad { w.padded() } else { w.real() };
                    match windows.iter().map(count).collect::<Checked<Vec<_>>>() {
                        Ok(counts) => self.mean_windows(&windows, &counts),
                        Err(message) => self.tape().fail_op(name, message, &[self]),
                    }
                }
            },
        }
    }

    fn adaptive(&self, output_size: &[Option<usize>], axes: usize) -> Checked<Axes> {
        let sizes = spatial(self.shape(), axes)?;
        if output_size.len() != axes && output_size.len() != 1 {
            return Err(format!(
                "output_size {output_size:?} needs one number, or one for each of {axes} axes"
            ));
        }
        let wanted = |i: usize| output_size.get(i).or(output_size.first()).copied().flatten();
        let counts = sizes.iter().enumerate().map(|(i, &size)| wanted(i).unwrap_or(size));
        check_room(self.shape(), counts)?;
        let windows = |(i, &size): (usize, &usize)| match wanted(i).unwrap_or(size) {
            count if count.saturating_mul(size.max(1)) < NOWHERE as usize => {
                Ok(Windows::adaptive(size, count))
            }
            count => Err(format!("{count} windows on an axis of {size} are more than can be indexed")),
        };
        sizes.iter().enumerate().map(windows).collect()
    }

    #[track_caller]
    fn adaptive_avg_pool(&self, name: &str, output_size: &[Option<usize>], axes: usize) -> Var<'t, T> {
        if self.failed_id().is_some() {
            return self.clone();
        }
        match self.adaptive(output_size, axes) {
            Err(message) => self.tape().fail_op(name, message, &[self]),
            Ok(windows) => match windows.iter().map(Windows::real).collect::<Checked<Vec<_>>>() {
                Err(message) => self.tape().fail_op(name, message, &[self]),
                Ok(counts) => self.mean_windows(&windows, &counts),
            },
        }
    }
}

impl<'t, T: Float> Var<'t, T> {
    /// [`adaptive_max_pool2d`](Var::adaptive_max_pool2d) without the positions, which a program can do again.
    #[track_caller]
    pub(crate) fn adaptive_max_pool2d_values(&self, output_size: &[Option<usize>]) -> Var<'t, T> {
        self.max_windows("adaptive_max_pool2d", self.adaptive(output_size, 2)).0
    }
}

macro_rules! pools {
    ($($axes:literal $sizes:literal $max:ident $indices:ident $avg:ident $adaptive_max:ident $adaptive_avg:ident;)*) => {
        /// # Pooling
        impl<'t, T: Float> Var<'t, T> {
            $(
                #[doc = concat!("The largest element of each window of `[n, channels, ", $sizes, "]` (`n` may be missing).")]
                /// The gradient goes to the first of equal ones.
                #[track_caller]
                pub fn $max(&self, options: &PoolOptions) -> Var<'t, T> {
                    self.max_windows(stringify!($max), options.windows(self.shape(), $axes)).0
                }

                #[doc = concat!("[`", stringify!($max), "`](Var::", stringify!($max), "), and the position of each in its channel's elements.")]
                #[track_caller]
                pub fn $indices(&self, options: &PoolOptions) -> (Var<'t, T>, Tensor<u32>) {
                    let found = self.max_windows(stringify!($max), options.windows(self.shape(), $axes));
                    self.within_channel(found, $axes)
                }

                #[doc = concat!("The mean of each window of `[n, channels, ", $sizes, "]` (`n` may be missing).")]
                #[track_caller]
                pub fn $avg(&self, options: &PoolOptions) -> Var<'t, T> {
                    self.avg_pool(stringify!($avg), $axes, options)
                }

                /// The largest elements of so many windows, which share each axis out among them, and the position of
                /// each; `None` keeps an axis as it is.
                #[track_caller]
                pub fn $adaptive_max(&self, output_size: &[Option<usize>]) -> (Var<'t, T>, Tensor<u32>) {
                    let found = self.max_windows(stringify!($adaptive_max), self.adaptive(output_size, $axes));
                    self.within_channel(found, $axes)
                }

                /// The means of so many windows, which share each axis out among them; `None` keeps an axis as it is.
                #[track_caller]
                pub fn $adaptive_avg(&self, output_size: &[Option<usize>]) -> Var<'t, T> {
                    self.adaptive_avg_pool(stringify!($adaptive_avg), output_size, $axes)
                }
            )*
        }
    };
}
pools! {
    1 "length" max_pool1d max_pool1d_with_indices avg_pool1d adaptive_max_pool1d adaptive_avg_pool1d;
    2 "height, width" max_pool2d max_pool2d_with_indices avg_pool2d adaptive_max_pool2d adaptive_avg_pool2d;
}
