//! Derivatives against finite differences.
use crate::{
    error::{Error, Result},
    tape::{Tape, Var},
    tensor::Tensor,
};

/// Compares a function's gradients with central differences in f64; see [`gradcheck`] for the plain call.
///
/// ```
/// use kolmo::{Tensor, autodiff::GradCheck};
/// let check = GradCheck::new().second_order(true).rtol(1e-4);
/// check.check(|x| (&x[0] * &x[1]).sin(), &[Tensor::from([0.3, -1.0]), Tensor::from([2.0, 0.7])])?;
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is checked until `check` is called"]
pub struct GradCheck {
    eps: f64,
    atol: f64,
    rtol: f64,
    second: bool,
    most: usize,
}

impl Default for GradCheck {
    fn default() -> Self {
        GradCheck { eps: 1e-6, atol: 1e-5, rtol: 1e-3, second: false, most: usize::MAX }
    }
}

impl GradCheck {
    /// PyTorch's defaults: step 1e-6, absolute tolerance 1e-5, relative 1e-3, first order.
    pub fn new() -> Self {
        Self::default()
    }

    /// The step of the central differences.
    pub fn eps(self, eps: f64) -> Self {
        GradCheck { eps, ..self }
    }

    /// The absolute tolerance.
    pub fn atol(self, atol: f64) -> Self {
        GradCheck { atol, ..self }
    }

    /// The relative tolerance.
    pub fn rtol(self, rtol: f64) -> Self {
        GradCheck { rtol, ..self }
    }

    /// Checks the gradients of the gradients too.
    #[doc(alias = "gradgradcheck")]
    pub fn second_order(self, on: bool) -> Self {
        GradCheck { second: on, ..self }
    }

    /// Checks at most so many elements of each input, evenly spread (default all): large inputs take two runs
    /// for each element.
    pub fn max_elements(self, elements: usize) -> Self {
        GradCheck { most: elements, ..self }
    }

    /// Compares; an error names the first entry that differs.
    pub fn check(
        &self,
        f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
        inputs: &[Tensor<f64>],
    ) -> Result<()> {
        self.check_by(f, inputs, true)
    }

    /// The same; first gradients are recorded themselves only if that is wanted or second ones are checked:
    /// those of scalars can't be.
    pub(crate) fn check_by(
        &self,
        f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>,
        inputs: &[Tensor<f64>],
        recorded: bool,
    ) -> Result<()> {
        // A fixed weighting of the outputs makes one number of them; its weights are unlike each other.
        let weighted = |x: &[Var<'_, f64>]| weigh(&f(x)).item();
        let tape = Tape::new();
        let x: Vec<_> = inputs.iter().map(|t| tape.input(t)).collect();
        let refs: Vec<_> = x.iter().collect();
        let y = weigh(&f(&x));
        let seed = tape.constant(Tensor::ones(y.shape()));
        let grads = tape.vjp(&[&y], &[&seed], &refs, recorded || self.second, None)?;
        self.compare("gradient", inputs, &grads, |x| {
            let tape = Tape::new();
            weighted(&x.iter().map(|t| tape.constant(t)).collect::<Vec<_>>())
        })?;
        if self.second {
            let total = |grads: &[Var<'_, f64>]| -> Result<f64> {
                grads.iter().enumerate().map(|(i, g)| Ok((i + 1) as f64 * weigh(g).item()?)).sum()
            };
            let sum = grads.iter().enumerate().map(|(i, g)| weigh(g) * (i + 1) as f64).reduce(|a, b| a + b);
            let Some(sum) = sum else { return Ok(()) };
            let grads2 = sum.grad(&refs)?;
            self.compare("second-order gradient", inputs, &grads2, |x| {
                let tape = Tape::new();
                let x: Vec<_> = x.iter().map(|t| tape.input(t)).collect();
                total(&weigh(&f(&x)).grad(&x.iter().collect::<Vec<_>>())?)
            })?;
        }
        Ok(())
    }

    fn compare(
        &self,
        what: &str,
        inputs: &[Tensor<f64>],
        grads: &[Var<'_, f64>],
        value: impl Fn(&[Tensor<f64>]) -> Result<f64>,
    ) -> Result<()> {
        for (i, grad) in grads.iter().enumerate() {
            let grad = grad.value()?.to_vec();
            let apart = grad.len().div_ceil(self.most.max(1)).max(1);
            for (k, &found) in grad.iter().enumerate().step_by(apart) {
                let at = |step: f64| {
                    let mut moved = inputs.to_vec();
                    moved[i].as_mut_slice()[k] += step;
                    value(&moved)
                };
                let expected = (at(self.eps)? - at(-self.eps)?) / (2.0 * self.eps);
                if (found - expected).abs() > self.atol + self.rtol * expected.abs() || found.is_nan() {
                    let message = format!(
                        "{what} of input {i} at element {k} is {found}, by central differences {expected}"
                    );
                    return Err(Error::invalid("gradcheck", message));
                }
            }
        }
        Ok(())
    }
}

/// The sum of all elements with weights that differ from element to element.
fn weigh<'t>(y: &Var<'t, f64>) -> Var<'t, f64> {
    let weights = Tensor::from_fn(y.shape(), |i| 0.5 + ((i * 7919 + 13) % 101) as f64 / 101.0);
    (y * y.tape().constant(weights)).sum()
}

/// Compares the gradients of `f` with central differences, with PyTorch's tolerances, in f64.
///
/// ```
/// use kolmo::{Tensor, autodiff::gradcheck};
/// gradcheck(|x| x[0].tanh() * &x[1], &[Tensor::from([0.3, -1.0]), Tensor::from([2.0])])?;
/// # Ok::<(), kolmo::Error>(())
/// ```
pub fn gradcheck(f: impl for<'t> Fn(&[Var<'t, f64>]) -> Var<'t, f64>, inputs: &[Tensor<f64>]) -> Result<()> {
    GradCheck::new().check(f, inputs)
}
