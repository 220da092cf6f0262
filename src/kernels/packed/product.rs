//! Products with a packed matrix: few rows run over its panels as they become floats in the nearest cache,
//! many rows have some panels made floats beside a usual product. Both add along the columns in the order of
//! a product of floats with several rows, so a row's result doesn't depend on how many are computed with it.
use super::{
    super::{
        FloatElement,
        matmul::{Mat, MatMut, chain_steps, matmul_alone},
    },
    few::{FEW, Room, SIDE, few},
    matrix::{Activations, Packed},
    panels::LANES,
    rounded,
    tasks::{Columns, each, shared},
};
use crate::{error::Checked, tensor::Unfilled};

/// Rows of the matrix that become floats at a time beside many rows, or for the way back.
const WIDE: usize = 128;

/// `out = x wᵀ + bias` for rows of `x`, one after the other.
pub(crate) fn products<T: FloatElement>(
    x: &[T],
    w: &Packed<T>,
    bias: Option<&[T]>,
    out: &mut [T],
) -> Checked<()> {
    w.sound()?;
    let (outputs, inputs) = (w.rows(), w.cols());
    let n = out.len() / outputs.max(1);
    if x.len() != n * inputs || out.len() != n * outputs || bias.is_some_and(|bias| bias.len() != outputs) {
        return Err("the packed matrix doesn't fit its operands".into());
    }
    if let (Activations::Int8, Some(codes)) = (w.activations(), w.codes()) {
        return rounded::products(x, codes, bias, out);
    }
    let work = n.saturating_mul(outputs).saturating_mul(inputs);
    let columns = Columns::new(out, outputs);
    if n <= FEW {
        let side = SIDE * LANES;
        return shared(outputs.div_ceil(side), work, |blocks| {
            let mut room = Room::default();
            let mut sums = [[[T::constant(0.0); LANES]; SIDE]; FEW];
            for block in blocks {
                let size = side.min(outputs - block * side);
                few(x, w, bias, block * SIDE, &mut room, &mut sums[..n]);
                for (row, sums) in sums[..n].iter().enumerate() {
                    // SAFETY: each block has columns of its own.
                    unsafe { columns.write(row, block * side, &sums.as_flattened()[..size]) };
                }
            }
            Ok(())
        });
    }
    each(outputs.div_ceil(WIDE), work, |block| {
        let size = WIDE.min(outputs - block * WIDE);
        let mut sums = Unfilled::new([n, size].into()).made()?;
        many(x, w, bias, block * WIDE, size, sums.as_mut_slice())?;
        for (row, sums) in sums.as_mut_slice().chunks_exact(size).enumerate() {
            // SAFETY: each block has columns of its own.
            unsafe { columns.write(row, block * WIDE, sums) };
        }
        Ok(())
    })
}

/// Many rows with the rows of the matrix from `first` on, `[n, size]`.
fn many<T: FloatElement>(
    x: &[T],
    w: &Packed<T>,
    bias: Option<&[T]>,
    first: usize,
    size: usize,
    out: &mut [T],
) -> Checked<()> {
    let (n, steps) = (out.len() / size, chain_steps(w.cols()));
    if let Some(bias) = bias {
        out.chunks_exact_mut(size).for_each(|out| out.copy_from_slice(&bias[first..first + size]));
    }
    let mut floats = Unfilled::<T>::new([steps, WIDE].into()).made()?;
    let floats = floats.as_mut_slice();
    for p in (0..w.cols()).step_by(steps) {
        let k = steps.min(w.cols() - p);
        unpack_wide(w, first, size, p, k, floats);
        let a = Mat {
            data: x.get(p..).unwrap_or_default(),
            rows: n,
            cols: k,
            row_stride: w.cols() as isize,
            col_stride: 1,
        };
        let b = Mat { data: floats, rows: k, cols: size, row_stride: WIDE as isize, col_stride: 1 };
        let start = T::constant(if p > 0 || bias.is_some() { 1.0 } else { 0.0 });
        matmul_alone(T::constant(1.0), a, b, start, MatMut::dense(out, n, size))?;
    }
    Ok(())
}

/// The `k` columns from `p` on of `size` rows as floats, `[k, WIDE]`.
fn unpack_wide<T: FloatElement>(
    w: &Packed<T>,
    first: usize,
    size: usize,
    p: usize,
    k: usize,
    floats: &mut [T],
) {
    for (i, lane) in (0..size).step_by(LANES).enumerate() {
        w.unpack(first / LANES + i, p, p + k, &mut floats[lane..], WIDE);
    }
}

/// `out = g w` for rows of `g`, one after the other: the way back through [`products`].
pub(crate) fn back<T: FloatElement>(g: &[T], w: &Packed<T>, out: &mut [T]) -> Checked<()> {
    w.sound()?;
    let (outputs, inputs) = (w.rows(), w.cols());
    let n = g.len() / outputs.max(1);
    if out.len() != n * inputs || g.len() != n * outputs {
        return Err("the packed matrix doesn't fit its operands".into());
    }
    let work = n.saturating_mul(outputs).saturating_mul(inputs);
    let columns = Columns::new(out, inputs);
    each(inputs.div_ceil(WIDE), work, |block| {
        let (p, k) = (block * WIDE, WIDE.min(inputs - block * WIDE));
        let mut sums = Unfilled::<T>::new([n, k].into()).made()?;
        let mut floats = Unfilled::<T>::new([WIDE, WIDE].into()).made()?;
        for first in (0..outputs).step_by(WIDE) {
            let size = WIDE.min(outputs - first);
            unpack_wide(w, first, size, p, k, floats.as_mut_slice());
            let a = Mat {
                data: g.get(first..).unwrap_or_default(),
                rows: n,
                cols: size,
                row_stride: outputs as isize,
                col_stride: 1,
            };
            let data = &*floats.as_mut_slice();
            let b = Mat { data, rows: size, cols: k, row_stride: 1, col_stride: WIDE as isize };
            let start = T::constant(if first > 0 { 1.0 } else { 0.0 });
            matmul_alone(T::constant(1.0), a, b, start, MatMut::dense(sums.as_mut_slice(), n, k))?;
        }
        for (row, sums) in sums.as_mut_slice().chunks_exact(k).enumerate() {
            // SAFETY: each block has columns of its own.
            unsafe { columns.write(row, p, sums) };
        }
        Ok(())
    })
}
