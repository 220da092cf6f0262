//! `C = alpha A B + beta C` for matrices with any strides: which kernel computes it, and how it is split among
//! threads. The result has the same bits on any number of threads. Shapes are checked by the operations above.
mod mat;
mod tile;
mod vector;
mod vector_product;

#[cfg(test)]
mod tests;

use super::{
    isa::{Isa, isa},
    threads,
};
use mat::fits;
pub(crate) use mat::{Mat, MatMut};
use std::{
    cell::Cell,
    ops::{Add, Mul},
};
use tile::{Scratch, tiles};
use vector_product::{dots, row_sums};

/// Floats that matrix products are made of.
pub trait MatmulElement:
    Copy + PartialEq + Add<Output = Self> + Mul<Output = Self> + Send + Sync + 'static
{
    #[doc(hidden)]
    const ZERO: Self;
    #[doc(hidden)]
    const ONE: Self;
    #[doc(hidden)]
    fn prepare();
    /// # Safety
    /// The views must be valid for the sizes, and the kernel must suit the strides.
    #[doc(hidden)]
    unsafe fn compute(kernel: Kernel, x: &Product<Self>);
}

/// Where element `(0, 0)` lies and the steps to its neighbours.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct View<T> {
    data: *mut T,
    row: isize,
    col: isize,
}

impl<T> View<T> {
    /// # Safety
    /// The element must be one of the matrix, or one past its end along an axis if nothing is read there.
    #[inline(always)]
    unsafe fn at(self, i: usize, j: usize) -> View<T> {
        // SAFETY: the caller's.
        View { data: unsafe { self.data.offset(i as isize * self.row + j as isize * self.col) }, ..self }
    }

    fn turned(self) -> View<T> {
        View { row: self.col, col: self.row, ..self }
    }
}

/// A checked product `[m, k] x [k, n] -> [m, n]`.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Product<T> {
    m: usize,
    n: usize,
    k: usize,
    alpha: T,
    beta: T,
    a: View<T>,
    b: View<T>,
    c: View<T>,
    /// What beta multiplies: `c` itself, or other elements to begin with, which lie like those of `c` or, in the axis where
    /// they are broadcast, in one place.
    start: View<T>,
}

// SAFETY: a product reads a and b and writes c; those who run parts of one at the same time give them parts of c that
// don't overlap.
unsafe impl<T: Sync + Send> Sync for Product<T> {}

#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kernel {
    Tiles,
    Dots,
    RowSums,
}

/// Allocates what the products of this thread will need, which otherwise the first of them does.
pub(super) fn prepare_thread() {
    f32::prepare();
    f64::prepare();
}

/// Why a product was not computed, and nothing written: the matrices don't fit each other or the data that they stand for.
#[derive(Debug, PartialEq)]
pub(crate) struct Misfit;

impl From<Misfit> for String {
    fn from(_: Misfit) -> String {
        "the matrices don't fit each other or their data".into()
    }
}

/// `c = alpha a b + beta c`; with `beta` 0, what was in `c` doesn't matter.
pub(crate) fn matmul<T: MatmulElement>(
    alpha: T,
    a: Mat<T>,
    b: Mat<T>,
    beta: T,
    c: MatMut<T>,
) -> Result<(), Misfit> {
    Product::checked(alpha, a, b, beta, c)?.run();
    Ok(())
}

/// The same on this thread alone.
pub(crate) fn matmul_alone<T: MatmulElement>(
    alpha: T,
    a: Mat<T>,
    b: Mat<T>,
    beta: T,
    c: MatMut<T>,
) -> Result<(), Misfit> {
    let product = Product::checked(alpha, a, b, beta, c)?;
    if let Some((kernel, product)) = product.planned() {
        // SAFETY: the product was checked, and the kernel chosen for its strides.
        unsafe { T::compute(kernel, &product) };
    }
    Ok(())
}

