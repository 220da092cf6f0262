//! How a kernel gets to see plain slices of operands that lie in any way: runs along the last axis, one by one or, where
//! they are short, several of them brought together in a block.
use crate::{
    tensor::{
        Element, Layout,
        strided::{Axes, copy_run, for_runs, merge_axes},
    },
    threads,
};

/// Elements of the blocks that strided operands are brought into.
pub(super) const BLOCK: usize = 512;
/// Fewest elements worth a task of their own. Splitting never changes a result: elements are independent.
const GRAIN: usize = 16 * 1024;

/// An expression over plain slices of one length. Only this is compiled for each expression: what finds
/// and splits the slices is the same for all, or the crate would take minutes to compile.
pub(super) type Kernel<'a, T, const N: usize, const M: usize> = &'a (dyn Fn([&[T]; N], [&mut [T]; M]) + Sync);

/// Splits the range 0..n and the outputs among threads.
pub(super) fn parallel<T: Element, const M: usize>(
    n: usize,
    out: &mut [&mut [T]; M],
    f: threads::Part<T, M>,
) {
    if n < 2 * GRAIN || threads::num_threads() == 1 {
        return f(0, n, out.each_mut().map(|o| &mut **o));
    }
    let parts = threads::num_threads().min(n / GRAIN);
    let size = n.div_ceil(parts).next_multiple_of(64);
    threads::for_parts(out, n, size, f);
}

pub(super) fn walk<T: Element, const N: usize, const M: usize>(
    kernel: Kernel<T, N, M>,
    data: [&[T]; N],
    layouts: &[Layout; N],
    out: &mut [&mut [T]; M],
) {
    let axes: Axes<N> = merge_axes(&layouts[0].shape, std::array::from_fn(|k| layouts[k].strides.as_slice()));
    let start = std::array::from_fn(|k| layouts[k].offset as isize);
    parallel(layouts[0].shape.numel(), out, &|from, to, out| {
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
