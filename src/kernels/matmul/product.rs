//! A product to be computed: whether its matrices fit each other, where their elements lie, and which kernel
//! suits it.
use super::mat::{Mat, MatMut, fits};
use super::places::Places;
use super::vector::Vector;
use crate::threads;
use std::{
    ops::{Add, Mul},
    ptr::NonNull,
};

/// Multiply-adds worth a task of their own: about four microseconds. A fork-join costs one half, and more
/// where the cores have no cache in common.
pub(crate) const GRAIN: usize = 1 << 18;
/// Floats that matrix products are made of.
pub trait MatmulElement:
    Copy + PartialEq + Add<Output = Self> + Mul<Output = Self> + Send + Sync + 'static
{
    #[doc(hidden)]
    const ZERO: Self;
    #[doc(hidden)]
    const ONE: Self;
    /// # Safety
    /// The views must be valid for the sizes, and the kernel must suit the strides.
    #[doc(hidden)]
    unsafe fn compute(kernel: Kernel, x: &Product<Self>);
    /// # Safety
    /// All blocks and C must be there.
    #[doc(hidden)]
    unsafe fn add_blocks(x: &BlockSums<Self>);
    /// Does a job with the vectors of the machine.
    ///
    /// # Safety
    /// The job's.
    #[doc(hidden)]
    unsafe fn with_vectors(job: &impl VectorJob<T = Self>);
}

/// A job for any vectors of an element.
#[doc(hidden)]
pub trait VectorJob {
    type T;
    /// # Safety
    /// The machine must have the vectors' instructions; the rest is said there.
    unsafe fn run<V: Vector<T = Self::T>>(&self);
}

/// Where element `(0, 0)` lies and the steps to its neighbours.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct View<T> {
    pub(super) data: *mut T,
    pub(super) row: isize,
    pub(super) col: isize,
}

impl<T> View<T> {
    /// # Safety
    /// The element must be one of the matrix, or one past its end along an axis if nothing is read there.
    #[inline(always)]
    pub(super) unsafe fn at(self, i: usize, j: usize) -> View<T> {
        // SAFETY: the caller's.
        View { data: unsafe { self.data.offset(i as isize * self.row + j as isize * self.col) }, ..self }
    }

    #[inline(always)]
    pub(super) fn turned(self) -> View<T> {
        View { row: self.col, col: self.row, ..self }
    }
}

/// A checked product `[m, k] x [k, n] -> [m, n]`.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Product<T> {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) alpha: T,
    pub(super) beta: T,
    pub(super) a: View<T>,
    pub(super) b: View<T>,
    pub(super) c: View<T>,
    /// What beta multiplies: `c` itself, or other elements to begin with, which lie like those of `c` or, in
    /// the axis where they are broadcast, in one place.
    pub(super) start: View<T>,
    /// Where the elements of B lie if they are windows of what `b` begins with.
    pub(super) places: Option<NonNull<Places>>,
}

// SAFETY: a product reads a and b and writes c; those who run parts of one at the same time give them parts
// of c that don't overlap.
unsafe impl<T: Sync + Send> Sync for Product<T> {}

/// Pairs of blocks of `k` rows, of `m` and of `n` columns, and the `m x n` sum of their products.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct BlockSums<T> {
    pub(super) count: usize,
    pub(super) k: usize,
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) a: *const T,
    pub(super) b: *const T,
    pub(super) steps: [isize; 2],
    /// Elements from a row of A to the next, which are more than `m` where the sum is computed in parts.
    pub(super) row: usize,
    pub(super) c: *mut T,
    /// Whether the sum begins with the first product, not with what is in C.
    pub(super) fresh: bool,
}

// SAFETY: a and b are read, c is written; those who run parts at the same time give them rows of their own.
unsafe impl<T: Sync + Send> Sync for BlockSums<T> {}

#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kernel {
    Tiles,
    Dots,
    RowSums,
}

/// Why a product was not computed, and nothing written: the matrices don't fit each other or the data that
/// they stand for.
#[derive(Debug, PartialEq)]
pub(crate) struct Misfit;

impl From<Misfit> for String {
    fn from(_: Misfit) -> String {
        "the matrices don't fit each other or their data".into()
    }
}

