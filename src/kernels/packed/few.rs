//! Few rows with a packed matrix: they meet its codes in registers, or its floats in the nearest cache.
use super::{
    super::{
        FloatElement,
        matmul::chain_steps,
        vectorised::{MulAdd, vectorised},
    },
    codes::{Codes, Scaling},
    matrix::Packed,
    panels::LANES,
    planes::{CHUNK, Chunk},
};
use std::ops::Range;

/// Most rows that are few.
pub(super) const FEW: usize = 8;
/// Panels that few rows meet at a time, and columns.
pub(super) const SIDE: usize = 4;
const COLUMNS: usize = CHUNK;

/// Adds one chain's sums to those before it, the first to the bias if there is one.
#[inline(always)]
fn join<T: FloatElement>(before: Option<T>, sum: T) -> T {
    before.map_or(sum, |before| before + sum)
}

/// Few rows with the panels from `first` on: their sums by row and panel.
pub(super) fn few<T: FloatElement>(
    x: &[T],
    w: &Packed<T>,
    bias: Option<&[T]>,
    first: usize,
    room: &mut Room<T>,
    all: &mut [Sums<T>],
) {
    let zero = T::constant(0.0);
    let panels = SIDE.min(w.rows().div_ceil(LANES) - first);
    let steps = chain_steps(w.cols());
    for p in (0..w.cols()).step_by(steps) {
        let end = w.cols().min(p + steps);
        let mut sums = [[[zero; LANES]; SIDE]; FEW];
        let one = |codes: &Codes<T>| codes.add_one(x, first, p..end, &mut sums[0]);
        let done = all.len() == 1 && w.codes().is_some_and(one);
        for q in (p..end).step_by(COLUMNS).take_while(|_| !done) {
            let last = end.min(q + COLUMNS);
            // What is read next comes near meanwhile.
            let (next, from) = if last < w.cols() { (first, last) } else { (first + SIDE, 0) };
            (0..panels).for_each(|i| w.ask(next + i, from, w.cols().min(from + COLUMNS)));
            let rows = |columns: Range<usize>| {
                move |i: usize| {
                    let row = i * w.cols();
                    x.get(row + columns.start..row + columns.end).unwrap_or_default()
                }
            };
            if let Some(codes) = w.codes().filter(|codes| codes.in_a_row()) {
                let bytes = &mut room.bytes;
                (0..panels).for_each(|i| codes.spread(first + i, q, last, &mut bytes[i]));
                for part in codes.parts(q, last) {
                    for (i, worth) in room.worth.iter_mut().enumerate().take(panels) {
                        codes.scaling(first + i, part.start, worth);
                    }
                    let tiles = Coded { bytes, from: part.start - q, worth: &room.worth };
                    add(all.len(), rows(part), &tiles, &mut sums);
                }
                continue;
            }
            for (i, tile) in room.floats.iter_mut().enumerate().take(panels) {
                w.unpack(first + i, q, last, tile.as_flattened_mut(), LANES);
            }
            add(all.len(), rows(q..last), &Floats(&room.floats), &mut sums);
        }
        for (all, sums) in all.iter_mut().zip(&sums) {
            for (place, (all, sum)) in all.as_flattened_mut().iter_mut().zip(sums.as_flattened()).enumerate()
            {
                let bias = || bias.map(|bias| bias.get(first * LANES + place).copied().unwrap_or(zero));
                *all = join(if p == 0 { bias() } else { Some(*all) }, *sum);
            }
        }
    }
}

/// Columns of a panel as floats.
type Tile<T> = [[T; LANES]; COLUMNS];

/// Where the columns of some panels lie while they are worked on.
pub(super) struct Room<T> {
    floats: [Tile<T>; SIDE],
    bytes: [Chunk; SIDE],
    worth: [Scaling<T>; SIDE],
}

impl<T: FloatElement> Default for Room<T> {
    fn default() -> Room<T> {
        Room {
            floats: [[[T::constant(0.0); LANES]; COLUMNS]; SIDE],
            bytes: [[[0; LANES]; COLUMNS]; SIDE],
            worth: std::array::from_fn(|_| Scaling::default()),
        }
    }
}

/// Columns of panels that rows meet.
trait Tiles<T> {
    /// Adds to the sums of `R` rows those with the `J` panels from `first` on.
    fn add<const R: usize, const J: usize>(&self, first: usize, x: [&[T]; R], sums: &mut [Sums<T>]);
}

/// A row's sums with some panels.
pub(super) type Sums<T> = [[T; LANES]; SIDE];

