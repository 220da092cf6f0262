//! What is expected of a place of a matrix.

/// Rows that are coded side by side, column by column: what one waits for, another may have.
pub(super) const BAND: usize = 4;

/// What is expected of a place from those seen in its column and in its row: a mean of all, what the column
/// and the row differ from it by, in 64ths of what is observed.
pub(super) struct Tracker {
    mean: i32,
    columns: Vec<i32>,
    /// Of the rows of a band.
    rows: [i32; BAND],
    /// So many rows have been seen, and anything at all.
    seen: usize,
    begun: bool,
    /// A row moves by this power of a half of what it is wrong by.
    quick: u32,
}

impl Tracker {
    pub(super) fn new(columns: usize, quick: u32) -> Tracker {
        Tracker { mean: 0, columns: vec![0; columns], rows: [0; BAND], seen: 0, begun: false, quick }
    }

    /// Goes on to the next rows, after so many.
    pub(super) fn next(&mut self, rows: usize) {
        self.rows = [0; BAND];
        self.seen += rows;
    }

    #[inline(always)]
    pub(super) fn expected(&self, column: usize) -> [i32; BAND] {
        let all = self.mean + self.columns[column];
        self.rows.map(|row| all + row)
    }

    /// Learns from what is observed, of which `expected` was said.
    #[inline(always)]
    pub(super) fn learn(&mut self, row: usize, column: usize, expected: i32, observed: i32) {
        let error = (observed << 6) - expected;
        if !self.begun {
            self.begun = true;
            self.mean += error;
            return;
        }
        self.mean += error >> 9;
        let calm = [8, 32, 128].into_iter().map(|rows| u32::from(self.seen >= rows)).sum::<u32>();
        self.columns[column] += error >> (4 + calm);
        self.rows[row & (BAND - 1)] += error >> self.quick;
    }
}
