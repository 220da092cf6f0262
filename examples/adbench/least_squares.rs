//! Steps of Levenberg and Marquardt for sums of squares whose Jacobian is mostly zeros.
use kolmo::Result;

/// The Jacobian row by row: where each row starts and the last ends, the columns, the values.
pub struct Rows<'a> {
    pub starts: &'a [usize],
    pub columns: &'a [u32],
    pub values: &'a [f64],
}

impl Rows<'_> {
    fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    fn row(&self, i: usize) -> impl Iterator<Item = (usize, f64)> {
        let range = self.starts[i]..self.starts[i + 1];
        self.columns[range.clone()].iter().zip(&self.values[range]).map(|(&j, &v)| (j as usize, v))
    }
}

/// Half the sum of the squares.
pub fn half_square(errors: &[f64]) -> f64 {
    0.5 * errors.iter().map(|e| e * e).sum::<f64>()
}

/// How small the damping starts, how far it falls and rises.
const DAMPING: [f64; 3] = [1e-3, 1e-9, 1e12];

/// A damping that is changed from step to step.
pub struct Levenberg {
    pub lambda: f64,
}

impl Levenberg {
    pub fn new() -> Levenberg {
        Levenberg { lambda: DAMPING[0] }
    }

    /// Adds a step δ of (JᵀJ + λ diag JᵀJ) δ = -Jᵀ r to the variables: with a small λ that of Gauss and
    /// Newton, with a large one a short one downhill. One that makes the errors larger is not taken, but
    /// tried again with a larger λ. False if no step makes them smaller by a millionth.
    pub fn step(
        &mut self,
        variables: &mut Vec<f64>,
        (errors, jacobian): (&[f64], &Rows),
        of: impl Fn(&[f64]) -> Result<Vec<f64>>,
    ) -> Result<bool> {
        while self.lambda < DAMPING[2] {
            let delta = solve(jacobian, errors, variables.len(), self.lambda);
            let next: Vec<f64> = variables.iter().zip(delta).map(|(v, d)| v + d).collect();
            let (before, after) = (half_square(errors), half_square(&of(&next)?));
            if after < before {
                *variables = next;
                self.lambda = f64::max(self.lambda / 10.0, DAMPING[1]);
                return Ok(after < (1.0 - 1e-6) * before);
            }
            self.lambda *= 10.0;
        }
        Ok(false)
    }
}

/// The step, by conjugate gradients with the diagonal as preconditioner: JᵀJ itself is never formed.
fn solve(jacobian: &Rows, errors: &[f64], columns: usize, lambda: f64) -> Vec<f64> {
    let forward = |x: &[f64]| -> Vec<f64> {
        (0..jacobian.len()).map(|i| jacobian.row(i).map(|(j, v)| v * x[j]).sum()).collect()
    };
    let back = |y: &[f64]| {
        let mut sums = vec![0.0; columns];
        for (i, y) in y.iter().enumerate() {
            jacobian.row(i).for_each(|(j, v)| sums[j] += v * y);
        }
        sums
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut diagonal = vec![1e-12; columns];
    for i in 0..jacobian.len() {
        jacobian.row(i).for_each(|(j, v)| diagonal[j] += v * v);
    }
    let scaled = |rest: &[f64]| -> Vec<f64> {
        rest.iter().zip(&diagonal).map(|(r, d)| r / (d * (1.0 + lambda))).collect()
    };
    let mut x = vec![0.0; columns];
    let mut rest: Vec<f64> = back(errors).iter().map(|g| -g).collect();
    let mut along = scaled(&rest);
    let mut size = dot(&rest, &along);
    let goal = 1e-12 * size;
    for _ in 0..500 {
        if size <= goal {
            break;
        }
        let mut product = back(&forward(&along));
        for ((p, a), d) in product.iter_mut().zip(&along).zip(&diagonal) {
            *p += lambda * d * a;
        }
        let far = size / dot(&along, &product);
        x.iter_mut().zip(&along).for_each(|(x, a)| *x += far * a);
        rest.iter_mut().zip(&product).for_each(|(r, p)| *r -= far * p);
        let next = scaled(&rest);
        let grown = dot(&rest, &next);
        along = next.iter().zip(&along).map(|(n, a)| n + grown / size * a).collect();
        size = grown;
    }
    x
}
