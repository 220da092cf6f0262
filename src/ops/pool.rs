//! Pooling: largest and mean elements of windows along the last axes. Windows are lists of places along each axis; what is
//! read comes down to reading by position, so derivatives of any order are there.
use super::{conv::Sizes, index::small, take::NOWHERE};
use crate::{
    error::Checked,
    kernels::threads::for_chunks,
    tape::{Float, Var},
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};

/// Options of pooling, with PyTorch's names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolOptions {
    kernel_size: Sizes,
    stride: Option<Sizes>,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: Option<f64>,
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
    fn windows(&self, shape: &Shape, axes: usize) -> Checked<Vec<Windows>> {
        let spatial = spatial(shape, axes)?;
        let kernel = self.kernel_size.spread("kernel_size", axes, 1)?;
        let stride = self.stride.as_ref().unwrap_or(&self.kernel_size).spread("stride", axes, 1)?;
        let padding = self.padding.spread("padding", axes, 0)?;
        let dilation = self.dilation.spread("dilation", axes, 1)?;
        let last = |all: [usize; 3], i: usize| all[3 - axes + i];
        spatial
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
                Ok(Windows::strided(size, count, kernel, stride, padding, dilation))
            })
            .collect()
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

/// The places that each window along one axis reads, all lists of one length; [`NOWHERE`] where there is no element.
struct Windows {
    places: Vec<u32>,
    count: usize,
    len: usize,
    /// Places that count in a mean with padding.
    padded: Vec<f64>,
}

impl Windows {
    fn strided(
        size: usize,
        count: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        dilation: usize,
    ) -> Windows {
        let place = |window: usize, k: usize| {
            let at = (window * stride + k * dilation).checked_sub(padding).filter(|&at| at < size);
            at.map_or(NOWHERE, |at| at as u32)
        };
        let places = (0..count).flat_map(|w| (0..kernel).map(move |k| place(w, k))).collect();
        // Padding counts, what a window of ceil_mode reaches beyond it does not.
        let padded = (0..count).map(|w| (w * stride + kernel).min(size + 2 * padding) - w * stride);
        Windows { places, count, len: kernel, padded: padded.map(|n| n as f64).collect() }
    }

    /// So many windows that share the axis out among them.
    fn adaptive(size: usize, count: usize) -> Windows {
        let bounds = |w: usize| (w * size / count, ((w + 1) * size).div_ceil(count));
        let len = (0..count).map(|w| bounds(w).1 - bounds(w).0).max().unwrap_or(1);
        let place = |w: usize, k: usize| {
            let (start, end) = bounds(w);
            if start + k < end { (start + k) as u32 } else { NOWHERE }
        };
        let places = (0..count).flat_map(|w| (0..len).map(move |k| place(w, k))).collect();
        Windows { places, count, len, padded: Vec::new() }
    }

    fn window(&self, w: usize) -> &[u32] {
        &self.places[w * self.len..(w + 1) * self.len]
    }

    /// The places of each window where there are elements.
    fn elements(&self) -> Vec<Vec<u32>> {
        let real = |w| self.window(w).iter().copied().filter(|&p| p != NOWHERE).collect();
        (0..self.count).map(real).collect()
    }

    /// The number of elements in each window.
    fn real(&self) -> Vec<f64> {
        let count = |w| self.window(w).iter().filter(|&&p| p != NOWHERE).count() as f64;
        (0..self.count).map(count).collect()
    }
}

/// The flat positions of the first largest element of every window; a NaN is the largest.
fn largest<T: Float>(x: &Tensor<T>, windows: &[Windows]) -> Tensor<u32> {
    let (lead, axes) = x.shape().split_at(x.rank() - windows.len());
    let shape: Shape = lead.iter().copied().chain(windows.iter().map(|w| w.count)).collect();
    let (plane, width) = (axes.iter().product::<usize>(), axes.last().copied().unwrap_or(1));
    // One axis is an image of one line.
    let line = vec![vec![0]];
    let elements: Vec<Vec<Vec<u32>>> = windows.iter().map(Windows::elements).collect();
    let (rows, columns) = match &elements[..] {
        [rows, columns] => (rows, columns),
        [columns] => (&line, columns),
        _ => (&line, &line),
    };
    let x = x.contiguous();
    let data = x.as_slice().unwrap_or_default();
    let per_plane = (rows.len() * columns.len()).max(1);
    let columns = Columns::new(columns);
    Tensor::build(shape, |out: &mut [u32]| {
        for_chunks(out, per_plane, |start, out| {
            let offset = start / per_plane * plane;
            let data = &data[offset..offset + plane];
            for (out, rows) in out.chunks_exact_mut(columns.count()).zip(rows) {
                columns.largest(data, width, rows, out);
                out.iter_mut().for_each(|place| *place += offset as u32);
            }
        });
    })
}

/// The columns of the windows in a line of an image.
enum Columns<'a> {
    /// All windows have as many columns: the first ones of all windows, the second ones, …
    Even(Vec<Vec<u32>>, usize),
    Uneven(&'a [Vec<u32>]),
}

