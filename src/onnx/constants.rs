//! Which constants of a graph become parameters of a model, and in what form.
use super::proto::{Attribute, Constant, Data, Graph, Node, kind};
use crate::{
    error::Checked,
    kernels::packed::{Packed, Parts, Values},
    param::{Groups, Param},
    tensor::{Shape, Tensor},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

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
pub(super) fn taken(graph: &mut Graph) -> Checked<BTreeMap<String, Param<f32>>> {
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

/// Whole numbers with scales become parameters: with step sizes, or held as codes if zero points or offsets belong to
/// them, or a scale isn't positive. What is added and a reshape that follow are taken along.
fn dequantized(graph: &mut Graph, params: &mut BTreeMap<String, Param<f32>>) -> Checked<()> {
    let constants: HashMap<&str, &Constant> = graph.constants.iter().map(|c| (c.name.as_str(), c)).collect();
    let mut readers: HashMap<&str, Vec<Option<usize>>> = HashMap::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|name| readers.entry(name).or_default().push(Some(i)));
    }
    graph.outputs.iter().for_each(|place| readers.entry(&place.name).or_default().push(None));
    // The one node that reads what a node gives.
    let next = |i: usize| -> Option<(usize, &Node, &str)> {
        let own = graph.nodes.get(i)?.outputs.first()?;
        match readers.get(own.as_str())?[..] {
            [Some(j)] => Some((j, graph.nodes.get(j)?, own)),
            _ => None,
        }
    };
    let mut found: Vec<(usize, String, Param<f32>)> = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate().filter(|(_, node)| node.op == "DequantizeLinear") {
        let Some((name, mut codes)) = Codes::of(node, &constants) else { continue };
        let mut last = i;
        if let Some((j, node, own)) = next(last).filter(|(_, node, _)| node.op == "Add")
            && let Some(other) = node.inputs.iter().find(|name| *name != own)
            && let Some(Constant { data: Data::Float(offsets), .. }) = constants.get(other.as_str())
            && codes.takes_offsets(offsets.shape())
        {
            (codes.offsets, last) = (Some(offsets.to_vec()), j);
        }
        if let Some((j, node, _)) = next(last).filter(|(_, node, _)| node.op == "Reshape")
            && let Some(Constant { data: Data::Int(sizes), .. }) =
                node.inputs.get(1).and_then(|name| constants.get(name.as_str()))
            && codes.reshape(&sizes.to_vec())
        {
            last = j;
        }
        if let Some(p) = codes.param().map_err(|e| format!("{name:?}: {e}"))? {
            found.push((last, name.to_string(), p));
        }
    }
    replaced(graph, params, found);
    Ok(())
}

/// Whole numbers of a file that stand for weights.
struct Codes {
    kind: u32,
    list: Vec<i64>,
    shape: Shape,
    /// Neighbours of a row that share a scale; 0 for one of all.
    group: usize,
    scales: Vec<f32>,
    zeros: Option<Vec<i64>>,
    offsets: Option<Vec<f32>>,
}

