//! What writer and reader agree on: the mark, the limits, and what the numbers of a header mean.

/// The first bytes of every file; the version follows.
pub(super) const MAGIC: &[u8; 4] = b"klmo";
pub(super) const VERSION: u8 = 1;
/// Of files that have tensors in pieces.
pub(super) const PIECES_VERSION: u8 = 3;
/// Bytes of the checksum at the end.
pub(super) const CHECKSUM_BYTES: usize = 4;
/// Tensors of more elements than this are refused.
pub(super) const MAX_ELEMENTS: usize = 1 << 31;
/// Most bytes of a name: names share their beginnings, so that a few bytes of a header can stand for long
/// ones.
pub(super) const MAX_NAME: usize = 1024;
/// Most axes of a tensor, and most centroids of a codebook.
pub(super) const MAX_RANK: usize = 32;
pub(super) const MAX_CENTROIDS: usize = 256;
/// Widest image that a row of a matrix may be taken as.
pub(super) const MAX_PERIOD: usize = 1 << 16;
/// A decoded header is at most this many times as long as its coded form, plus [`HEADER_SLACK`].
pub(super) const HEADER_RATIO: usize = 64;
pub(super) const HEADER_SLACK: usize = 1024;

/// How the centroids of a codebook are stored; the number stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodebookForm {
    /// Each value's bits as they are.
    Flat = 0,
    /// As values of an entry are.
    Values = 1,
    /// Differences of neighbours in the order of floats, for sorted centroids.
    Deltas = 2,
    /// `(i - zero) * scale`, for uniform quantisers.
    Scaled = 3,
}

/// What sets the zero of scaled values; the number stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShiftKind {
    ZeroPoints = 0,
    /// Offsets of 16 bits.
    Half = 1,
    /// Offsets of 32 bits.
    Wide = 2,
}

/// What a header says about an entry's storage, in bits of one number.
pub(super) mod flag {
    /// Bits 0 and 1: the kind.
    pub const KIND: u64 = 3;
    pub const DENSE: u64 = 0;
    pub const HALF: u64 = 1;
    /// Codebooks have bit 1 set; bit 0 says 32-bit centroids.
    pub const CODEBOOK: u64 = 2;
    pub const WIDE: u64 = 1;
    /// Values or codes are stored flat: every bit as it is.
    pub const FLAT: u64 = 1 << 2;
    /// The positions with a code are stored apart from the codes; the others are pruned ...
    pub const MASK: u64 = 1 << 3;
    /// ... or, without a mask, have the one code that the header gives.
    pub const COMMON: u64 = 1 << 4;
    /// The mask is stored flat.
    pub const MASK_FLAT: u64 = 1 << 5;
    /// The mask's bits are inverted, as most are set.
    pub const INVERTED: u64 = 1 << 6;
    /// A period follows; without it there is none.
    pub const PERIOD: u64 = 1 << 7;
    /// Bits 8 and 9: the [`CodebookForm`](super::CodebookForm).
    pub const FORM_SHIFT: u32 = 8;
    /// Step sizes follow; in 32 bits, else in 16; flat.
    pub const SCALED: u64 = 1 << 10;
    pub const WIDE_SCALES: u64 = 1 << 11;
    pub const FLAT_SCALES: u64 = 1 << 12;
    /// What sets the zero follows the step sizes.
    pub const SHIFTED: u64 = 1 << 13;
    /// Of dense values: only the upper halves of their bits are stored.
    pub const BF16: u64 = 1 << 14;
    pub const ALL: u64 = (1 << 15) - 1;
    /// In pieces of some rows each, in files that have such.
    pub const PIECES: u64 = 1 << 15;
}
