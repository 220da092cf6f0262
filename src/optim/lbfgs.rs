//! L-BFGS: a quasi-Newton method for losses without noise. It asks for the loss several times in a step.
use super::line_search::{Point, strong_wolfe};
use crate::{
    checked::{Check, checked, not_negative},
    error::{Checked, Error, Result},
    ops::Float,
    param::{Param, inventory, named_params},
    tape::{Tape, Var},
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Limited-memory BFGS (Liu and Nocedal, 1989), as `torch.optim.LBFGS`. Its memory is a few vectors of all
/// weights, in `f64`, which serde saves: a run can go on from there.
///
/// ```
/// use kolmo::{Tensor, nn::Param, optim::Lbfgs};
/// let p = Param::<f64>::new(Tensor::from([3.0, -2.0]));
/// let mut lbfgs = Lbfgs::new(1.0).strong_wolfe(true);
/// lbfgs.minimize(&p, |tape| {
///     let x = tape.param(&p) - 1.0;
///     (&x * &x).sum()
/// })?;
/// assert!(p.value().to_vec().iter().all(|x| (x - 1.0).abs() < 1e-6));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[must_use]
pub struct Lbfgs {
    #[serde(with = "crate::numbers")]
    lr: f64,
    max_iter: usize,
    max_eval: Option<usize>,
    #[serde(with = "crate::numbers")]
    tolerance_grad: f64,
    #[serde(with = "crate::numbers")]
    tolerance_change: f64,
    history_size: usize,
    strong_wolfe: bool,
    #[serde(with = "crate::numbers")]
    history: VecDeque<Pair>,
    #[serde(with = "crate::numbers", default)]
    last: Option<Last>,
}

/// A step and what it did to the gradient.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
}

/// The last step, and the gradient before it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Last {
    step: Vec<f64>,
    grad: Vec<f64>,
}

checked!(Lbfgs {
    #[serde(with = "crate::numbers")]
    lr: f64,
    max_iter: usize,
    max_eval: Option<usize>,
    #[serde(with = "crate::numbers")]
    tolerance_grad: f64,
    #[serde(with = "crate::numbers")]
    tolerance_change: f64,
    history_size: usize,
    strong_wolfe: bool,
    #[serde(with = "crate::numbers")]
    history: VecDeque<Pair>,
    #[serde(with = "crate::numbers", default)]
    last: Option<Last>,
});

impl Check for Lbfgs {
    fn check(&self) -> Checked<()> {
        not_negative("lr", self.lr)?;
        not_negative("tolerance_grad", self.tolerance_grad)?;
        not_negative("tolerance_change", self.tolerance_change)?;
        let first = self.remembered().next();
        if let Some(other) = self.remembered().find(|&len| Some(len) != first) {
            return Err(format!("history and last are of {} and {other} weights", first.unwrap_or(0)));
        }
        // What is remembered has been divided by.
        match self.history.iter().all(|pair| dot(&pair.step, &pair.change) > 0.0) {
            true => Ok(()),
            false => Err("history has a step along which the loss doesn't curve up".into()),
        }
    }
}

