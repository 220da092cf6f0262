//! Options of convolutions and pooling: numbers for each axis, padding.
use crate::{
    checked::{Check, checked},
    error::Checked,
};
use serde::{Deserialize, Serialize};

/// A number for each axis, or one for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes(Vec<usize>);

checked!(Sizes(Vec<usize>));

impl Check for Sizes {
    fn check(&self) -> Checked<()> {
        if self.0.is_empty() { Err("needs one number at least".into()) } else { Ok(()) }
    }
}

impl From<usize> for Sizes {
    fn from(size: usize) -> Sizes {
        Sizes(vec![size])
    }
}

impl<const N: usize> From<[usize; N]> for Sizes {
    fn from(sizes: [usize; N]) -> Sizes {
        Sizes(sizes.to_vec())
    }
}

impl From<&[usize]> for Sizes {
    fn from(sizes: &[usize]) -> Sizes {
        Sizes(sizes.to_vec())
    }
}

impl Sizes {
    /// That none is 0.
    pub(crate) fn positive(&self, field: &str) -> Checked<()> {
        if self.0.contains(&0) { Err(format!("{field} {:?} must be at least 1", self.0)) } else { Ok(()) }
    }

    /// One for each of so many axes.
    pub(crate) fn each(&self, axes: usize) -> impl Iterator<Item = usize> + '_ {
        (0..axes).map(|i| self.0.get(i).or(self.0.first()).copied().unwrap_or(1))
    }

    /// One for each of the last `axes` of three; `rest` for those before.
    pub(crate) fn spread(&self, what: &str, axes: usize, rest: usize) -> Checked<[usize; 3]> {
        if self.0.len() != 1 && self.0.len() != axes {
            return Err(format!("{what} {:?} needs one number, or one for each of {axes} axes", self.0));
        }
        let mut all = [rest; 3];
        for (i, slot) in all.iter_mut().skip(3 - axes).enumerate() {
            *slot = self.0.get(i).or(self.0.first()).copied().unwrap_or(rest);
        }
        Ok(all)
    }
}

/// Zeros around the input of a convolution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Padding {
    /// So many before the first element of an axis, and after the last.
    Zeros(Sizes),
    /// As many as make the output as large as the input, at stride 1; an odd one comes last.
    Same,
}

impl<S: Into<Sizes>> From<S> for Padding {
    fn from(sizes: S) -> Padding {
        Padding::Zeros(sizes.into())
    }
}

/// Options of convolutions, with PyTorch's names and defaults.
///
/// ```
/// use kolmo::{Tape, Tensor, ops::ConvOptions};
/// let tape = Tape::<f32>::inference();
/// let (x, w) = (tape.constant(Tensor::ones([1, 4, 8, 8])), tape.constant(Tensor::ones([6, 2, 3, 3])));
/// let y = x.conv2d(&w, None, &ConvOptions::new().stride(2).padding(1).groups(2));
/// assert_eq!(y.shape(), &[1, 6, 4, 4]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[must_use = "options do nothing until they are given to what they are for"]
pub struct ConvOptions {
    pub(super) stride: Sizes,
    pub(super) padding: Padding,
    pub(super) output_padding: Sizes,
    pub(super) dilation: Sizes,
    pub(super) groups: usize,
}

checked!(ConvOptions {
    stride: Sizes,
    padding: Padding,
    output_padding: Sizes,
    dilation: Sizes,
    groups: usize,
});

impl Check for ConvOptions {
    fn check(&self) -> Checked<()> {
        self.stride.positive("stride")?;
        self.dilation.positive("dilation")?;
        if self.groups == 0 { Err("groups is 0, expected at least 1".into()) } else { Ok(()) }
    }
}

impl Default for ConvOptions {
    fn default() -> ConvOptions {
        ConvOptions {
            stride: 1.into(),
            padding: 0.into(),
            output_padding: 0.into(),
            dilation: 1.into(),
            groups: 1,
        }
    }
}

impl ConvOptions {
    /// Stride 1, no padding, dilation 1, one group.
    pub fn new() -> ConvOptions {
        ConvOptions::default()
    }

    /// Steps from one window to the next (default 1).
    pub fn stride(self, stride: impl Into<Sizes>) -> ConvOptions {
        ConvOptions { stride: stride.into(), ..self }
    }

    /// Zeros around the input (default 0).
    pub fn padding(self, padding: impl Into<Padding>) -> ConvOptions {
        ConvOptions { padding: padding.into(), ..self }
    }

    /// Added to the size of a transposed convolution's output, at the end of each axis (default 0).
    pub fn output_padding(self, output_padding: impl Into<Sizes>) -> ConvOptions {
        ConvOptions { output_padding: output_padding.into(), ..self }
    }

    /// Steps from one element of a window to the next (default 1).
    pub fn dilation(self, dilation: impl Into<Sizes>) -> ConvOptions {
        ConvOptions { dilation: dilation.into(), ..self }
    }

    pub(crate) fn groups_or_one(&self) -> usize {
        self.groups.max(1)
    }

    /// That there is one number for all axes, or one for each of so many.
    pub(crate) fn check_axes(&self, axes: usize) -> Checked<()> {
        self.check()?;
        self.stride.spread("stride", axes, 1)?;
        self.dilation.spread("dilation", axes, 1)?;
        self.output_padding.spread("output_padding", axes, 0)?;
        match &self.padding {
            Padding::Zeros(zeros) => zeros.spread("padding", axes, 0).map(drop),
            Padding::Same => Ok(()),
        }
    }

    /// Groups of channels that don't see each other (default 1).
    pub fn groups(self, groups: usize) -> ConvOptions {
        ConvOptions { groups, ..self }
    }
}
