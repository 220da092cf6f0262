//! The windows of a convolution as the columns of a matrix: laid out, and added back to where they came from.
use super::Geometry;
#[cfg(target_arch = "x86_64")]
use crate::isa::{Isa, isa};
use crate::kernels::FloatElement;

/// Part of a row of the matrix: consecutive windows in one line of the output.
#[derive(Clone, Copy)]
struct Stretch {
    /// Where it begins in the matrix, and its length.
    to: usize,
    size: usize,
    /// Windows before the first whose element is inside the sample.
    before: usize,
    /// Where that element lies, and of how many windows the element is inside.
    start: usize,
    count: usize,
}

/// Whole lines of the output, one after the other, in a row of the matrix: stretches alike, whose elements
/// lie side by side.
struct Lines {
    first: Stretch,
    count: usize,
    /// From a line's elements to the next one's.
    step: usize,
}

/// What is done with each stretch. A trait, since a closure that isn't inlined loses the caller's
/// instructions.
trait Visit {
    fn stretch(&mut self, s: Stretch);
    /// Where no window's element is inside the sample.
    fn outside(&mut self, to: usize, size: usize);
    fn lines(&mut self, lines: Lines);
}

/// Calls `lines_of` for the size if it is one of these, which images often have, and goes by stretches if it
/// couldn't.
macro_rules! by_size {
    ($visit:ident, $lines:ident, $size:expr, $($n:literal)*) => {
        let done = match $size {
            $($n => $visit.lines_of::<$n>(&$lines),)*
            _ => false,
        };
        if !done {
            $lines.each($visit);
        }
    };
}

struct LayOut<'a, T> {
    x: &'a [T],
    step: usize,
    to: &'a mut [T],
}

struct PutBack<'a, T> {
    columns: &'a [T],
    step: usize,
    x: &'a mut [T],
}

impl<T: FloatElement> Visit for LayOut<'_, T> {
    #[inline(always)]
    fn stretch(&mut self, s: Stretch) {
        if s.count == 0 {
            return self.outside(s.to, s.size);
        }
        let to = &mut self.to[s.to..][..s.size];
        zero(&mut to[..s.before]);
        let inside = &mut to[s.before..][..s.count];
        if self.step == 1 {
            copy(&self.x[s.start..][..s.count], inside);
        } else {
            inside.iter_mut().zip(self.x[s.start..].iter().step_by(self.step)).for_each(|(o, &v)| *o = v);
        }
        zero(&mut to[s.before + s.count..]);
    }

    #[inline(always)]
    fn outside(&mut self, to: usize, size: usize) {
        zero(&mut self.to[to..][..size]);
    }

    #[inline(always)]
    fn lines(&mut self, lines: Lines) {
        let size = if lines.step < lines.first.size { 0 } else { lines.first.size };
        by_size!(self, lines, size, 4 7 8 14 16 24 28 32);
    }
}

impl<T: FloatElement> LayOut<'_, T> {
    /// Lines of a fixed size, a few instructions each: what belongs to neighbours is copied as well, and then
    /// zeroed.
    #[inline(always)]
    fn lines_of<const N: usize>(&mut self, lines: &Lines) -> bool {
        let Stretch { to, before, start, count, .. } = lines.first;
        let Some(from) = start.checked_sub(before).and_then(|at| self.x.get(at..)) else { return false };
        let to = self.to[to..][..lines.count * N].as_chunks_mut::<N>().0;
        if count == N {
            for (to, from) in to.iter_mut().zip(from.chunks(lines.step)) {
                if let Some(from) = from.first_chunk::<N>() {
                    *to = *from;
                }
            }
            return true;
        }
        let end = before + count;
        for (to, from) in to.iter_mut().zip(from.chunks(lines.step)) {
            match from.first_chunk::<N>() {
                Some(from) => {
                    *to = *from;
                    zero_few(&mut to[..before]);
                    zero_few(&mut to[end..]);
                }
                // The last line of the sample.
                None => {
                    *to = [T::default(); N];
                    to[before..end].copy_from_slice(&from[before..][..count]);
                }
            }
        }
        true
    }
}

impl Lines {
    #[inline(always)]
    fn each(self, visit: &mut impl Visit) {
        for k in 0..self.count {
            let first = &self.first;
            visit.stretch(Stretch {
                to: first.to + k * first.size,
                start: first.start + k * self.step,
                ..*first
            });
        }
    }
}

impl<T: FloatElement> Visit for PutBack<'_, T> {
    #[inline(always)]
    fn stretch(&mut self, s: Stretch) {
        if s.count == 0 {
            return;
        }
        let columns = &self.columns[s.to + s.before..][..s.count];
        if self.step == 1 {
            add(columns, &mut self.x[s.start..][..s.count]);
        } else {
            let x = self.x[s.start..].iter_mut().step_by(self.step);
            x.zip(columns).for_each(|(x, &v)| *x = *x + v);
        }
    }

    #[inline(always)]
    fn outside(&mut self, _: usize, _: usize) {}

    #[inline(always)]
    fn lines(&mut self, lines: Lines) {
        by_size!(self, lines, lines.first.count, 4 7 8 14 16 24 28 32);
    }
}

