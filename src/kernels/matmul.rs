//! `C = alpha A B + beta C` for matrices with any strides: which kernel computes it, and how it is split
//! among threads. The result has the same bits on any number of threads. Shapes are checked by the operations
//! above.
mod blocks;
mod mat;
mod places;
mod product;
mod tile;
mod vector;
mod vector_product;
mod windows;

#[cfg(test)]
mod tests;

pub(crate) use blocks::{Blocks, add_blocks};
pub(crate) use mat::{Mat, MatMut};
pub(crate) use product::{GRAIN, MatmulElement, Misfit};
pub(super) use {
    places::Grid,
    product::VectorJob,
    vector::Vector,
    windows::{SLACK, Windows, matmul_windows},
};

use crate::isa::{Isa, isa};
use crate::threads::{self, Scratch, with_scratch};
use product::{BlockSums, Kernel, Product, View};
use std::marker::PhantomData;
use tile::{Outer, Small, Tiles, is_outer, is_small};
use vector::Job;
#[cfg(target_arch = "aarch64")]
use vector::arm;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use vector::wasm as base;
#[cfg(target_arch = "x86_64")]
use vector::x86::{self, self as base};
use vector_product::{Dots, RowSums};

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

/// Whether the elements of a product are sums in lanes, not in one chain along k.
pub(crate) fn in_lanes<T: MatmulElement>(a: Mat<T>, b: Mat<T>, c: MatMut<T>) -> Result<bool, Misfit> {
    let planned = Product::checked(T::ONE, a, b, T::ZERO, c)?.planned();
    Ok(planned.is_some_and(|(kernel, _)| kernel == Kernel::Dots))
}

/// Whether the elements of a product are single chains along k, as [`add_blocks`] has them.
pub(crate) fn is_one_chain<T: MatmulElement>(a: Mat<T>, b: Mat<T>, c: MatMut<T>) -> Result<bool, Misfit> {
    let planned = Product::checked(T::ONE, a, b, T::ZERO, c)?.planned();
    Ok(planned.is_none_or(|(kernel, x)| match kernel {
        Kernel::Tiles => x.k <= tile::KC,
        Kernel::Dots => x.k <= 1,
        Kernel::RowSums => x.k <= vector_product::ROWS,
    }))
}

/// Steps along k whose products are one chain of multiply-adds in a product with several rows and columns.
pub(crate) fn chain_steps(k: usize) -> usize {
    tile::steps(k)
}

/// As `GRAIN`, for products with a vector, which wait for memory.
const VECTOR_GRAIN: usize = 1 << 16;
impl<T: MatmulElement> Product<T> {
    fn run(self) {
        if let Some((kernel, product)) = self.planned() {
            product.split(kernel);
        }
    }