/// `c = a b + bias`, with one element of the bias for each column.
pub(crate) fn matmul_bias<T: MatmulElement>(
    a: Mat<T>,
    b: Mat<T>,
    bias: &[T],
    c: MatMut<T>,
) -> Result<(), Misfit> {
    if bias.len() != c.cols || c.col_stride != 1 {
        return Err(Misfit);
    }
    if let &[bias] = bias {
        // The kernels may turn a column, which then begins with one element in many places.
        c.data.iter_mut().step_by(c.row_stride.max(1) as usize).take(c.rows).for_each(|c| *c = bias);
        return matmul(T::ONE, a, b, T::ONE, c);
    }
    let product = Product::checked(T::ONE, a, b, T::ONE, c)?;
    let start = View { data: bias.as_ptr().cast_mut(), row: 0, col: 1 };
    Product { start, ..product }.run();
    Ok(())
}

/// The products of `count` pairs of matrices, `a(i) b(i)`, each to its `m x n` elements of `c`; those that fit, if not all do.
pub(crate) fn batched_matmul<'a, T: MatmulElement>(
    c: &mut [T],
    m: usize,
    n: usize,
    a: impl Fn(usize) -> Mat<'a, T> + Sync,
    b: impl Fn(usize) -> Mat<'a, T> + Sync,
) -> Result<(), Misfit> {
    let size = m * n;
    if size == 0 || !c.len().is_multiple_of(size) {
        return if c.is_empty() { Ok(()) } else { Err(Misfit) };
    }
    let one = |i: usize, c: &mut [T]| {
        let c = MatMut { data: c, rows: m, cols: n, row_stride: n as isize, col_stride: 1 };
        matmul(T::ONE, a(i), b(i), T::ZERO, c)
    };
    let work = size.saturating_mul(a(0).cols).max(1);
    let count = c.len() / size;
    let done = std::sync::atomic::AtomicBool::new(true);
    let several = |first: usize, c: &mut [T]| {
        for (i, c) in c.chunks_exact_mut(size).enumerate() {
            if one(first / size + i, c).is_err() {
                done.store(false, std::sync::atomic::Ordering::Relaxed);
            }
        }
    };
    if work >= LARGE || count == 1 {
        // Each is worth splitting for itself.
        several(0, c);
    } else {
        let each = GRAIN.div_ceil(work).max(count.div_ceil(4 * threads::threads()));
        threads::for_chunks(c, each * size, several);
    }
    if done.into_inner() { Ok(()) } else { Err(Misfit) }
}

/// Multiply-adds worth a task of their own: about four microseconds. A fork-join costs one half, and more where the cores
/// have no cache in common.
const GRAIN: usize = 1 << 18;
/// The same for products with a vector, which wait for memory.
const VECTOR_GRAIN: usize = 1 << 16;
/// Multiply-adds from which a matrix of a batch is split by itself.
const LARGE: usize = 1 << 24;

