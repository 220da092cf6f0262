//! Windows of pooling: where the elements of each lie along an axis, and which of them is the largest.
use super::{list::Float, take::NOWHERE};
use crate::{
    error::Checked,
    kernels::pool,
    tensor::{
        Shape, Tensor,
        room::{listed, room},
    },
    threads::for_chunks,
};

/// The windows along one axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    size: usize,
    pub count: usize,
    pub len: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Strided {
        stride: usize,
        padding: usize,
        dilation: usize,
    },
    /// They share the axis out among them.
    Adaptive,
}

impl Windows {
    pub fn strided(
        size: usize,
        count: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        dilation: usize,
    ) -> Windows {
        Windows { size, count, len: kernel, kind: Kind::Strided { stride, padding, dilation } }
    }

    /// So many windows that share the axis out among them.
    pub fn adaptive(size: usize, count: usize) -> Windows {
        let shared = Windows { size, count, len: 0, kind: Kind::Adaptive };
        let len = (0..count).map(|w| shared.share(w).1 - shared.share(w).0).max().unwrap_or(1);
        Windows { len, ..shared }
    }

    /// Beginning and end of a window that shares the axis with the others.
    fn share(&self, w: usize) -> (usize, usize) {
        (w * self.size / self.count, ((w + 1) * self.size).div_ceil(self.count))
    }

    /// The places of the elements of window w: a window may be much longer than the axis, so what is outside
    /// isn't looked at.
    fn window(&self, w: usize) -> impl ExactSizeIterator<Item = u32> + use<> {
        let (first, step, n) = match self.kind {
            Kind::Strided { stride, padding, dilation } => {
                let start = w * stride;
                let before = padding.saturating_sub(start).div_ceil(dilation).min(self.len);
                let end = self.size + padding;
                let until = end.saturating_sub(start).div_ceil(dilation).min(self.len);
                // An element that isn't there has no place.
                let first = (start + before.saturating_mul(dilation)).saturating_sub(padding);
                (first, dilation, until.saturating_sub(before))
            }
            Kind::Adaptive => {
                let (start, end) = self.share(w);
                (start, 1, end - start)
            }
        };
        (0..n).map(move |k| (first + k * step) as u32)
    }

    /// The places of all windows, and how many each has: filled up with [`NOWHERE`] to as many as the
    /// fullest.
    pub fn places(&self) -> Checked<(Vec<u32>, usize)> {
        let most = (0..self.count).map(|w| self.window(w).len()).max().unwrap_or(0);
        let filled = |w| self.window(w).chain(std::iter::repeat(NOWHERE)).take(most);
        Ok((listed(self.count.saturating_mul(most), (0..self.count).flat_map(filled))?, most))
    }

    /// The places of each window where there are elements.
    fn elements(&self) -> Checked<Vec<Vec<u32>>> {
        // Many short lists: whether there is room for all of them is asked at once.
        drop(room::<u32>(self.count.saturating_mul(self.len))?);
        let mut all = room(self.count)?;
        for window in (0..self.count).map(|w| self.window(w)) {
            all.push(listed(window.len(), window)?);
        }
        Ok(all)
    }

    /// Whether there is one window, which has each element of the axis once.
    pub fn is_whole(&self) -> bool {
        self.count == 1 && self.window(0).eq(0..self.size as u32)
    }

    /// The number of elements in each window.
    pub fn real(&self) -> Checked<Vec<f64>> {
        listed(self.count, (0..self.count).map(|w| self.window(w).len() as f64))
    }

    /// A window without an element, if there is one.
    pub fn empty(&self) -> Option<usize> {
        (0..self.count).find(|&w| self.window(w).len() == 0)
    }

    /// The number of places in each window, those of the padding with them; not what a window of `ceil_mode`
    /// reaches beyond.
    pub fn padded(&self) -> Checked<Vec<f64>> {
        let Kind::Strided { stride, padding, .. } = self.kind else { return self.real() };
        let end = self.size + 2 * padding;
        let places = |w: usize| ((w * stride + self.len).min(end) - w * stride) as f64;
        listed(self.count, (0..self.count).map(places))
    }

    /// The distance between windows, if each is a run of places that are all inside.
    fn runs(&self) -> Option<usize> {
        match self.kind {
            Kind::Strided { stride, padding: 0, dilation: 1 }
                if (self.count - 1) * stride + self.len <= self.size =>
            {
                Some(stride)
            }
            _ => None,
        }
    }
}

