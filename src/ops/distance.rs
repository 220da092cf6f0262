//! Distances of vectors.
use super::{
    checks::operands,
    index::valid,
    list::{Distance, Float},
};
use crate::{
    error::{Checked, Error},
    kernels::pairs::{Magnitudes, Rows, Squares, Term, shares},
    real::About,
    tape::{RESULT, Rule, Step, Var},
    tensor::{Shape, Tensor, shape::broadcast},
};

/// Row-major matrices in equal numbers: their elements, and how many rows and columns each has.
struct Batch<T: Float> {
    x: Tensor<T>,
    y: Tensor<T>,
    sizes: [usize; 3],
    lead: Shape,
}

impl<T: Float> Batch<T> {
    fn new(x: &Tensor<T>, y: &Tensor<T>) -> Checked<Self> {
        let lead = |t: &Tensor<T>| Shape::new(&t.shape()[..t.rank().saturating_sub(2)]);
        if x.rank() < 2 || x.rank() != y.rank() || lead(x) != lead(y) || x.dim(-1) != y.dim(-1) {
            return Err(format!(
                "takes […, p, m] and […, r, m] with the same leading axes, not {} and {}",
                x.shape(),
                y.shape()
            ));
        }
        let sizes = [x.dim(-2), y.dim(-2), x.dim(-1)];
        Ok(Batch { x: x.contiguous().made()?, y: y.contiguous().made()?, sizes, lead: lead(x) })
    }

    fn each(&self, mut f: impl FnMut(usize, Rows<'_, T>)) {
        let [p, r, m] = self.sizes;
        let all = [&self.x, &self.y].map(|t| t.as_slice().unwrap_or_default());
        for i in 0..self.lead.numel() {
            let [x, y] = [(all[0], p * m), (all[1], r * m)].map(|(all, n)| &all[i * n..(i + 1) * n]);
            f(i, Rows { x, y, m });
        }
    }

    fn distances(&self, f: impl Term) -> Checked<Tensor<T>> {
        let [p, r, _] = self.sizes;
        let shape = self.lead.iter().copied().chain([p, r]).collect();
        Tensor::try_build(shape, |out| {
            self.each(|i, rows| rows.distances(f, &mut out[i * p * r..(i + 1) * p * r]));
            Ok(())
        })
    }

    /// The gradient of x, or, `turned`, of y.
    fn slopes(&self, f: impl Term, shares: &[T], turned: bool) -> Checked<Tensor<T>> {
        let [p, r, m] = self.sizes;
        let of = if turned { &self.y } else { &self.x };
        let (size, steps) = if turned { (r * m, [1, r]) } else { (p * m, [r, 1]) };
        Tensor::try_build(of.shape().clone(), |out| {
            self.each(|i, Rows { x, y, m }| {
                let rows = if turned { Rows { x: y, y: x, m } } else { Rows { x, y, m } };
                let shares = &shares[i * p * r..(i + 1) * p * r];
                rows.slopes(f, shares, steps, &mut out[i * size..(i + 1) * size]);
            });
            Ok(())
        })
    }

    /// The gradients of x and y, as far as they are wanted.
    fn gradients(
        &self,
        f: impl Term,
        distances: &Tensor<T>,
        slopes: &Tensor<T>,
        wanted: [bool; 2],
    ) -> Checked<[Option<Tensor<T>>; 2]> {
        let (distances, slopes) = (distances.contiguous().made()?, slopes.contiguous().made()?);
        let each = Tensor::try_build(slopes.shape().clone(), |out| {
            out.copy_from_slice(slopes.as_slice().unwrap_or_default());
            shares(f, distances.as_slice().unwrap_or_default(), out);
            Ok(())
        })?;
        let of = |turned: bool| self.slopes(f, each.as_slice().unwrap_or_default(), turned);
        Ok([wanted[0].then(|| of(false)).transpose()?, wanted[1].then(|| of(true)).transpose()?])
    }
}

impl Distance {
    fn p(self) -> f64 {
        match self {
            Distance::Manhattan => 1.0,
            Distance::Euclidean => 2.0,
        }
    }
}

impl<T: Float> Rule<T> for Distance {
    fn name(&self) -> &str {
        "cdist"
    }

    fn about(&self) -> About {
        let note = "For each row of a with each row of b; 0 where these are equal.";
        match self {
            Distance::Manhattan => {
                About::formula("Σ |a - b|", &["ȳ · sign(a - b)", "-ȳ · sign(a - b)"], note)
            }
            Distance::Euclidean => {
                About::formula("√Σ (a - b)²", &["ȳ · (a - b) / y", "-ȳ · (a - b) / y"], note)
            }
        }
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x, y] = operands(x)?;
        let batch = Batch::new(x, y)?;
        match self {
            Distance::Manhattan => batch.distances(Magnitudes),
            Distance::Euclidean => batch.distances(Squares),
        }
    }

