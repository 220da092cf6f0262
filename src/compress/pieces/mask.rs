//! Which places are kept, four neighbours of a row as a symbol.
use super::{
    stream::{Coder, Contexts},
    tracker::Tracker,
};

/// Rows of `columns` bytes, 1 for what is kept.
pub(crate) fn code_mask<C: Coder>(coder: &mut C, columns: usize, mask: &mut [u8]) {
    let (mut near, mut dense) = (Contexts::<256>::NEW, Contexts::<64>::NEW);
    let fours = columns.div_ceil(4);
    let (mut tracker, mut above) = (Tracker::new(fours, 7), vec![0u8; fours]);
    for row in mask.chunks_mut(columns.max(1)) {
        let mut left = 0;
        for (at, (four, above)) in row.chunks_mut(4).zip(&mut above).enumerate() {
            let expected = tracker.expected(at)[0];
            let density = (expected >> 8).clamp(0, 63) as usize;
            let given = four.iter().rev().fold(0, |all, &keep| all << 1 | (keep & 1));
            let contexts = (usize::from(*above) << 4 | usize::from(left), density);
            let symbol = coder.symbol::<false, _, _>((&mut near, &mut dense), contexts, given);
            four.iter_mut().enumerate().for_each(|(i, keep)| *keep = symbol >> i & 1);
            tracker.learn(0, at, expected, 64 * symbol.count_ones() as i32);
            (*above, left) = (symbol, symbol);
        }
        tracker.next(1);
    }
}