    fn split(self, kernel: Kernel) {
        let parts = self.parts(if kernel == Kernel::Tiles { GRAIN } else { VECTOR_GRAIN });
        if parts < 2 {
            // SAFETY: the product was checked, and the kernel chosen for its strides.
            return unsafe { T::compute(kernel, &self) };
        }
        // By the longer axis, which leaves less to be packed by every thread; but by rows if they are many,
        // since other kernels divide a tensor by rows, and each thread's cache then has its own.
        let by_columns = self.n >= self.m && self.m < 256 * parts;
        // Whole tiles.
        let (rows, columns) = match isa() {
            Isa::Avx2 => (6, 32),
            Isa::Neon => (8, 24),
            _ => (8, 32),
        };
        let (size, grain) = if by_columns { (self.n, columns) } else { (self.m, rows) };
        let step = size.div_ceil(parts).next_multiple_of(grain);
        let whole = &self;
        threads::parallel_for(size.div_ceil(step), &|i| {
            let (start, size) = (i * step, step.min(size - i * step));
            // SAFETY: start is below the size of the axis, tasks have different columns or rows of c, and
            // each is a product that was checked as part of the whole.
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
    ($($t:ident $lanes:literal $narrow:ident $avx2:ident $avx512:ident)*) => {$(
        impl MatmulElement for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;

            unsafe fn add_blocks(x: &BlockSums<$t>) {
                // SAFETY: as below.
                with_scratch(|scratch| unsafe {
                    match isa() {
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx512 => blocks::<x86::$avx512, 6, 2>(x, scratch),
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx2 => blocks::<x86::$avx2, 3, 2>(x, scratch),
                        #[cfg(target_arch = "aarch64")]
                        Isa::Neon => blocks::<arm::$narrow, 6, 2>(x, scratch),
                        Isa::Exact => blocks::<vector::Plain<$t, $lanes, true>, 1, 1>(x, scratch),
                        _ => blocks::<base::$narrow, 3, 2>(x, scratch),
                    }
                });
            }

            unsafe fn with_vectors(job: &impl VectorJob<T = $t>) {
                // SAFETY: as below.
                unsafe {
                    match isa() {
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx512 => with::<x86::$avx512, _>(job),
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx2 => with::<x86::$avx2, _>(job),
                        #[cfg(target_arch = "aarch64")]
                        Isa::Neon => with::<arm::$narrow, _>(job),
                        Isa::Exact => with::<vector::Plain<$t, $lanes, true>, _>(job),
                        _ => with::<base::$narrow, _>(job),
                    }
                }
            }

            unsafe fn compute(kernel: Kernel, x: &Product<$t>) {
                // SAFETY: isa() reports what the machine has; the rest is the caller's.
                with_scratch(|scratch| unsafe {
                    match isa() {
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx512 => compute::<x86::$avx512, 8, 2, 4, 4, 4, 1>(kernel, x, scratch),
                        #[cfg(target_arch = "x86_64")]
                        Isa::Avx2 => compute::<x86::$avx2, 6, 2, 2, 2, 4, 2>(kernel, x, scratch),
                        #[cfg(target_arch = "aarch64")]
                        Isa::Neon => compute::<arm::$narrow, 8, 3, 2, 2, 4, 4>(kernel, x, scratch),
                        // One small tile: little to compile.
                        Isa::Exact => {
                            compute::<vector::Plain<$t, $lanes, true>, 1, 1, 1, 1, 1, 4>(kernel, x, scratch)
                        }
                        _ => compute::<base::$narrow, 4, 2, 1, 2, 2, 4>(kernel, x, scratch),
                    }
                });
            }
        }
    )*};
}
element! {
    f32 4 F32x4 F32x8 F32x16
    f64 2 F64x2 F64x4 F64x8
}

/// What every machine of the target has.
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
mod base {
    use super::vector::Plain;
    pub(super) type F32x4 = Plain<f32, 4, false>;
    pub(super) type F64x2 = Plain<f64, 2, false>;
}

/// A job with vectors that are chosen.
struct With<'a, V, J>(&'a J, PhantomData<V>);

impl<V: Vector, J: VectorJob<T = V::T>> Job for With<'_, V, J> {
    #[inline(always)]
    unsafe fn run(&self) {
        // SAFETY: the caller's.
        unsafe { self.0.run::<V>() };
    }
}

/// # Safety
/// The machine must have the vector's instructions; the rest is the job's.
unsafe fn with<V: Vector, J: VectorJob<T = V::T>>(job: &J) {
    // SAFETY: the caller's.
    unsafe { V::run(&With::<V, J>(job, PhantomData)) };
}

/// Sums of blocks in tiles of `R` rows and `NV` vectors, beside whose sums there is room for those of one
/// block.
///
/// # Safety
/// As for `compute`.
unsafe fn blocks<V: Vector<T: MatmulElement>, const R: usize, const NV: usize>(
    x: &BlockSums<V::T>,
    scratch: &mut Scratch,
) {
    // SAFETY: the caller's.
    unsafe { V::run(&blocks::Tiles::<V, R, NV> { x, panel: scratch.place().as_mut_ptr() }) };
}

/// Tiles of `R` rows and `NV` vectors; dot products of `DR` rows and `DN` columns at a time, or of one row and
/// `DM`, each over `W` vectors: as many sums as the registers hold.
///
/// # Safety
/// The machine must have the vector's instructions; the rest as for `MatmulElement::compute`.
unsafe fn compute<
    V: Vector<T: MatmulElement>,
    const R: usize,
    const NV: usize,
    const DR: usize,
    const DN: usize,
    const DM: usize,
    const W: usize,
>(
    kernel: Kernel,
    x: &Product<V::T>,
    scratch: &mut Scratch,
) {
    // SAFETY: the caller's.
    unsafe {
        match kernel {
            Kernel::Tiles if is_small::<V>(x) => V::run(&Small::<V>(x)),
            Kernel::Tiles if is_outer(x) => V::run(&Outer::<V>(x)),
            Kernel::Tiles => V::run(&Tiles::<V, R, NV> { x, panels: scratch.place().as_mut_ptr() }),
            Kernel::Dots => V::run(&Dots::<V, DR, DN, DM, W>(x)),
            Kernel::RowSums => V::run(&RowSums::<V>(x)),
        }
    }
}
