//! Layers for signals and images: convolutions, pooling, and what changes shapes between them and linear
//! layers.
use super::{
    Layer,
    fit::{refused, shaped_if, sizes_of},
    init,
};
use crate::{
    checked::{Check, checked, option, probability},
    error::Checked,
    ops::{ConvOptions, Float, InterpolateMode, InterpolateTo, Padding, PoolOptions, Sizes},
    param::Param,
    tape::{Random, Var},
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};

macro_rules! convolutions {
    ($($(#[$m:meta])* $name:ident $f:ident $axes:literal $transposed:literal;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Debug, Serialize)]
        pub struct $name<T: Float = f32> {
            /// The kernels.
            pub weight: Param<T>,
            /// One number for each output channel.
            pub bias: Option<Param<T>>,
            /// Stride, padding, dilation, groups.
            pub options: ConvOptions,
        }

        checked!($name<T> { weight: Param<T>, bias: Option<Param<T>>, options: ConvOptions });

        impl<T: Float> Check for $name<T> {
            fn check(&self) -> Checked<()> {
                self.channels().map(drop)
            }
        }

        impl $name {
            /// A layer with stride 1, no padding and PyTorch's starting values: weight and bias uniform within
            /// ±1/√(inputs that an output reads). [`stride`](Self::stride) and [`padding`](Self::padding) of
            /// the result set these; groups, dilation and more are [`with_options`](Self::with_options)'.
            pub fn new(in_channels: usize, out_channels: usize, kernel_size: impl Into<Sizes>, rng: &mut Random) -> Self {
                $name::with_dtype(in_channels, out_channels, kernel_size, ConvOptions::new(), rng)
            }

            /// The same with other options. Sizes that don't go together are an error when the layer is used.
            pub fn with_options(
                in_channels: usize,
                out_channels: usize,
                kernel_size: impl Into<Sizes>,
                options: ConvOptions,
                rng: &mut Random,
            ) -> Self {
                $name::with_dtype(in_channels, out_channels, kernel_size, options, rng)
            }
        }

        impl<T: Float> $name<T> {
            /// Channels of the input and of the output.
            fn channels(&self) -> Checked<[usize; 2]> {
                self.options.check_axes($axes)?;
                let (weight, groups) = (sizes_of(&self.weight)?, self.options.groups_or_one());
                if weight.rank() != $axes + 2 || weight.contains(&0) || weight.dim(0) % groups != 0 {
                    let places = if $transposed { "[in, out / groups" } else { "[out, in / groups" };
                    let kernel = ", kernel".repeat($axes);
                    return Err(format!(
                        "weight has shape {weight}, expected {places}{kernel}] without an empty axis, {groups} groups"
                    ));
                }
                let (one, each) = (weight.dim(0), weight.dim(1).saturating_mul(groups));
                let [inputs, outputs] = if $transposed { [one, each] } else { [each, one] };
                shaped_if("bias", &self.bias, &[outputs])?;
                Ok([inputs, outputs])
            }

            /// The same as [`with_options`](Self::with_options) with numbers of another type:
            #[doc = concat!("`", stringify!($name), "::<f64>::with_dtype(3, 8, 5, ConvOptions::new(), rng)`.")]
            pub fn with_dtype(
                in_channels: usize,
                out_channels: usize,
                kernel_size: impl Into<Sizes>,
                options: ConvOptions,
                rng: &mut Random,
            ) -> Self {
                let (first, second) = if $transposed { (in_channels, out_channels) } else { (out_channels, in_channels) };
                let kernel: Vec<usize> = kernel_size.into().each($axes).collect();
                let each = second / options.groups_or_one();
                let shape: Shape = [first, each].into_iter().chain(kernel).collect();
                let reads = Shape::new(&shape[1..]).numel();
                let bound = 1.0 / (reads.max(1) as f64).sqrt();
                $name {
                    weight: Param::new(init::uniform(shape, -bound, bound, rng)),
                    bias: Some(Param::new(init::uniform([out_channels], -bound, bound, rng))),
                    options,
                }
            }

            /// With `false`, the layer without its bias.
            pub fn bias(self, bias: bool) -> Self {
                $name { bias: self.bias.filter(|_| bias), ..self }
            }

            /// The same layer with zeros around its input.
            pub fn padding(self, padding: impl Into<Padding>) -> Self {
                $name { options: self.options.padding(padding), ..self }
            }

            /// The same layer with this distance between windows.
            pub fn stride(self, stride: impl Into<Sizes>) -> Self {
                $name { options: self.options.stride(stride), ..self }
            }
        }

        impl<T: Float> Layer<T> for $name<T> {
            #[track_caller]
            fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
                let fits = || {
                    let [inputs, _] = self.channels()?;
                    let channels = x.rank().checked_sub($axes + 1).and_then(|axis| x.shape().get(axis));
                    if channels == Some(&inputs) && x.rank() <= $axes + 2 {
                        return Ok(());
                    }
                    let sizes = if $axes == 1 { "length" } else { "height, width" };
                    Err(format!("takes [n, {inputs}, {sizes}], not {}", x.shape()))
                };
                if let Some(failed) = refused(stringify!($name), &[x], fits) {
                    return failed;
                }
                let weight = x.tape().param(&self.weight);
                let bias = x.tape().optional_param(&self.bias);
                x.$f(&weight, bias.as_ref(), &self.options)
            }
        }
    )*};
}
convolutions! {
    /// Convolution of `[n, in, length]`; weights `[out, in / groups, kernel]`.
    Conv1d conv1d 1 false;
    /// Convolution of `[n, in, height, width]`; weights `[out, in / groups, kernel, kernel]`.
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, nn::{Conv2d, Layer}};
    /// let layer = Conv2d::new(3, 8, 3, &mut Random::new(0)).padding(1).stride(2);
    /// let tape = Tape::new();
    /// assert_eq!(layer.forward(&tape.constant(Tensor::ones([2, 3, 16, 16]))).shape(), &[2, 8, 8, 8]);
    /// ```
    Conv2d conv2d 2 false;
    /// Transposed convolution of `[n, in, length]`; weights `[in, out / groups, kernel]`.
    ConvTranspose1d conv_transpose1d 1 true;
    /// Transposed convolution of `[n, in, height, width]`; weights `[in, out / groups, kernel, kernel]`.
    ConvTranspose2d conv_transpose2d 2 true;
}

