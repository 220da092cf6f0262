//! Element by element: one expression over N operands of one shape, strided or broadcast, into new data.
//! The expression is compiled once for each instruction set and element type; operands that don't lie in
//! row-major order are brought into small blocks first, so that every inner loop sees plain slices.
mod walk;

use crate::{
    isa::{Isa, isa},
    real::{
        Arithmetic, Lane, Number,
        lane_math::{Forms, LaneMath},
    },
    tensor::{Element, Layout, Shape, Tensor, Unfilled},
};
use walk::{BLOCK, Kernel, parallel, walk};

use std::ops::{Add, Div, Mul, Sub};

/// An expression over N numbers of any kind.
pub trait Expr<const N: usize>: Copy + Sync {
    /// Its value.
    fn eval<R: Number>(&self, x: [R; N]) -> R
    where
        f64: Add<R, Output = R> + Sub<R, Output = R> + Mul<R, Output = R> + Div<R, Output = R>;

    /// Its values over slices of one length.
    #[doc(hidden)]
    #[inline]
    fn over<T: LaneMath + Element>(&self, x: [&[T]; N], out: &mut [T]) {
        run(Single(*self), x, [out]);
    }
}

/// An expression of the crate's own, which writes its constants as `R::constant(…)` and so needs less.
pub(crate) trait NumberExpr<const N: usize>: Copy + Sync {
    fn eval<R: Arithmetic>(&self, x: [R; N]) -> R;

    /// Its values over slices of one length.
    #[inline]
    fn over<T: LaneMath + Element>(&self, x: [&[T]; N], out: &mut [T]) {
        run(Single(*self), x, [out]);
    }

    /// As [`over`](NumberExpr::over), but not exactly where that is asked for: for one form of an expression
    /// that has many, which is compiled exactly as a whole.
    #[inline]
    fn quick<T: LaneMath + Element>(&self, x: [&[T]; N], out: &mut [T]) {
        quick(Single(*self), x, [out]);
    }
}

/// An expression of many forms over slices of one length.
#[inline]
pub(crate) fn over_forms<T: LaneMath + Element, E: NumberExpr<N> + Forms<N>, const N: usize>(
    e: &E,
    x: [&[T]; N],
    out: &mut [T],
) {
    if isa() == Isa::Exact { exact(Single(*e), x, [out]) } else { T::over(e, x, out) }
}

impl<E: NumberExpr<N>, const N: usize> Expr<N> for E {
    #[inline(always)]
    fn eval<R: Number>(&self, x: [R; N]) -> R
    where
        f64: Add<R, Output = R> + Sub<R, Output = R> + Mul<R, Output = R> + Div<R, Output = R>,
    {
        NumberExpr::eval(self, x)
    }

    #[inline]
    fn over<T: LaneMath + Element>(&self, x: [&[T]; N], out: &mut [T]) {
        NumberExpr::over(self, x, out);
    }
}

/// An expression with several results, such as the gradients of all its arguments.
pub(crate) trait MultiExpr<const N: usize, const M: usize>: Copy + Sync {
    fn eval<R: Number>(&self, x: [R; N]) -> [R; M]
    where
        f64: Add<R, Output = R> + Sub<R, Output = R> + Mul<R, Output = R> + Div<R, Output = R>;
}

#[derive(Clone, Copy)]
struct Single<E>(E);

impl<E: Expr<N>, const N: usize> MultiExpr<N, 1> for Single<E> {
    #[inline(always)]
    fn eval<R: Number>(&self, x: [R; N]) -> [R; 1]
    where
        f64: Add<R, Output = R> + Sub<R, Output = R> + Mul<R, Output = R> + Div<R, Output = R>,
    {
        [self.0.eval(x)]
    }
}

/// The expression over operands that broadcast to `shape`.
pub(crate) fn map<T: LaneMath + Element, E: Expr<N>, const N: usize>(
    e: E,
    x: [&Tensor<T>; N],
    shape: &Shape,
) -> crate::error::Checked<Tensor<T>> {
    let [y] = drive(&|x, [out]| e.over(x, out), x, shape)?;
    Ok(y)
}

/// Several expressions over the same operands, in one pass.
pub(crate) fn map_many<T: LaneMath + Element, E: MultiExpr<N, M>, const N: usize, const M: usize>(
    e: E,
    x: [&Tensor<T>; N],
    shape: &Shape,
) -> crate::error::Checked<[Tensor<T>; M]> {
    drive(&|x, out| run(e, x, out), x, shape)
}

