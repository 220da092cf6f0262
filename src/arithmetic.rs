//! Which arithmetic results were computed with, for files whose decoding runs a model.
use crate::{
    error::{Error, Result},
    isa::{Isa, isa},
};
use std::fmt;

/// The arithmetic of this version: which steps sums, products and elementary functions are made of, and so the
/// last bits of every result. It is the same on all machines with a fused multiply-add, whatever their vectors
/// and however many threads there are, and with `KOLMO_ISA=exact`.
///
/// A file that is decoded by running a model can be read under the arithmetic alone that it was written with.
/// Such a file begins with [`byte`](ArithmeticVersion::byte), and its reader asks [`check`](ArithmeticVersion::check).
///
/// ```
/// use kolmo::compress::coding::ArithmeticVersion;
/// let file = [ArithmeticVersion::here().byte(), 42];
/// ArithmeticVersion::check(file[0])?;
/// assert!(ArithmeticVersion::check(0).is_err());
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArithmeticVersion(u8);

/// Counts up when a result's bits change.
const VERSION: u8 = 3;
/// Marks multiply-adds in two roundings.
const APART: u8 = 0x80;

impl ArithmeticVersion {
    /// That of this process.
    pub fn here() -> ArithmeticVersion {
        let fused = cfg!(target_arch = "aarch64") || isa() != Isa::Portable;
        ArithmeticVersion(VERSION | if fused { 0 } else { APART })
    }

    /// What stands for it in a file.
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Whether this process has the arithmetic that a file's first byte tells.
    ///
    /// # Errors
    /// It has another one; both are named, and what to do.
    pub fn check(byte: u8) -> Result<()> {
        let (found, here) = (ArithmeticVersion(byte), ArithmeticVersion::here());
        if found == here {
            return Ok(());
        }
        let way = match (found.0 & !APART == VERSION, found.0 & APART) {
            (false, _) => "another version of the crate reads it",
            (true, 0) => "KOLMO_ISA=exact reads it, or a processor with AVX2",
            (true, _) => "KOLMO_ISA=portable reads it",
        };
        Err(Error::invalid(
            "ArithmeticVersion",
            format!("the file was written with {found}, here is {here}: {way}"),
        ))
    }
}

impl fmt::Display for ArithmeticVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let multiply = if self.0 & APART == 0 { "fused" } else { "unfused" };
        write!(f, "arithmetic {} with {multiply} multiply-adds", self.0 & !APART)
    }
}
