//! Attention without its scores: a few rows of them are computed, turned into weights and used at a time, and
//! computed again in the reverse sweep. Memory for `l × s` scores is never needed, and pairs that a causal
//! query doesn't see cost nothing (the idea of Rabe and Staats, 2021, and of Dao et al., 2022, with whole
//! rows instead of parts of rows).
use super::{
    attention::AttentionOptions,
    checks::{operands, sharing},
    linalg::{matrix, start, walkable},
    list::{Attend, Float},
    softmax::line,
};
use crate::{
    error::{Checked, Error},
    kernels::{
        map::NumberExpr,
        matmul::{Mat, MatMut, matmul},
        reduce::{Sum, row},
        softmax::hide,
    },
    real::{About, Arithmetic},
    tape::{Rule, Step, Var},
    tensor::{Shape, Tensor, Unfilled},
    threads,
};
use std::borrow::Cow;

#[derive(Clone, Copy)]
struct Product;

impl NumberExpr<2> for Product {
    #[inline(always)]
    fn eval<R: Arithmetic>(&self, [y, g]: [R; 2]) -> R {
        y * g
    }
}

/// The slope of a score, by its weight and the weight's slope.
#[derive(Clone, Copy)]
struct Slope {
    sum: f64,
}

impl NumberExpr<2> for Slope {
    #[inline(always)]
    fn eval<R: Arithmetic>(&self, [y, g]: [R; 2]) -> R {
        y * (g - R::constant(self.sum))
    }
}

/// Rows of scores that are there at a time.
const ROWS: usize = 64;

impl Attend {
    /// Whether both let the same pairs take part, as far as that is known.
    pub fn same(&self, other: &Attend) -> bool {
        let masks = match (&self.keep, &other.keep) {
            (None, None) => true,
            (Some(a), Some(b)) => a.shares_data(b) && a.shape() == b.shape() && a.strides() == b.strides(),
            _ => false,
        };
        masks && (self.causal, self.lower_right, self.scale) == (other.causal, other.lower_right, other.scale)
    }

    /// The mask for all leading axes, queries and keys.
    fn pairs(&self, shape: &Shape) -> Checked<Option<Tensor<bool>>> {
        let pairs = |keep: &Tensor<bool>| {
            let keep =
                if keep.strides().iter().any(|&step| step < 0) { keep.contiguous() } else { keep.clone() };
            let keep = keep.made()?;
            Ok(keep.view(keep.layout().expand(shape)?))
        };
        self.keep.as_ref().map(pairs).transpose()
    }

    /// Which of `s` keys each of `l` queries sees, if not all; broadcasts to `[…, l, s]`.
    pub fn sees(&self, l: usize, s: usize) -> Option<Tensor<bool>> {
        let more = if self.lower_right { s as isize - l as isize } else { 0 };
        let causal = (self.causal || self.lower_right)
            .then(|| Tensor::from_fn([l, s], |i| (i % s) as isize <= (i / s) as isize + more));
        self.keep.clone().or(causal)
    }

    /// The options of the same attention as a program of other operations.
    fn options<'t, T: Float>(&self) -> AttentionOptions<'t, T> {
        let options = AttentionOptions::new().scale(self.scale);
        match &self.keep {
            Some(keep) => options.attn_mask(keep),
            None if self.lower_right => options.causal_lower_right(true),
            None => options.is_causal(self.causal),
        }
    }
}

/// What a head's queries see of its keys.
#[derive(Clone, Copy)]
struct View<'a> {
    how: &'a Attend,
    /// The mask of all heads.
    pairs: Option<&'a Tensor<bool>>,
    head: usize,
    queries: usize,
    keys: usize,
}

