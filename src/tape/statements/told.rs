//! What a scalar statement tells of itself, and what is noted of that.
use smallvec::SmallVec;
use std::panic::Location;

/// A scalar statement as the program wrote it. Tensor statements have an empty one.
#[derive(Clone, Default)]
pub(crate) struct Note {
    /// The operation; empty if it is not known.
    pub name: &'static str,
    pub value: f64,
    /// Operands that are no statements: position and value.
    pub constants: SmallVec<[(u8, f64); 2]>,
    /// Options, by name.
    pub options: SmallVec<[(&'static str, f64); 2]>,
    pub site: Option<&'static Location<'static>>,
}

/// What a statement tells of itself. Only its fields are handed on, one by one: they stay in registers where
/// nothing is noted.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    pub name: &'static str,
    pub site: Option<&'static Location<'static>>,
    pub value: f64,
    /// Position and value of a constant operand; [`NO_CONSTANT`] for none.
    pub constant: (u8, f64),
    pub options: &'a [(&'static str, f64)],
}

/// The position of a constant operand that isn't there.
pub(super) const NO_CONSTANT: u8 = u8::MAX;

impl Told<'_> {
    pub const NOTHING: Told<'static> =
        Told { name: "", site: None, value: 0.0, constant: (NO_CONSTANT, 0.0), options: &[] };

    #[inline(always)]
    pub fn new(name: &'static str, value: f64, site: &'static Location<'static>) -> Told<'static> {
        Told { name, value, site: Some(site), ..Told::NOTHING }
    }
}
