//! Lists in panels of 16 rows, the numbers of one column side by side.
use super::super::prefetch::prefetch;
use crate::error::Checked;

/// Rows of a panel.
pub(crate) const LANES: usize = 16;

/// A list in panels: for each 16 rows, column by column, what `of` says of row and column, and 0 behind the
/// last row.
pub(super) fn panels<V: Copy + Default>(
    rows: usize,
    cols: usize,
    of: impl Fn(usize, usize) -> V,
) -> Checked<Vec<[V; LANES]>> {
    let count = rows.div_ceil(LANES).checked_mul(cols);
    let mut all = Vec::new();
    let Some(count) = count.filter(|&count| all.try_reserve_exact(count).is_ok()) else {
        return Err(format!("{rows} rows of {cols} numbers don't fit memory"));
    };
    for row in (0..rows).step_by(LANES) {
        all.extend((0..cols).map(|col| {
            let mut lanes = [V::default(); LANES];
            let there = lanes.iter_mut().take(rows - row).enumerate();
            there.for_each(|(lane, v)| *v = of(row + lane, col));
            lanes
        }));
    }
    debug_assert_eq!(all.len(), count);
    Ok(all)
}

/// Asks for the places `from..to` of a list, as far as it has them.
pub(super) fn ask<V>(list: &[V], from: usize, to: usize) {
    let part = list.get(from..to.min(list.len())).unwrap_or_default();
    prefetch::<_, 3>(part.as_ptr(), part.len());
}
