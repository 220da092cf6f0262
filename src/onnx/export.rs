//! A computation as an ONNX file: it is recorded, with several sizes of what is left open, and each operation becomes a
//! node.
use super::{
    dim::{Dim, MOST as MOST_OPEN, recordings},
    emit::{Arg, Emitter, Known},
    proto::{Graph, Node, Place, Size, kind},
    read::Recordings,
    weights::Weights,
};
use crate::{
    error::{Error, Result},
    files::write_readable,
    program::{Program, Recorded},
    tape::{Tape, Var},
    tensor::{Element, Shape, Tensor},
};
use serde::Serialize;
use std::{collections::HashSet, path::Path};

/// The versions of the operators that files are written for.
const OPSETS: std::ops::RangeInclusive<u64> = 18..=24;
/// Most bytes of a message of protocol buffers.
const MOST: usize = i32::MAX as usize;

/// What is exported.
type Function<'f> = &'f dyn for<'t> Fn(&'t Tape<f32>, &[Var<'t, f32>], &[Tensor<u32>]) -> Vec<Var<'t, f32>>;

/// Writes models as ONNX files, which other programs run: names and options are those of `torch.onnx.export`.
///
/// A function is recorded once on example inputs, in evaluation, as [`Program`] records it, and its operations become
/// nodes. Parameters keep the names that they have in the model, and quantised ones their codes: whole numbers of steps
/// are a `DequantizeLinear`, of 4 bits where that is enough, with an `Add` where offsets belong to them, and codebooks a
/// `Gather`.
///
/// ```
/// use kolmo::{Random, Tensor, nn::{Layer, Linear, Relu, Sequential}, onnx::{Export, Model}};
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::new(4, 8, rng), Relu, Linear::new(8, 3, rng)));
/// let x = Tensor::from([[0.5, -1.0, 2.0, 0.1]]);
/// let bytes = Export::new()
///     .input_names(["features"])
///     .dynamic_axes("batch", &[(0, 0)]) // axis 0 of input 0 may have any size
///     .to_bytes(&net, &[&x], &[], |_, x, _| vec![net.forward(&x[0])])?;
///
/// let model = Model::from_bytes(&bytes)?;
/// let tape = kolmo::Tape::inference();
/// let y = model.forward(&tape, &[tape.constant(Tensor::ones([5, 4]))], &[]);
/// assert_eq!(y[0].shape(), &[5, 3]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a model is written with them"]
pub struct Export {
    opset_version: u64,
    input_names: Vec<String>,
    output_names: Vec<String>,
    /// Sizes that are left open: names, and axes of inputs.
    open: Vec<(String, Vec<(usize, usize)>)>,
}

impl Default for Export {
    fn default() -> Export {
        Export::new()
    }
}

impl Export {
    /// Inputs of fixed sizes, and operators of version 24.
    pub fn new() -> Export {
        Export {
            opset_version: *OPSETS.end(),
            input_names: Vec::new(),
            output_names: Vec::new(),
            open: Vec::new(),
        }
    }

    /// The version of the operators, 18 to 24. Before 23 attention and `RmsNorm` are several nodes, before 20 `Gelu`,
    /// and before 21 no codes are smaller than a byte.
    pub fn opset_version(self, opset_version: u64) -> Export {
        Export { opset_version, ..self }
    }