macro_rules! pools {
    ($($(#[$m:meta])* $name:ident $f:ident;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub struct $name(pub PoolOptions);

        impl $name {
            /// Windows of this size, one beside the other.
            pub fn new(kernel_size: impl Into<Sizes>) -> Self {
                $name(PoolOptions::new(kernel_size))
            }
        }

        impl<T: Float> Layer<T> for $name {
            #[track_caller]
            fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
                x.$f(&self.0)
            }
        }
    )*};
}
pools! {
    /// Largest elements of windows of `[n, channels, length]`.
    MaxPool1d max_pool1d;
    /// Largest elements of windows of `[n, channels, height, width]`.
    MaxPool2d max_pool2d;
    /// Means of windows of `[n, channels, length]`.
    AvgPool1d avg_pool1d;
    /// Means of windows of `[n, channels, height, width]`.
    AvgPool2d avg_pool2d;
}

/// To which height and width adaptive pools go: one number for both, or one for each, of which `None` keeps
/// an axis as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveSize([Option<usize>; 2]);

impl From<usize> for AdaptiveSize {
    fn from(size: usize) -> AdaptiveSize {
        AdaptiveSize([Some(size); 2])
    }
}

impl From<[usize; 2]> for AdaptiveSize {
    fn from(sizes: [usize; 2]) -> AdaptiveSize {
        AdaptiveSize(sizes.map(Some))
    }
}

impl From<[Option<usize>; 2]> for AdaptiveSize {
    fn from(sizes: [Option<usize>; 2]) -> AdaptiveSize {
        AdaptiveSize(sizes)
    }
}