/// The flat positions of the first largest element of every window; a NaN is the largest.
pub(super) fn largest<T: Float>(x: &Tensor<T>, windows: &[Windows]) -> Tensor<u32> {
    let (lead, axes) = x.shape().split_at(x.rank() - windows.len());
    let shape: Shape = lead.iter().copied().chain(windows.iter().map(|w| w.count)).collect();
    let (plane, width) = (axes.iter().product::<usize>(), axes.last().copied().unwrap_or(1));
    let x = match x.contiguous().made() {
        Ok(x) => x,
        Err(why) => return Tensor::lacking(why),
    };
    let data = x.as_slice().unwrap_or_default();
    // One axis is an image of one line.
    let line = Windows::strided(1, 1, 1, 1, 0, 1);
    let (rows, columns) = match windows {
        [rows, columns] => (rows, columns),
        [columns] => (&line, columns),
        _ => (&line, &line),
    };
    let per_plane = (rows.count * columns.count).max(1);
    if let (Some(row_stride), Some(stride)) = (rows.runs(), columns.runs()) {
        let kernel = [rows.len, columns.len];
        return Tensor::build(shape, |out: &mut [u32]| {
            let planes = (GRAIN / plane.max(1)).max(1);
            for_chunks(out, planes * per_plane, |start, out| {
                for (k, out) in out.chunks_exact_mut(columns.count.max(1)).enumerate() {
                    let line = start / columns.count.max(1) + k;
                    let first = line / rows.count * plane + line % rows.count * row_stride * width;
                    pool::largest(data, first, width, kernel, stride, out);
                }
            });
        });
    }
    let (rows, columns) = match (rows.elements(), columns.elements()) {
        (Ok(rows), Ok(columns)) => (rows, columns),
        (Err(why), _) | (_, Err(why)) => return Tensor::lacking(why),
    };
    let columns = match Columns::new(&columns) {
        Ok(columns) => columns,
        Err(why) => return Tensor::lacking(why),
    };
    Tensor::build(shape, |out: &mut [u32]| {
        for_chunks(out, per_plane, |start, out| {
            let offset = start / per_plane * plane;
            let data = &data[offset..offset + plane];
            for (out, rows) in out.chunks_exact_mut(columns.count()).zip(&rows) {
                columns.largest(data, width, rows, out);
                out.iter_mut().for_each(|place| *place += offset as u32);
            }
        });
    })
}

/// Elements of a task.
const GRAIN: usize = 32 * 1024;

/// The columns of the windows in a line of an image.
enum Columns<'a> {
    /// All windows have as many columns: the first ones of all windows, the second ones, …
    Even(Vec<Vec<u32>>, usize),
    Uneven(&'a [Vec<u32>]),
}

impl Columns<'_> {
    fn new(columns: &[Vec<u32>]) -> Checked<Columns<'_>> {
        let len = columns.first().map_or(0, Vec::len);
        if columns.iter().any(|c| c.len() != len) {
            return Ok(Columns::Uneven(columns));
        }
        let mut turned = room(len)?;
        for k in 0..len {
            turned.push(listed(columns.len(), columns.iter().map(|c| c[k]))?);
        }
        Ok(Columns::Even(turned, columns.len()))
    }

    fn count(&self) -> usize {
        match self {
            Columns::Even(_, count) => *count,
            Columns::Uneven(columns) => columns.len(),
        }
        .max(1)
    }

    /// The positions of the largest elements of a line of windows, which have these rows.
    #[inline(always)]
    fn largest<T: Float>(&self, data: &[T], width: usize, rows: &[u32], out: &mut [u32]) {
        let columns = match self {
            Columns::Even(columns, _) => columns,
            Columns::Uneven(columns) => {
                for (place, columns) in out.iter_mut().zip(*columns) {
                    *place = first_largest(data, width, rows, columns);
                }
                return;
            }
        };
        // All windows side by side, one element of each after the other: without branches, which would be
        // missed often.
        for (k, (&row, columns)) in rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c))).enumerate()
        {
            let start = row * width as u32;
            for (place, &column) in out.iter_mut().zip(columns) {
                let at = start + column;
                let (v, most) = (data[at as usize], data[*place as usize * (k > 0) as usize]);
                let nan = |v: T| v.partial_cmp(&v).is_none();
                let larger = (k == 0) | (v > most) | (nan(v) & !nan(most));
                *place = if larger { at } else { *place };
            }
        }
    }
}

/// The position of the first largest of the elements in these rows and columns, of which there is at least
/// one.
#[inline(always)]
fn first_largest<T: Float>(data: &[T], width: usize, rows: &[u32], columns: &[u32]) -> u32 {
    let mut best: Option<(T, u32)> = None;
    for &r in rows {
        for &c in columns {
            let at = r * width as u32 + c;
            let v = data[at as usize];
            match best {
                // Not above and not below either: one of both is NaN.
                Some((most, _)) if v <= most || (most.partial_cmp(&most).is_none()) => {}
                _ => best = Some((v, at)),
            }
        }
    }
    best.map_or(0, |(_, at)| at)
}
