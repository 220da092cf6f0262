//! A model as a program of its own: one source file without dependencies that computes what the model
//! computes.
//!
//! What is printed is a list of [steps](steps), loops over buffers of known sizes, to which the recorded
//! operations come down ([operations](operations)), and the constants as one string of coded bytes
//! ([store](store)) beside the decoder that reads them.
mod arrange;
mod compact;
mod decoder;
mod functions;
mod layers;
mod lower;
mod operations;
mod print;
mod steps;
mod store;
#[cfg(test)]
mod tests;
mod windows;

use crate::{
    error::{Error, Result},
    ops::list::{Take, TensorOp},
    program::{Operand, Program, Recorded},
    tape::{Choice, NodeId, Op, Tape, Var},
    tensor::{Layout, Shape, Tensor},
};
use arrange::arrange;
use layers::{embedded, lower};
use lower::{Known, Lowering, Value};
use print::{C, RUST, Sizes};
use std::{collections::HashMap, fmt};
use steps::{At, Buffer, Expr, How, Memory, Step};
use store::Stored;
#[cfg(feature = "onnx")]
pub(crate) use windows::{Windows, fit, windows};

/// A model as one source file without dependencies, in Rust or C, that computes what the model computes.
///
/// It is made of one run of the model on an example, in evaluation. Whatever the model's parameters are
/// made of is worked out beforehand: masks, codebooks, step sizes and adapters come down to numbers.
/// Those that are few, or whole steps of a size for each row, are stored as codes, and all of it is
/// coded into one string of bytes.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{Standalone, all_params, quantize}};
/// use kolmo::nn::{Layer, Linear, Relu, Sequential};
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::new(4, 16, rng), Relu, Linear::new(16, 3, rng)));
/// quantize::codebooks(&net, 4, all_params)?;
/// let x = Tensor::from([[0.5, -1.0, 2.0, 0.1]]);
/// let program = Standalone::new(&x, |x| net.forward(x))?;
/// assert!(program.data().len() < 100);
/// assert!(program.rust().contains("pub fn run("));
///
/// let y = net.forward(&Tape::inference().constant(&x)).to_vec()?;
/// for (a, b) in program.run(&x.to_vec())?.iter().zip(y) {
///     assert!((a - b).abs() < 1e-5);
/// }
/// let readable = program.rust().len();
/// assert!(program.compact(true).rust().len() < readable);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// The Rust source is a crate of its own (`#![no_std]`; as a module of another it does without that
/// line): no allocation, no `unsafe`. The caller has the memory: `decode` fills the weights once, `run`
/// does the rest. Sums are taken in the order in which they are written, without fused multiply-adds,
/// so each machine with IEEE floats gives the same answer. It is not the tape's to the last bit, whose
/// sums run over lanes: of networks of a few layers values differ by about a millionth.
pub struct Standalone {
    steps: Vec<Step>,
    stored: Stored,
    sizes: Sizes,
    shape: Shape,
    weights: Vec<f32>,
    compact: bool,
}

/// What programs are made of.
type Function<'f> = &'f dyn for<'t> Fn(&'t Tape<f32>, &[Var<'t, f32>], &[Tensor<u32>]) -> Var<'t, f32>;

impl fmt::Debug for Standalone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standalone")
            .field("steps", &self.steps.len())
            .field("data", &self.stored.data.len())
            .field("input", &self.sizes.input)
            .field("output", &self.sizes.output)
            .field("weights", &self.sizes.weights)
            .field("scratch", &self.sizes.scratch)
            .finish()
    }
}