impl<T: MatmulElement> Product<T> {
    pub(super) fn checked(
        alpha: T,
        a: Mat<T>,
        b: Mat<T>,
        beta: T,
        c: MatMut<T>,
    ) -> Result<Product<T>, Misfit> {
        let ok = a.cols == b.rows
            && a.rows == c.rows
            && b.cols == c.cols
            && fits(a.data.len(), a.rows, a.cols, a.row_stride, a.col_stride)
            && fits(b.data.len(), b.rows, b.cols, b.row_stride, b.col_stride)
            && fits(c.data.len(), c.rows, c.cols, c.row_stride, c.col_stride)
            && c.is_injective();
        let view = View { data: c.data.as_mut_ptr(), row: c.row_stride, col: c.col_stride };
        if !ok {
            return Err(Misfit);
        }
        Ok(Product {
            m: a.rows,
            n: b.cols,
            k: a.cols,
            alpha,
            beta,
            a: View { data: a.data.as_ptr().cast_mut(), row: a.row_stride, col: a.col_stride },
            b: View { data: b.data.as_ptr().cast_mut(), row: b.row_stride, col: b.col_stride },
            c: view,
            start: view,
            places: None,
        })
    }

    /// Among how many tasks it is shared out that take at least so many multiply-adds each.
    pub(super) fn parts(&self, grain: usize) -> usize {
        let work = self.m.saturating_mul(self.n).saturating_mul(self.k);
        if work < 2 * grain { 1 } else { threads::num_threads().min(work / grain) }
    }

    /// The same product as `Cᵀ = Bᵀ Aᵀ`.
    fn turned(self) -> Product<T> {
        let (a, b) = (self.b.turned(), self.a.turned());
        Product { m: self.n, n: self.m, a, b, c: self.c.turned(), start: self.start.turned(), ..self }
    }

    /// The product whose results begin at element `(i, j)`.
    ///
    /// # Safety
    /// The element must be in C.
    #[inline(always)]
    pub(super) unsafe fn target(self, i: usize, j: usize) -> Product<T> {
        // SAFETY: the caller's.
        unsafe { Product { c: self.c.at(i, j), start: self.start.at(i, j), ..self } }
    }

    /// What computes it, if there is anything to compute.
    pub(super) fn planned(mut self) -> Option<(Kernel, Product<T>)> {
        if self.m == 0 || self.n == 0 {
            return None;
        }
        // An axis of size 1 may have any stride; 1 is the most useful.
        for (size, stride) in [
            (self.m, &mut self.a.row),
            (self.m, &mut self.c.row),
            (self.m, &mut self.start.row),
            (self.n, &mut self.b.col),
            (self.n, &mut self.c.col),
            (self.n, &mut self.start.col),
        ] {
            if size == 1 {
                *stride = 1;
            }
        }
        match self.k {
            // Nothing is read, and no place may be reckoned from an empty slice.
            0 => (self.a.row, self.a.col, self.b.row, self.b.col) = (0, 0, 0, 0),
            1 => (self.a.col, self.b.row) = (1, 1),
            _ => {}
        }
        Some(self.plan())
    }

    /// Chooses by the shapes and strides of the whole product, never by the number of threads.
    fn plan(self) -> (Kernel, Product<T>) {
        let x = if self.n == 1 && self.m > 1 { self.turned() } else { self };
        let along_k = x.a.col == 1 && x.b.row == 1;
        // A single sum has no columns to fill a vector with.
        if x.m == 1 && x.b.col == 1 && x.c.col == 1 && !(x.n == 1 && along_k) {
            return (Kernel::RowSums, x);
        }
        if along_k && x.m.min(x.n) <= 8 {
            return (Kernel::Dots, x);
        }
        let x = self;
        // Vectors run along the columns: best where both B's and C's lie side by side, else where B's do,
        // else where less is wasted on vectors that aren't full, on transposing B and on writing C
        // against its order.
        let cost = |x: Product<T>| {
            let steps = x.m.saturating_mul(x.n.next_multiple_of(16)).saturating_mul(x.k) / 16;
            let write = if x.c.col == 1 { 0 } else { x.m.saturating_mul(x.n) };
            steps.saturating_add(x.n.saturating_mul(x.k) / 2).saturating_add(write)
        };
        let turn = if x.b.col == 1 {
            x.a.row == 1 && x.c.col != 1
        } else {
            x.a.row == 1 || cost(x.turned()) < cost(x)
        };
        (Kernel::Tiles, if turn { x.turned() } else { x })
    }
}
