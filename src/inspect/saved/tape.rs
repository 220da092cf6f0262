//! What a saved tape is, how it is listed, and its file.
use super::super::listing::{Argument, Listing, Row};
use crate::{
    error::{Error, Result},
    files::{read_text, write_readable},
    inspect::listing::names_in,
    ops::saved::SavedOp,
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A recorded computation: its operations, the values of its inputs and parameters, and every constant in it.
/// It goes through serde and is run again by [`replay`](SavedTape::replay) and checked by
/// [`gradcheck`](SavedTape::gradcheck), without the program that recorded it.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, autodiff::GradCheck, inspect::SavedTape, nn::{Layer, Linear, Relu, Sequential}};
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::new(3, 4, rng), Relu, Linear::new(4, 2, rng)));
/// let tape = Tape::new();
/// tape.set_observing(true);
/// let x = tape.constant([[1.0, -0.5, 2.0], [0.1, 0.2, 0.3]]);
/// let loss = net.forward(&x).cross_entropy(&Tensor::from([0u32, 1]));
/// let saved = SavedTape::from_var(&loss)?.with_names(&net);
/// let file = std::env::temp_dir().join("kolmo_saved_tape.json");
/// saved.save(&file)?;
///
/// let loaded = SavedTape::load(&file)?; // here Linear and Relu are not needed any more
/// let run = loaded.replay::<f32>()?;
/// assert_eq!(run.value.item()?, loss.item()?);
/// let grads = loss.backward()?;
/// assert_eq!(run.gradient("0.weight"), grads.param(&net.0.0.weight));
/// loaded.gradcheck(GradCheck::new())?;
/// # std::fs::remove_file(file).ok();
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// A fused expression is saved as the operations that it is made of, and may be rounded differently when it
/// is run again. What can't be saved is code of the program itself: a custom operation, a checkpointed block,
/// and scalars that a fused expression, a [`preaccumulate`](crate::Tape::preaccumulate)d block or
/// [`Scalar::statement`](crate::Scalar::statement) gave; an
/// error names it and its source line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Plain")]
pub struct SavedTape {
    pub(super) dtype: String,
    /// Each after those that it needs; the last is the result.
    #[serde(with = "crate::numbers")]
    pub(super) statements: Vec<Statement>,
    /// Where positions, or which way to go, were found from values: they are in the tape as they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) found: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename = "SavedTape")]
struct Plain {
    dtype: String,
    #[serde(with = "crate::numbers")]
    statements: Vec<Statement>,
    #[serde(default)]
    found: Option<String>,
}

/// A statement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Statement {
    /// Its position on the tape that it was recorded on.
    pub id: u32,
    /// The source line that recorded it.
    pub site: Option<String>,
    /// Sizes of the result; `None` for scalars.
    pub shape: Option<Shape>,
    pub what: What,
}

/// How a statement gets its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum What {
    /// An input or a parameter.
    Leaf { name: String, value: Tensor<f64> },
    /// An operation on tensors.
    Tensor { op: SavedOp, operands: Vec<Operand> },
    /// A function of numbers.
    Scalar { op: String, options: Vec<f64>, operands: Vec<Operand> },
    /// An element of a tensor, by its position in row-major order, as a scalar.
    At { operand: usize, position: usize },
    /// Scalars as the elements of a tensor.
    Stack { operands: Vec<Operand> },
}

/// What a statement is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Operand {
    /// The result of an earlier statement.
    Statement(usize),
    Constant(Tensor<f64>),
}

impl SavedTape {
    /// With the parameters' names in a model; without it they have numbers, `#17`.
    pub fn with_names(mut self, model: &(impl Serialize + ?Sized)) -> SavedTape {
        let names = names_in(model);
        for statement in &mut self.statements {
            if let What::Leaf { name, .. } = &mut statement.what
                && let Some(known) = names.get(name)
            {
                name.clone_from(known);
            }
        }
        self
    }

    /// Inputs and parameters with their values, in the order in which they were recorded. Inputs are called
    /// by their statement, `%3`.
    pub fn leaves(&self) -> Vec<(&str, &Tensor<f64>)> {
        self.statements
            .iter()
            .filter_map(|s| match &s.what {
                What::Leaf { name, value } => Some((name.as_str(), value)),
                _ => None,
            })
            .collect()
    }