    /// Names of the inputs, and of the indices after them (default `input`, or `input_0`, …).
    pub fn input_names<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Export {
        Export { input_names: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Names of the results (default `output`, or `output_0`, …).
    pub fn output_names<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Export {
        Export { output_names: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Leaves a size open, which gets this name: that of these axes, each a number of an input (indices come after the
    /// inputs) and of an axis. The function is recorded with three sizes in its place, and what grows in proportion
    /// is worked out when the model runs. It is an error if other operations are recorded then, or other constants.
    ///
    /// Another call leaves another size open, up to three; then each is recorded with two sizes for each of the
    /// others', and sizes may grow with products of them.
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear}, onnx::{Export, Model}};
    /// let layer = Linear::new(4, 3, &mut Random::new(0));
    /// let bytes = Export::new()
    ///     .dynamic_axes("batch", &[(0, 0)])
    ///     .dynamic_axes("length", &[(0, 1)])
    ///     .to_bytes(&layer, &[&Tensor::zeros([2, 5, 4])], &[], |_, x, _| {
    ///         vec![layer.forward(&x[0].reshape([-1, 4])).reshape([x[0].dim(0) as isize, -1, 3])]
    ///     })?;
    /// let model = Model::from_bytes(&bytes)?;
    /// let tape = Tape::inference();
    /// let y = model.forward(&tape, &[tape.constant(Tensor::ones([7, 11, 4]))], &[]);
    /// assert_eq!(y[0].shape(), &[7, 11, 3]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn dynamic_axes(mut self, name: impl Into<String>, axes: &[(usize, usize)]) -> Export {
        self.open.push((name.into(), axes.to_vec()));
        self
    }

    /// The bytes of the file of a function of inputs and indices, as [`Program::new`] takes it. Names of parameters
    /// are those of `model`.
    ///
    /// # Errors
    /// What [`Program::new`] refuses; an operation that has no form in ONNX, with its line; more than 2 GiB.
    pub fn to_bytes(
        &self,
        model: &(impl Serialize + ?Sized),
        inputs: &[&Tensor<f32>],
        indices: &[&Tensor<u32>],
        f: impl for<'t> Fn(&'t Tape<f32>, &[Var<'t, f32>], &[Tensor<u32>]) -> Vec<Var<'t, f32>>,
    ) -> Result<Vec<u8>> {
        self.bytes(Weights::of(model)?, inputs, indices, &f)
    }

    /// Writes the file. It is whole or not there.
    pub fn save(
        &self,
        model: &(impl Serialize + ?Sized),
        inputs: &[&Tensor<f32>],
        indices: &[&Tensor<u32>],
        f: impl for<'t> Fn(&'t Tape<f32>, &[Var<'t, f32>], &[Tensor<u32>]) -> Vec<Var<'t, f32>>,
        path: impl AsRef<Path>,
    ) -> Result<()> {
        let bytes = self.bytes(Weights::of(model)?, inputs, indices, &f)?;
        write_readable(path.as_ref(), &bytes, |bytes| {
            Graph::from_bytes(bytes).map_err(|message| Error::invalid("onnx", message))
        })
    }

    fn bytes(
        &self,
        weights: Weights,
        inputs: &[&Tensor<f32>],
        indices: &[&Tensor<u32>],
        f: Function<'_>,
    ) -> Result<Vec<u8>> {
        let invalid = |message: String| Error::invalid("onnx::Export", message);
        if !OPSETS.contains(&self.opset_version) {
            let (from, to) = (OPSETS.start(), OPSETS.end());
            return Err(invalid(format!(
                "opset_version is {}, {from} to {to} are written",
                self.opset_version
            )));
        }
        let evaluated = |tape: &Tape<f32>| tape.set_training(false);
        // That it does the same on other values.
        Program::new(inputs, indices, |tape, x, indices| {
            evaluated(tape);
            f(tape, x, indices)
        })?;
        let counts = self.counts(inputs, indices).map_err(invalid)?;
        let (mut all, mut given) = (Vec::new(), vec![Vec::new(); indices.len()]);
        for sizes in &counts {
            let x: Vec<Tensor<f32>> =
                inputs.iter().enumerate().map(|(i, x)| self.sized(x, i, sizes)).collect::<Result<_>>()?;
            let own: Vec<Tensor<u32>> = indices
                .iter()
                .enumerate()
                .map(|(i, x)| self.sized(x, inputs.len() + i, sizes))
                .collect::<Result<_>>()?;
            all.push(Recorded::of(&x.iter().collect::<Vec<_>>(), &own, &|tape, x, indices| {
                evaluated(tape);
                f(tape, x, indices)
            })?);
            given.iter_mut().zip(own).for_each(|(all, own)| all.push(own));
        }
        let mut to = Emitter::new(self.opset_version, counts, weights);
        let names = self.names(&self.input_names, "input", inputs.len() + indices.len()).map_err(invalid)?;
        let names: Vec<String> = names.iter().map(|name| to.name(name)).collect();
        let outputs = all.first().map_or(0, |one| one.results.len());
        let wanted = self.names(&self.output_names, "output", outputs).map_err(invalid)?;
        let wanted: Vec<String> = wanted.iter().map(|name| to.name(name)).collect();
        let first = |(_, axes): &(String, Vec<(usize, usize)>)| {
            axes.first().and_then(|(input, axis)| Some((names.get(*input)?.clone(), *axis as i64)))
        };
        to.open = self.open.iter().filter_map(first).collect();
        let shapes = inputs.iter().map(|x| x.shape()).chain(indices.iter().map(|x| x.shape()));
        for (i, (shape, name)) in shapes.zip(&names).enumerate() {
            let kind = if i < inputs.len() { kind::FLOAT } else { kind::INT64 };
            let size = |(axis, n): (usize, &usize)| match self.open_at(i, axis).and_then(|k| self.open.get(k))
            {
                Some((name, _)) => Size::Named(name.clone()),
                None => Size::Known(*n),
            };
            let sizes = Some(shape.iter().enumerate().map(size).collect());
            to.graph.inputs.push(Place { name: name.clone(), kind, sizes });
        }
        let indices: Vec<(Vec<Tensor<u32>>, String)> =
            given.into_iter().zip(names.iter().skip(inputs.len()).cloned()).collect();
        let given = names.iter().take(inputs.len()).cloned().map(Known::Value).collect();
        let results = Recordings { all: &all, given, indices: &indices }.read(&mut to)?;
        for (arg, name) in results.iter().zip(&wanted) {
            self.output(&mut to, arg, name).map_err(invalid)?;
        }
        needed(&mut to.graph);
        let bytes = to.graph.to_bytes(self.opset_version);
        if bytes.len() > MOST {
            return Err(invalid(format!(
                "the file would have {} bytes, {MOST} at most are read",
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    /// A result gets its name.
    fn output(&self, to: &mut Emitter, arg: &Arg, name: &str) -> Result<(), String> {
        let value = to.read(arg)?;
        let made = to.graph.nodes.iter().any(|node| node.outputs.contains(&value));
        let twice = to.graph.outputs.iter().any(|place| place.name == value);
        if made && !twice {
            // From here on the value has that name.
            for node in &mut to.graph.nodes {
                for own in node.inputs.iter_mut().chain(&mut node.outputs).filter(|own| **own == value) {
                    name.clone_into(own);
                }
            }
        } else {
            let node = Node {
                op: "Identity".into(),
                name: format!("identity:{name}"),
                inputs: vec![value],
                outputs: vec![name.into()],
                ..Node::default()
            };
            to.graph.nodes.push(node);
        }
        let names: Vec<&str> = self.open.iter().map(|(name, _)| name.as_str()).collect();
        let size = |(dim, n): (&Dim, &usize)| match dim.is_open() {
            true => Size::Named(dim.text(&names)),
            false => Size::Known(*n),
        };
        let sizes = Some(arg.shape.iter().zip(arg.sizes.iter()).map(size).collect());
        to.graph.outputs.push(Place { name: name.into(), kind: kind::FLOAT, sizes });
        Ok(())
    }

    fn names(&self, given: &[String], otherwise: &str, count: usize) -> Result<Vec<String>, String> {
        if given.is_empty() {
            let numbered = |i| if count == 1 { otherwise.into() } else { format!("{otherwise}_{i}") };
            return Ok((0..count).map(numbered).collect());
        }
        let unlike: HashSet<&String> = given.iter().collect();
        if given.len() != count || unlike.len() != count || given.iter().any(String::is_empty) {
            return Err(format!("{otherwise}_names {given:?}: {count} different ones are needed"));
        }
        Ok(given.to_vec())
    }

    /// Which size is left open along an axis.
    fn open_at(&self, input: usize, axis: usize) -> Option<usize> {
        self.open.iter().position(|(_, axes)| axes.contains(&(input, axis)))
    }

    /// The sizes that what is left open has in the recordings.
    fn counts(&self, inputs: &[&Tensor<f32>], indices: &[&Tensor<u32>]) -> Result<Vec<Vec<usize>>, String> {
        let shapes: Vec<&Shape> =
            inputs.iter().map(|x| x.shape()).chain(indices.iter().map(|x| x.shape())).collect();
        if self.open.len() > MOST_OPEN {
            return Err(format!(
                "dynamic_axes: {} sizes, {MOST_OPEN} at most are left open",
                self.open.len()
            ));
        }
        let (mut first, mut names, mut taken) = (Vec::new(), HashSet::new(), HashSet::new());
        for (name, axes) in &self.open {
            let mut sizes = HashSet::new();
            for &(input, axis) in axes {
                let size = shapes.get(input).and_then(|shape| shape.get(axis)).ok_or_else(|| {
                    format!("dynamic_axes {name:?}: there is no axis {axis} of input {input}")
                })?;
                sizes.insert(*size);
                if !taken.insert((input, axis)) {
                    return Err(format!(
                        "dynamic_axes {name:?}: axis {axis} of input {input} is named twice"
                    ));
                }
            }
            if name.is_empty() || !names.insert(name) || sizes.len() != 1 {
                return Err(format!(
                    "dynamic_axes {name:?} {axes:?}: a name of its own and axes of one size are needed"
                ));
            }
            first.extend(sizes);
        }
        Ok(recordings(&first))
    }

    /// An example with another size of what is left open: its elements again and again.
    fn sized<A: Element>(&self, x: &Tensor<A>, input: usize, sizes: &[usize]) -> Result<Tensor<A>> {
        let mut shape = x.shape().clone();
        let mut changed = false;
        for axis in 0..shape.rank() {
            if let Some(size) = self.open_at(input, axis).and_then(|k| sizes.get(k)) {
                shape.set(axis, *size);
                changed = true;
            }
        }
        let data = x.to_vec();
        if !changed {
            return Ok(x.contiguous());
        }
        if data.is_empty() {
            return Err(Error::invalid("onnx::Export", format!("input {input} has no elements")));
        }
        Ok(Tensor::from_fn(shape, |i| data[i % data.len()]))
    }
}

/// Leaves only nodes and constants that the results need.
fn needed(graph: &mut Graph) {
    let mut used: HashSet<String> = graph.outputs.iter().map(|place| place.name.clone()).collect();
    let mut kept = Vec::new();
    for node in graph.nodes.drain(..).rev() {
        if node.outputs.iter().any(|name| used.contains(name)) {
            used.extend(node.inputs.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.nodes = kept;
    graph.constants.retain(|constant| used.contains(&constant.name));
}
