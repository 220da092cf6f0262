//! A model from an ONNX file: its constants are parameters, its nodes are run one after the other.
use super::{
    constants::taken,
    proto::{Constant, Graph, Node, Place, Size, kind},
    run::{Call, known, operator, unknown_attribute},
    value::{Value, sound},
};
use crate::{
    error::{Checked, Error, Result},
    files,
    param::Param,
    tape::{Tape, Var},
    tensor::Tensor,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt,
    path::Path,
    sync::Arc,
};

/// A model from an ONNX file. Its weights are parameters under the names that they have there, so it is trained, pruned,
/// quantised, packed and written as any other model, also as an ONNX file again.
///
/// Whole numbers behind a `DequantizeLinear` become a parameter with [step sizes](Param::set_steps), with zero points
/// one that is [held as codes](crate::compress::Packed), codes behind a `Gather` one with a
/// [codebook](Param::set_codebook); running statistics are frozen. Numbers that options are, such as the bounds of a
/// `Clip`, stay constants.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear, Relu, Sequential}, onnx::{Export, Model}};
/// use kolmo::{compress::{matrices, prune::{self, Amount}}, optim::{Adam, Optimizer}};
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::new(4, 8, rng), Relu, Linear::new(8, 3, rng)));
/// let x = Tensor::from([[0.5, -1.0, 2.0, 0.1]]);
/// let file = std::env::temp_dir().join("kolmo_model.onnx");
/// Export::new().save(&net, &[&x], &[], |_, x, _| vec![net.forward(&x[0])], &file)?;
///
/// let model = Model::load(&file)?;
/// prune::global(&model, Amount::Fraction(0.5), matrices)?;
/// let tape = Tape::new();
/// let loss = model.forward(&tape, &[tape.constant(&x)], &[])[0].cross_entropy(&Tensor::from([2u32]));
/// Adam::new(0.01).step(&model, &loss.backward()?)?;
/// Export::new().save(&model, &[&x], &[], |tape, x, indices| model.forward(tape, x, indices), &file)?;
/// # std::fs::remove_file(file).ok();
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Model {
    graph: Kept,
    #[serde(flatten)]
    params: BTreeMap<String, Param<f32>>,
}

#[derive(Deserialize)]
#[serde(rename = "Model")]
struct Parts {
    graph: Kept,
    #[serde(flatten)]
    params: BTreeMap<String, Param<f32>>,
}

/// A graph and its bytes, without what became parameters. Through serde it is the bytes, which a walk passes over.
#[derive(Clone)]
struct Kept {
    graph: Arc<Graph>,
    opset: u64,
    bytes: Arc<[u8]>,
}

impl Serialize for Kept {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Kept, D::Error> {
        struct Bytes;
        impl<'de> serde::de::Visitor<'de> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("the bytes of a graph")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u8>, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = list.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        let bytes = deserializer.deserialize_byte_buf(Bytes)?;
        let (graph, opset) = Graph::from_bytes(&bytes).map_err(serde::de::Error::custom)?;
        Ok(Kept { graph: Arc::new(graph), opset, bytes: bytes.into() })
    }
}

impl TryFrom<Parts> for Model {
    type Error = String;

