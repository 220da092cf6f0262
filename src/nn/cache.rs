//! What attention keeps of the places that it has seen, so that each further one costs one place and no more.
use crate::{
    error::Checked,
    ops::Float,
    tape::Var,
    tensor::{Index, Shape, Tensor},
};

/// Keys and values of the places so far, of one layer: what comes next is appended, and queries of the new
/// places see all of them with [`causal_lower_right`](crate::ops::AttentionOptions::causal_lower_right).
///
/// A place's result is the same, whether places come one by one, a few at a time or all at once, but for the
/// rounding of sums: products of few rows add in another order. A clone costs nothing until one of both is
/// appended to: so several texts can go on from one beginning.
///
/// ```
/// use kolmo::{Tape, Tensor, nn::KvCache, ops::AttentionOptions};
/// let x = Tensor::<f32>::from_fn([1, 2, 5, 4], |i| (i as f32).sin()); // [batch, heads, places, width]
/// let causal = AttentionOptions::new().causal_lower_right(true);
/// let mut tape = Tape::inference();
/// let mut cache = KvCache::new();
/// let mut last = Vec::new();
/// for at in 0..5 {
///     tape.reset();
///     let x = tape.constant(x.narrow(-2, at, 1)?); // a new place: here query, key and value in one
///     let (keys, values) = cache.append(&x, &x);
///     last = x.scaled_dot_product_attention(&keys, &values, &causal).to_vec()?;
/// }
/// let x = tape.constant(&x);
/// let all = x.scaled_dot_product_attention(&x, &x, &causal);
/// let expected = all.narrow(-2, 4, 1).to_vec()?;
/// assert!(last.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6) && cache.len() == 5);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias("past_key_values", "DynamicCache", "kv_cache"))]
pub struct KvCache<T: Float = f32> {
    /// Both with room for more places than there are.
    parts: Option<[Tensor<T>; 2]>,
    len: usize,
}

impl<T: Float> Default for KvCache<T> {
    fn default() -> Self {
        KvCache::new()
    }
}

/// Places that there is room for at first.
const ROOM: usize = 16;

impl<T: Float> KvCache<T> {
    /// Of no places.
    #[must_use]
    pub fn new() -> Self {
        KvCache { parts: None, len: 0 }
    }

    /// How many places there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds places, and gives the keys and values of all so far, `[…, places, width]` each, as constants. The
    /// leading axes are those of the first call, the widths of keys and values may differ.
    ///
    /// It works in place where the results of the last call are gone, as they are after a tape's reset; else
    /// the cache is copied. A failed value if the shapes don't fit or a gradient is wanted: what was appended
    /// earlier is no part of the tape any more.
    #[track_caller]
    pub fn append<'t>(&mut self, keys: &Var<'t, T>, values: &Var<'t, T>) -> (Var<'t, T>, Var<'t, T>) {
        let tape = keys.tape();
        if let Some(failed) = [keys, values].into_iter().find(|v| v.failed_id().is_some()) {
            return (failed.clone(), failed.clone());
        }
        match self.extend([keys, values]) {
            Ok([keys, values]) => (tape.constant(keys), tape.constant(values)),
            Err(message) => {
                let failed = tape.fail_op("KvCache::append", message, &[keys, values]);
                (failed.clone(), failed)
            }
        }
    }

    fn extend(&mut self, new: [&Var<'_, T>; 2]) -> Checked<[Tensor<T>; 2]> {
        if new.iter().any(|v| v.node().is_some()) {
            return Err("a cache is for inference: use Tape::inference() or no_grad".into());
        }
        let shapes = new.map(Var::shape);
        let lead = |shape: &Shape| Shape::new(&shape[..shape.rank().saturating_sub(2)]);
        let fits = shapes.iter().all(|shape| shape.rank() >= 2)
            && lead(shapes[0]) == lead(shapes[1])
            && shapes[0].dim(-2) == shapes[1].dim(-2);
        if !fits {
            let [keys, values] = shapes;
            return Err(format!("takes keys […, n, d] and values […, n, e], not {keys} and {values}"));
        }
        let n = shapes[0].dim(-2);
        let parts = match self.parts.take() {
            Some(parts) => parts,
            None => shapes.map(|shape| Tensor::zeros(with_places(shape, ROOM.max(n)))),
        };
        let same = parts.iter().zip(shapes).all(|(part, shape)| with_places(part.shape(), n) == *shape);
        if !same {
            let [keys, values] = parts.each_ref().map(|part| with_places(part.shape(), self.len));
            let message = format!(
                "holds keys {keys} and values {values}, to which {} and {} can't be added",
                shapes[0], shapes[1]
            );
            self.parts = Some(parts);
            return Err(message);
        }
        let mut parts = parts;
        let added = parts.iter_mut().zip(new).try_for_each(|(part, new)| self.add(part, new.tensor(), n));
        self.len += if added.is_ok() { n } else { 0 };
        let seen = parts.each_ref().map(|part| part.narrow(-2, 0, self.len));
        self.parts = Some(parts);
        added?;
        let [keys, values] = seen;
        Ok([keys.map_err(|e| e.to_string())?, values.map_err(|e| e.to_string())?])
    }

    /// Writes so many places behind those that there are.
    fn add(&self, part: &mut Tensor<T>, new: &Tensor<T>, n: usize) -> Checked<()> {
        let new = new.contiguous().made()?;
        let room = part.dim(-2);
        if self.len + n > room {
            let places = (2 * room).max(self.len + n);
            let mut larger = Tensor::zeros(with_places(part.shape(), places)).made()?;
            copy(part, &mut larger, 0, self.len)?;
            *part = larger;
        }
        copy(&new, part, self.len, n)
    }

    /// Forgets all places but the first `len`; does nothing if there are no more.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        if self.len == 0 {
            self.parts = None;
        }
    }

    /// Goes on with these of the texts, by their numbers along the first axis, each as often as it is named.
    ///
    /// # Errors
    /// There is no such text, or nothing was appended yet.
    #[doc(alias = "reorder_cache")]
    pub fn index_select<I: Index>(&mut self, index: &Tensor<I>) -> crate::Result<()> {
        let Some([keys, values]) = &self.parts else {
            return Err(crate::Error::invalid("KvCache::index_select", "nothing was appended yet"));
        };
        self.parts = Some([keys.index_select(0, index)?, values.index_select(0, index)?]);
        Ok(())
    }
}

/// This shape with another number of places.
fn with_places(shape: &Shape, places: usize) -> Shape {
    let mut shape = shape.clone();
    shape.set(shape.rank() - 2, places);
    shape
}

/// Copies the first `n` places of each matrix to the places from `at` on.
fn copy<T: Float>(from: &Tensor<T>, to: &mut Tensor<T>, at: usize, n: usize) -> Checked<()> {
    let [have, room, width] = [from.dim(-2), to.dim(-2), from.dim(-1)];
    let Some(source) = from.as_slice() else { return Err("the cache isn't in one piece".into()) };
    let out = to.as_mut_slice();
    if out.is_empty() && room * width > 0 {
        return Err("there is no memory for a copy of the cache".into());
    }
    if n * width > 0 {
        let matrices = source.chunks_exact(have * width).zip(out.chunks_exact_mut(room * width));
        for (source, out) in matrices {
            out[at * width..(at + n) * width].copy_from_slice(&source[..n * width]);
        }
    }
    Ok(())
}