    fn keeps(&self, _: u32) -> u32 {
        0b11 | RESULT
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let (x, y, distances, g) = (step.input(0), step.input(1), step.output(), step.take_grad());
        let wanted = [step.wants(0), step.wants(1)];
        if step.graph() {
            // As differences, which are laid out, and their sweep, both recorded.
            let tape = step.tape();
            let floor = tape.mark().0;
            let [x, y] = [x.alias(), y.alias()];
            match tape.vjp(&[&x.differences(&y, self.p())], &[&g], &[&x, &y], true, Some(floor)) {
                Ok(grads) => grads.into_iter().enumerate().for_each(|(i, grad)| step.give(i, grad)),
                Err(error) => step.fail(error),
            }
            return;
        }
        let gradients = Batch::new(x.tensor(), y.tensor()).and_then(|batch| match self {
            Distance::Manhattan => batch.gradients(Magnitudes, distances.tensor(), g.tensor(), wanted),
            Distance::Euclidean => batch.gradients(Squares, distances.tensor(), g.tensor(), wanted),
        });
        match gradients {
            Ok(gradients) => {
                for (i, grad) in gradients.into_iter().enumerate() {
                    if let Some(grad) = grad {
                        step.give(i, step.tape().constant(grad));
                    }
                }
            }
            Err(message) => step.fail(Error::op("cdist", message, None)),
        }
    }
}

/// # Distances
impl<'t, T: Float> Var<'t, T> {
    /// The cosine of the angle between vectors along an axis, with norms of `eps` at least (defaults of
    /// PyTorch: dim 1, eps 1e-8); operands broadcast.
    #[track_caller]
    pub fn cosine_similarity(&self, other: &Var<'t, T>, dim: isize, eps: f64) -> Var<'t, T> {
        let shape = crate::tensor::shape::broadcast(self.shape(), other.shape());
        let shape = valid!([self, other], "cosine_similarity", shape);
        let unit = |v: &Var<'t, T>| v.expand_to(&shape).normalize(2.0, dim, eps);
        (unit(self) * unit(other)).sum_dim([dim], false).named("cosine_similarity", &[self, other])
    }

    /// The norm of the differences along the last axis, to each of which `eps` is added (defaults of PyTorch:
    /// p 2, eps 1e-6); operands broadcast.
    #[track_caller]
    pub fn pairwise_distance(&self, other: &Var<'t, T>, p: f64, eps: f64, keepdim: bool) -> Var<'t, T> {
        (self - other + eps).norm_dim(p, -1, keepdim).named("pairwise_distance", &[self, other])
    }

    /// The distances of all pairs: `[…, p, m], […, r, m] -> […, p, r]`. The derivative at a distance of 0 is
    /// 0. With `p` 1 and 2 no differences are laid out.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (x, y) = (tape.constant([[0.0, 0.0]]), tape.constant([[3.0, 4.0], [0.0, 1.0]]));
    /// assert_eq!(x.cdist(&y, 2.0).to_vec()?, [5.0, 1.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn cdist(&self, other: &Var<'t, T>, p: f64) -> Var<'t, T> {
        let fits = || {
            if self.rank() < 2 || other.rank() < 2 || self.dim(-1) != other.dim(-1) || p < 0.0 {
                return Err(format!(
                    "takes […, p, m], […, r, m] and a norm from 0 on, not {}, {} and {p}",
                    self.shape(),
                    other.shape()
                ));
            }
            broadcast(&self.shape()[..self.rank() - 2], &other.shape()[..other.rank() - 2])
        };
        let lead = valid!([self, other], "cdist", fits());
        let op = match p {
            1.0 => Distance::Manhattan,
            2.0 => Distance::Euclidean,
            _ => return self.differences(other, p).named("cdist", &[self, other]),
        };
        let with =
            |v: &Var<'t, T>| v.expand_to(&lead.iter().chain(&v.shape()[v.rank() - 2..]).copied().collect());
        self.tape().apply(op, &[&with(self), &with(other)])
    }

    /// The distances by way of the differences of all pairs.
    #[track_caller]
    fn differences(&self, other: &Var<'t, T>, p: f64) -> Var<'t, T> {
        (self.unsqueeze(-2) - other.unsqueeze(-3)).norm_dim(p, -1, false)
    }
}