impl Standalone {
    /// The program of a function of one input, whose shape is that of the example.
    ///
    /// # Errors
    /// The function does what a [`Program`] can't do, or an operation that no source is printed
    /// for: it is named, with its line.
    pub fn new(
        example: &Tensor<f32>,
        forward: impl for<'t> Fn(&Var<'t, f32>) -> Var<'t, f32>,
    ) -> Result<Standalone> {
        Standalone::of(&[example], &[], example.numel(), &|_, x, _| forward(&x[0]))
    }

    /// The program of a function of indices, such as a language model's tokens, of as many as the example
    /// has. Tables are looked up with the indices themselves, in their order
    /// ([`Var::embedding`](crate::Var::embedding)). The program takes them as numbers (`f32`); of what is no
    /// row of a table it takes the nearest.
    ///
    /// ```
    /// use kolmo::{Random, Tensor, compress::Standalone, nn::{Embedding, Layer, Linear}};
    /// let rng = &mut Random::new(0);
    /// let (words, scores) = (Embedding::new(50, 8, rng), Linear::new(8, 50, rng));
    /// let program = Standalone::of_indices(&Tensor::from([3u32, 14, 15]), |tape, x| {
    ///     scores.forward(&words.forward(x, tape))
    /// })?;
    /// // Which word is likeliest after each of the three.
    /// assert_eq!(program.argmax().run(&[3.0, 14.0, 15.0])?.len(), 3);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// As those of [`new`](Standalone::new).
    pub fn of_indices(
        example: &Tensor<u32>,
        forward: impl for<'t> Fn(&'t Tape<f32>, &Tensor<u32>) -> Var<'t, f32>,
    ) -> Result<Standalone> {
        Standalone::of(&[], &[example], example.numel(), &|tape, _, x| forward(tape, &x[0]))
    }

    fn of(
        inputs: &[&Tensor<f32>],
        indices: &[&Tensor<u32>],
        input: usize,
        forward: Function<'_>,
    ) -> Result<Standalone> {
        // That it does the same on other inputs.
        Program::new(inputs, indices, |tape, x, indices| {
            tape.set_training(false);
            vec![forward(tape, x, indices)]
        })?;
        let own: Vec<Tensor<u32>> = indices.iter().map(|&index| index.clone()).collect();
        let recorded = Recorded::of(inputs, &own, &|tape: &Tape<f32>, x, indices| {
            tape.set_training(false);
            vec![forward(tape, x, indices)]
        })?;
        let mut to = Lowering::default();
        let result = read(&recorded, &own, &mut to)?;
        let invalid = |message| Error::invalid("Standalone", message);
        let result = to.plain(&Known::Value(result)).map_err(invalid)?;
        let shape = result.layout.shape.clone();
        let whole = result.layout == Layout::contiguous(shape.clone());
        let buffer = match result.buffer {
            Buffer::Result(id) if whole && to.sizes.get(id) == Some(&shape.numel()) => result.buffer,
            _ => {
                let value = to.read(&Known::Value(result), &shape).map_err(invalid)?;
                to.emit(&shape, &shape, None, value).buffer
            }
        };
        let arranged = arrange(to.steps, &to.constants, &to.sizes, buffer);
        let stored = Stored::new(&arranged.constants);
        let weights = arranged.constants.iter().map(Tensor::numel).sum();
        let sizes = Sizes { input, output: shape.numel(), weights, scratch: arranged.scratch };
        let weights = stored.decoded(weights);
        Ok(Standalone { steps: arranged.steps, stored, sizes, shape, weights, compact: false })
    }

    /// Prints sources without comments, indentation and names that say something: as short as they get.
    /// The compiler warns of such names; `-A warnings` tells it not to.
    pub fn compact(self, compact: bool) -> Standalone {
        Standalone { compact, ..self }
    }

    /// In place of the result the places of the largest of its numbers along the last axis, of the first if
    /// there are several: of a classifier's scores the class. They are whole numbers, as `f32`.
    pub fn argmax(mut self) -> Standalone {
        let (rank, results) = (self.shape.rank(), self.sizes.output);
        let n = self.shape.last().copied().unwrap_or(1).max(1);
        let start = self.sizes.scratch as isize;
        let aside = |at: &mut At| {
            if at.buffer == Buffer::Output {
                (at.buffer, at.start) = (Buffer::Scratch, at.start + start);
            }
        };
        for step in &mut self.steps {
            aside(&mut step.to);
            step.reads(aside);
        }
        let by = |outer, inner| [outer, inner].into();
        let term = Expr::Read(At { buffer: Buffer::Scratch, start, by: by(n as isize, 1) });
        let to = At { buffer: Buffer::Output, start: 0, by: by(1, 0) };
        let fold = Lowering::fold(How::Place, vec![n], term);
        let (fold, value) = if n > 1 { (Some(fold), Expr::Folded) } else { (None, 0.0.into()) };
        let mut step = Step { to, sizes: vec![results / n], fold, value };
        step.simplify();
        self.steps.push(step);
        self.sizes.scratch += results;
        self.sizes.output = results / n;
        self.shape = self.shape.iter().take(rank.saturating_sub(1)).copied().collect();
        self
    }

    /// The source in Rust: a crate with `decode` and `run`, which has no dependencies, not even `std`.
    pub fn rust(&self) -> String {
        RUST.source(&self.sizes, &self.stored, &self.steps, self.compact)
    }

    /// The source in C99: `decode` and `run`, which need no library, only `stdint.h`. Products must
    /// stay products and sums, so that it gives the same bits: compilers do that with `-std=c99`.
    pub fn c(&self) -> String {
        C.source(&self.sizes, &self.stored, &self.steps, self.compact)
    }

    /// The constants: what is coded in the source, eight bits to a byte, and behind it, four bytes each, the
    /// step sizes that stand there as numbers.
    pub fn data(&self) -> &[u8] {
        &self.stored.data
    }

    /// What the printed program gives, bit by bit, without a compiler. It takes its time.
    pub fn run(&self, input: &[f32]) -> Result<Vec<f32>> {
        if input.len() != self.sizes.input {
            let message = format!("takes {} numbers, not {}", self.sizes.input, input.len());
            return Err(Error::invalid("Standalone::run", message));
        }
        let mut memory = Memory {
            input,
            weights: &self.weights,
            output: vec![0.0; self.sizes.output],
            scratch: vec![0.0; self.sizes.scratch],
        };
        self.steps.iter().for_each(|step| step.run(&mut memory));
        Ok(memory.output)
    }
}

