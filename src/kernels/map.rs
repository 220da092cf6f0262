//! Element by element: one expression over N operands of one shape, strided or broadcast, into new data.
//! The expression is compiled once for each instruction set and element type; operands that don't lie in
//! row-major order are brought into small blocks first, so that every inner loop sees plain slices.
use crate::{
    isa::{Isa, isa},
    real::{
        Arithmetic, Lane, Number,
        lane_math::{Forms, LaneMath},
    },
    tensor::{
        Element, Layout, Shape, Tensor, Unfilled,
        strided::{Axes, copy_run, for_runs, merge_axes},
    },
    threads,
};
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

/// Elements of the blocks that strided operands are brought into.
const BLOCK: usize = 512;
/// Fewest elements worth a task of their own. Splitting never changes a result: elements are independent.
const GRAIN: usize = 16 * 1024;

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

/// An expression over plain slices of one length. Only this is compiled for each expression: what finds
/// and splits the slices is the same for all, or the crate would take minutes to compile.
type Kernel<'a, T, const N: usize, const M: usize> = &'a (dyn Fn([&[T]; N], [&mut [T]; M]) + Sync);

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
        parallel(shape.numel(), &mut slices, |from, to, out| kernel(plain.map(|p| &p[from..to]), out));
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

/// Splits the range 0..n and the outputs among threads.
fn parallel<T: Element, const M: usize>(
    n: usize,
    out: &mut [&mut [T]; M],
    f: impl Fn(usize, usize, [&mut [T]; M]) + Sync,
) {
    if n < 2 * GRAIN || threads::num_threads() == 1 {
        return f(0, n, out.each_mut().map(|o| &mut **o));
    }
    let parts = threads::num_threads().min(n / GRAIN);
    let size = n.div_ceil(parts).next_multiple_of(64);
    threads::for_parts(out, n, size, f);
}

fn walk<T: Element, const N: usize, const M: usize>(
    kernel: Kernel<T, N, M>,
    data: [&[T]; N],
    layouts: &[Layout; N],
    out: &mut [&mut [T]; M],
) {
    let axes: Axes<N> = merge_axes(&layouts[0].shape, std::array::from_fn(|k| layouts[k].strides.as_slice()));
    let start = std::array::from_fn(|k| layouts[k].offset as isize);
    parallel(layouts[0].shape.numel(), out, |from, to, out| {
        walk_runs(kernel, data, &axes, start, from, to, out)
    });
}

/// The elements `from..to`: runs along the last axis that are long in pieces, short ones several at a time.
fn walk_runs<T: Element, const N: usize, const M: usize>(
    kernel: Kernel<T, N, M>,
    data: [&[T]; N],
    axes: &Axes<N>,
    start: [isize; N],
    from: usize,
    to: usize,
    mut out: [&mut [T]; M],
) {
    let Some((&(len, steps), outer)) = axes.split_last() else { return };
    // The axis before the last, if its runs are taken together.
    let together = outer.last().filter(|_| len <= BLOCK / 2);
    let &(runs, strides) = together.unwrap_or(&(1, [0; N]));
    let planes = &axes[..axes.len() - usize::from(together.is_some())];
    let mut blocks: [Block<T>; N] =
        std::array::from_fn(|_| Block { elements: [T::default(); BLOCK], holds: None });
    let plane = runs * len;
    for_runs(planes, start, from / plane, to.div_ceil(plane), |number, at| {
        let (mut first, last) = (from.max(number * plane), to.min((number + 1) * plane));
        while first < last {
            // Whole runs from the beginning of one on, or a part of one.
            let (run, skipped) = ((first - number * plane) / len, (first - number * plane) % len);
            let whole = (last - first).min(BLOCK) / len;
            let (rows, size) = match whole {
                0 => (1, (len - skipped).min(last - first).min(BLOCK)),
                _ if skipped > 0 => (1, len - skipped),
                _ => (whole, len),
            };
            let mut k = 0;
            let x: [&[T]; N] = blocks.each_mut().map(|block| {
                let (p, steps) =
                    (at[k] + run as isize * strides[k] + skipped as isize * steps[k], [strides[k], steps[k]]);
                let operand = data[k];
                k += 1;
                block.slice(operand, p, steps, [rows, size])
            });
            let range = first - from..first - from + rows * size;
            first += rows * size;
            kernel(x, out.each_mut().map(|o| &mut o[range.clone()]));
        }
    });
}

/// Some runs of an operand that don't lie one behind the other, brought together.
struct Block<T> {
    elements: [T; BLOCK],
    /// Where what it holds comes from, by what steps, and how many runs of how many elements.
    holds: Option<(isize, [isize; 2], [usize; 2])>,
}

impl<T: Element> Block<T> {
    /// The elements at `p`, `rows` times `size` of them.
    #[inline]
    fn slice<'a>(
        &'a mut self,
        operand: &'a [T],
        p: isize,
        [stride, step]: [isize; 2],
        [rows, size]: [usize; 2],
    ) -> &'a [T] {
        let all = rows * size;
        if step == 1 && (rows == 1 || stride == size as isize) {
            return &operand[p as usize..p as usize + all];
        }
        let steps = [stride, step];
        if let Some((at, by, [most, each])) = self.holds
            && at == p
            && by == steps
            && each == size
            && most >= rows
        {
            return &self.elements[..all];
        }
        self.holds = Some((p, steps, [rows, size]));
        let block = &mut self.elements[..all];
        if stride == 0 {
            // One run, again and again.
            let mut done = if step == 0 { all } else { size };
            copy_run(operand, p, step, &mut block[..done]);
            while done < all {
                let more = done.min(all - done);
                block.copy_within(..more, done);
                done += more;
            }
        } else {
            for (row, out) in block.chunks_exact_mut(size).enumerate() {
                copy_run(operand, p + row as isize * stride, step, out);
            }
        }
        &self.elements[..all]
    }
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

// Plain indices become vector code; closures might not be compiled for the same instructions.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn body<T: LaneMath + Element, E: MultiExpr<N, M>, const N: usize, const M: usize, const FMA: bool>(
    e: E,
    mut x: [&[T]; N],
    mut out: [&mut [T]; M],
) {
    let n = if M == 0 { 0 } else { out[0].len() };
    // Slices of one length let the compiler drop the bounds checks, which would keep the loop scalar. Loops
    // and not `map`, which would be compiled anew for every expression.
    for k in 0..N {
        x[k] = &x[k][..n];
    }
    for k in 0..M {
        out[k] = &mut std::mem::take(&mut out[k])[..n];
    }
    if const { N + M <= 7 } {
        for i in 0..n {
            let mut lanes = [Lane::<T, FMA>::new(T::default()); N];
            for k in 0..N {
                lanes[k] = Lane::new(x[k][i]);
            }
            let y = e.eval(lanes);
            for k in 0..M {
                out[k][i] = y[k].value;
            }
        }
        return;
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
