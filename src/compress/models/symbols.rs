//! The frame of all models: many values one after the other, and a symbol as a path of decisions.
use crate::compress::coding::BitCoder;

/// A coder that ran behind the end of its bytes: they can't have been written by an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// Decodes up to this many values before it looks whether the bytes were enough, and reserves no more at
/// once.
pub(super) const CHUNK: usize = 1 << 16;

/// Number of binary digits of `x`.
pub(super) fn bit_length(x: usize) -> usize {
    (usize::BITS - x.leading_zeros()) as usize
}

/// Codes `total` values one after the other; `each` is given the index.
pub(super) fn code_each<C: BitCoder, V>(
    coder: &mut C,
    total: usize,
    mut each: impl FnMut(&mut C, usize) -> V,
) -> Result<Vec<V>, Exhausted> {
    let mut values = Vec::with_capacity(total.min(CHUNK));
    while values.len() < total {
        values.push(each(coder, values.len()));
        if values.len().is_multiple_of(CHUNK) && coder.exhausted() {
            return Err(Exhausted);
        }
    }
    Ok(values)
}

/// Bits of a code of an alphabet of `k` symbols; a code always takes at least one decision.
pub(crate) fn code_bits(k: usize) -> u32 {
    (bit_length(k.saturating_sub(1)) as u32).max(1)
}

/// Codes one symbol below `k <= 256` as a path in a binary tree, highest bit first; a branch without symbols
/// below `k` takes no decision. `decide(depth, node, bit)` codes one of them.
pub(super) fn code_path(
    k: usize,
    symbol: usize,
    mut decide: impl FnMut(usize, usize, bool) -> bool,
) -> usize {
    let bits = code_bits(k);
    let mut node = 1usize;
    for depth in 0..bits {
        let below = bits - 1 - depth;
        let smallest = ((node << 1 | 1) - (2 << depth)) << below; // of the symbols behind a one
        let forced = k > 1 && smallest >= k;
        let bit = !forced && decide(depth as usize, node, symbol >> below & 1 == 1);
        node = node << 1 | usize::from(bit);
    }
    node - (1 << bits)
}
