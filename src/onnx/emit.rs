//! A graph under construction: names, constants, and sizes of which some hang on what is left open.
use super::{
    dim::Dim,
    proto::{Attribute, Constant, Data, Graph, Node, kind},
    weights::{Weights, same},
};
use crate::{
    error::Checked,
    tensor::{Shape, Tensor},
};
use std::collections::{HashMap, HashSet};

/// Constants of so few elements are written once, whoever uses them.
const SMALL: usize = 64;

/// What is worked out before the model runs: its value in each recording, and the parameters that it is made of.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    pub values: Vec<Tensor<f32>>,
    pub made_of: Vec<usize>,
}

/// What a node is worth.
#[derive(Clone, Debug)]
pub(super) enum Known {
    Fixed(Fixed),
    /// A value of the graph, by its name.
    Value(String),
}

/// An operand: what it is worth and its sizes.
#[derive(Clone, Debug)]
pub(super) struct Arg {
    pub known: Known,
    pub shape: Vec<Dim>,
    /// Its sizes in the first recording.
    pub sizes: Shape,
}

impl Arg {
    pub fn fixed(&self) -> Option<&Tensor<f32>> {
        match &self.known {
            Known::Fixed(fixed) => fixed.values.first(),
            Known::Value(_) => None,
        }
    }
}

pub(super) struct Emitter {
    pub graph: Graph,
    pub opset: u64,
    /// The sizes that were left open, in each recording.
    pub counts: Vec<Vec<usize>>,
    /// The inputs and the axes that they are read from.
    pub open: Vec<(String, i64)>,
    pub weights: Weights,
    taken: HashSet<String>,
    small: HashMap<(u32, Vec<usize>, Vec<u64>), String>,
    computed: HashMap<Vec<Dim>, String>,
    read_sizes: HashMap<usize, String>,
}

pub(super) fn int(name: &'static str, v: i64) -> (&'static str, Attribute) {
    (name, Attribute::Int(v))
}

pub(super) fn ints(name: &'static str, v: impl IntoIterator<Item = usize>) -> (&'static str, Attribute) {
    (name, Attribute::Ints(v.into_iter().map(|v| v as i64).collect()))
}

pub(super) fn float(name: &'static str, v: f64) -> (&'static str, Attribute) {
    (name, Attribute::Float(v as f32))
}

pub(super) fn word(name: &'static str, v: &str) -> (&'static str, Attribute) {
    (name, Attribute::Text(v.into()))
}

impl Emitter {
    pub fn new(opset: u64, counts: Vec<Vec<usize>>, weights: Weights) -> Emitter {
        Emitter {
            graph: Graph::default(),
            opset,
            counts,
            open: Vec::new(),
            weights,
            taken: HashSet::new(),
            small: HashMap::new(),
            computed: HashMap::new(),
            read_sizes: HashMap::new(),
        }
    }

    /// A name that nothing has yet: this one, or with a number behind it.
    pub fn name(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_string();
        let mut n = 0;
        while !self.taken.insert(name.clone()) {
            n += 1;
            name = format!("{wanted}_{n}");
        }
        name
    }

