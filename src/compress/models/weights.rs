//! Masks and codes of weight matrices, predicted from their neighbours and from how full rows and columns
//! are.
use super::symbols::{CHUNK, Exhausted, bit_length, code_bits, code_each, code_path};
use crate::compress::coding::{BitCoder, Predictor};

/// How the positions of a matrix lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub rows: usize,
    pub cols: usize,
    /// If at least 2, each row is itself an image of this width (a pixel's upper neighbour is `period`
    /// before it), as in the first layer of an image model. Otherwise the neighbours above are in the
    /// previous row.
    pub period: usize,
}

impl Grid {
    /// The grid of a tensor: its first axis against all others, a vector as one row.
    pub(crate) fn new(shape: &[usize], period: usize) -> Grid {
        let (rows, cols) = match shape {
            [] => (1, 1),
            [n] => (1, *n),
            [rows, rest @ ..] => (*rows, rest.iter().fold(1, |product: usize, &n| product.saturating_mul(n))),
        };
        Grid { rows, cols, period }
    }

    fn len(self) -> usize {
        self.rows.saturating_mul(self.cols)
    }
}

/// The last three rows of small numbers, 0 where nothing has been coded yet or outside the matrix.
struct Window {
    rows: [Vec<u8>; 3],
}

impl Window {
    fn new(cols: usize) -> Window {
        Window { rows: [(); 3].map(|_| vec![0; cols]) }
    }

    /// The number `up` rows above and at column `col`.
    #[inline]
    fn get(&self, up: usize, col: isize) -> usize {
        usize::try_from(col).ok().and_then(|col| self.rows.get(up)?.get(col)).map_or(0, |&v| usize::from(v))
    }

    fn set(&mut self, col: usize, value: u8) {
        if let Some(cell) = self.rows[0].get_mut(col) {
            *cell = value;
        }
    }

    fn next_row(&mut self) {
        self.rows.rotate_right(1);
        self.rows[0].fill(0);
    }
}

/// `counts[col]`, 0 outside.
#[inline]
fn at(counts: &[u32], col: isize) -> u64 {
    usize::try_from(col).ok().and_then(|col| counts.get(col)).map_or(0, |&n| u64::from(n))
}

/// Twice the base-2 logarithm of `x`, rounded down to what the two highest bits of `x` say; 0 for 0.
#[inline]
fn half_log2(x: u64) -> usize {
    match x {
        0 | 1 => 0,
        _ => {
            let log = 63 - x.leading_zeros();
            (2 * log + (x >> (log - 1) & 1) as u32) as usize
        }
    }
}

/// A density on a logarithmic scale: `ones` of `seen` gives a number below `levels - 1`; small ones share 0.
#[inline]
fn density(ones: u64, seen: u64, levels: usize) -> usize {
    half_log2(((2 * ones + 1) << 16) / (2 * seen + 2)).saturating_sub(33 - levels)
}

/// Codes a mask, row by row. Each bit is predicted from the density of its column, of its row and of the
/// columns around it, and from the bits already coded next to it.
pub(crate) fn code_mask<C: BitCoder>(
    coder: &mut C,
    grid: Grid,
    flat: bool,
    mut source: impl FnMut(usize) -> bool,
) -> Result<Vec<bool>, Exhausted> {
    let Grid { rows, cols, period } = grid;
    let total = grid.len();
    if flat || total == 0 {
        return code_each(coder, total, |coder, index| coder.code_raw(u64::from(source(index)), 1) == 1);
    }
    let mut mask = Vec::with_capacity(total.min(CHUNK));
    // The columns of a single row have no statistics.
    let column_contexts = if rows > 1 { cols } else { 1 };
    let mut predictor = Predictor::<5>::new([column_contexts, rows, 128, 1024, 512], 11);
    let mut column_ones = vec![0u32; cols];
    let mut window = Window::new(cols);
    for row in 0..rows {
        for col in 0..cols {
            let (c, p) = (col as isize, period as isize);
            let bit = |up, offset: isize| window.get(up, c + offset);
            let ones = |offset: isize| at(&column_ones, c + offset);
            let seen = row as u64;
            let around = 2 * ones(0) + ones(-1) + ones(1);
            // The nearest neighbours, how many of the ones around are set, and the density of the columns
            // around.
            let (above, nearest, active, around) = if period >= 2 {
                let nearest = bit(0, -1)
                    | bit(0, -2) << 1
                    | bit(0, -p) << 2
                    | bit(0, -p - 1) << 3
                    | bit(0, 1 - p) << 4
                    | bit(0, -2 * p) << 5
                    | bit(1, 0) << 6;
                let active: usize =
                    (1..=8).map(|t| bit(0, -t) + bit(0, t - 4 - p) + bit(0, t - 4 - 2 * p)).sum();
                (bit(0, -p), nearest, active, density(around + ones(-p) + ones(p), 6 * seen + 2, 20))
            } else {
                let nearest = bit(0, -1)
                    | bit(0, -2) << 1
                    | bit(1, 0) << 2
                    | bit(1, -1) << 3
                    | bit(1, 1) << 4
                    | bit(2, 0) << 5;
                let active: usize = (1..=8).map(|t| bit(0, -t)).sum();
                (bit(1, 0), nearest, active, density(around, 4 * seen + 1, 20))
            };
            let sides = density(ones(-1), seen + 1, 14) << 6
                | density(ones(1), seen, 14) << 2
                | bit(0, -1) << 1
                | above;
            let contexts = [col, row, nearest, sides, active.min(15) << 5 | around];
            let value = predictor.code(coder, source(mask.len()), contexts, bit_length(row).min(10));
            if value {
                column_ones[col] += 1;
            }
            window.set(col, u8::from(value));
            mask.push(value);
            if mask.len().is_multiple_of(CHUNK) && coder.exhausted() {
                return Err(Exhausted);
            }
        }
        window.next_row();
    }
    Ok(mask)
}