impl<T: FloatElement> PutBack<'_, T> {
    #[inline(always)]
    fn lines_of<const N: usize>(&mut self, lines: &Lines) -> bool {
        let s = &lines.first;
        for k in 0..lines.count {
            let columns = self.columns[s.to + k * s.size + s.before..].first_chunk::<N>();
            let x = self.x[s.start + k * lines.step..].first_chunk_mut::<N>();
            if let (Some(columns), Some(x)) = (columns, x) {
                x.iter_mut().zip(columns).for_each(|(x, &v)| *x = *x + v);
            }
        }
        true
    }
}

/// A row of the matrix: one element of all windows. Where the first window of each axis has it (behind the
/// end if before the beginning), and the columns of the output for which it is inside the input: from `first`
/// up to `end`.
struct Row {
    channel: usize,
    begin: [usize; 3],
    first: usize,
    end: usize,
}

impl Geometry {
    /// Visits the rows of the matrix, which here has the windows `from..from + len` of one sample's group.
    #[inline(always)]
    fn rows(&self, from: usize, len: usize, visit: &mut impl Visit) {
        let columns = self.output[2];
        let [kd, kh, kw] = self.kernel;
        let step = self.stride[2];
        let whole = step == 1 && from.is_multiple_of(columns) && len.is_multiple_of(columns);
        let all = len / columns;
        let begin = |axis: usize, k: usize| (k * self.dilation[axis]).wrapping_sub(self.padding[axis]);
        let place = [from / columns / self.output[1], from / columns % self.output[1], from % columns];
        let mut to = 0;
        for channel in 0..self.inputs / self.groups {
            for d0 in (0..kd).map(|k| begin(0, k)) {
                for h0 in (0..kh).map(|k| begin(1, k)) {
                    for k in 0..kw {
                        let reach = |at: usize| {
                            let n = at.saturating_sub(k * self.dilation[2]);
                            if step == 1 { n } else { n.div_ceil(step) }
                        };
                        let first = reach(self.padding[2]).min(columns);
                        let end = reach(self.input[2] + self.padding[2]).clamp(first, columns);
                        let row = Row { channel, begin: [d0, h0, begin(2, k)], first, end };
                        if whole {
                            self.by_lines(row, place, all, to, visit);
                        } else {
                            self.by_stretches(row, place, len, to, visit);
                        }
                        to += len;
                    }
                }
            }
        }
    }

    /// A row that begins and ends with a line of the output, at stride 1.
    #[inline(always)]
    fn by_lines(
        &self,
        row: Row,
        [mut plane, mut line, _]: [usize; 3],
        mut left: usize,
        mut to: usize,
        visit: &mut impl Visit,
    ) {
        let [_, lines, columns] = self.output;
        let [depth, height, width] = self.input;
        let [d0, h0, w0] = row.begin;
        let stride = self.stride[1];
        let rounds = |n: usize| if stride == 1 { n } else { n.div_ceil(stride) };
        while left > 0 {
            // Lines of this plane: above the sample, inside it, below it.
            let n = (lines - line).min(left);
            let d = d0.wrapping_add(plane * self.stride[0]);
            let some = d < depth && row.end > row.first;
            let above = if h0 < height { 0 } else { rounds(h0.wrapping_neg()).saturating_sub(line).min(n) };
            let h = h0.wrapping_add((line + above) * stride);
            let inside = if some && h < height { rounds(height - h).min(n - above) } else { 0 };
            let above = if inside > 0 { above } else { n };
            for k in (0..above).chain(above + inside..n) {
                visit.outside(to + k * columns, columns);
            }
            if inside > 0 {
                let at = ((row.channel * depth + d) * height + h) * width;
                let start = at.wrapping_add(w0).wrapping_add(row.first);
                let (before, count) = (row.first, row.end - row.first);
                let first = Stretch { to: to + above * columns, size: columns, before, start, count };
                visit.lines(Lines { first, count: inside, step: stride * width });
            }
            to += n * columns;
            left -= n;
            (plane, line) = (plane + 1, 0);
        }
    }

    #[inline(always)]
    fn by_stretches(&self, row: Row, place: [usize; 3], len: usize, mut to: usize, visit: &mut impl Visit) {
        let [_, lines, columns] = self.output;
        let [depth, height, width] = self.input;
        let [d0, h0, w0] = row.begin;
        let step = self.stride[2];
        let [mut plane, mut line, mut column] = place;
        let last = to + len;
        while to < last {
            let size = (columns - column).min(last - to);
            let d = d0.wrapping_add(plane * self.stride[0]);
            let h = h0.wrapping_add(line * self.stride[1]);
            let mut s = Stretch { to, size, before: size, start: 0, count: 0 };
            if d < depth && h < height {
                let inside = |at: usize| at.clamp(column, column + size);
                let (low, high) = (inside(row.first), inside(row.end));
                let at = ((row.channel * depth + d) * height + h) * width;
                let start = at.wrapping_add(w0).wrapping_add(low * step);
                s = Stretch { before: low - column, start, count: high - low, ..s };
            }
            visit.stretch(s);
            to += size;
            column = 0;
            line += 1;
            if line == lines {
                (plane, line) = (plane + 1, 0);
            }
        }
    }