    /// A node with several results, of which those without a name aren't asked for.
    pub fn several<const N: usize>(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = (&'static str, Attribute)>,
        wanted: [bool; N],
    ) -> [String; N] {
        let name = self.name(&op.to_lowercase());
        let outputs =
            wanted.map(|wanted| if wanted { self.name(&format!("{name}:y")) } else { String::new() });
        let attributes = attributes.into_iter().map(|(name, a)| (name.to_string(), a)).collect();
        let inputs = inputs.iter().map(|name| name.to_string()).collect();
        let domain = String::new();
        // Those behind the last that is asked for aren't named.
        let count = wanted.iter().rposition(|&wanted| wanted).map_or(0, |last| last + 1);
        let own = outputs[..count].to_vec();
        let node = Node { op: op.into(), domain, name, inputs, outputs: own, attributes };
        self.graph.nodes.push(node);
        outputs
    }

    pub fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = (&'static str, Attribute)>,
    ) -> String {
        let [y] = self.several(op, inputs, attributes, [true]);
        y
    }

    /// A node without attributes.
    pub fn plain(&mut self, op: &str, inputs: &[&str]) -> String {
        self.node(op, inputs, [])
    }

    /// A constant, once for all who use it if it is small.
    pub fn constant(&mut self, wanted: &str, kind: u32, data: Data) -> String {
        let shape = data.shape().to_vec();
        let bits: Option<Vec<u64>> = (data.shape().numel() <= SMALL).then(|| match &data {
            Data::Float(t) => t.to_vec().iter().map(|v| v.to_bits().into()).collect(),
            Data::Int(t) => t.to_vec().iter().map(|v| *v as u64).collect(),
            Data::Bool(t) => t.to_vec().iter().map(|v| u64::from(*v)).collect(),
        });
        // One with a name of its own keeps it.
        let key = bits.filter(|_| wanted.is_empty()).map(|bits| (kind, shape, bits));
        if let Some(name) = key.as_ref().and_then(|key| self.small.get(key)) {
            return name.clone();
        }
        let name = self.name(if wanted.is_empty() { "constant" } else { wanted });
        self.graph.constants.push(Constant { name: name.clone(), kind, data });
        if let Some(key) = key {
            self.small.insert(key, name.clone());
        }
        name
    }

    pub fn floats(&mut self, t: &Tensor<f32>) -> String {
        self.constant("", kind::FLOAT, Data::Float(t.clone()))
    }

    pub fn number(&mut self, v: f64) -> String {
        self.floats(&Tensor::scalar(v as f32))
    }

    pub fn integers(&mut self, v: &[i64]) -> String {
        self.constant("", kind::INT64, Data::Int(Tensor::from_fn([v.len()], |i| v[i])))
    }

    /// The size that an axis has in each recording.
    pub fn dim(&self, sizes: &[usize]) -> Checked<Dim> {
        Dim::of(sizes, &self.counts)
    }

    pub fn dims<'a>(&self, shapes: impl IntoIterator<Item = &'a Shape>) -> Checked<Vec<Dim>> {
        let shapes: Vec<&Shape> = shapes.into_iter().collect();
        let rank = shapes.first().map_or(0, |shape| shape.rank());
        if shapes.iter().any(|shape| shape.rank() != rank) {
            return Err("the number of axes changes with the sizes of the inputs".into());
        }
        (0..rank).map(|i| self.dim(&shapes.iter().map(|shape| shape[i]).collect::<Vec<_>>())).collect()
    }

    /// Sizes as a tensor of the graph.
    pub fn sizes(&mut self, dims: &[Dim]) -> Checked<String> {
        if let Some(known) = dims.iter().map(|dim| dim.known()).collect::<Option<Vec<i64>>>() {
            return Ok(self.integers(&known));
        }
        if let Some(name) = self.computed.get(dims) {
            return Ok(name.clone());
        }
        let parts = dims.iter().map(|&dim| self.computed_size(dim)).collect::<Checked<Vec<String>>>()?;
        let name = match &parts[..] {
            [one] => one.clone(),
            all => self.node("Concat", &all.iter().map(String::as_str).collect::<Vec<_>>(), [int("axis", 0)]),
        };
        self.computed.insert(dims.to_vec(), name.clone());
        Ok(name)
    }

