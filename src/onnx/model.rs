//! A model from an ONNX file: its constants are parameters, its nodes are run one after the other.
use super::{
    proto::{Attribute, Constant, Data, Graph, Node, Place, Size, kind},
    run::{Call, known, operator, unknown_attribute},
    value::{Value, sound},
};
use crate::{
    error::{Checked, Error, Result},
    files,
    param::{Groups, Param},
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
/// Whole numbers behind a `DequantizeLinear` become a parameter with [step sizes](Param::set_steps), codes behind a
/// `Gather` one with a [codebook](Param::set_codebook); running statistics are frozen. Numbers that options are, such
/// as the bounds of a `Clip`, stay constants.
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

/// Inputs of operators that are options, not weights.
fn is_option(op: &str, input: usize) -> bool {
    matches!(
        (op, input),
        (
            "Clip"
                | "Pad"
                | "Resize"
                | "Upsample"
                | "Pow"
                | "Range"
                | "Equal"
                | "Less"
                | "Greater"
                | "LessOrEqual",
            _
        ) | ("QuantizeLinear" | "DequantizeLinear", _)
            | ("GreaterOrEqual", _)
    )
}

/// The parameters of a graph, which are taken out of it.
fn taken(graph: &mut Graph) -> Checked<BTreeMap<String, Param<f32>>> {
    let mut params = BTreeMap::new();
    // Weights may be nodes without an input; single numbers are left where they are.
    let is_weight = |node: &Node| match &node.attributes[..] {
        [(_, Attribute::Tensor(t))] => node.op == "Constant" && t.data.shape().numel() > 1,
        _ => false,
    };
    let (found, rest): (Vec<Node>, Vec<Node>) =
        std::mem::take(&mut graph.nodes).into_iter().partition(is_weight);
    graph.nodes = rest;
    for node in found {
        if let (Some(name), Some((_, Attribute::Tensor(t)))) =
            (node.outputs.into_iter().next(), node.attributes.into_iter().next())
        {
            graph.constants.push(Constant { name, ..t });
        }
    }
    // The type that codes have is known by their zero points.
    let kinds: HashMap<String, u32> = graph.constants.iter().map(|c| (c.name.clone(), c.kind)).collect();
    for node in graph.nodes.iter_mut().filter(|node| node.op == "QuantizeLinear") {
        if let Some(kind) = node.inputs.get(2).and_then(|name| kinds.get(name))
            && node.attribute("output_dtype").is_none()
        {
            node.attributes.push(("output_dtype".into(), Attribute::Int((*kind).into())));
        }
    }
    dequantized(graph, &mut params)?;
    looked_up(graph, &mut params)?;
    let mut options: HashSet<&str> = HashSet::new();
    let (mut weights, mut frozen) = (HashSet::new(), HashSet::new());
    for node in &graph.nodes {
        for (i, name) in node.inputs.iter().enumerate() {
            match is_option(&node.op, i) {
                true => options.insert(name),
                false => weights.insert(name.as_str()),
            };
            if node.op == "BatchNormalization" && i >= 3 {
                frozen.insert(name.clone());
            }
        }
    }
    let is_weight = |c: &Constant| match &c.data {
        Data::Float(t) => {
            let own = weights.contains(c.name.as_str()) && !options.contains(c.name.as_str());
            own && t.rank() > 0 && t.to_vec().iter().all(|v| v.is_finite())
        }
        _ => false,
    };
    let (taken, rest): (Vec<Constant>, Vec<Constant>) =
        std::mem::take(&mut graph.constants).into_iter().partition(is_weight);
    graph.constants = rest;
    for constant in taken {
        let Data::Float(value) = constant.data else { continue };
        let p = Param::new(value);
        p.set_trainable(!frozen.contains(&constant.name));
        params.insert(constant.name, p);
    }
    Ok(params)
}

/// Whole numbers with step sizes become parameters with these.
fn dequantized(graph: &mut Graph, params: &mut BTreeMap<String, Param<f32>>) -> Checked<()> {
    let constants: HashMap<&str, &Constant> = graph.constants.iter().map(|c| (c.name.as_str(), c)).collect();
    let mut found: Vec<(usize, String, Param<f32>)> = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate().filter(|(_, node)| node.op == "DequantizeLinear") {
        let constant = |k: usize| node.inputs.get(k).and_then(|name| constants.get(name.as_str()));
        let (Some(codes), Some(scale)) = (constant(0), constant(1)) else { continue };
        let (Data::Int(numbers), Data::Float(sizes)) = (&codes.data, &scale.data) else { continue };
        let zero = match (node.inputs.get(2).filter(|name| !name.is_empty()), constant(2)) {
            (None, _) => true,
            (_, Some(Constant { data: Data::Int(zero), .. })) => zero.to_vec().iter().all(|&v| v == 0),
            _ => continue,
        };
        let int = |name: &str, without: i64| match node.attribute(name) {
            Some(Attribute::Int(v)) => *v,
            _ => without,
        };
        let shape = numbers.shape();
        let (rows, cols) = {
            let groups = Groups::new(shape, 1);
            (groups.rows(), groups.cols())
        };
        let block = usize::try_from(int("block_size", 0)).unwrap_or(0);
        let group = match (sizes.rank(), int("axis", 1), block) {
            _ if sizes.numel() == 1 => Some(0),
            (1, 0, 0) if shape.rank() > 1 && sizes.dim(0) == rows => Some(cols),
            (2, 1 | -1, block @ 1..)
                if shape.rank() == 2 && sizes.shape()[..] == [rows, cols.div_ceil(block)] =>
            {
                Some(block)
            }
            _ => None,
        };
        let (list, scales) = (numbers.to_vec(), sizes.to_vec());
        let most = list.iter().map(|v| v.unsigned_abs()).max().unwrap_or(0);
        let usable = scales.iter().all(|s| s.is_finite() && *s >= 1e-8);
        if let Some(group) = group.filter(|_| zero && most <= 127 && usable) {
            let bits = if matches!(codes.kind, kind::INT4 | kind::UINT4) && most <= 7 { 4 } else { 8 };
            let groups = Groups::new(shape, group);
            let size = |i: usize| scales.get(groups.of(i)).copied().unwrap_or(1.0);
            let p = Param::new(Tensor::from_fn(shape, |i| list[i] as f32 * size(i)));
            let flat = Tensor::from(scales.clone());
            p.set_steps(bits, group, flat).map_err(|e| format!("{:?}: {e}", codes.name))?;
            found.push((i, codes.name.clone(), p));
        }
    }
    replaced(graph, params, found);
    Ok(())
}

/// Codes that choose among values become parameters with codebooks.
fn looked_up(graph: &mut Graph, params: &mut BTreeMap<String, Param<f32>>) -> Checked<()> {
    let constants: HashMap<&str, &Constant> = graph.constants.iter().map(|c| (c.name.as_str(), c)).collect();
    let casts: HashMap<&str, &str> = graph
        .nodes
        .iter()
        .filter(|node| node.op == "Cast")
        .filter_map(|node| Some((node.outputs.first()?.as_str(), node.inputs.first()?.as_str())))
        .collect();
    let mut found = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate().filter(|(_, node)| node.op == "Gather") {
        let [values, index] = &node.inputs[..] else { continue };
        let index = casts.get(index.as_str()).copied().unwrap_or(index);
        let (Some(values), Some(codes)) = (constants.get(values.as_str()), constants.get(index)) else {
            continue;
        };
        let (Data::Float(values), Data::Int(codes)) = (&values.data, &codes.data) else { continue };
        let list = codes.to_vec();
        let inside = list.iter().all(|&code| (0..values.numel() as i64).contains(&code));
        if values.rank() != 1 || codes.numel() <= values.numel() || !inside {
            continue;
        }
        let all = values.to_vec();
        let p = Param::new(Tensor::from_fn(codes.shape(), |i| all[list[i] as usize]));
        let codes = Tensor::from_fn(codes.shape(), |i| list[i] as u32);
        p.set_codebook(codes, values.clone()).map_err(|e| format!("{index:?}: {e}"))?;
        found.push((i, index.to_string(), p));
    }
    replaced(graph, params, found);
    Ok(())
}

/// Takes nodes away whose results are parameters now.
fn replaced(
    graph: &mut Graph,
    params: &mut BTreeMap<String, Param<f32>>,
    found: Vec<(usize, String, Param<f32>)>,
) {
    let gone: HashSet<usize> = found.iter().map(|(i, ..)| *i).collect();
    let mut names: HashMap<String, String> = HashMap::new();
    for (i, wanted, p) in found {
        let Some(output) = graph.nodes.get(i).and_then(|node| node.outputs.first().cloned()) else {
            continue;
        };
        // The same codes may be read twice with other step sizes.
        let name = if params.contains_key(&wanted) { output.clone() } else { wanted };
        params.insert(name.clone(), p);
        names.insert(output, name);
    }
    let mut place = 0;
    graph.nodes.retain(|_| {
        place += 1;
        !gone.contains(&(place - 1))
    });
    for name in graph.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut()) {
        if let Some(new) = names.get(name) {
            name.clone_from(new);
        }
    }
    for place in &mut graph.outputs {
        if let Some(new) = names.get(&place.name) {
            place.name.clone_from(new);
        }
    }
    // Casts of codes that nothing reads any more, and what no node reads.
    let mut used: HashSet<String> = graph.outputs.iter().map(|place| place.name.clone()).collect();
    let nodes = std::mem::take(&mut graph.nodes);
    for node in nodes.into_iter().rev() {
        if node.outputs.iter().any(|name| used.contains(name)) {
            used.extend(node.inputs.iter().cloned());
            graph.nodes.push(node);
        }
    }
    graph.nodes.reverse();
    graph.constants.retain(|constant| used.contains(&constant.name) && !params.contains_key(&constant.name));
}