/// As floats.
struct Floats<'a, T>(&'a [Tile<T>; SIDE]);

/// As codes from a column on, and what they are worth.
struct Coded<'a, T> {
    bytes: &'a [Chunk; SIDE],
    from: usize,
    worth: &'a [Scaling<T>; SIDE],
}

impl<T: FloatElement> Tiles<T> for Floats<'_, T> {
    fn add<const R: usize, const J: usize>(&self, first: usize, x: [&[T]; R], sums: &mut [Sums<T>]) {
        add_floats(x, std::array::from_fn::<_, J, _>(|j| &self.0[first + j]), first, sums);
    }
}

impl<T: FloatElement> Tiles<T> for Coded<'_, T> {
    fn add<const R: usize, const J: usize>(&self, first: usize, x: [&[T]; R], sums: &mut [Sums<T>]) {
        let bytes = std::array::from_fn::<_, J, _>(|j| &self.bytes[first + j][self.from..]);
        add_codes(x, bytes, &self.worth[first..first + J], first, sums);
    }
}

/// Adds to the sums of `n` rows the columns of all tiles.
fn add<'x, T: FloatElement>(
    n: usize,
    row: impl Fn(usize) -> &'x [T],
    tiles: &impl Tiles<T>,
    sums: &mut [Sums<T>],
) {
    let mut i = 0;
    while i < n {
        let sums = &mut sums[i..];
        i += match n - i {
            4.. => {
                let x = [row(i), row(i + 1), row(i + 2), row(i + 3)];
                (0..SIDE).for_each(|first| tiles.add::<4, 1>(first, x, sums));
                4
            }
            2.. => {
                let x = [row(i), row(i + 1)];
                (0..SIDE).step_by(2).for_each(|first| tiles.add::<2, 2>(first, x, sums));
                2
            }
            _ => {
                tiles.add::<1, SIDE>(0, [row(i)], sums);
                1
            }
        };
    }
}

vectorised! {
    fn add_floats [const R: usize, const J: usize] fused fma (
        x: [&[T]; R], tiles: [&Tile<T>; J], first: usize, sums: &mut [Sums<T>]
    ) {
        // In registers, which the results' place is not while somebody could see it.
        let mut own = [[[T::constant(0.0); LANES]; J]; R];
        for r in 0..R {
            for j in 0..J {
                own[r][j] = sums[r][first + j];
            }
        }
        for k in 0..x[0].len().min(COLUMNS) {
            for r in 0..R {
                let v = x[r][k];
                for j in 0..J {
                    for lane in 0..LANES {
                        own[r][j][lane] = fma.of(v, tiles[j][k][lane], own[r][j][lane]);
                    }
                }
            }
        }
        for r in 0..R {
            for j in 0..J {
                sums[r][first + j] = own[r][j];
            }
        }
    }
}

vectorised! {
    fn add_codes [const R: usize, const J: usize] fused fma (
        x: [&[T]; R], codes: [&[[u8; LANES]]; J], worth: &[Scaling<T>], first: usize, sums: &mut [Sums<T>]
    ) {
        // All as long as each other, for the compiler to see.
        let (mut n, mut x, mut codes) = (COLUMNS, x, codes);
        for x in &x {
            n = n.min(x.len());
        }
        for codes in &codes {
            n = n.min(codes.len());
        }
        for x in &mut x {
            *x = &x[..n];
        }
        for codes in &mut codes {
            *codes = &codes[..n];
        }
        // In registers, as above.
        let mut own = [[[T::constant(0.0); LANES]; J]; R];
        let (mut low, mut scale, mut offset) = (own[0], own[0], own[0]);
        for j in 0..J {
            (low[j], scale[j], offset[j]) = (worth[j].low, worth[j].scale, worth[j].offset);
            for r in 0..R {
                own[r][j] = sums[r][first + j];
            }
        }
        for k in 0..n {
            for j in 0..J {
                let mut w = [T::constant(0.0); LANES];
                for lane in 0..LANES {
                    let code = T::from_small(codes[j][k][lane]) + low[j][lane];
                    w[lane] = fma.of(code, scale[j][lane], offset[j][lane]);
                }
                for r in 0..R {
                    let v = x[r][k];
                    for lane in 0..LANES {
                        own[r][j][lane] = fma.of(v, w[lane], own[r][j][lane]);
                    }
                }
            }
        }
        for r in 0..R {
            for j in 0..J {
                sums[r][first + j] = own[r][j];
            }
        }
    }
}