/// Codes the codes of the positions that `mask` keeps (all, if `None`), row by row. A code is predicted from
/// the codes next to it, and from how many positions of its row and of the columns around are kept.
pub(crate) fn code_codes<C: BitCoder>(
    coder: &mut C,
    grid: Grid,
    mask: Option<&[bool]>,
    k: usize,
    flat: bool,
    mut source: impl FnMut(usize) -> u32,
) -> Result<Vec<u32>, Exhausted> {
    let Grid { cols, period, .. } = grid;
    let kept = |index: usize| mask.is_none_or(|mask| mask.get(index).copied().unwrap_or(false));
    let total = mask.map_or(grid.len(), |mask| mask.iter().filter(|&&keep| keep).count());
    let bits = code_bits(k);
    if flat || total == 0 {
        return code_each(coder, total, |coder, index| coder.code_raw(u64::from(source(index)), bits) as u32);
    }
    let mut codes: Vec<u32> = Vec::with_capacity(total.min(CHUNK));
    let size = 1usize << bits;
    // How far a code is from the middle of the alphabet, 0 to 7: with sorted centroids, the size of its
    // weight.
    let magnitude = |code: usize| ((2 * code + 1).abs_diff(k) * 8 / k.max(1)).min(7) as u16;
    let (row_kept, column_kept) = kept_counts(grid, mask);
    let mut predictor =
        Predictor::<6>::new([size, size * size, 512 * size, 256 * size, 256 * size, 2048 * size], 8);
    let mut column_magnitude = vec![128u16; cols];
    let mut window = Window::new(cols);
    for (row, &in_row) in row_kept.iter().enumerate() {
        let (mut left, mut row_magnitude) = (k / 2, 128u16);
        let in_row = half_log2(u64::from(in_row) + 1).min(15);
        for (col, column_magnitude) in column_magnitude.iter_mut().enumerate() {
            if !kept(row * cols + col) {
                continue;
            }
            let (c, p) = (col as isize, period as isize);
            let near = |offset: isize| at(&column_kept, c + offset);
            let around = 2 * near(0) + near(-1) + near(1);
            // Of the neighbours: 0 for none, 1 and 2 for the lower and upper half of the alphabet.
            let class = |up, offset: isize| window.get(up, c + offset);
            let (around, [above, diagonal, other, last]) = if period >= 2 {
                let around = 2 * (around + near(-p) + near(p)) / 3;
                (around, [class(0, -p), class(0, -p - 1), class(0, 1 - p), class(1, 0)])
            } else {
                (around, [class(1, 0), class(1, -1), class(1, 1), class(0, -2)])
            };
            let four = class(0, -1) + 3 * above + 9 * diagonal + 27 * other;
            let contexts = [
                0,
                left,
                half_log2(around + 1).min(31) << 4 | in_row,
                usize::from(*column_magnitude >> 4 << 4 | row_magnitude >> 4),
                four + 81 * last,
                half_log2(near(0) + 1).min(15) * 81 + four,
            ];
            let symbol = source(codes.len()) as usize;
            let code = code_path(k, symbol, |depth, node, bit| {
                predictor.code(coder, bit, contexts.map(|context| context * size + node), depth)
            });
            let moved = magnitude(code);
            *column_magnitude = *column_magnitude - *column_magnitude / 4 + 8 * moved;
            row_magnitude = row_magnitude - row_magnitude / 8 + 4 * moved;
            window.set(col, if 2 * code < k { 1 } else { 2 });
            left = code;
            codes.push(code as u32);
            if codes.len().is_multiple_of(CHUNK) && coder.exhausted() {
                return Err(Exhausted);
            }
        }
        window.next_row();
    }
    Ok(codes)
}

/// How many positions of each row and of each column are kept.
fn kept_counts(grid: Grid, mask: Option<&[bool]>) -> (Vec<u32>, Vec<u32>) {
    let Grid { rows, cols, .. } = grid;
    let Some(mask) = mask else { return (vec![cols as u32; rows], vec![rows as u32; cols]) };
    let (mut row_kept, mut column_kept) = (vec![0u32; rows], vec![0u32; cols]);
    for (row, kept) in row_kept.iter_mut().zip(mask.chunks(cols.max(1))) {
        for (column, &keep) in column_kept.iter_mut().zip(kept) {
            *column += u32::from(keep);
            *row += u32::from(keep);
        }
    }
    (row_kept, column_kept)
}