/// All operations that the result needs, as steps.
fn read(recorded: &Recorded<f32>, indices: &[Tensor<u32>], to: &mut Lowering) -> Result<Value> {
    let choices: HashMap<NodeId, &Choice<f32>> =
        recorded.choices.iter().map(|(id, choice)| (*id, choice)).collect();
    let params: HashMap<NodeId, Tensor<f32>> =
        recorded.params.iter().map(|(id, p)| (*id, p.tensor())).collect();
    // How often each is used.
    let mut uses = vec![0usize; recorded.nodes.len()];
    recorded.results.iter().filter_map(Operand::node).for_each(|id| uses[id.place()] += 1);
    for i in (0..uses.len()).rev() {
        if uses[i] > 0 {
            recorded.operands[i].iter().filter_map(Operand::node).for_each(|id| uses[id.place()] += 1);
        }
    }
    let mut known: Vec<Option<Known>> = vec![None; uses.len()];
    let worth = |known: &[Option<Known>], operand: &Operand<f32>| match operand {
        Operand::Constant(c) => Some(Known::Constant(c.clone())),
        Operand::Node(id) => known.get(id.place()).cloned().flatten(),
    };
    for (i, node) in recorded.nodes.iter().enumerate().filter(|(i, _)| uses[*i] > 0) {
        let id = NodeId::at(i);
        let operands = &recorded.operands[i];
        let x: Vec<Known> = operands.iter().filter_map(|o| worth(&known, o)).collect();
        let constants: Option<Vec<&Tensor<f32>>> =
            x.iter().map(|x| if let Known::Constant(c) = x { Some(c) } else { None }).collect();
        let alone: Vec<bool> =
            operands.iter().map(|o| o.node().is_some_and(|id| uses[id.place()] == 1)).collect();
        let value = match (&node.op, constants) {
            (Op::Input, _) => {
                Ok(Known::Value(Value::at(Buffer::Input, Layout::contiguous(node.shape.clone()))))
            }
            (Op::Param(_), _) => {
                params.get(&id).cloned().map(Known::Constant).ok_or_else(|| "is not there".into())
            }
            (Op::Tensor(TensorOp::Take(op @ Take::Rows { axis: 0, .. })), Some(_))
                if indices.iter().any(|index| op.index_is(index)) =>
            {
                x.first().ok_or_else(|| operations::REFUSED.into()).and_then(|x| embedded(to, x, &node.shape))
            }
            (op, Some(x)) => op.rule().forward(&x).map(Known::Constant),
            (Op::Tensor(op), None) => lower(to, op, &x, &alone, (&node.shape, choices.get(&id).copied())),
            _ => Err(operations::REFUSED.into()),
        };
        known[i] = Some(value.map_err(|message| Error::op(node.op.rule().name(), message, Some(node.site)))?);
    }
    match recorded.results.first().and_then(|result| worth(&known, result)) {
        Some(Known::Value(value)) => Ok(value),
        _ => Err(Error::invalid("Standalone", "the result doesn't depend on the input")),
    }
}