impl View<'_> {
    /// How many keys the rows before `end` see at most.
    fn seen(&self, end: usize) -> usize {
        match self.how {
            Attend { lower_right: true, .. } => (end + self.keys).saturating_sub(self.queries).min(self.keys),
            Attend { causal: true, .. } => end.min(self.keys),
            _ => self.keys,
        }
    }

    /// Takes what a query doesn't see out of its scores. Whether anything is left.
    fn hide<T: Float>(&self, query: usize, scores: &mut [T]) -> bool {
        let Some(pairs) = self.pairs else { return !scores.is_empty() };
        let [down, along] = [2, 1].map(|back| pairs.strides()[pairs.rank() - back] as usize);
        let first = start(pairs, self.head) + query * down;
        let keep = pairs.buffer().get(first..).unwrap_or_default();
        if along == 1 && keep.len() >= scores.len() {
            return hide(keep, scores);
        }
        let mut any = false;
        for (j, score) in scores.iter_mut().enumerate() {
            let keep = keep.get(j * along).is_some_and(|keep| *keep);
            any |= keep;
            *score = if keep { *score } else { T::constant(f64::NEG_INFINITY) };
        }
        any
    }

    /// The weights of rows from `from` on, each of the length that the last sees.
    fn weights<T: Float>(
        &self,
        q: Mat<T>,
        k: Mat<T>,
        from: usize,
        scores: &mut [T],
        weights: &mut [T],
    ) -> Checked<()> {
        let (rows, cols) = (q.rows, k.rows);
        let scale = T::constant(self.how.scale);
        matmul(scale, q, turned(k), T::constant(0.0), MatMut::dense(scores, rows, cols))?;
        for (i, (x, out)) in scores.chunks_exact_mut(cols).zip(weights.chunks_exact_mut(cols)).enumerate() {
            let own = self.seen(from + i + 1);
            out[own..].fill(T::default());
            if self.hide(from + i, &mut x[..own]) {
                line(&x[..own], false, &mut out[..own]);
            } else {
                out[..own].fill(T::default());
            }
        }
        Ok(())
    }
}