    /// The windows of one sample's group as the columns of a matrix with rows of `len`.
    pub fn lay_out<T: FloatElement>(&self, x: &[T], from: usize, len: usize, to: &mut [T]) {
        lay_out(self, x, from, len, to);
    }

    /// Adds the columns to where they came from.
    pub fn put_back<T: FloatElement>(&self, columns: &[T], from: usize, len: usize, x: &mut [T]) {
        put_back(self, columns, from, len, x);
    }
}

/// As `vectorised!`, but for 256 bits at most, which are enough for lines of images.
macro_rules! narrow {
    (fn $name:ident($($a:ident: $t:ty),*) $body:block) => {
        fn $name<T: FloatElement>($($a: $t),*) {
            #[inline(always)]
            fn body<T: FloatElement>($($a: $t),*) $body
            #[cfg(target_arch = "x86_64")]
            if isa() >= Isa::Avx2 {
                #[target_feature(enable = "avx2,fma")]
                fn vector<T: FloatElement>($($a: $t),*) {
                    body($($a),*)
                }
                // SAFETY: isa() reports Avx2 only where the processor has avx2 and fma.
                return unsafe { vector($($a),*) };
            }
            body($($a),*)
        }
    };
}

narrow! {
    fn lay_out(g: &Geometry, x: &[T], from: usize, len: usize, to: &mut [T]) {
        g.rows(from, len, &mut LayOut { x, step: g.stride[2], to });
    }
}

narrow! {
    fn put_back(g: &Geometry, columns: &[T], from: usize, len: usize, x: &mut [T]) {
        g.rows(from, len, &mut PutBack { columns, step: g.stride[2], x });
    }
}

/// Rows of images are short: a call of the system's copy would take longer than the copying. So it goes by
/// pieces of fixed sizes, which are a few instructions each.
#[inline(always)]
pub(super) fn copy<T: FloatElement>(mut from: &[T], mut to: &mut [T]) {
    if from.len() >= 128 {
        return to.copy_from_slice(from);
    }
    copy_piece::<T, 64>(&mut from, &mut to);
    copy_piece::<T, 32>(&mut from, &mut to);
    copy_piece::<T, 16>(&mut from, &mut to);
    copy_piece::<T, 8>(&mut from, &mut to);
    copy_piece::<T, 4>(&mut from, &mut to);
    copy_piece::<T, 2>(&mut from, &mut to);
    copy_piece::<T, 1>(&mut from, &mut to);
}

#[inline(always)]
fn copy_piece<T: FloatElement, const N: usize>(from: &mut &[T], to: &mut &mut [T]) {
    if from.len() >= N
        && let Some((piece, rest)) = from.split_first_chunk::<N>()
        && let Some((target, others)) = std::mem::take(to).split_first_chunk_mut::<N>()
    {
        *target = *piece;
        (*from, *to) = (rest, others);
    }
}

/// The same goes for filling.
#[inline(always)]
fn zero<T: FloatElement>(mut to: &mut [T]) {
    if to.len() >= 64 {
        return to.fill(T::default());
    }
    zero_piece::<T, 32>(&mut to);
    zero_piece::<T, 16>(&mut to);
    zero_piece::<T, 8>(&mut to);
    zero_piece::<T, 4>(&mut to);
    zero_piece::<T, 2>(&mut to);
    zero_piece::<T, 1>(&mut to);
}

/// Two or three.
#[inline(always)]
fn zero_few<T: FloatElement>(to: &mut [T]) {
    for t in to {
        // Opaque, or it becomes a call.
        *t = std::hint::black_box(T::default());
    }
}

#[inline(always)]
fn zero_piece<T: FloatElement, const N: usize>(to: &mut &mut [T]) {
    if to.len() >= N
        && let Some((target, others)) = std::mem::take(to).split_first_chunk_mut::<N>()
    {
        *target = [T::default(); N];
        *to = others;
    }
}

#[inline(always)]
fn add<T: FloatElement>(from: &[T], to: &mut [T]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
    for (to, from) in to.iter_mut().zip(from) {
        to.iter_mut().zip(from).for_each(|(t, &f)| *t = *t + f);
    }
    let ((from, from_rest), (to, to_rest)) = (from_rest.as_chunks::<4>(), to_rest.as_chunks_mut::<4>());
    for (to, from) in to.iter_mut().zip(from) {
        to.iter_mut().zip(from).for_each(|(t, &f)| *t = *t + f);
    }
    to_rest.iter_mut().zip(from_rest).for_each(|(t, &f)| *t = *t + f);
}