    /// One size as a tensor of one element.
    fn computed_size(&mut self, dim: Dim) -> Checked<String> {
        if let Some(known) = dim.known() {
            return Ok(self.integers(&[known]));
        }
        if let Some(name) = self.computed.get(&[dim][..]) {
            return Ok(name.clone());
        }
        let mut sum: Option<String> = None;
        for (times, open) in dim.terms() {
            let mut product = None;
            for k in open {
                let one = self.open_size(k)?;
                product = Some(product.map_or(one.clone(), |y: String| self.plain("Mul", &[&y, &one])));
            }
            let term = match product {
                Some(product) if times == 1 => product,
                Some(product) => {
                    let times = self.integers(&[times]);
                    self.plain("Mul", &[&product, &times])
                }
                None => self.integers(&[times]),
            };
            sum = Some(sum.map_or(term.clone(), |y| self.plain("Add", &[&y, &term])));
        }
        let y = sum.ok_or("a size without a value")?;
        self.computed.insert(vec![dim], y.clone());
        Ok(y)
    }

    /// A size that is left open, as a tensor of one element.
    fn open_size(&mut self, k: usize) -> Checked<String> {
        if let Some(name) = self.read_sizes.get(&k) {
            return Ok(name.clone());
        }
        let (input, axis) = self.open.get(k).cloned().ok_or("a size changes, and nothing is left open")?;
        let y = self.node("Shape", &[&input], [int("start", axis), int("end", axis + 1)]);
        self.read_sizes.insert(k, y.clone());
        Ok(y)
    }

    /// A value reshaped.
    pub fn reshaped(&mut self, x: &str, dims: &[Dim]) -> Checked<String> {
        let open = dims.iter().filter(|dim| dim.is_open()).count();
        let empty = dims.iter().any(|dim| dim.known() == Some(0));
        let shape = if open == 1 && !empty {
            let sizes: Vec<i64> = dims.iter().map(|dim| dim.known().unwrap_or(-1)).collect();
            self.integers(&sizes)
        } else {
            self.sizes(dims)?
        };
        Ok(self.plain("Reshape", &[x, &shape]))
    }

    /// The name of an operand: a constant becomes one of the graph.
    pub fn read(&mut self, arg: &Arg) -> Checked<String> {
        match &arg.known {
            Known::Value(name) => Ok(name.clone()),
            Known::Fixed(fixed) => self.fixed(fixed, &arg.shape),
        }
    }

    /// The matrix that a constant of more axes repeats along all but its last two, if it does.
    pub fn repeated(&mut self, arg: &Arg) -> Checked<Option<String>> {
        let Known::Fixed(Fixed { values, made_of }) = &arg.known else { return Ok(None) };
        let failed = |e: crate::Error| e.to_string();
        let (Some(first), lead) = (values.first(), arg.shape.len().saturating_sub(2)) else {
            return Ok(None);
        };
        if lead == 0 || first.numel() == 0 {
            return Ok(None);
        }
        let mut one = first.clone();
        for _ in 0..lead {
            one = one.select(0, 0).map_err(failed)?;
        }
        for value in values {
            if !one.expand(value.shape().clone()).is_ok_and(|whole| same(&whole, value)) {
                return Ok(None);
            }
        }
        self.weight(&one, made_of).map(Some)
    }

    fn fixed(&mut self, fixed: &Fixed, dims: &[Dim]) -> Checked<String> {
        let first = fixed.values.first().ok_or("a constant without a value")?;
        if dims.iter().all(|dim| !dim.is_open()) {
            if fixed.values.iter().any(|other| !same(first, other)) {
                return Err("a constant changes with the sizes of the inputs".into());
            }
            return self.weight(first, &fixed.made_of);
        }
        // What is the same all along an axis is written once.
        let mut one = first.clone();
        for (axis, _) in dims.iter().enumerate().filter(|(_, dim)| dim.is_open()) {
            one = one.narrow(axis as isize, 0, 1.min(one.dim(axis as isize))).map_err(|e| e.to_string())?;
        }
        for value in &fixed.values {
            let whole = one.expand(value.shape().clone()).map_err(|e| e.to_string())?;
            if !same(&whole, value) {
                return Err("a constant's elements change with the sizes of the inputs".into());
            }
        }
        let (one, sizes) = (self.floats(&one), self.sizes(dims)?);
        Ok(self.plain("Expand", &[&one, &sizes]))
    }
}
