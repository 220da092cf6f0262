//! Rows of numbers that stand anywhere in a list, taken together and given back: what programs of scalars are
//! run with. A row is one value for each of several runs of a program, or a single one.
use super::{FloatElement, vectorised::vectorised};

/// What goes back to an operand, of the adjoint of a result and one more number. Where the adjoint is 0
/// nothing does, however steep the slope is.
pub(crate) trait Flow: Copy {
    fn of<T: FloatElement>(self, g: T, x: T) -> T;
}

macro_rules! flows {
    ($($(#[$m:meta])* $name:ident |$g:ident, $x:ident| $e:expr;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name;
        impl Flow for $name {
            #[inline(always)]
            fn of<T: FloatElement>(self, $g: T, $x: T) -> T {
                let _ = $x;
                $e
            }
        }
    )*};
}
flows! {
    /// The adjoint itself.
    Whole |g, x| g;
    /// Its negative.
    Negative |g, x| -g;
    /// The adjoint times the number.
    Times |g, x| T::select(g.equal(T::constant(0.0)), T::constant(0.0), g * x);
    /// The number, which is what the derivative rule made of the adjoint.
    Given |g, x| T::select(g.equal(T::constant(0.0)), T::constant(0.0), x);
}

/// Partial sums of what many rows give to one: so many, whatever the length of a row.
pub(crate) const PARTS: usize = 16;

vectorised! {
    /// Adds what flows back from `g` and `x`, which may be a single number, to the adjoints `to`.
    pub(crate) fn give [F: Flow] (flow: F, g: &[T], x: &[T], to: &mut [T]) {
        let n = to.len();
        let g = &g[..n];
        if x.len() == 1 {
            let x = x[0];
            for i in 0..n {
                to[i] = to[i] + flow.of(g[i], x);
            }
        } else {
            let x = &x[..n];
            for i in 0..n {
                to[i] = to[i] + flow.of(g[i], x[i]);
            }
        }
    }
}

vectorised! {
    /// Adds what flows back to the partial sums `parts`, piece by piece of their length.
    pub(crate) fn fold [F: Flow] (flow: F, g: &[T], x: &[T], parts: &mut [T]) {
        let n = parts.len();
        let x = &x[..g.len()];
        let mut done = 0;
        if n == PARTS {
            let mut sums = [T::constant(0.0); PARTS];
            sums.copy_from_slice(parts);
            while done + PARTS <= g.len() {
                let (g, x) = (&g[done..done + PARTS], &x[done..done + PARTS]);
                for i in 0..PARTS {
                    sums[i] = sums[i] + flow.of(g[i], x[i]);
                }
                done += PARTS;
            }
            parts.copy_from_slice(&sums);
        }
        while done < g.len() {
            let size = n.min(g.len() - done);
            let (g, x) = (&g[done..done + size], &x[done..done + size]);
            let sums = &mut parts[..size];
            for i in 0..size {
                sums[i] = sums[i] + flow.of(g[i], x[i]);
            }
            done += size;
        }
    }
}

vectorised! {
    /// Joins the partial sums of so many rows, two halves at a time, adds the sum to the row `to`, and makes
    /// them zero.
    pub(crate) fn join (rows: usize, parts: &mut [T], to: &mut [T]) {
        let row = to.len();
        let parts = &mut parts[..rows.next_power_of_two().min(PARTS) * row];
        let mut size = parts.len();
        while size > row {
            size /= 2;
            let (low, high) = parts.split_at_mut(size);
            let high = &high[..size];
            for i in 0..size {
                low[i] = low[i] + high[i];
            }
        }
        let sums = &parts[..row];
        for i in 0..row {
            to[i] = to[i] + sums[i];
        }
        parts.fill(T::constant(0.0));
    }
}

vectorised! {
    /// `out + a·b`, or `a·b` alone if it is the first; `b` may be a single number.
    pub(crate) fn products (first: bool, a: &[T], b: &[T], out: &mut [T]) {
        let n = out.len();
        let a = &a[..n];
        if b.len() == 1 {
            let b = b[0];
            if first {
                for i in 0..n {
                    out[i] = a[i] * b;
                }
            } else {
                for i in 0..n {
                    out[i] = out[i] + a[i] * b;
                }
            }
        } else {
            let b = &b[..n];
            if first {
                for i in 0..n {
                    out[i] = a[i] * b[i];
                }
            } else {
                for i in 0..n {
                    out[i] = out[i] + a[i] * b[i];
                }
            }
        }
    }
}

/// Rows of `len` numbers from places of `from`.
pub(crate) fn take<T: FloatElement>(places: &[u32], len: usize, from: &[T], out: &mut [T]) {
    if len == 1 {
        for (out, &place) in out.iter_mut().zip(places) {
            *out = from[place as usize];
        }
        return;
    }
    for (out, &place) in out.chunks_exact_mut(len).zip(places) {
        out.copy_from_slice(&from[place as usize * len..][..len]);
    }
}

/// Adds what flows back from rows of `len` numbers to the adjoints at places of `to`, one after the other.
pub(crate) fn give_to<T: FloatElement, F: Flow>(
    flow: F,
    places: &[u32],
    len: usize,
    g: &[T],
    x: &[T],
    to: &mut [T],
) {
    if len == 1 {
        for ((&g, &x), &place) in g.iter().zip(x).zip(places) {
            let to = &mut to[place as usize];
            *to = *to + flow.of(g, x);
        }
        return;
    }
    for ((g, x), &place) in g.chunks_exact(len).zip(x.chunks_exact(len)).zip(places) {
        give(flow, g, x, &mut to[place as usize * len..][..len]);
    }
}

/// Rows and columns that are turned together.
const SQUARE: usize = 8;

vectorised! {
    /// Writes the columns of `from`, rows of `width` numbers of which the first few are taken, as rows of
    /// `to`, which are `far` apart.
    pub(crate) fn turn (from: &[T], width: usize, columns: usize, to: &mut [T], far: usize) {
        let rows = from.len().div_ceil(width);
        for left in (0..columns).step_by(SQUARE) {
            let right = columns.min(left + SQUARE);
            for top in (0..rows).step_by(SQUARE) {
                if top + SQUARE <= rows && left + SQUARE <= columns {
                    let mut square = [[T::constant(0.0); SQUARE]; SQUARE];
                    for i in 0..SQUARE {
                        let row = &from[(top + i) * width + left..][..SQUARE];
                        for k in 0..SQUARE {
                            square[k][i] = row[k];
                        }
                    }
                    for k in 0..SQUARE {
                        to[(left + k) * far + top..][..SQUARE].copy_from_slice(&square[k]);
                    }
                    continue;
                }
                for i in top..rows.min(top + SQUARE) {
                    for k in left..right {
                        to[k * far + i] = from[i * width + k];
                    }
                }
            }
        }
    }
}