fn drive<T: Element, const N: usize, const M: usize>(
    kernel: Kernel<T, N, M>,
    x: [&Tensor<T>; N],
    shape: &Shape,
) -> crate::error::Checked<[Tensor<T>; M]> {
    let mut out: [Unfilled<T>; M] = std::array::from_fn(|_| Unfilled::new(shape.clone()));
    if let Some(why) = out.iter().find_map(Unfilled::lack) {
        return Err(why.to_string());
    }
    let mut slices = out.each_mut().map(Unfilled::as_mut_slice);
    // The common case needs no walking: every operand has the shape and lies in row-major order.
    let mut plain: [&[T]; N] = [&[]; N];
    let mut all_plain = true;
    for (p, t) in plain.iter_mut().zip(x) {
        match t.as_slice() {
            Some(s) if t.shape() == shape => *p = s,
            _ => all_plain = false,
        }
    }
    let common = if all_plain { None } else { common_layout(x, shape) };
    if common.is_some() {
        // The order of the axes doesn't matter: the result gets that of the operands.
        for (p, t) in plain.iter_mut().zip(x) {
            *p = &t.buffer()[t.layout().offset..][..shape.numel()];
        }
        all_plain = true;
    }
    if all_plain {
        parallel(shape.numel(), &mut slices, &|from, to, out| kernel(plain.map(|p| &p[from..to]), out));
    } else if shape.numel() > 0 {
        let mut turned: [Option<Tensor<T>>; N] = [const { None }; N];
        let mut layouts: [Layout; N] = std::array::from_fn(|_| Layout::contiguous(Shape::default()));
        for ((l, turned), t) in layouts.iter_mut().zip(&mut turned).zip(x) {
            *l = t.layout().expand(shape)?;
            // What is turned as a whole, in blocks, isn't read across the lines.
            if shape.numel() >= BLOCK && l.strides.last().is_some_and(|s| *s > 1) && l.is_dense() {
                let t = turned.insert(t.contiguous().made()?);
                *l = t.layout().expand(shape)?;
            }
        }
        let data = std::array::from_fn(|k| turned[k].as_ref().unwrap_or(x[k]).buffer());
        walk(kernel, data, &layouts, &mut slices);
    }
    let filled = out.map(Unfilled::filled);
    Ok(match common {
        Some(common) => filled.map(|y| y.view(Layout { offset: 0, ..common.clone() })),
        None => filled,
    })
}

/// The layout of all operands, if they have one that fills its piece of a buffer.
fn common_layout<'a, T: Element, const N: usize>(x: [&'a Tensor<T>; N], shape: &Shape) -> Option<&'a Layout> {
    let first = x.first()?.layout();
    let alike = |t: &&Tensor<T>| t.shape() == shape && t.layout().strides == first.strides;
    (x.iter().all(alike) && first.is_dense()).then_some(first)
}

/// The expression over plain slices of one length.
#[inline]
fn run<T: LaneMath + Element, E: MultiExpr<N, M>, const N: usize, const M: usize>(
    e: E,
    x: [&[T]; N],
    out: [&mut [T]; M],
) {
    if isa() == Isa::Exact { exact(e, x, out) } else { quick(e, x, out) }
}

/// Compiled for the machine's instructions.
#[inline]
fn quick<T: LaneMath + Element, E: MultiExpr<N, M>, const N: usize, const M: usize>(
    e: E,
    x: [&[T]; N],
    out: [&mut [T]; M],
) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn wide<T: LaneMath + Element, E: MultiExpr<N, M>, const N: usize, const M: usize>(
            e: E,
            x: [&[T]; N],
            out: [&mut [T]; M],
        ) {
            body::<T, E, N, M, true>(e, x, out);
        }
        #[target_feature(enable = "avx2,fma")]
        fn vector<T: LaneMath + Element, E: MultiExpr<N, M>, const N: usize, const M: usize>(
            e: E,
            x: [&[T]; N],
            out: [&mut [T]; M],
        ) {
            body::<T, E, N, M, true>(e, x, out);
        }
        match isa() {
            // SAFETY: isa() reports only what the processor has.
            Isa::Avx512 => return unsafe { wide(e, x, out) },
            // SAFETY: so here.
            Isa::Avx2 => return unsafe { vector(e, x, out) },
            _ => {}
        }
    }
    body::<T, E, N, M, { cfg!(target_arch = "aarch64") }>(e, x, out);
}

