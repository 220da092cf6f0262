//! Where the elements of a matrix lie whose columns are windows of an image, and how what a product needs of it is
//! packed from the image itself.
use super::vector::{Job, Vector};

/// Most columns (in elements) of a tile.
pub(super) const MAX_COLS: usize = 32;

/// Where a row or a column begins: its number, in digits of these sizes, takes a step for each. What the last
/// digit takes is in phases, so many and so far from each other: `n` is `n % count * distance + n / count`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub sizes: [usize; 4],
    pub steps: [usize; 4],
    pub phases: [usize; 2],
}

impl Grid {
    pub(super) fn len(&self) -> Option<usize> {
        self.sizes.iter().try_fold(1, |all: usize, &size| all.checked_mul(size))
    }

    /// Where the last element is that begins anywhere, if there is one, or something behind it.
    pub(super) fn last(&self) -> Option<usize> {
        let [count, distance] = self.phases;
        let end = |size: usize, step: usize| size.checked_sub(1)?.checked_mul(step);
        let ends = self.sizes.iter().zip(self.steps);
        let all = ends.take(3).try_fold(0, |all: usize, (&size, step)| all.checked_add(end(size, step)?))?;
        let last = end(self.sizes[3], self.steps[3])?.checked_div(count)?;
        all.checked_add(last)?.checked_add((count - 1).checked_mul(distance)?)
    }

    /// Where the last digit takes a number.
    #[inline(always)]
    fn along(&self, digit: usize) -> usize {
        let ([count, distance], at) = (self.phases, digit * self.steps[3]);
        if count == 1 { at } else { at % count * distance + at / count }
    }

    fn at(&self, number: usize) -> Cursor<'_> {
        let (mut digits, mut rest) = ([0; 4], number);
        for (digit, size) in digits.iter_mut().zip(self.sizes).rev() {
            (*digit, rest) = (rest % size.max(1), rest / size.max(1));
        }
        let at = digits.iter().zip(self.steps).take(3).map(|(digit, step)| digit * step).sum();
        Cursor { grid: self, digits, at }
    }
}

/// A number of a grid, behind whose last one there is the first.
struct Cursor<'a> {
    grid: &'a Grid,
    digits: [usize; 4],
    /// Where the digits but the last begin.
    at: usize,
}

impl Cursor<'_> {
    /// Goes past numbers that differ in the last digit alone, `most` or as many as there are: where the other
    /// digits begin, the first one's last digit, and how many they are.
    #[inline]
    fn run(&mut self, most: usize) -> (usize, usize, usize) {
        let Grid { sizes, steps, .. } = self.grid;
        let (at, digit) = (self.at, self.digits[3]);
        let len = most.min(sizes[3] - digit);
        self.digits[3] += len;
        for i in (0..4).rev() {
            if self.digits[i] < sizes[i] {
                break;
            }
            if i < 3 {
                self.at -= self.digits[i] * steps[i];
            }
            self.digits[i] = 0;
            if i > 0 {
                self.digits[i - 1] += 1;
                self.at += steps[i - 1];
            }
        }
        (at, digit, len)
    }
}

/// How the columns of a product's B lie.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Places {
    pub(super) rows: Grid,
    pub(super) columns: Grid,
    /// The first column's number.
    pub(super) first: usize,
}

impl Places {
    /// Where `count` rows from the `from`th on begin.
    ///
    /// # Safety
    /// There must be room for so many.
    pub(super) unsafe fn rows(&self, from: usize, count: usize, to: *mut usize) {
        let (mut cursor, mut done) = (self.rows.at(from), 0);
        while done < count {
            let (at, digit, len) = cursor.run(count - done);
            for i in 0..len {
                // SAFETY: this is below the count.
                unsafe { *to.add(done + i) = at + self.rows.along(digit + i) };
            }
            done += len;
        }
    }
}

/// Neighbours in the image that become neighbours in a row of a panel.
#[derive(Clone, Copy)]
struct Piece {
    from: usize,
    to: usize,
    len: usize,
}

/// Columns of windows, each row after the other.
pub(super) struct PackWindows<'a, V: Vector> {
    pub image: *const V::T,
    /// Where rows begin, and how many.
    pub rows: *const usize,
    pub k: usize,
    pub places: &'a Places,
    /// The first column, and how many.
    pub first: usize,
    pub n: usize,
    pub to: *mut V::T,
}

impl<V: Vector> Job for PackWindows<'_, V> {
    #[inline(always)]
    unsafe fn run(&self) {
        let PackWindows { image, rows, k, places, first, n, to } = *self;
        let width = n.next_multiple_of(V::LANES);
        // What fills the last vector are the columns behind those that are asked for.
        let (mut pieces, mut count) = ([Piece { from: 0, to: 0, len: 0 }; MAX_COLS], 0);
        let (mut cursor, mut to_column) = (places.columns.at(places.first + first), 0);
        let grid = &places.columns;
        let most = if (grid.steps[3], grid.phases[0]) == (1, 1) { V::LANES } else { 1 };
        while to_column < width && count < MAX_COLS {
            let (at, digit, len) = cursor.run(most.min(width - to_column));
            pieces[count] = Piece { from: at + grid.along(digit), to: to_column, len };
            (count, to_column) = (count + 1, to_column + len);
        }
        let pieces = &pieces[..count];
        // SAFETY: the caller's image has all windows and some elements behind them, its panel as many rows of
        // `width`. A piece is written as a whole vector, whose end what comes behind it replaces; but nothing
        // comes behind the last row.
        unsafe {
            for p in 0..k {
                let (image, row) = (image.add(*rows.add(p)), to.add(p * width));
                for piece in pieces {
                    let vector = V::load(image.add(piece.from));
                    if p + 1 < k {
                        vector.store(row.add(piece.to));
                    } else {
                        vector.store_first(row.add(piece.to), piece.len);
                    }
                }
            }
        }
    }
}