impl Codes {
    /// The codes of a node, if they are constants and neighbours of rows share scales, and their name.
    fn of<'a>(node: &Node, constants: &HashMap<&'a str, &'a Constant>) -> Option<(&'a str, Codes)> {
        let constant = |k: usize| node.inputs.get(k).and_then(|name| constants.get(name.as_str()));
        let (codes, scale) = (constant(0)?, constant(1)?);
        let (Data::Int(numbers), Data::Float(sizes)) = (&codes.data, &scale.data) else { return None };
        let zeros = match (node.inputs.get(2).filter(|name| !name.is_empty()), constant(2)) {
            (None, _) => None,
            (_, Some(Constant { data: Data::Int(zero), .. })) if zero.shape() == sizes.shape() => {
                Some(zero.to_vec()).filter(|zeros| zeros.iter().any(|&v| v != 0))
            }
            _ => return None,
        };
        let int = |name: &str, without: i64| match node.attribute(name) {
            Some(Attribute::Int(v)) => *v,
            _ => without,
        };
        let shape = numbers.shape();
        let groups = Groups::new(shape, 1);
        let (rows, cols) = (groups.rows(), groups.cols());
        let group = match (sizes.rank(), int("axis", 1), usize::try_from(int("block_size", 0)).ok()?) {
            _ if sizes.numel() == 1 => 0,
            (1, 0, 0) if shape.rank() > 1 && sizes.dim(0) == rows => cols,
            (2, 1 | -1, block @ 1..)
                if shape.rank() == 2 && sizes.shape()[..] == [rows, cols.div_ceil(block)] =>
            {
                block
            }
            _ => return None,
        };
        let (kind, list, scales) = (codes.kind, numbers.to_vec(), sizes.to_vec());
        let shape = shape.clone();
        Some((codes.name.as_str(), Codes { kind, list, shape, group, scales, zeros, offsets: None }))
    }

    /// Whether a tensor of these sizes adds one number to all that share a scale.
    fn takes_offsets(&self, sizes: &Shape) -> bool {
        let (rank, cols) = (self.shape.rank(), Groups::new(&self.shape, 1).cols());
        match self.group {
            0 => sizes.numel() == 1 && sizes.rank() <= rank,
            group => {
                let rows: Shape = (0..rank).map(|axis| if axis == 0 { self.shape[0] } else { 1 }).collect();
                group == cols && *sizes == rows
            }
        }
    }

    /// Takes another shape, if the same neighbours share scales then.
    fn reshape(&mut self, sizes: &[i64]) -> bool {
        let sizes: Option<Shape> =
            sizes.iter().map(|&n| usize::try_from(n).ok().filter(|&n| n > 0)).collect();
        let whole =
            |shape: &Shape| self.group == 0 || Groups::new(shape, 1).cols().is_multiple_of(self.group);
        match sizes {
            Some(sizes) if sizes.numel() == self.shape.numel() && whole(&sizes) && whole(&self.shape) => {
                self.shape = sizes;
                true
            }
            _ => false,
        }
    }

    /// A parameter that is held so, if one can be.
    fn param(&self) -> Checked<Option<Param<f32>>> {
        let Codes { list, shape, scales, group, .. } = self;
        let most = list.iter().map(|v| v.unsigned_abs()).max().unwrap_or(0);
        let plain = self.zeros.is_none() && self.offsets.is_none() && most <= 127;
        if plain && scales.iter().all(|s| s.is_finite() && *s >= 1e-8) {
            let bits = if matches!(self.kind, kind::INT4 | kind::UINT4) && most <= 7 { 4 } else { 8 };
            let groups = Groups::new(shape, *group);
            let size = |i: usize| scales.get(groups.of(i)).copied().unwrap_or(1.0);
            let p = Param::new(Tensor::from_fn(shape, |i| list[i] as f32 * size(i)));
            p.set_steps(bits, *group, Tensor::from(scales.clone())).map_err(|e| e.to_string())?;
            return Ok(Some(p));
        }
        let bits = kind::about(self.kind).map_or(64, |(bits, _)| bits as u32);
        let finite = |all: &[f32]| all.iter().all(|v| v.is_finite());
        let sound = finite(scales) && self.offsets.as_deref().is_none_or(finite);
        if shape.rank() < 2 || list.is_empty() || bits > 8 || !sound {
            return Ok(None);
        }
        // Codes are counted from the lowest.
        let low = if kind::is_signed(self.kind) { -(1i64 << (bits - 1)) } else { 0 };
        let counted = |v: i64| (v - low) as u8;
        let zeros: Option<Vec<u8>> =
            self.zeros.as_ref().map(|zeros| zeros.iter().map(|&v| counted(v)).collect());
        let parts = Parts {
            bits,
            codes: &|i| counted(list[i]),
            values: Values::From(if zeros.is_some() { 0 } else { low as i32 }),
            pruned: None,
            group: *group,
            scales: Some(&scales[..]),
            zeros: zeros.as_deref(),
            offsets: self.offsets.as_deref(),
        };
        let packed = Packed::of_codes(shape, &parts)?;
        Ok(Some(Param::new(Tensor::from_packed(Arc::new(packed)))))
    }
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