impl Columns<'_> {
    fn new(columns: &[Vec<u32>]) -> Columns<'_> {
        let len = columns.first().map_or(0, Vec::len);
        if columns.iter().any(|c| c.len() != len) {
            return Columns::Uneven(columns);
        }
        Columns::Even((0..len).map(|k| columns.iter().map(|c| c[k]).collect()).collect(), columns.len())
    }

    fn count(&self) -> usize {
        match self {
            Columns::Even(_, count) => *count,
            Columns::Uneven(columns) => columns.len(),
        }
        .max(1)
    }

    /// The positions of the largest elements of a line of windows, which have these rows.
    #[inline(always)]
    fn largest<T: Float>(&self, data: &[T], width: usize, rows: &[u32], out: &mut [u32]) {
        let columns = match self {
            Columns::Even(columns, _) => columns,
            Columns::Uneven(columns) => {
                for (place, columns) in out.iter_mut().zip(*columns) {
                    *place = first_largest(data, width, rows, columns);
                }
                return;
            }
        };
        // All windows side by side, one element of each after the other: without branches, which would be missed often.
        for (k, (&row, columns)) in rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c))).enumerate()
        {
            let start = row * width as u32;
            for (place, &column) in out.iter_mut().zip(columns) {
                let at = start + column;
                let (v, most) = (data[at as usize], data[*place as usize * (k > 0) as usize]);
                let nan = |v: T| v.partial_cmp(&v).is_none();
                let larger = (k == 0) | (v > most) | (nan(v) & !nan(most));
                *place = if larger { at } else { *place };
            }
        }
    }
}

/// The position of the first largest of the elements in these rows and columns, of which there is at least one.
#[inline(always)]
fn first_largest<T: Float>(data: &[T], width: usize, rows: &[u32], columns: &[u32]) -> u32 {
    let mut best: Option<(T, u32)> = None;
    for &r in rows {
        for &c in columns {
            let at = r * width as u32 + c;
            let v = data[at as usize];
            match best {
                // Not above and not below either: one of both is NaN.
                Some((most, _)) if v <= most || (most.partial_cmp(&most).is_none()) => {}
                _ => best = Some((v, at)),
            }
        }
    }
    best.map_or(0, |(_, at)| at)
}

impl<'t, T: Float> Var<'t, T> {
    /// The largest elements and their flat positions, of which there are none where something failed.
    #[track_caller]
    fn max_windows(&self, name: &str, windows: Checked<Vec<Windows>>) -> (Var<'t, T>, Tensor<u32>) {
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
    fn within_channel(&self, (y, flat): (Var<'t, T>, Tensor<u32>), axes: usize) -> (Var<'t, T>, Tensor<i64>) {
        let plane: usize = self.shape().iter().rev().take(axes).product();
        let positions = flat.to_vec();
        (y, Tensor::from_fn(flat.shape(), |i| (positions[i] as usize % plane.max(1)) as i64))
    }

    /// The sums of windows.
    fn sum_windows(&self, windows: &[Windows]) -> Var<'t, T> {
        let mut sums = self.clone();
        for (i, w) in windows.iter().enumerate() {
            let axis = self.rank() - windows.len() + i;
            let mut shape = sums.shape().clone();
            shape.set(axis, w.count);
            let (before, after) = (&shape[..axis + 1], &shape[axis + 1..]);
            let apart: Shape = before.iter().chain(&[w.len]).chain(after).copied().collect();
            let read = sums.slices(axis, Tensor::from(w.places.clone()));
            sums = read.reshape_to(&apart).sum_dim(&[axis as isize + 1], false);
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
                    let count =
                        |w: &Windows| if options.count_include_pad { w.padded.clone() } else { w.real() };
                    let counts: Vec<Vec<f64>> = windows.iter().map(count).collect();
                    self.mean_windows(&windows, &counts)
                }
            },
        }
    }

    fn adaptive(&self, output_size: &[Option<usize>], axes: usize) -> Checked<Vec<Windows>> {
        let sizes = spatial(self.shape(), axes)?;
        if output_size.len() != axes && output_size.len() != 1 {
            return Err(format!(
                "output_size {output_size:?} needs one number, or one for each of {axes} axes"
            ));
        }
        let wanted = |i: usize| output_size.get(i).or(output_size.first()).copied().flatten();
        Ok(sizes
            .iter()
            .enumerate()
            .map(|(i, &size)| Windows::adaptive(size, wanted(i).unwrap_or(size)))
            .collect())
    }

    #[track_caller]
    fn adaptive_avg_pool(&self, name: &str, output_size: &[Option<usize>], axes: usize) -> Var<'t, T> {
        if self.failed_id().is_some() {
            return self.clone();
        }
        match self.adaptive(output_size, axes) {
            Err(message) => self.tape().fail_op(name, message, &[self]),
            Ok(windows) => {
                let counts: Vec<Vec<f64>> = windows.iter().map(Windows::real).collect();
                self.mean_windows(&windows, &counts)
            }
        }
    }
}

macro_rules! pools {
    ($($axes:literal $sizes:literal $max:ident $indices:ident $avg:ident $adaptive_max:ident $adaptive_avg:ident;)*) => {
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
                pub fn $indices(&self, options: &PoolOptions) -> (Var<'t, T>, Tensor<i64>) {
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
                pub fn $adaptive_max(&self, output_size: &[Option<usize>]) -> (Var<'t, T>, Tensor<i64>) {
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