    fn try_from(Parts { graph, params }: Parts) -> Checked<Model> {
        sound_graph(&graph.graph, |name| params.contains_key(name))?;
        Ok(Model { graph, params })
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("inputs", &self.input_names())
            .field("outputs", &self.output_names())
            .field("nodes", &self.graph.graph.nodes.len())
            .field("opset_version", &self.graph.opset)
            .field("params", &self.params.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Model {
    /// Reads a file.
    ///
    /// # Errors
    /// The file is damaged or has its weights in another file; operators that aren't known, all of them by name. What
    /// an operator doesn't do here of all that the standard has shows when the model is run.
    pub fn load(path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        let told = |message| Error::format(path.display().to_string(), "the model", message);
        Model::of(&files::read(path)?).map_err(told)
    }

    /// The model of a file's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        Model::of(bytes).map_err(|message| Error::format("ONNX", "the model", message))
    }

    fn of(bytes: &[u8]) -> Checked<Model> {
        let (mut graph, opset) = Graph::from_bytes(bytes)?;
        sound_graph(&graph, |_| false)?;
        let params = taken(&mut graph)?;
        let bytes = graph.to_bytes(opset).into();
        Ok(Model { graph: Kept { graph: Arc::new(graph), opset, bytes }, params })
    }

    /// The names of all operators that are known.
    pub fn operators() -> Vec<&'static str> {
        known()
    }

    /// The names of the inputs: those of floats first, then those of whole numbers, as
    /// [`forward`](Model::forward) takes them.
    pub fn input_names(&self) -> Vec<&str> {
        let names = |floats: bool| self.inputs(floats).map(|place| place.name.as_str());
        names(true).chain(names(false)).collect()
    }

    /// The names of the results.
    pub fn output_names(&self) -> Vec<&str> {
        self.graph.graph.outputs.iter().map(|place| place.name.as_str()).collect()
    }

    /// The sizes of an input as the file says them, `None` where any will do. `None` if there is no such input, or the
    /// file doesn't say.
    pub fn input_sizes(&self, name: &str) -> Option<Vec<Option<usize>>> {
        let place = self.graph.graph.inputs.iter().find(|place| place.name == name)?;
        let known = |size: &Size| if let Size::Known(n) = size { Some(*n) } else { None };
        place.sizes.as_ref().map(|sizes| sizes.iter().map(known).collect())
    }

    /// Inputs of floats, or of others. Constants may be listed as inputs, too.
    fn inputs(&self, floats: bool) -> impl Iterator<Item = &Place> {
        let given = move |place: &&Place| {
            let constant = self.graph.graph.constants.iter().any(|c| c.name == place.name);
            !constant && !self.params.contains_key(&place.name) && kind::is_float(place.kind) == floats
        };
        self.graph.graph.inputs.iter().filter(given)
    }

    /// The results for inputs of floats and of whole numbers, each in the order of the file. In evaluation, as the file
    /// has it.
    #[track_caller]
    pub fn forward<'t>(
        &self,
        tape: &'t Tape<f32>,
        inputs: &[Var<'t, f32>],
        indices: &[Tensor<u32>],
    ) -> Vec<Var<'t, f32>> {
        match self.run(tape, inputs, indices) {
            Ok(results) => results,
            Err(message) => {
                let failed = tape.fail_op("onnx::Model", message, &inputs.iter().collect::<Vec<_>>());
                vec![failed; self.graph.graph.outputs.len()]
            }
        }
    }

    fn run<'t>(
        &self,
        tape: &'t Tape<f32>,
        inputs: &[Var<'t, f32>],
        indices: &[Tensor<u32>],
    ) -> Checked<Vec<Var<'t, f32>>> {
        let graph = &*self.graph.graph;
        let mut values: HashMap<&str, Value<'t>> = HashMap::new();
        let wanted = [self.inputs(true).count(), self.inputs(false).count()];
        if wanted != [inputs.len(), indices.len()] {
            let [floats, others] = wanted;
            return Err(format!(
                "takes {floats} inputs of floats and {others} of whole numbers, {:?}, not {} and {}",
                self.input_names(),
                inputs.len(),
                indices.len()
            ));
        }
        let floats = self.inputs(true).zip(inputs.iter().map(|x| Value::Float(x.clone())));
        let others = self.inputs(false).zip(indices.iter().map(|x| Value::Index(x.clone())));
        for (place, value) in floats.chain(others) {
            fits(place, &value)?;
            let value = match value {
                Value::Index(t) if place.kind == kind::BOOL => {
                    let list = t.to_vec();
                    Value::Bool(Tensor::from_fn(t.shape(), |i| list[i] != 0))
                }
                value => value,
            };
            values.insert(&place.name, value);
        }
        // A value is let go after its last use.
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (i, node) in graph.nodes.iter().enumerate() {
            last.extend(node.inputs.iter().map(|name| (name.as_str(), i)));
        }
        last.retain(|name, _| graph.outputs.iter().all(|place| place.name != *name));
        let constants: HashMap<&str, &Constant> =
            graph.constants.iter().map(|c| (c.name.as_str(), c)).collect();
        for (i, node) in graph.nodes.iter().enumerate() {
            let told = |message: String| format!("{} {:?}: {message}", node.op, node.name);
            let value = |name: &String| -> Checked<Option<Value<'t>>> {
                Ok(match (values.get(name.as_str()), self.params.get(name), constants.get(name.as_str())) {
                    _ if name.is_empty() => None,
                    (Some(value), ..) => Some(value.clone()),
                    (_, Some(p), _) => Some(Value::Float(sound(tape.param(p))?)),
                    (_, _, Some(c)) => Some(Value::of(&c.data, tape)),
                    _ => return Err(format!("there is no value {name:?}")),
                })
            };
            let x = node.inputs.iter().map(value).collect::<Checked<Vec<_>>>().map_err(told)?;
            let run = operator(&node.op).ok_or_else(|| told("the operator isn't known".into()))?;
            let results = run(&Call { node, tape, x, opset: self.graph.opset }).map_err(told)?;
            for name in node.inputs.iter().filter(|name| last.get(name.as_str()) == Some(&i)) {
                values.remove(name.as_str());
            }
            let named = node.outputs.iter().filter(|name| !name.is_empty()).count();
            if named > 0
                && node.outputs.iter().skip(results.len()).any(|name| last.contains_key(name.as_str()))
            {
                return Err(told(format!("gives {} results, not {named}", results.len())));
            }
            values.extend(
                node.outputs.iter().map(String::as_str).zip(results).filter(|(name, _)| !name.is_empty()),
            );
        }
        let result = |place: &Place| {
            let name = place.name.as_str();
            match (values.get(name), self.params.get(name), constants.get(name)) {
                (Some(value), ..) => Ok(value.floats(tape)),
                (_, Some(p), _) => sound(tape.param(p)),
                (_, _, Some(c)) => Ok(Value::of(&c.data, tape).floats(tape)),
                _ => Err(format!("there is no value {name:?}")),
            }
        };
        graph.outputs.iter().map(result).collect()
    }
}

