//! One row with codes that become floats in registers.
use super::{
    super::{
        FloatElement,
        matmul::{Vector, VectorJob},
    },
    codes::{Codes, Scaling},
    few::{SIDE, Sums},
    panels::LANES,
};
use std::{cell::Cell, ops::Range};

/// Columns whose codes begin and end with a byte, in every plane.
const WHOLE: usize = 8;

impl<T: FloatElement> Codes<T> {
    /// Adds to the sums of one row those of the columns with the panels from `first` on, and says whether it
    /// could: only codes in the usual planes, worth themselves, of whole bytes in each group, and only where
    /// that is the fastest.
    pub(super) fn add_one(&self, x: &[T], first: usize, columns: Range<usize>, sums: &mut Sums<T>) -> bool {
        if !self.in_a_row() || !self.cols.is_multiple_of(WHOLE) || !self.group.is_multiple_of(WHOLE) {
            return false;
        }
        match self.bits {
            8 => OneRow::<T, 8, 0>::add(self, x, first, columns, sums),
            6 => OneRow::<T, 4, 2>::add(self, x, first, columns, sums),
            5 => OneRow::<T, 4, 1>::add(self, x, first, columns, sums),
            4 => OneRow::<T, 4, 0>::add(self, x, first, columns, sums),
            3 => OneRow::<T, 2, 1>::add(self, x, first, columns, sums),
            2 => OneRow::<T, 2, 0>::add(self, x, first, columns, sums),
            _ => false,
        }
    }
}

/// A row and codes with `A` bits in one plane and `B` above them in another, if not 0.
struct OneRow<'a, T, const A: usize, const B: usize> {
    codes: &'a Codes<T>,
    x: &'a [T],
    first: usize,
    columns: Range<usize>,
    sums: *mut [T; LANES],
    done: Cell<bool>,
}

impl<T: FloatElement, const A: usize, const B: usize> OneRow<'_, T, A, B> {
    fn add(codes: &Codes<T>, x: &[T], first: usize, columns: Range<usize>, sums: &mut Sums<T>) -> bool {
        let (sums, done) = (sums.as_mut_ptr(), Cell::new(false));
        let job = OneRow::<T, A, B> { codes, x, first, columns, sums, done };
        // SAFETY: the sums are borrowed here; what else is read is checked there.
        unsafe { T::with_vectors(&job) }
        job.done.get()
    }
}

impl<T: FloatElement, const A: usize, const B: usize> VectorJob for OneRow<'_, T, A, B> {
    type T = T;

    #[inline(always)]
    unsafe fn run<V: Vector<T = T>>(&self) {
        // Of vectors of a whole panel there are registers enough for all sums and scales. With others, codes
        // that were spread to bytes are faster, or nearly as fast.
        if const { V::LANES == LANES } {
            // SAFETY: the caller's.
            unsafe { self.run_wide::<V>() }
            self.done.set(true);
        }
    }
}

impl<T: FloatElement, const A: usize, const B: usize> OneRow<'_, T, A, B> {
    /// # Safety
    /// The machine must have the instructions of `V`, a vector for each panel.
    #[inline(always)]
    unsafe fn run_wide<V: Vector<T = T>>(&self) {
        let codes = self.codes;
        let length = if codes.group == 0 { codes.cols } else { codes.group };
        // Behind the last panel that one again, for nobody.
        let panel = |i: usize| (codes.rows.div_ceil(LANES) - 1).min(self.first + i);
        // SAFETY: the caller's machine has the instructions.
        let zero = unsafe { V::splat(T::constant(0.0)) };
        let mut sums = [zero; SIDE];
        for (i, sums) in sums.iter_mut().enumerate() {
            // SAFETY: there are sums of `SIDE` panels.
            *sums = unsafe { V::load(self.sums.add(i).cast()) };
        }
        let of = codes.worth();
        let mut worth: [Scaling<T>; SIDE] = std::array::from_fn(|_| Scaling::default());
        let mut from = self.columns.start;
        while from < self.columns.end {
            let end = self.columns.end.min((from / length + 1) * length);
            let (mut lower, mut upper) = ([&[][..]; SIDE], [&[][..]; SIDE]);
            let mut scaling = [[zero; SIDE]; 3];
            for i in 0..SIDE {
                // Codes come near by themselves, as long runs do.
                of.ask(self.first + i + SIDE, from, end);
                of.read(of.place(panel(i), from), &mut worth[i]);
                let Scaling { low, scale, offset } = &worth[i];
                for (part, list) in [low, scale, offset].into_iter().enumerate() {
                    // SAFETY: a list has a number for each lane.
                    scaling[part][i] = unsafe { V::load(list.as_ptr()) };
                }
                let start = (panel(i) * codes.cols + from) / WHOLE;
                let end = (panel(i) * codes.cols + end) / WHOLE;
                lower[i] = codes.planes[0].bytes[start * A..end * A].as_flattened();
                if B > 0 {
                    upper[i] = codes.planes[1].bytes[start * B..end * B].as_flattened();
                }
            }
            for (k, x) in self.x[from..end].as_chunks::<WHOLE>().0.iter().enumerate() {
                // SAFETY: there are as many bytes of each panel as of these columns.
                unsafe {
                    let (mut low, mut high) = ([std::ptr::null(); SIDE], [std::ptr::null(); SIDE]);
                    for i in 0..SIDE {
                        low[i] = lower[i].as_ptr().wrapping_add(k * A * LANES);
                        high[i] = upper[i].as_ptr().wrapping_add(k * B * LANES);
                    }
                    column::<V, A, B, 0>(x, low, high, &scaling, &mut sums);
                    column::<V, A, B, 1>(x, low, high, &scaling, &mut sums);
                    column::<V, A, B, 2>(x, low, high, &scaling, &mut sums);
                    column::<V, A, B, 3>(x, low, high, &scaling, &mut sums);
                    column::<V, A, B, 4>(x, low, high, &scaling, &mut sums);
                    column::<V, A, B, 5>(x, low, high, &scaling, &mut sums);
                    column::<V, A, B, 6>(x, low, high, &scaling, &mut sums);
                    column::<V, A, B, 7>(x, low, high, &scaling, &mut sums);
                }
            }
            from = end;
        }
        for (i, sums) in sums.iter().enumerate() {
            // SAFETY: as above.
            unsafe { sums.store(self.sums.add(i).cast()) };
        }
    }
}

/// Adds the `I`th of eight columns of some panels.
///
/// # Safety
/// The bytes of eight columns must be there for each panel.
#[inline(always)]
unsafe fn column<V: Vector, const A: usize, const B: usize, const I: usize>(
    x: &[V::T; WHOLE],
    lower: [*const u8; SIDE],
    upper: [*const u8; SIDE],
    [low, scale, offset]: &[[V; SIDE]; 3],
    sums: &mut [V; SIDE],
) {
    // SAFETY: the caller's.
    unsafe {
        let x = V::splat(x[I]);
        for i in 0..SIDE {
            let mask = |bits: usize| ((1u32 << bits) - 1) as u8;
            let mut code = V::small(lower[i].add(I * A / 8 * LANES), (I * A % 8) as u32, mask(A));
            if B > 0 {
                let upper = V::small(upper[i].add(I * B / 8 * LANES), (I * B % 8) as u32, mask(B));
                code = upper.mul_add(V::splat(V::T::from(1 << (A % 8))), code);
            }
            let w = code.add(low[i]).mul_add(scale[i], offset[i]);
            sums[i] = x.mul_add(w, sums[i]);
        }
    }
}