impl Lbfgs {
    /// Lengths of the vectors that it remembers.
    fn remembered(&self) -> impl Iterator<Item = usize> + '_ {
        let pairs = self.history.iter().flat_map(|p| [p.step.len(), p.change.len()]);
        pairs.chain(self.last.iter().flat_map(|l| [l.step.len(), l.grad.len()]))
    }

    /// PyTorch's defaults; the usual learning rate is 1.
    pub fn new(lr: f64) -> Self {
        Lbfgs {
            lr,
            max_iter: 20,
            max_eval: None,
            tolerance_grad: 1e-7,
            tolerance_change: 1e-9,
            history_size: 100,
            strong_wolfe: false,
            history: VecDeque::new(),
            last: None,
        }
    }

    /// Iterations per call (default 20).
    pub fn max_iter(self, max_iter: usize) -> Self {
        Self { max_iter, ..self }
    }

    /// No iteration starts after so many evaluations of the loss in a call (default 5/4 of `max_iter`).
    pub fn max_eval(self, max_eval: usize) -> Self {
        Self { max_eval: Some(max_eval), ..self }
    }

    /// Ends when no element of the gradient is larger (default 1e-7).
    pub fn tolerance_grad(self, tolerance_grad: f64) -> Self {
        Self { tolerance_grad, ..self }
    }

    /// Ends when loss or weights change by less (default 1e-9).
    pub fn tolerance_change(self, tolerance_change: f64) -> Self {
        Self { tolerance_change, ..self }
    }

    /// How many steps it remembers (default 100).
    pub fn history_size(self, history_size: usize) -> Self {
        Self { history_size, ..self }
    }

    /// Chooses each step's length by the strong Wolfe conditions (default off: the length is the learning
    /// rate).
    pub fn strong_wolfe(self, strong_wolfe: bool) -> Self {
        Self { strong_wolfe, ..self }
    }

    /// Changes the trainable parameters of the model so that the loss, a number that `loss` records on the
    /// tape it is given, gets smaller. Gives the loss before.
    pub fn minimize<T: Float, M: Serialize + ?Sized>(
        &mut self,
        model: &M,
        mut loss: impl for<'t> FnMut(&'t Tape<T>) -> Var<'t, T>,
    ) -> Result<f64> {
        let params: Vec<Param<T>> = named_params(model).into_iter().map(|(_, p)| p).collect();
        let params: Vec<Param<T>> = params.into_iter().filter(Param::is_trainable).collect();
        if params.is_empty() {
            let message = format!("there are no trainable parameters of {}: {}", T::NAME, inventory(model));
            return Err(Error::invalid("Lbfgs", message));
        }
        let mut x = weights(&params);
        self.fits(x.len())?;
        let mut tape = Tape::new();
        let ended = self.iterate(
            &mut x,
            |v| T::from_f64(v).to_f64(),
            |x| {
                set(&params, x);
                tape.reset();
                let y = loss(&tape);
                let (f, grads) = (y.item()?.to_f64(), y.backward()?);
                if !params.iter().any(|p| grads.param(p).is_some()) {
                    let message = format!("the loss depends on no trainable parameter: {}", inventory(model));
                    return Err(Error::invalid("Lbfgs", message));
                }
                let mut grad = Vec::with_capacity(x.len());
                for p in &params {
                    match grads.param(p) {
                        Some(g) => grad.extend(g.to_vec().into_iter().map(|v| v.to_f64())),
                        None => grad.resize(grad.len() + p.shape().numel(), 0.0),
                    }
                }
                Ok((f, grad))
            },
        );
        // After an error too: at the last point that was reached.
        set(&params, &x);
        ended
    }

    /// That options and memory are right for so many weights.
    fn fits(&self, n: usize) -> Result<()> {
        let wrong = |message: String| Error::invalid("Lbfgs", message);
        self.check().map_err(wrong)?;
        match self.remembered().find(|&len| len != n) {
            Some(len) => Err(wrong(format!("it remembers a model of {len} weights, this one has {n}"))),
            None => Ok(()),
        }
    }

    fn iterate(
        &mut self,
        x: &mut Vec<f64>,
        round: impl Fn(f64) -> f64,
        mut evaluate: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>)>,
    ) -> Result<f64> {
        let most = self.max_eval.unwrap_or(self.max_iter.saturating_add(self.max_iter / 4));
        let (mut f, mut grad) = evaluate(x)?;
        let (first, mut evaluations) = (f, 1);
        if largest(&grad) <= self.tolerance_grad {
            return Ok(first);
        }
        for iteration in 1..=self.max_iter {
            let start = if self.last.is_none() { (1.0 / size(&grad)).min(1.0) } else { 1.0 };
            let direction = self.direction(&grad);
            let slope = dot(&grad, &direction);
            self.last = Some(Last { step: vec![0.0; x.len()], grad: grad.clone() });
            if slope > -self.tolerance_change {
                break;
            }
            let (t, before) = (start * self.lr, f);
            // A weight is where its type can be.
            let along =
                |t: f64| -> Vec<f64> { x.iter().zip(&direction).map(|(x, d)| round(x + t * d)).collect() };
            let to;
            if self.strong_wolfe {
                let from = Point { t: 0.0, f, slope, grad };
                let longest = largest(&direction);
                let (point, looks) = strong_wolfe(from, t, longest, self.tolerance_change, |t| {
                    let (f, grad) = evaluate(&along(t))?;
                    Ok(Point { t, f, slope: dot(&grad, &direction), grad })
                })?;
                to = along(point.t);
                (f, grad) = (point.f, point.grad);
                evaluations += looks;
            } else {
                to = along(t);
                // The loss after the last step is the next call's.
                if iteration < self.max_iter {
                    (f, grad) = evaluate(&to)?;
                    evaluations += 1;
                }
            }
            let step: Vec<f64> = to.iter().zip(&*x).map(|(to, from)| to - from).collect();
            *x = to;
            let small = largest(&step) <= self.tolerance_change || (f - before).abs() < self.tolerance_change;
            if let Some(last) = &mut self.last {
                last.step = step;
            }
            if evaluations >= most || largest(&grad) <= self.tolerance_grad || small {
                break;
            }
        }
        Ok(first)
    }

    /// Minus the gradient times the inverse Hessian that the remembered steps suggest (the two-loop
    /// recursion).
    fn direction(&mut self, grad: &[f64]) -> Vec<f64> {
        let mut d: Vec<f64> = grad.iter().map(|g| -g).collect();
        if let Some(Last { step, grad: before }) = self.last.take() {
            let change: Vec<f64> = grad.iter().zip(&before).map(|(g, b)| g - b).collect();
            // Only where the loss curves up.
            if dot(&change, &step) > 1e-10 {
                self.history.push_back(Pair { step, change });
                while self.history.len() > self.history_size.max(1) {
                    self.history.pop_front();
                }
            }
        }
        let mut parts = Vec::with_capacity(self.history.len());
        for Pair { step, change } in self.history.iter().rev() {
            let part = dot(step, &d) / dot(change, step);
            add(&mut d, -part, change);
            parts.push(part);
        }
        if let Some(Pair { step, change }) = self.history.back() {
            let scale = dot(change, step) / dot(change, change);
            d.iter_mut().for_each(|v| *v *= scale);
        }
        for (Pair { step, change }, part) in self.history.iter().zip(parts.iter().rev()) {
            let more = part - dot(change, &d) / dot(change, step);
            add(&mut d, more, step);
        }
        d
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, v: &[f64]) {
    to.iter_mut().zip(v).for_each(|(to, v)| *to += factor * v);
}

/// The largest magnitude; NaN if there is one.
fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m: f64, v| if v.abs() > m || v.is_nan() { v.abs() } else { m })
}

/// The sum of magnitudes.
fn size(v: &[f64]) -> f64 {
    v.iter().map(|v| v.abs()).sum()
}

fn weights<T: Float>(params: &[Param<T>]) -> Vec<f64> {
    params.iter().flat_map(|p| p.value().to_vec()).map(|v| v.to_f64()).collect()
}

fn set<T: Float>(params: &[Param<T>], x: &[f64]) {
    let mut x = x.iter();
    for p in params {
        p.update(|value| {
            for (v, x) in value.as_mut_slice().iter_mut().zip(x.by_ref()) {
                *v = T::from_f64(*x);
            }
        });
    }
}