macro_rules! adaptive {
    ($($(#[$m:meta])* $name:ident $f:ident;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        pub struct $name(pub [Option<usize>; 2]);

        checked!($name([Option<usize>; 2]));

        impl Check for $name {
            fn check(&self) -> Checked<()> {
                windows(&self.0)
            }
        }

        impl $name {
            /// As many windows along height and width: `new(1)`, `new([3, 4])`, `new([Some(3), None])`.
            pub fn new(output_size: impl Into<AdaptiveSize>) -> Self {
                $name(output_size.into().0)
            }
        }

        impl<T: Float> Layer<T> for $name {
            #[track_caller]
            fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
                x.$f(&self.0)
            }
        }
    )*};
}
adaptive! {
    /// Means of so many windows along height and width; `None` keeps an axis. `[n, c, h, w] -> [n, c, h', w']`.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor, nn::{AdaptiveAvgPool2d, Layer}};
    /// let tape = Tape::<f32>::inference();
    /// let x = tape.constant(Tensor::ones([2, 8, 5, 7]));
    /// assert_eq!(AdaptiveAvgPool2d::new(1).forward(&x).shape(), &[2, 8, 1, 1]);
    /// assert_eq!(AdaptiveAvgPool2d::new([Some(3), None]).forward(&x).shape(), &[2, 8, 3, 7]);
    /// ```
    AdaptiveAvgPool2d adaptive_avg_pool2d;
    /// Largest elements of so many windows along height and width; `None` keeps an axis.
    /// `[n, c, h, w] -> [n, c, h', w']`.
    AdaptiveMaxPool2d adaptive_max_pool2d_values;
}

/// That these can be numbers of windows.
fn windows(counts: &[Option<usize>]) -> Checked<()> {
    match counts.iter().flatten().find(|&&count| count == 0 || count >= u32::MAX as usize) {
        Some(bad) => Err(format!("{bad} windows along an axis, expected 1 to {}", u32::MAX - 1)),
        None => Ok(()),
    }
}

/// All axes but the first as one: `[n, …] -> [n, k]`.
///
/// ```
/// use kolmo::{Tape, Tensor, nn::{Flatten, Layer}};
/// let tape = Tape::<f32>::inference();
/// assert_eq!(Flatten.forward(&tape.constant(Tensor::ones([2, 8, 5, 7]))).shape(), &[2, 280]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flatten;

impl<T: Float> Layer<T> for Flatten {
    #[track_caller]
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        x.flatten(1, -1)
    }
}

/// Elements at other distances along all axes but the first two; see [`Var::interpolate`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Upsample {
    /// How much larger.
    pub to: InterpolateTo,
    /// What comes between.
    pub mode: InterpolateMode,
}

checked!(Upsample { to: InterpolateTo, mode: InterpolateMode });

impl Upsample {
    /// To a size, or so many times as large.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor, nn::{Layer, Upsample}, ops::{InterpolateMode, InterpolateTo}};
    /// let twice = Upsample::new(InterpolateTo::Scale(2.0), InterpolateMode::Nearest);
    /// let tape = Tape::<f32>::inference();
    /// assert_eq!(twice.forward(&tape.constant(Tensor::ones([1, 3, 4, 5]))).shape(), &[1, 3, 8, 10]);
    /// ```
    pub fn new(to: InterpolateTo, mode: InterpolateMode) -> Self {
        Upsample { to, mode }
    }
}

impl Check for Upsample {
    fn check(&self) -> Checked<()> {
        match &self.to {
            InterpolateTo::Size(sizes) => sizes.positive("to: size"),
            InterpolateTo::Scale(scale) => {
                option("to: scale", *scale, *scale > 0.0 && scale.is_finite(), "a finite number above 0")
            }
        }
    }
}

impl<T: Float> Layer<T> for Upsample {
    #[track_caller]
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        x.interpolate(&self.to, self.mode)
    }
}

/// In training, sets whole channels of `[n, channels, …]` to zero with probability `p` and scales the others
/// by `1 / (1 - p)` (Tompson et al., 2015); in evaluation, does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Dropout2d {
    /// Probability of zero, from 0 to 1.
    pub p: f64,
}

checked!(Dropout2d { p: f64 });

impl Check for Dropout2d {
    fn check(&self) -> Checked<()> {
        probability("p", self.p)
    }
}

impl<T: Float> Layer<T> for Dropout2d {
    #[track_caller]
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        if x.failed_id().is_some() || x.rank() < 2 {
            return x.dropout(self.p);
        }
        let channels: Shape =
            x.shape().iter().take(2).copied().chain(std::iter::repeat_n(1, x.rank() - 2)).collect();
        x * x.tape().constant(Tensor::ones(&channels)).dropout(self.p)
    }
}
