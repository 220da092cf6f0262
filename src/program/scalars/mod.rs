//! Programs of scalars: a formula recorded once, put in order, and run on one input or on many at a time.
mod blocks;
mod graph;
mod run;
mod single;
#[cfg(test)]
mod tests;

use crate::{
    error::{Error, Result},
    kernels::rows::turn,
    ops::trace::Traced,
    tensor::{Shape, Tensor, Unfilled},
    threads,
};
use blocks::{Blocks, bit};
use graph::Graph;
use run::Runs;
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A formula of numbers, recorded once and run on other values, with its derivatives: on one input or on many
/// at a time.
///
/// The formula is generic over [`Number`](crate::Number), or a closure of [`Traced`] numbers. Recording it
/// writes down what it does; equal operations are merged, those that no result needs left out, and those that
/// don't wait for each other are done together, in vector code.
///
/// ```
/// use kolmo::{Number, ScalarProgram, Tensor};
/// fn wave<R: Number>(x: R, t: R) -> R {
///     (-t).exp() * (x * 3.0 - t).sin()
/// }
/// let program = ScalarProgram::new(2, |x| vec![wave(x[0], x[1])])?;
/// let (y, grad) = program.value_and_grad(&Tensor::from(vec![0.5, 1.0]))?;
/// assert_eq!(y.to_vec(), [wave(0.5, 1.0)]);
/// let slope = 3.0 * (-1.0f64).exp() * 0.5f64.cos();
/// assert!((grad.to_vec()[0] - slope).abs() < 1e-15);
/// // The same for a thousand inputs, on all threads.
/// let many = Tensor::from_fn([1000, 2], |i| i as f64 * 1e-3);
/// let (y, grads) = program.value_and_grad(&many)?;
/// assert_eq!((y.shape(), grads.shape()), (&[1000, 1].into(), &[1000, 2].into()));
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// What is computed must not depend on values otherwise than through operations: a number of a program has
/// none to read while it is recorded. [`primal`](crate::number::Arithmetic::primal) makes `new` fail, with
/// the line that called it. Choose by [`select`](crate::number::Arithmetic::select), or by `maximum` and the
/// like; only what was chosen has derivatives.
///
/// Values are those that the formula has of plain `f64`, to the bit. They are the same whether an input is
/// run alone or among others, and on any number of threads, and so are the derivatives.
#[doc(alias("vmap", "jit", "compile"))]
pub struct ScalarProgram {
    program: Blocks,
    /// Memory of runs that are over.
    idle: Mutex<Vec<Runs>>,
}

/// What there is of what, not the recording itself.
impl fmt::Debug for ScalarProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScalarProgram")
            .field("inputs", &self.program.inputs)
            .field("results", &self.program.results.len())
            .field("constants", &self.program.constants.len())
            .field("operations", &self.program.operations)
            .field("blocks", &self.program.blocks.len())
            .finish()
    }
}

/// Numbers of values and adjoints of several runs at a time that stay in a core's cache.
const CACHED: usize = 256 * 1024;
/// Fewest and most runs at a time, if there are as many.
const FEWEST: usize = 32;
const MOST: usize = 256;

/// What is asked of runs.
#[derive(Clone, Copy)]
enum Ask<'a> {
    Values,
    /// The derivatives of a sum of results with these weights, for each run the same or its own.
    Weighted(&'a [f64]),
    /// Those of each result.
    Jacobian,
}

