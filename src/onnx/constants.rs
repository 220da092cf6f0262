//! Which constants of a graph become parameters of a model, and in what form.
use super::proto::{Attribute, Constant, Data, Graph, Node, kind};
use crate::{
    error::Checked,
    param::{Groups, Param},
    tensor::Tensor,
};
use std::collections::{BTreeMap, HashMap, HashSet};

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