/// With multiply-adds that are fused, by software.
#[cold]
#[inline(never)]
fn exact<T: LaneMath + Element, E: MultiExpr<N, M>, const N: usize, const M: usize>(
    e: E,
    x: [&[T]; N],
    out: [&mut [T]; M],
) {
    body::<T, E, N, M, true>(e, x, out);
}

/// Elements of the blocks in which an expression of many slices is computed.
const LANES: usize = 32;

// Plain indices become vector code; closures might not be compiled for the same instructions. This is
// compiled several times for each expression, so its loops go without ranges and bounds checks.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn body<T: LaneMath + Element, E: MultiExpr<N, M>, const N: usize, const M: usize, const FMA: bool>(
    e: E,
    mut x: [&[T]; N],
    mut out: [&mut [T]; M],
) {
    let n = if M == 0 { 0 } else { out[0].len() };
    if const { N + M <= 7 } {
        let (x, out) = places(x, out, n);
        let mut i = 0;
        while i < n {
            // SAFETY: `places` has seen that each slice has n elements.
            unsafe {
                let mut lanes = [Lane::<T, FMA>::new(T::default()); N];
                let mut k = 0;
                while k < N {
                    lanes[k] = Lane::new(*x[k].add(i));
                    k += 1;
                }
                let y = e.eval(lanes);
                let mut k = 0;
                while k < M {
                    *out[k].add(i) = y[k].value;
                    k += 1;
                }
            }
            i += 1;
        }
        return;
    }
    for k in 0..N {
        x[k] = &x[k][..n];
    }
    for k in 0..M {
        out[k] = &mut std::mem::take(&mut out[k])[..n];
    }
    // With more slices than that the compiler doesn't check whether a result lies among the operands: they
    // are copied.
    let (mut from, mut to) = ([[T::default(); LANES]; N], [[T::default(); LANES]; M]);
    for start in (0..n).step_by(LANES) {
        let len = LANES.min(n - start);
        for k in 0..N {
            copy(&x[k][start..start + len], &mut from[k]);
        }
        for i in 0..LANES {
            let mut lanes = [Lane::<T, FMA>::new(T::default()); N];
            for k in 0..N {
                lanes[k] = Lane::new(from[k][i]);
            }
            let y = e.eval(lanes);
            for k in 0..M {
                to[k][i] = y[k].value;
            }
        }
        for k in 0..M {
            match <&mut [T; LANES]>::try_from(&mut out[k][start..start + len]) {
                Ok(whole) => *whole = to[k],
                Err(_) => out[k][start..start + len].copy_from_slice(&to[k][..len]),
            }
        }
    }
}

/// Where slices begin that have n elements, or it panics.
#[inline]
fn places<T, const N: usize, const M: usize>(
    x: [&[T]; N],
    out: [&mut [T]; M],
    n: usize,
) -> ([*const T; N], [*mut T; M]) {
    (x.map(|x| x[..n].as_ptr()), out.map(|out| out[..n].as_mut_ptr()))
}

/// To the beginning of a block, a whole one without a call.
#[inline(always)]
fn copy<T: Copy>(from: &[T], to: &mut [T; LANES]) {
    match <&[T; LANES]>::try_from(from) {
        Ok(whole) => *to = *whole,
        Err(_) => to[..from.len()].copy_from_slice(from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Several;

    impl MultiExpr<5, 4> for Several {
        #[inline(always)]
        fn eval<R: Number>(&self, [a, b, c, d, e]: [R; 5]) -> [R; 4]
        where
            f64: Add<R, Output = R> + Sub<R, Output = R> + Mul<R, Output = R> + Div<R, Output = R>,
        {
            [a + b, b * c - d, d * e, 2.0 * a]
        }
    }

    #[test]
    fn many_slices_of_any_length_go_to_their_places() {
        for n in [0, 1, 31, 32, 33, 64, 100] {
            let x: [Vec<f64>; 5] = std::array::from_fn(|k| (0..n).map(|i| (k * n + i) as f64).collect());
            // Two elements more than there are results.
            let mut out: [Vec<f64>; 4] = std::array::from_fn(|_| vec![-1.0; n + 2]);
            run(Several, x.each_ref().map(Vec::as_slice), out.each_mut().map(|o| &mut o[..n]));
            for i in 0..n {
                let expected = Several.eval(x.each_ref().map(|x| x[i]));
                assert_eq!(out.each_ref().map(|o| o[i]), expected, "element {i} of {n}");
            }
            assert!(out.iter().all(|o| o[n..] == [-1.0; 2]), "{n}: what lies behind stays");
        }
    }
}