impl ScalarProgram {
    /// Records what `f` makes of so many inputs.
    ///
    /// # Errors
    /// `f` has no results, or reads a value.
    pub fn new(
        inputs: usize,
        f: impl for<'p> FnOnce(&[Traced<'p>]) -> Vec<Traced<'p>>,
    ) -> Result<ScalarProgram> {
        ScalarProgram::with_data(inputs, 0, |x, _| f(x))
    }

    /// Records what `f` makes of so many inputs and, of some more numbers, data that no derivatives are asked
    /// for. A run takes both in one row, first the inputs.
    ///
    /// ```
    /// use kolmo::{ScalarProgram, Tensor, number::Arithmetic};
    /// // How far a line lies from each of some points: slope and height, x and y.
    /// let program = ScalarProgram::with_data(2, 2, |line, point| {
    ///     vec![(line[0] * point[0] + line[1] - point[1]).square()]
    /// })?;
    /// let rows = Tensor::from([[2.0, 1.0, 0.5, 3.0], [2.0, 1.0, 1.0, 3.0]]);
    /// let (errors, slopes) = program.value_and_grad(&rows)?;
    /// assert_eq!(errors.to_vec(), [1.0, 0.0]);
    /// assert_eq!(slopes.to_vec(), [-1.0, -2.0, 0.0, 0.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// `f` has no results, or reads a value.
    pub fn with_data(
        inputs: usize,
        data: usize,
        f: impl for<'p> FnOnce(&[Traced<'p>], &[Traced<'p>]) -> Vec<Traced<'p>>,
    ) -> Result<ScalarProgram> {
        let count =
            inputs.checked_add(data).and_then(|n| u32::try_from(n).ok()).filter(|&n| n < u32::MAX / 4);
        let Some(count) = count else {
            let message =
                format!("{inputs} inputs and {data} numbers are more than there are places for, 2³⁰");
            return Err(Error::invalid("ScalarProgram", message));
        };
        let graph = Graph::new(count);
        let x: Vec<Traced<'_>> = (0..count).map(|i| Traced::at(&graph, i)).collect();
        let (own, more) = x.split_at(inputs);
        let results: Vec<u32> = f(own, more).into_iter().map(|y| y.place_in(&graph)).collect();
        drop(x);
        let nodes = graph.into_nodes();
        if let Some((obstacle, site)) = nodes.obstacle {
            return Err(Error::op("ScalarProgram", obstacle, site));
        }
        if results.is_empty() {
            let message = "the function gave no result; a program has at least one";
            return Err(Error::invalid("ScalarProgram", message));
        }
        let program = Blocks::new(&nodes, count as usize, inputs, &results);
        Ok(ScalarProgram { program, idle: Mutex::default() })
    }

    /// How many numbers come in, data included.
    pub fn inputs(&self) -> usize {
        self.program.inputs
    }

    /// How many come out.
    pub fn results(&self) -> usize {
        self.program.results.len()
    }

    /// How many operations a run does.
    pub fn len(&self) -> usize {
        self.program.operations
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The results: `[inputs] -> [results]`, or of many inputs `[n, inputs] -> [n, results]`.
    pub fn run(&self, x: &Tensor<f64>) -> Result<Tensor<f64>> {
        Ok(self.all("run", x, Ask::Values)?.0)
    }

    /// The results, and the gradient of the first one: `[inputs]`, or `[n, inputs]`.
    pub fn value_and_grad(&self, x: &Tensor<f64>) -> Result<(Tensor<f64>, Tensor<f64>)> {
        let mut first = vec![0.0; self.results()];
        first[..1].fill(1.0);
        self.all("value_and_grad", x, Ask::Weighted(&first))
    }

    /// The results, and the gradient of their sum with weights: `[inputs]`, or `[n, inputs]`. The weights are
    /// one for each result, or of the shape of the results.
    pub fn vjp(&self, x: &Tensor<f64>, weights: &Tensor<f64>) -> Result<(Tensor<f64>, Tensor<f64>)> {
        let shape = self.shape("vjp", x)?.0;
        let fits = *weights.shape() == shape || *weights.shape() == [self.results()];
        if !fits {
            let message = format!(
                "weights {} are neither one for each result, [{}], nor of the results' shape {shape}",
                weights.shape(),
                self.results()
            );
            return Err(Error::invalid("vjp", message));
        }
        let weights = whole("vjp", weights)?;
        self.all("vjp", x, Ask::Weighted(weights.as_slice().unwrap_or_default()))
    }

    /// The results, and the derivatives of each: `[inputs] -> [results, inputs]`, or `[n, inputs] ->
    /// [n, results, inputs]`.
    pub fn jacobian(&self, x: &Tensor<f64>) -> Result<(Tensor<f64>, Tensor<f64>)> {
        self.all("jacobian", x, Ask::Jacobian)
    }

    /// The shape of the results, and how many runs there are.
    fn shape(&self, what: &'static str, x: &Tensor<f64>) -> Result<(Shape, usize)> {
        match x.shape()[..] {
            [n] if n == self.inputs() => Ok(([self.results()].into(), 1)),
            [runs, n] if n == self.inputs() => Ok(([runs, self.results()].into(), runs)),
            _ => {
                let n = self.inputs();
                let message = format!(
                    "the program was recorded with {n} inputs, so it takes [{n}] or [n, {n}], not {}",
                    x.shape()
                );
                Err(Error::invalid(what, message))
            }
        }
    }

    /// Results and, if asked for, derivatives.
    fn all(&self, what: &'static str, x: &Tensor<f64>, ask: Ask<'_>) -> Result<(Tensor<f64>, Tensor<f64>)> {
        let (shape, runs) = self.shape(what, x)?;
        let x = whole(what, x)?;
        let data = x.as_slice().unwrap_or_default();
        let (n, m) = (self.program.moving, self.results());
        let width = match ask {
            Ask::Values => 0,
            Ask::Weighted(_) => n,
            Ask::Jacobian => n * m,
        };
        let slope_shape: Shape = match ask {
            Ask::Jacobian if shape.len() == 2 => [runs, m, n].into(),
            Ask::Jacobian => [m, n].into(),
            Ask::Weighted(_) if shape.len() == 2 => [runs, n].into(),
            Ask::Weighted(_) => [n].into(),
            Ask::Values => [0].into(),
        };
        let made = |shape| Unfilled::new(shape).made().map_err(|why| Error::invalid(what, why));
        let (mut values, mut slopes) = (made(shape)?, made(slope_shape)?);
        let lanes = self.lanes(runs);
        let mut slopes_left = slopes.as_mut_slice();
        let mut tasks = Vec::with_capacity(runs.div_ceil(lanes.max(1)));
        for (i, values) in values.as_mut_slice().chunks_mut(lanes * m).enumerate() {
            let (slopes, rest) = std::mem::take(&mut slopes_left).split_at_mut(values.len() / m * width);
            slopes_left = rest;
            tasks.push(Mutex::new(Task { start: i * lanes, values, slopes }));
        }
        threads::parallel_for(tasks.len(), &|i| self.task(&mut lock(&tasks[i]), lanes, data, ask));
        drop(tasks);
        Ok((values.filled(), slopes.filled()))
    }

    /// How many runs are done at a time, of so many.
    fn lanes(&self, runs: usize) -> usize {
        let most = CACHED / 2 / self.program.places.max(1);
        let most = most.clamp(8, MOST).next_power_of_two();
        let share = runs.div_ceil(threads::num_threads()).max(runs.min(FEWEST));
        share.next_power_of_two().clamp(1, most)
    }

    fn task(&self, task: &mut Task<'_>, lanes: usize, data: &[f64], ask: Ask<'_>) {
        let (n, m) = (self.inputs(), self.results());
        let idle = lock(&self.idle).pop().filter(|runs| runs.lanes == lanes);
        let mut runs = idle.unwrap_or_else(|| Runs::new(&self.program, lanes));
        let count = task.values.len() / m;
        let first = self.program.constants.len();
        let inputs = &mut runs.values[first * lanes..(first + n) * lanes];
        turn(&data[task.start * n..][..count * n], n.max(1), n, inputs, lanes);
        if count < lanes {
            // What is no run is done as the last one.
            for row in inputs.chunks_exact_mut(lanes) {
                let last = row[count - 1];
                row[count..].fill(last);
            }
        }
        runs.forward(&self.program);
        for (r, &place) in self.program.results.iter().enumerate() {
            let row = &runs.values[place * lanes..][..count];
            task.values.chunks_exact_mut(m).zip(row).for_each(|(out, &y)| out[r] = y);
        }
        if !matches!(ask, Ask::Values) {
            runs.adjoints.resize(self.program.places * lanes, 0.0);
        }
        match ask {
            Ask::Values => {}
            Ask::Weighted(weights) => {
                for (r, &place) in self.program.results.iter().enumerate() {
                    let seed = &mut runs.adjoints[place * lanes..][..lanes];
                    for (lane, seed) in seed.iter_mut().enumerate() {
                        let run = if weights.len() == m { 0 } else { task.start + lane.min(count - 1) };
                        *seed += weights[run * m + r];
                    }
                }
                runs.backward(&self.program, u64::MAX);
                self.slopes(&mut runs, task, 1, 0);
            }
            Ask::Jacobian => {
                for (r, &place) in self.program.results.iter().enumerate() {
                    runs.adjoints[place * lanes..][..lanes].fill(1.0);
                    runs.backward(&self.program, bit(r));
                    self.slopes(&mut runs, task, m, r);
                }
            }
        }
        lock(&self.idle).push(runs);
    }

    /// Puts the adjoints of the inputs where they belong, as one of `results` rows for each run, and makes
    /// them 0.
    fn slopes(&self, runs: &mut Runs, task: &mut Task<'_>, results: usize, result: usize) {
        let (lanes, n) = (runs.lanes, self.program.moving);
        let first = self.program.constants.len();
        let inputs = &mut runs.adjoints[first * lanes..(first + n) * lanes];
        if n > 0 {
            let count = task.values.len() / self.results();
            turn(inputs, lanes, count, &mut task.slopes[result * n..], results * n);
        }
        inputs.fill(0.0);
        // A result without derivatives still has what it was given.
        for &place in self.program.results.iter().filter(|&&place| place >= first + n) {
            runs.adjoints[place * lanes..][..lanes].fill(0.0);
        }
    }
}

/// Some runs: the first, and where what they give goes.
struct Task<'a> {
    start: usize,
    values: &'a mut [f64],
    slopes: &'a mut [f64],
}

/// The elements one behind the other.
fn whole(what: &'static str, x: &Tensor<f64>) -> Result<Tensor<f64>> {
    x.contiguous().made().map_err(|why| Error::invalid(what, why))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
