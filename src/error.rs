//! The one error type of the crate, and the plain message that operations fail with before the tape
//! adds their name and the caller's line.
use std::{fmt, panic::Location, sync::Arc};

/// What went wrong, with the values that clash and what would be accepted. One of your own is made by
/// [`Error::custom`].
///
/// ```
/// use kolmo::{Error, Tape, Tensor};
/// let error = Tensor::new([2, 2], vec![1.0f32]).unwrap_err();
/// assert_eq!(error.to_string(), "Tensor::new: 1 elements don't fill shape [2, 2], which has 4");
/// let tape = Tape::<f32>::new();
/// let bad = tape.constant([1.0, 2.0]).reshape([3]);
/// assert!(matches!(bad.value(), Err(Error::Op(e)) if e.op == "reshape"));
/// ```
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on a tape was given something that it can't work with.
    #[error("{0}")]
    Op(Box<OpError>),
    /// A value outside a tape is not acceptable: a shape, an option, a name.
    #[error("{what}: {message}")]
    Invalid {
        /// The function or field that was given the value.
        what: &'static str,
        /// The values that clash and what would be accepted.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file's path as it was given.
        path: String,
        /// What the operating system said.
        source: Arc<std::io::Error>,
    },
    /// Text or bytes from outside that don't have the form they should have.
    #[error("{what}: at {offset}: {message}")]
    Format {
        /// What was being read.
        what: String,
        /// Where: a byte offset, a line or a name.
        offset: String,
        /// What was expected and what was found.
        message: String,
    },
    /// Another one of several processes that work together has failed, or can't be reached.
    #[error("rank {rank}: {message}")]
    Rank {
        /// Which one.
        rank: usize,
        /// What it says, or what is said of it.
        message: String,
    },
    /// An error of a program's own, as [`Error::custom`] makes it.
    #[error(transparent)]
    Custom(Arc<dyn std::error::Error + Send + Sync>),
}

/// As `Display`: what a `main` that returns an error prints, and what `unwrap` says, is for people.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Shorthand for results with the crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The failure of an operation: its name, what clashed, and the line of the caller's code.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpError {
    /// Name of the operation, as in the tape's listing.
    pub op: String,
    /// The shapes or values that clash and what would be accepted.
    pub message: String,
    /// The caller's source line.
    pub site: Option<&'static Location<'static>>,
    /// The recorded operands, such as `%12 = relu [64, 784]`.
    pub operands: String,
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.op, self.message)?;
        if let Some(site) = self.site {
            write!(f, "\n  at {}:{}:{}", site.file(), site.line(), site.column())?;
        }
        if !self.operands.is_empty() {
            write!(f, "{} {}", if self.site.is_some() { ", on" } else { "\n  on" }, self.operands)?;
        }
        Ok(())
    }
}

impl Error {
    /// An error of your own, for functions that return the crate's [`Result`]: hooks of a
    /// [`Trainer`](crate::train::Trainer), a [`CustomOp`](crate::autodiff::CustomOp), a loader's batches. It is made
    /// of a message or of an error of any other type.
    ///
    /// ```
    /// use kolmo::{Error, Result};
    /// fn finite(loss: f64) -> Result<()> {
    ///     if loss.is_finite() { Ok(()) } else { Err(Error::custom(format!("the loss is {loss}"))) }
    /// }
    /// assert_eq!(finite(f64::NAN).unwrap_err().to_string(), "the loss is NaN");
    /// let steps: Result<u32> = "ten".parse().map_err(Error::custom);
    /// assert_eq!(steps.unwrap_err().to_string(), "invalid digit found in string");
    /// ```
    pub fn custom(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Custom(Arc::from(error.into()))
    }

    pub(crate) fn invalid(what: &'static str, message: impl Into<String>) -> Error {
        Error::Invalid { what, message: message.into() }
    }

    pub(crate) fn rank(rank: usize, message: impl Into<String>) -> Error {
        Error::Rank { rank, message: message.into() }
    }

    /// The error of a process as the others are told of it; it may be of another one.
    pub(crate) fn of_rank(self, rank: usize) -> Error {
        if matches!(self, Error::Rank { .. }) { self } else { Error::rank(rank, self.to_string()) }
    }

    pub(crate) fn op(
        op: &str,
        message: impl Into<String>,
        site: Option<&'static Location<'static>>,
    ) -> Error {
        Error::Op(Box::new(OpError {
            op: op.to_string(),
            message: message.into(),
            site,
            operands: String::new(),
        }))
    }

    pub(crate) fn io(path: &std::path::Path, source: std::io::Error) -> Error {
        Error::Io { path: path.display().to_string(), source: Arc::new(source) }
    }

    pub(crate) fn format(
        what: impl Into<String>,
        offset: impl fmt::Display,
        message: impl Into<String>,
    ) -> Error {
        Error::Format { what: what.into(), offset: offset.to_string(), message: message.into() }
    }
}

/// Inside operations an error is only its message; the tape adds the operation and the place.
pub(crate) type Checked<V> = std::result::Result<V, String>;