    /// Its statements, counted from 1, as a listing.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f32>::new();
    /// tape.set_observing(true);
    /// let y = (tape.input([1.0, 2.0]) * tape.constant([3.0, 4.0])).sum();
    /// assert_eq!(kolmo::inspect::SavedTape::from_var(&y)?.listing().to_string(), "\
    /// %1 = input : f32[2]
    /// %2 = mul(%1, const) : f32[2]
    /// %3 = sum(%2, dim=[0], keepdim=false) : f32[]
    /// ");
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn listing(&self) -> Listing {
        let argument = |operand: &Operand| match operand {
            Operand::Statement(place) => Argument::Value(*place as u32 + 1),
            Operand::Constant(_) => Argument::Constant,
        };
        let row = |(i, statement): (usize, &Statement)| {
            let (mut name, mut options, mut arguments) = (None, String::new(), Vec::new());
            let op = match &statement.what {
                What::Leaf { name: own, .. } if own.starts_with('%') => "input".into(),
                What::Leaf { name: own, .. } => {
                    name = Some(own.clone());
                    "param".into()
                }
                What::Tensor { op, operands } => {
                    let op = op.op::<f64>();
                    arguments = operands.iter().map(argument).collect();
                    options = op.rule().options().into_owned();
                    op.rule().name().to_string()
                }
                What::Scalar { op, options: numbers, operands } => {
                    arguments = operands.iter().map(argument).collect();
                    options = numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
                    op.clone()
                }
                What::At { operand, position } => {
                    arguments = vec![Argument::Value(*operand as u32 + 1)];
                    options = format!("position={position}");
                    "at".into()
                }
                What::Stack { operands } => {
                    arguments = operands.iter().map(argument).collect();
                    "stack_scalars".into()
                }
            };
            let shape = statement.shape.as_ref().map(|shape| shape.to_vec());
            let (id, dtype, site) = (i as u32 + 1, self.dtype.clone(), statement.site.clone());
            Row { id, op, arguments, options, dtype, shape, name, site }
        };
        Listing { rows: self.statements.iter().enumerate().map(row).collect(), sites: false }
    }

    /// Number of statements.
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether there are none, which no tape that was saved or loaded has.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// The element type that it was recorded with: `f32` or `f64`.
    pub fn dtype(&self) -> &str {
        &self.dtype
    }

    /// Writes it as JSON. The file is whole or not there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_at(path.as_ref())
    }

    fn save_at(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|e| Error::invalid("SavedTape", e.to_string()))?;
        write_readable(path, text.as_bytes(), |_| {
            serde_json::from_str::<SavedTape>(&text).map_err(|e| Error::invalid("SavedTape", e.to_string()))
        })
    }

    /// Reads what [`save`](SavedTape::save) wrote.
    pub fn load(path: impl AsRef<Path>) -> Result<SavedTape> {
        Self::load_at(path.as_ref())
    }

    fn load_at(path: &Path) -> Result<SavedTape> {
        let text = read_text(path)?;
        serde_json::from_str(&text).map_err(|e| {
            let place = format!("line {}, column {}", e.line(), e.column());
            Error::format(path.display().to_string(), place, e.to_string())
        })
    }
}

/// The most elements that a result may have: a file of such numbers would have gigabytes.
const LARGEST: usize = 1 << 28;

/// What must be so of a tape from a file before it is run; that operations fit their operands is looked at
/// then.
impl TryFrom<Plain> for SavedTape {
    type Error = String;

    fn try_from(plain: Plain) -> Result<SavedTape, String> {
        let Plain { dtype, statements, found } = plain;
        if !["f32", "f64"].contains(&dtype.as_str()) {
            return Err(format!("element type {dtype} is neither f32 nor f64"));
        }
        if statements.is_empty() {
            return Err("a tape needs at least one statement".into());
        }
        for (i, statement) in statements.iter().enumerate() {
            let scalar =
                |place: usize| statements.get(..i).and_then(|s| s.get(place)).map(|s| s.shape.is_none());
            let given = |operand: &Operand, as_scalar: bool| match operand {
                Operand::Statement(place) => scalar(*place) == Some(as_scalar),
                Operand::Constant(value) => !as_scalar || value.numel() == 1,
            };
            let fits = match (&statement.what, &statement.shape) {
                (What::Leaf { value, .. }, Some(shape)) => value.shape() == shape,
                (What::Leaf { value, .. }, None) => value.rank() == 0,
                (What::Tensor { operands, .. }, Some(_)) => operands.iter().all(|o| given(o, false)),
                (What::Scalar { operands, .. }, None) => operands.iter().all(|o| given(o, true)),
                (What::At { operand, .. }, None) => scalar(*operand) == Some(false),
                (What::Stack { operands }, Some(shape)) => {
                    shape.numel() == operands.len() && operands.iter().all(|o| given(o, true))
                }
                _ => false,
            };
            if statement.shape.as_ref().is_some_and(|shape| shape.numel() > LARGEST) {
                return Err(format!("statement {i} (%{}) has more than {LARGEST} elements", statement.id));
            }
            if !fits {
                return Err(format!(
                    "statement {i} (%{}) doesn't fit its operands or its shape",
                    statement.id
                ));
            }
        }
        Ok(SavedTape { dtype, statements, found })
    }
}