impl<T: MatmulElement> Product<T> {
    fn checked(alpha: T, a: Mat<T>, b: Mat<T>, beta: T, c: MatMut<T>) -> Result<Product<T>, Misfit> {
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
        })
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
    unsafe fn target(self, i: usize, j: usize) -> Product<T> {
        // SAFETY: the caller's.
        unsafe { Product { c: self.c.at(i, j), start: self.start.at(i, j), ..self } }
    }

    fn run(self) {
        if let Some((kernel, product)) = self.planned() {
            product.split(kernel);
        }
    }

    /// What computes it, if there is anything to compute.
    fn planned(mut self) -> Option<(Kernel, Product<T>)> {
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
        if x.m == 1 && x.b.col == 1 && x.c.col == 1 {
            return (Kernel::RowSums, x);
        }
        let along_k = x.a.col == 1 && x.b.row == 1;
        if along_k && x.m.min(x.n) <= 8 {
            return (Kernel::Dots, x);
        }
        let x = self;
        // Vectors run along the columns: best where both B's and C's lie side by side, else where B's do, else where
        // less is wasted on vectors that aren't full, on transposing B and on writing C against its order.
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

    fn split(self, kernel: Kernel) {
        let work = self.m.saturating_mul(self.n).saturating_mul(self.k);
        let grain = if kernel == Kernel::Tiles { GRAIN } else { VECTOR_GRAIN };
        let parts = threads::threads().min(work / grain);
        if parts < 2 {
            // SAFETY: the product was checked, and the kernel chosen for its strides.
            return unsafe { T::compute(kernel, &self) };
        }
        // By the longer axis, which leaves less to be packed by every thread; but by rows if they are many, since other
        // kernels divide a tensor by rows, and each thread's cache then has its own.
        let by_columns = self.n >= self.m && self.m < 256 * parts;
        // Whole tiles.
        let rows = if isa() == Isa::Avx2 { 6 } else { 8 };
        let (size, grain) = if by_columns { (self.n, 32) } else { (self.m, rows) };
        let step = size.div_ceil(parts).next_multiple_of(grain);
        let whole = &self;
        threads::parallel_for(size.div_ceil(step), &|i| {
            let (start, size) = (i * step, step.min(size - i * step));
            // SAFETY: start is below the size of the axis, tasks have different columns or rows of c, and each
            // is a product that was checked as part of the whole.
            unsafe {
                let part = if by_columns {
                    Product { n: size, b: whole.b.at(0, start), ..whole.target(0, start) }
                } else {
                    Product { m: size, a: whole.a.at(start, 0), ..whole.target(start, 0) }
                };
                T::compute(kernel, &part);
            }
        });
    }
}

macro_rules! element {
    ($($t:ident $plain:literal $avx2:ident $avx512:ident)*) => {$(
        const _: () = {
        thread_local!(static SCRATCH: Cell<Option<Box<Scratch<$t>>>> = const { Cell::new(None) });

        impl MatmulElement for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;

            fn prepare() {
                SCRATCH.set(Some(Scratch::new()));
            }

            unsafe fn compute(kernel: Kernel, x: &Product<$t>) {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                unsafe fn avx512(kernel: Kernel, x: &Product<$t>, scratch: &mut Scratch<$t>) {
                    // SAFETY: the caller's.
                    unsafe { compute::<vector::$avx512, 8, 2>(kernel, x, scratch) }
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2(kernel: Kernel, x: &Product<$t>, scratch: &mut Scratch<$t>) {
                    // SAFETY: the caller's.
                    unsafe { compute::<vector::$avx2, 6, 2>(kernel, x, scratch) }
                }
                let mut scratch = SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_else(Scratch::new);
                // SAFETY: isa() reports what the machine has; the rest is the caller's.
                unsafe {
                    match isa() {
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx512 => avx512(kernel, x, &mut scratch),
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx2 => avx2(kernel, x, &mut scratch),
                        _ => compute::<vector::Plain<$t, $plain>, 4, 2>(kernel, x, &mut scratch),
                    }
                }
                // A thread that is just ending has no use for it any more.
                let _ = SCRATCH.try_with(|place| place.set(Some(scratch)));
            }
        }
        };
    )*};
}
element! {
    f32 4 F32x8 F32x16
    f64 2 F64x4 F64x8
}

/// # Safety
/// The machine must have the vector's instructions; the rest as for `MatmulElement::compute`.
#[inline(always)]
unsafe fn compute<V: vector::Vector<T: MatmulElement>, const R: usize, const NV: usize>(
    kernel: Kernel,
    x: &Product<V::T>,
    scratch: &mut Scratch<V::T>,
) {
    // SAFETY: the caller's.
    unsafe {
        match kernel {
            Kernel::Tiles => tiles::<V, R, NV>(x, scratch),
            // As many sums as the registers hold; a machine with tiles of 8 rows has 32.
            Kernel::Dots if R == 8 => dots::<V, 4>(x),
            Kernel::Dots => dots::<V, 2>(x),
            Kernel::RowSums => row_sums::<V>(x),
        }
    }
}