/// The rows `from..to` of a matrix.
fn rows<T>(m: Mat<'_, T>, from: usize, to: usize) -> Mat<'_, T> {
    let data = m.data.get(from * m.row_stride as usize..).unwrap_or_default();
    Mat { data, rows: to - from, ..m }
}

fn turned<T>(m: Mat<'_, T>) -> Mat<'_, T> {
    Mat { data: m.data, rows: m.cols, cols: m.rows, row_stride: m.col_stride, col_stride: m.row_stride }
}

fn whole<T>(data: &[T], rows: usize, cols: usize) -> Mat<'_, T> {
    Mat { data, rows, cols, row_stride: cols as isize, col_stride: 1 }
}

/// The sizes l, s, d and e. Of keys and values there may be fewer heads where nothing is differentiated.
fn sizes<T: Float>([q, k, v]: [&Tensor<T>; 3]) -> Checked<[usize; 4]> {
    let lead = |t: &Tensor<T>| Shape::new(&t.shape()[..t.rank().saturating_sub(2)]);
    let fits = q.rank() > 1
        && sharing(q.shape(), k.shape()).is_some()
        && lead(k) == lead(v)
        && q.rank() == k.rank()
        && k.rank() == v.rank();
    if !fits || q.dim(-1) != k.dim(-1) || k.dim(-2) != v.dim(-2) {
        return Err(format!(
            "takes […, l, d], […, s, d] and […, s, e], not {}, {} and {}",
            q.shape(),
            k.shape(),
            v.shape()
        ));
    }
    Ok([q.dim(-2), k.dim(-2), q.dim(-1), v.dim(-1)])
}

impl<T: Float> Rule<T> for Attend {
    fn name(&self) -> &str {
        "attention"
    }

    fn about(&self) -> About {
        About::formula(
            "softmax(a · bᵀ · scale) · c",
            &["through the scores, to queries", "through the scores, to keys", "scoresᵀ · ȳ, to values"],
            "The scores are computed again in blocks, not kept.",
        )
    }

    fn options(&self) -> Cow<'static, str> {
        let mask = self.keep.as_ref().map_or(String::new(), |keep| format!(", mask={}", keep.shape()));
        let lower_right = if self.lower_right { ", causal_lower_right=true" } else { "" };
        Cow::Owned(format!("is_causal={}, scale={}{lower_right}{mask}", self.causal, self.scale))
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let x: [&Tensor<T>; 3] = operands(x)?;
        let [l, s, _, e] = sizes(x)?;
        let [q, k, v] = [walkable(x[0])?, walkable(x[1])?, walkable(x[2])?];
        let mut shape = q.shape().clone();
        shape.set(v.rank() - 1, e);
        let each_key = sharing(q.shape(), k.shape()).unwrap_or(1).max(1);
        let mut scores = shape.clone();
        scores.set(v.rank() - 1, s);
        let pairs = self.pairs(&scores)?;
        Tensor::try_build(shape, |out| {
            if s == 0 {
                out.fill(T::default());
                return Ok(());
            }
            // A task is a block of rows where heads are few, else a head.
            let heads = out.len() / (l * e).max(1);
            let each = if heads < 2 * threads::num_threads() && l % ROWS == 0 { ROWS } else { l };
            threads::try_chunks(out, each * e, &|at, out| {
                let (head, first) = (at / (l * e), at % (l * e) / e);
                let view = View { how: self, pairs: pairs.as_ref(), head, queries: l, keys: s };
                let q = matrix(&q, start(&q, head), false);
                let [k, v] = [&k, &v].map(|t| matrix(t, start(t, head / each_key), false));
                let mut scratch: Unfilled<T> = Unfilled::new(Shape::from([2, ROWS.min(l), s])).made()?;
                let (scores, weights) = halves(&mut scratch);
                for (block, out) in out.chunks_mut(ROWS * e).enumerate() {
                    let from = first + block * ROWS;
                    let n = out.len() / e;
                    let cols = view.seen(from + n);
                    if cols == 0 {
                        out.fill(T::default());
                        continue;
                    }
                    let (scores, weights) = (&mut scores[..n * cols], &mut weights[..n * cols]);
                    view.weights(rows(q, from, from + n), rows(k, 0, cols), from, scores, weights)?;
                    matmul(
                        T::constant(1.0),
                        whole(weights, n, cols),
                        rows(v, 0, cols),
                        T::constant(0.0),
                        MatMut::dense(out, n, e),
                    )?;
                }
                Ok(())
            })
        })
    }

    fn keeps(&self, _: u32) -> u32 {
        0b111
    }

    fn multiply_adds(&self, operands: &[Option<Shape>], result: &Shape) -> Option<usize> {
        let [Some(q), Some(k), ..] = operands else { return None };
        let (queries, keys) = (q.dim(-2), k.dim(-2));
        let view = View { how: self, pairs: None, head: 0, queries, keys };
        let scores: usize = (1..=queries).map(|i| view.seen(i)).sum();
        Some(q.numel() / (queries * q.dim(-1)).max(1) * scores * (q.dim(-1) + result.dim(-1)))
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let x: [Var<'t, T>; 3] = std::array::from_fn(|i| step.input(i));
        let g = step.take_grad();
        if step.graph() {
            // As single operations, whose sweep is recorded.
            let (tape, floor) = (step.tape(), step.tape().mark().0);
            let x = x.each_ref().map(Var::alias);
            let y = x[0].attention_weights(&x[1], &self.options()).matmul(&x[2]);
            match tape.vjp(&[&y], &[&g], &x.each_ref(), true, Some(floor)) {
                Ok(grads) => grads.into_iter().enumerate().for_each(|(i, d)| step.give(i, d)),
                Err(error) => step.fail(error),
            }
            return;
        }
        let [q, k, v] = x.each_ref().map(|x| x.tensor());
        match self.gradients([q, k, v], g.tensor()) {
            Ok(grads) => {
                for (i, d) in grads.into_iter().enumerate() {
                    step.give(i, step.tape().constant(d));
                }
            }
            Err(message) => step.fail(Error::op("attention", message, None)),
        }
    }
}

impl Attend {
    /// The gradients of queries, keys and values, which lie beside each other in one buffer, head by head.
    fn gradients<T: Float>(&self, [q, k, v]: [&Tensor<T>; 3], g: &Tensor<T>) -> Checked<[Tensor<T>; 3]> {
        let [l, s, d, e] = sizes([q, k, v])?;
        if sharing(q.shape(), k.shape()) != Some(1) {
            return Err("heads that share keys have no gradients by themselves".into());
        }
        let (q, k, v, g) = (&*walkable(q)?, &*walkable(k)?, &*walkable(v)?, &*walkable(g)?);
        let each = [l * d, s * d, s * e];
        let lead = Shape::new(&q.shape()[..q.rank() - 2]);
        let total: usize = each.iter().sum();
        let pairs = self.pairs(&lead.iter().copied().chain([l, s]).collect())?;
        let all = Tensor::try_build(Shape::from([lead.numel(), total]), |out| {
            threads::try_chunks(out, total.max(1), &|at, out| {
                let head = at / total;
                let view = View { how: self, pairs: pairs.as_ref(), head, queries: l, keys: s };
                let [q, k, v, g] = [q, k, v, g].map(|t| matrix(t, start(t, head), false));
                let (dq, rest) = out.split_at_mut(each[0]);
                let (dk, dv) = rest.split_at_mut(each[1]);
                dk.fill(T::default());
                dv.fill(T::default());
                if s == 0 {
                    dq.fill(T::default());
                    return Ok(());
                }
                let scratch = || Unfilled::<T>::new(Shape::from([2, ROWS.min(l), s])).made();
                let (mut one, mut two) = (scratch()?, scratch()?);
                let ((scores, weights), (slopes, _)) = (halves(&mut one), halves(&mut two));
                for from in (0..l).step_by(ROWS) {
                    let n = ROWS.min(l - from);
                    let cols = view.seen(from + n);
                    if cols == 0 {
                        dq[from * d..(from + n) * d].fill(T::default());
                        continue;
                    }
                    let [scores, weights, slopes] =
                        [&mut *scores, &mut *weights, &mut *slopes].map(|x| &mut x[..n * cols]);
                    let (q, g) = (rows(q, from, from + n), rows(g, from, from + n));
                    let (k, v) = (rows(k, 0, cols), rows(v, 0, cols));
                    view.weights(q, k, from, scores, weights)?;
                    let (zero, one, scale) = (T::constant(0.0), T::constant(1.0), T::constant(self.scale));
                    matmul(
                        one,
                        turned(whole(weights, n, cols)),
                        g,
                        one,
                        MatMut::dense(&mut dv[..cols * e], cols, e),
                    )?;
                    // The slopes of the weights, and from them those of the scores.
                    matmul(one, g, turned(v), zero, MatMut::dense(slopes, n, cols))?;
                    let lines = scores
                        .chunks_exact_mut(cols)
                        .zip(weights.chunks_exact(cols))
                        .zip(slopes.chunks_exact(cols));
                    for ((out, y), g) in lines {
                        Product.over([y, g], out);
                        Slope { sum: row(Sum, out).to_f64() }.over([y, g], out);
                    }
                    matmul(
                        scale,
                        whole(scores, n, cols),
                        k,
                        zero,
                        MatMut::dense(&mut dq[from * d..(from + n) * d], n, d),
                    )?;
                    matmul(
                        scale,
                        turned(whole(scores, n, cols)),
                        q,
                        one,
                        MatMut::dense(&mut dk[..cols * d], cols, d),
                    )?;
                }
                Ok(())
            })
        })?;
        let mut at = 0;
        let mut part = |t: &Tensor<T>, size: usize| {
            let part = all.layout().slice(1, at, size, 1).map(|part| all.view(part).reshaped(t.shape()));
            at += size;
            part.and_then(Tensor::made)
        };
        Ok([part(q, each[0])?, part(k, each[1])?, part(v, each[2])?])
    }
}

fn halves<T: Float>(scratch: &mut Unfilled<T>) -> (&mut [T], &mut [T]) {
    let data = scratch.as_mut_slice();
    data.split_at_mut(data.len() / 2)
}
