//! Rounding and pruning of linear layers that makes up for what each step loses: the optimal brain surgeon
//! (Hassibi, Stork and Wolff, 1993) column by column, as in GPTQ (Frantar et al., 2023) and SparseGPT
//! (Frantar and Alistarh, 2023).
use crate::{
    error::{Error, Result},
    kernels::dense::{cholesky, panel},
    ops::{Float, SolveTriangularOptions},
    real::Arithmetic,
    tensor::{
        Tensor,
        room::{filled, listed},
    },
};

/// The second derivatives of a linear layer's squared error, `H = 2XᵀX` of its inputs, in the form that is
/// needed: the upper triangle U with `UᵀU = H⁻¹`.
///
/// ```
/// use kolmo::{Tensor, compress::ObsSolver};
/// // Two inputs that are nearly the same: one weight can do the other's work.
/// let x = Tensor::<f64>::from([[1.0, 1.1], [2.0, 1.9], [-1.0, -1.0]]);
/// let curvature = ObsSolver::from_inputs(&x, 0.0)?;
/// let (w, _) = curvature.prune(&Tensor::<f64>::from([[1.0, 1.0]]), 0.5)?;
/// let left = w.to_vec();
/// assert!(left[0] == 0.0 && (left[1] - 2.0).abs() < 0.05);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "GPTQ")]
pub struct ObsSolver {
    n: usize,
    upper: Vec<f64>,
}

/// Columns that are pruned together.
const BLOCK: usize = 128;

impl ObsSolver {
    /// From inputs `[examples, inputs]`. `damping` times the mean of the diagonal is added to it (GPTQ's is
    /// 0.01), without which fewer examples than inputs, or an input that is always 0, leave nothing to
    /// divide by.
    ///
    /// # Errors
    /// Another rank; a matrix that isn't positive definite.
    pub fn from_inputs<T: Float>(inputs: &Tensor<T>, damping: f64) -> Result<ObsSolver> {
        let fail = |message: String| Err(Error::invalid("curvature", message));
        let [_, n] = inputs.shape()[..] else {
            return fail(format!("takes inputs [examples, inputs], not {}", inputs.shape()));
        };
        let x = inputs.cast::<f64>();
        let tape = crate::tape::Tape::<f64>::inference();
        let x = tape.constant(x);
        let mut h = (x.transpose(0, 1).matmul(&x) * 2.0).to_vec()?;
        let mean = (0..n).map(|i| h[i * n + i]).sum::<f64>() / n.max(1) as f64;
        (0..n).for_each(|i| h[i * n + i] += damping * mean);
        let invalid = |message| Error::invalid("curvature", message);
        let mut lower = filled(n * n, 0.0).map_err(invalid)?;
        let mut panel = panel(n).map_err(invalid)?;
        if let Err(minor) = cholesky(&h, n, &mut lower, &mut panel).map_err(invalid)? {
            return fail(format!(
                "the inputs' second moments are not positive definite from input {minor} on; add damping"
            ));
        }
        let l = tape.constant(Tensor::new([n, n], lower)?);
        let eye = tape.constant(Tensor::eye(n));
        let root = l.solve_triangular(&eye, SolveTriangularOptions::new());
        let inverse = root.transpose(0, 1).matmul(&root).to_vec()?;
        let mut factor = filled(n * n, 0.0).map_err(invalid)?;
        if cholesky(&inverse, n, &mut factor, &mut panel).map_err(invalid)?.is_err() {
            return fail("the inputs' second moments can't be inverted; add damping".into());
        }
        let upper = listed(n * n, (0..n * n).map(|i| factor[i % n * n + i / n])).map_err(invalid)?;
        Ok(ObsSolver { n, upper })
    }

    /// The weight `[outputs, inputs]` rounded to what `round` makes of each value and its row, the columns
    /// one after the other, each error made up for by the columns that follow.
    ///
    /// # Errors
    /// Another shape.
    pub fn round<T: Float>(
        &self,
        weight: &Tensor<T>,
        round: impl Fn(usize, f64) -> f64,
    ) -> Result<Tensor<T>> {
        let mut w = self.values(weight)?;
        for column in 0..self.n {
            self.settle(&mut w, column, &round);
        }
        Ok(Tensor::from_fn(weight.shape(), |i| T::constant(w[i])))
    }

    /// The weight `[outputs, inputs]` with this share of it left, and which: of each 128 columns those
    /// weights go that cost the least, `w² / [H⁻¹]ᵢᵢ`, and what is left makes up for them.
    ///
    /// # Errors
    /// Another shape; a density outside of 0 to 1.
    pub fn prune<T: Float>(&self, weight: &Tensor<T>, density: f64) -> Result<(Tensor<T>, Tensor<bool>)> {
        if !(0.0..=1.0).contains(&density) {
            return Err(Error::invalid("curvature", format!("density {density} is not between 0 and 1")));
        }
        let (mut w, n) = (self.values(weight)?, self.n);
        let mut keep = vec![true; w.len()];
        let rows = w.len() / n.max(1);
        for start in (0..n).step_by(BLOCK) {
            let end = n.min(start + BLOCK);
            let places = (0..rows).flat_map(|row| (start..end).map(move |column| row * n + column));
            let cost = |i: usize| Arithmetic::square(w[i] / self.upper[i % n * (n + 1)]);
            let mut order: Vec<(f64, usize)> = places.map(|i| (cost(i), i)).collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let gone = order.len() - (density * order.len() as f64).round() as usize;
            order.iter().take(gone).for_each(|&(_, i)| keep[i] = false);
            for column in start..end {
                self.settle(&mut w, column, |row, value| if keep[row * n + column] { value } else { 0.0 });
            }
        }
        let keep = Tensor::new(weight.shape(), keep)?;
        Ok((Tensor::from_fn(weight.shape(), |i| T::constant(w[i])), keep))
    }

