//! Tensors of the naive evaluator: a shape and its elements in row-major order; no strides, no sharing.
use super::number::N;

#[derive(Clone, Debug)]
pub struct Arr {
    pub shape: Vec<usize>,
    pub data: Vec<N>,
}

/// All indices of a shape, in row-major order.
pub fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &size in shape {
        all = all.iter().flat_map(|head| (0..size).map(move |i| [&head[..], &[i]].concat())).collect();
    }
    all
}

/// An axis counted from either end.
pub fn axis(dim: isize, rank: usize) -> usize {
    (if dim < 0 { dim + rank as isize } else { dim }) as usize
}

/// The shape that two broadcast to.
pub fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    let rank = a.len().max(b.len());
    let size = |s: &[usize], i: usize| if i + s.len() < rank { 1 } else { s[i + s.len() - rank] };
    (0..rank).map(|i| if size(a, i) == 1 { size(b, i) } else { size(a, i) }).collect()
}

impl Arr {
    pub fn new(shape: &[usize], data: Vec<N>) -> Arr {
        assert_eq!(data.len(), shape.iter().product::<usize>(), "elements of {shape:?}");
        Arr { shape: shape.to_vec(), data }
    }

    pub fn build(shape: &[usize], f: impl FnMut(&[usize]) -> N) -> Arr {
        let mut f = f;
        Arr { shape: shape.to_vec(), data: indices(shape).iter().map(|i| f(i)).collect() }
    }

    pub fn one(value: N) -> Arr {
        Arr { shape: vec![], data: vec![value] }
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    pub fn dim(&self, dim: isize) -> usize {
        self.shape[axis(dim, self.rank())]
    }

    pub fn at(&self, index: &[usize]) -> N {
        assert_eq!(index.len(), self.rank());
        let place = index.iter().zip(&self.shape).fold(0, |p, (&i, &size)| {
            assert!(i < size, "{index:?} of {:?}", self.shape);
            p * size + i
        });
        self.data[place]
    }

    /// The element for an index of a shape that this broadcasts to.
    pub fn spread(&self, index: &[usize]) -> N {
        let own = &index[index.len() - self.rank()..];
        self.at(&own
            .iter()
            .zip(&self.shape)
            .map(|(&i, &size)| if size == 1 { 0 } else { i })
            .collect::<Vec<_>>())
    }

    pub fn expand(&self, shape: &[usize]) -> Arr {
        Arr::build(shape, |i| self.spread(i))
    }

    pub fn map(&self, f: impl Fn(N) -> N) -> Arr {
        Arr { shape: self.shape.clone(), data: self.data.iter().map(|&x| f(x)).collect() }
    }

    pub fn zip(&self, other: &Arr, f: impl Fn(N, N) -> N) -> Arr {
        Arr::build(&broadcast(&self.shape, &other.shape), |i| f(self.spread(i), other.spread(i)))
    }

    pub fn reshape(&self, shape: &[usize]) -> Arr {
        Arr::new(shape, self.data.clone())
    }

    pub fn permute(&self, axes: &[usize]) -> Arr {
        let shape: Vec<usize> = axes.iter().map(|&a| self.shape[a]).collect();
        Arr::build(&shape, |i| {
            let mut from = vec![0; i.len()];
            axes.iter().zip(i).for_each(|(&a, &i)| from[a] = i);
            self.at(&from)
        })
    }

    pub fn transpose(&self, a: isize, b: isize) -> Arr {
        let mut axes: Vec<usize> = (0..self.rank()).collect();
        axes.swap(axis(a, self.rank()), axis(b, self.rank()));
        self.permute(&axes)
    }

    /// The elements along some axes (none named: all), folded.
    pub fn fold(&self, dims: &[isize], keepdim: bool, f: impl Fn(&[N]) -> N) -> Arr {
        let rank = self.rank();
        let over = |a: usize| dims.is_empty() || dims.iter().any(|&d| axis(d, rank) == a);
        let kept: Vec<usize> = (0..rank).map(|a| if over(a) { 1 } else { self.shape[a] }).collect();
        let inner: Vec<usize> = (0..rank).map(|a| if over(a) { self.shape[a] } else { 1 }).collect();
        let inside = indices(&inner);
        let out = Arr::build(&kept, |i| {
            let line =
                inside.iter().map(|j| self.at(&i.iter().zip(j).map(|(a, b)| a + b).collect::<Vec<_>>()));
            f(&line.collect::<Vec<_>>())
        });
        if keepdim {
            return out;
        }
        let shape: Vec<usize> = (0..rank).filter(|&a| !over(a)).map(|a| self.shape[a]).collect();
        out.reshape(&shape)
    }

    /// Each line along an axis turned into another.
    pub fn along(&self, dim: isize, f: impl Fn(&[N]) -> Vec<N>) -> Arr {
        let last = self.transpose(dim, -1);
        let rows = last.data.chunks(self.dim(dim).max(1)).map(f).collect::<Vec<_>>();
        let mut shape = last.shape;
        if let (Some(row), Some(size)) = (rows.first(), shape.last_mut()) {
            *size = row.len();
        }
        Arr::new(&shape, rows.concat()).transpose(dim, -1)
    }

    /// Elements at other places along an axis.
    pub fn pick(&self, dim: isize, places: &[usize]) -> Arr {
        let a = axis(dim, self.rank());
        let mut shape = self.shape.clone();
        shape[a] = places.len();
        Arr::build(&shape, |i| {
            let mut from = i.to_vec();
            from[a] = places[i[a]];
            self.at(&from)
        })
    }

    /// `[…, n, k] x […, k, m]`, leading axes broadcasting.
    pub fn matmul(&self, other: &Arr) -> Arr {
        let (r, s) = (self.rank(), other.rank());
        let mut shape = broadcast(&self.shape[..r - 2], &other.shape[..s - 2]);
        let lead = shape.len();
        shape.extend([self.shape[r - 2], other.shape[s - 1]]);
        Arr::build(&shape, |i| {
            let (i, j, at) = (i[lead], i[lead + 1], &i[..lead]);
            let k = 0..self.shape[r - 1];
            k.map(|k| self.spread(&[at, &[i, k]].concat()) * other.spread(&[at, &[k, j]].concat())).sum()
        })
    }
}