/// That an input has the sizes that the file says.
fn fits(place: &Place, value: &Value<'_>) -> Checked<()> {
    let Some(sizes) = &place.sizes else { return Ok(()) };
    let shape = value.shape();
    let fits = |(size, n): (&Size, &usize)| !matches!(size, Size::Known(known) if known != n);
    if sizes.len() == shape.rank() && sizes.iter().zip(shape.iter()).all(fits) {
        return Ok(());
    }
    let size = |size: &Size| match size {
        Size::Known(n) => n.to_string(),
        Size::Named(name) if name.is_empty() => "?".into(),
        Size::Named(name) => name.clone(),
    };
    let sizes: Vec<String> = sizes.iter().map(size).collect();
    Err(format!("input {:?} has shape {shape}, the model takes [{}]", place.name, sizes.join(", ")))
}

/// What must be so of a graph before it is run: known operators, names that are given once and before they are used.
fn sound_graph(graph: &Graph, is_param: impl Fn(&str) -> bool) -> Checked<()> {
    let standard = |node: &Node| node.domain.is_empty() || node.domain == "ai.onnx";
    let others: BTreeSet<String> = graph
        .nodes
        .iter()
        .filter(|node| !standard(node) || operator(&node.op).is_none())
        .map(|node| if standard(node) { node.op.clone() } else { format!("{}.{}", node.domain, node.op) })
        .collect();
    if !others.is_empty() {
        let others: Vec<String> = others.into_iter().collect();
        return Err(format!("operators that aren't known: {}", others.join(", ")));
    }
    for node in &graph.nodes {
        if let Some(name) = unknown_attribute(node) {
            return Err(format!("{} {:?} has an attribute {name:?}, which isn't known", node.op, node.name));
        }
    }
    let mut known: HashSet<&str> = HashSet::new();
    for place in &graph.inputs {
        if place.name.is_empty() || !known.insert(&place.name) {
            return Err(format!("two inputs are called {:?}", place.name));
        }
    }
    let mut own = HashSet::new();
    for constant in &graph.constants {
        if constant.name.is_empty() || !own.insert(constant.name.as_str()) {
            return Err(format!("two constants are called {:?}", constant.name));
        }
    }
    known.extend(own);
    for node in &graph.nodes {
        let lost = |name: &&String| !name.is_empty() && !known.contains(name.as_str()) && !is_param(name);
        if let Some(name) = node.inputs.iter().find(lost) {
            return Err(format!("{} {:?} reads {name:?}, which nothing before it gives", node.op, node.name));
        }
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            if is_param(name) || !known.insert(name) {
                return Err(format!("{} {:?} gives {name:?}, which is there already", node.op, node.name));
            }
        }
    }
    match graph.outputs.iter().find(|place| !known.contains(place.name.as_str()) && !is_param(&place.name)) {
        Some(place) => Err(format!("nothing gives the result {:?}", place.name)),
        None => Ok(()),
    }
}