    fn values<T: Float>(&self, weight: &Tensor<T>) -> Result<Vec<f64>> {
        if weight.rank() != 2 || weight.dim(1) != self.n {
            let message = format!("takes a weight [outputs, {}], not {}", self.n, weight.shape());
            return Err(Error::invalid("curvature", message));
        }
        Ok(weight.to_vec().iter().map(|v| v.to_f64()).collect())
    }

    /// Gives a column its final values; the columns behind it take over what it lost.
    fn settle(&self, w: &mut [f64], column: usize, value: impl Fn(usize, f64) -> f64) {
        let n = self.n;
        let factors = &self.upper[column * n..(column + 1) * n];
        for (row, w) in w.chunks_exact_mut(n.max(1)).enumerate() {
            let settled = value(row, w[column]);
            let error = (w[column] - settled) / factors[column];
            w[column] = settled;
            if error != 0.0 {
                w[column + 1..].iter_mut().zip(&factors[column + 1..]).for_each(|(w, f)| *w -= error * f);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(n: usize) -> Tensor<f64> {
        // Correlated: each column resembles the one before.
        Tensor::from_fn([40, n], |i| {
            let (row, column) = (i / n, i % n);
            (row as f64 * 0.37 + column as f64 * 0.2).sin() + 0.3 * ((row * 7 + column * 13) as f64).cos()
        })
    }

    /// `‖X(W - V)ᵀ‖²`
    fn loss(x: &Tensor<f64>, w: &Tensor<f64>, v: &Tensor<f64>) -> f64 {
        let tape = crate::Tape::<f64>::inference();
        let gap = tape.constant(w) - tape.constant(v);
        tape.constant(x).linear(&gap, None).square().sum().item().unwrap()
    }

    #[test]
    fn removing_one_weight_costs_what_the_surgeon_says() {
        let x = inputs(3);
        let w = Tensor::from([[0.9, 5.0, -4.0]]);
        let (left, keep) = ObsSolver::from_inputs(&x, 0.0).unwrap().prune(&w, 0.67).unwrap();
        assert_eq!(keep.to_vec(), [false, true, true]);
        // The squared error is δᵀHδ / 2, the least of which with δ₀ = -w₀ is w₀² / (2 [H⁻¹]₀₀).
        let tape = crate::Tape::<f64>::inference();
        let xv = tape.constant(&x);
        let h = xv.transpose(0, 1).matmul(&xv) * 2.0;
        let inverse = h.inv().to_vec().unwrap();
        let expected = 0.9f64.powi(2) / (2.0 * inverse[0]);
        assert!((loss(&x, &w, &left) - expected).abs() < 1e-9 * expected);
    }

    #[test]
    fn making_up_for_errors_beats_rounding_and_magnitude() {
        let x = inputs(24);
        let w = Tensor::from_fn([5, 24], |i| ((i * 31) as f64 * 0.11).sin());
        let curvature = ObsSolver::from_inputs(&x, 0.01).unwrap();
        let round = |v: f64| (v * 2.0).round() / 2.0;
        let plain = Tensor::from_fn(w.shape(), |i| round(w.to_vec()[i]));
        let better = curvature.round(&w, |_, v| round(v)).unwrap();
        assert!(better.to_vec().iter().all(|v| round(*v) == *v));
        assert!(loss(&x, &w, &better) < 0.5 * loss(&x, &w, &plain));
        let (pruned, keep) = curvature.prune(&w, 0.5).unwrap();
        assert_eq!(keep.to_vec().iter().filter(|&&k| k).count(), 60);
        let mut order: Vec<f64> = w.to_vec().iter().map(|v| v.abs()).collect();
        order.sort_by(f64::total_cmp);
        let magnitude =
            Tensor::from_fn(
                w.shape(),
                |i| if w.to_vec()[i].abs() >= order[60] { w.to_vec()[i] } else { 0.0 },
            );
        assert!(loss(&x, &w, &pruned) < 0.9 * loss(&x, &w, &magnitude));
    }

    #[test]
    fn what_cannot_be_inverted_is_an_error() {
        let x = Tensor::<f64>::zeros([4, 3]);
        assert!(ObsSolver::from_inputs(&x, 0.0).unwrap_err().to_string().contains("add damping"));
        let curvature = ObsSolver::from_inputs(&inputs(3), 0.0).unwrap();
        assert!(
            curvature
                .round(&Tensor::<f64>::zeros([2, 4]), |_, v| v)
                .unwrap_err()
                .to_string()
                .contains("[outputs, 3]")
        );
        assert!(curvature.prune(&Tensor::<f64>::zeros([2, 3]), 1.5).is_err());
    }
}
