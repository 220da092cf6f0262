//! How a saved tape is run.
use super::tape::{Operand, SavedTape, Statement, What};
use crate::{
    autodiff::GradCheck,
    error::{Error, Result},
    ops::Float,
    real::{Arithmetic, named},
    tape::{Scalar, Tape, Var},
    tensor::Tensor,
};

/// What a saved tape gives when it is run.
#[derive(Clone, Debug)]
pub struct Replay<T: Float = f32> {
    /// The result.
    pub value: Tensor<T>,
    /// The gradients of the result with respect to inputs and parameters by their names, if it is a single
    /// element; zeros where there is no dependence.
    pub gradients: Vec<(String, Tensor<T>)>,
}

impl<T: Float> Replay<T> {
    /// The gradient of an input or parameter.
    pub fn gradient(&self, name: &str) -> Option<&Tensor<T>> {
        self.gradients.iter().find(|(n, _)| n == name).map(|(_, gradient)| gradient)
    }
}

/// A value on the way.
enum Value<'t, T: Float> {
    Tensor(Var<'t, T>),
    Scalar(Scalar<'t, T>),
}

impl SavedTape {
    /// Runs it on the values that it was recorded with. In the element type that it was recorded with, the
    /// results have the bits that they had then, gradients included.
    ///
    /// A file is a program: one from a stranger may ask for any amount of time and memory.
    pub fn replay<T: Float>(&self) -> Result<Replay<T>> {
        let leaves: Vec<Tensor<T>> = self.leaves().iter().map(|(_, value)| value.cast()).collect();
        self.replay_on(&leaves)
    }

    /// Runs it on other values of the [`leaves`](SavedTape::leaves), of the shapes that they had. What the
    /// program itself made of values, a constant or a branch, is as it was.
    ///
    /// # Errors
    /// Not as many leaves, or of other shapes; an operation that fails; other values where operations on the
    /// way found positions from values: the maxima of a pool, an order, a median.
    pub fn replay_on<T: Float>(&self, leaves: &[Tensor<T>]) -> Result<Replay<T>> {
        let bits = |t: &Tensor<T>| t.to_vec().iter().map(|v| v.to_f64().to_bits()).collect::<Vec<_>>();
        let same = |((_, known), leaf): (&(&str, &Tensor<f64>), &Tensor<T>)| {
            known.shape() == leaf.shape() && bits(&known.cast()) == bits(leaf)
        };
        if let Some(site) = &self.found
            && !self.leaves().iter().zip(leaves).all(same)
        {
            let message = format!(
                "positions were found from values at {site}, and the tape has them as they were: it can be run on the values that it \
                 was recorded with, or recorded again"
            );
            return Err(Error::invalid("replay", message));
        }
        let tape = Tape::new();
        let leaves: Vec<Var<'_, T>> = leaves.iter().map(|value| tape.input(value)).collect();
        let y = self.run(&tape, &leaves)?;
        let value = y.value()?.clone();
        let mut gradients = Vec::new();
        if value.numel() == 1 && y.is_recorded() {
            let found = y.backward()?;
            for ((name, _), leaf) in self.leaves().iter().zip(&leaves) {
                let gradient = found.get(leaf).cloned().unwrap_or_else(|| Tensor::zeros(leaf.shape()));
                gradients.push((name.to_string(), gradient));
            }
        }
        Ok(Replay { value, gradients })
    }

    /// Compares the gradients with respect to all leaves with central differences, in `f64`. Inputs in an
    /// error are counted as [`leaves`](SavedTape::leaves) counts them. Values on a kink fail, since there
    /// the difference is not the rule's slope.
    pub fn gradcheck(&self, options: GradCheck) -> Result<()> {
        let leaves: Vec<Tensor<f64>> = self.leaves().iter().map(|(_, value)| (*value).clone()).collect();
        if leaves.is_empty() {
            return Err(Error::invalid("gradcheck", "the tape has no inputs and no parameters"));
        }
        options.check_by(
            |x| {
                let tape = x[0].tape();
                self.run(tape, x).unwrap_or_else(|error| tape.fail_with(error))
            },
            &leaves,
            false,
        )
    }

    fn run<'t, T: Float>(&self, tape: &'t Tape<T>, leaves: &[Var<'t, T>]) -> Result<Var<'t, T>> {
        let expected = self.leaves().len();
        if leaves.len() != expected {
            return Err(Error::invalid("replay", format!("takes {expected} leaves, not {}", leaves.len())));
        }
        let mut leaves = leaves.iter();
        let mut values: Vec<Value<'t, T>> = Vec::with_capacity(self.statements.len());
        for statement in &self.statements {
            let value = compute(statement, tape, &values, &mut leaves);
            values.push(value.map_err(|message| failed(statement, &message))?);
        }
        match values.pop() {
            Some(Value::Tensor(y)) => Ok(y),
            Some(Value::Scalar(y)) => Ok(tape.lift(y)),
            None => Err(Error::invalid("replay", "there are no statements")),
        }
    }
}

fn failed(statement: &Statement, message: &str) -> Error {
    let site = statement.site.as_ref().map(|site| format!(", recorded at {site}")).unwrap_or_default();
    Error::invalid("replay", format!("%{}{site}: {message}", statement.id))
}

fn compute<'t, 'v, T: Float>(
    statement: &Statement,
    tape: &'t Tape<T>,
    values: &[Value<'t, T>],
    leaves: &mut impl Iterator<Item = &'v Var<'t, T>>,
) -> Result<Value<'t, T>, String>
where
    't: 'v,
{
    let wrong = || String::from("an operand is not of the right kind");
    let scalar = |operand: &Operand| match operand {
        Operand::Constant(value) => Ok(Scalar::constant(T::constant(value.item().unwrap_or(f64::NAN)))),
        Operand::Statement(place) => match values.get(*place) {
            Some(Value::Scalar(s)) => Ok(*s),
            _ => Err(wrong()),
        },
    };
    let tensor = |operand: &Operand| match operand {
        Operand::Constant(value) => Ok(tape.constant(value.cast::<T>())),
        Operand::Statement(place) => match values.get(*place) {
            Some(Value::Tensor(v)) => Ok(v.clone()),
            _ => Err(wrong()),
        },
    };
    let value = match &statement.what {
        What::Leaf { value, name } => {
            let leaf = leaves.next().ok_or_else(wrong)?;
            if leaf.shape() != value.shape() {
                return Err(format!("{name} has shape {}, not {}", value.shape(), leaf.shape()));
            }
            if statement.shape.is_none() { Value::Scalar(leaf.at([])) } else { Value::Tensor(leaf.clone()) }
        }
        What::Tensor { op, operands } => {
            let operands: Vec<Var<'t, T>> = operands.iter().map(tensor).collect::<Result<_, _>>()?;
            let shape = statement.shape.as_ref().ok_or_else(wrong)?;
            let op = op.for_operands(&operands.iter().map(Var::tensor).collect::<Vec<_>>(), shape)?;
            Value::Tensor(tape.apply(op, &operands.iter().collect::<Vec<_>>()))
        }
        What::Scalar { op, options, operands } => {
            let operands: Vec<Scalar<'t, T>> = operands.iter().map(scalar).collect::<Result<_, _>>()?;
            Value::Scalar(
                function(op, &operands, options)
                    .ok_or_else(|| format!("there is no function {op} of {} numbers", operands.len()))?,
            )
        }
        What::At { operand, position } => {
            let x = tensor(&Operand::Statement(*operand))?;
            let index = x.shape().index_of(*position);
            Value::Scalar(
                x.at(index.ok_or_else(|| format!("there is no element {position} in {}", x.shape()))?),
            )
        }
        What::Stack { operands } => {
            let scalars: Vec<Scalar<'t, T>> = operands.iter().map(scalar).collect::<Result<_, _>>()?;
            Value::Tensor(tape.stack_scalars(&scalars, statement.shape.clone().unwrap_or_default()))
        }
    };
    if let Value::Tensor(y) = &value {
        y.ok().map_err(|error| match error {
            Error::Op(error) => format!("{}: {}", error.op, error.message),
            other => other.to_string(),
        })?;
        if Some(y.shape()) != statement.shape.as_ref() {
            return Err(format!("the result has shape {}, it had another when it was recorded", y.shape()));
        }
    }
    Ok(value)
}

/// A function of numbers by its name: those of the table, and sums and products of any number of them.
fn function<R: Arithmetic + std::iter::Sum>(name: &str, x: &[R], options: &[f64]) -> Option<R> {
    match name {
        "sum" => Some(x.iter().copied().sum()),
        "dot" if x.len().is_multiple_of(2) => {
            let (a, b) = x.split_at(x.len() / 2);
            Some(R::dot(a, b))
        }
        "sum_of_squares" => Some(R::dot(x, x)),
        _ => named::apply(name, x, options),
    }
}

/// Whether there is a function of this name.
pub(super) fn is_known(name: &str, arguments: usize, options: &[f64]) -> bool {
    function(name, &vec![0.5f64; arguments], options).is_some()
}

/// The numbers among the options as a listing shows them: `negative_slope=0.1`.
pub(super) fn options(text: &str) -> Vec<f64> {
    text.split(", ").filter_map(|option| option.split_once('=')?.1.parse().ok()).collect()
}
