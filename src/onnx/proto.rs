//! The messages of an ONNX file, as far as they are needed; numbers of fields are those of `onnx.proto`. What a file
//! says is held against the file's length before anything is done by it.
pub(super) use super::tensors::{Constant, Data, kind};
use super::tensors::{floats_of, integers, text};
use crate::{
    error::Checked,
    protobuf::{Field, Fields, Message},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Attribute {
    Int(i64),
    Float(f32),
    Text(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<String>),
    Tensor(Constant),
    /// What isn't read, such as a graph in a graph.
    Other,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Node {
    pub op: String,
    pub domain: String,
    pub name: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: Vec<(String, Attribute)>,
}

/// A size, known or by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Size {
    Known(usize),
    Named(String),
}

/// An input or output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    pub name: String,
    pub kind: u32,
    /// `None` if the file doesn't say.
    pub sizes: Option<Vec<Size>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    pub constants: Vec<Constant>,
    pub inputs: Vec<Place>,
    pub outputs: Vec<Place>,
}

impl Attribute {
    fn message(&self, name: &str) -> Message {
        let m = Message::default().bytes(1, name);
        match self {
            Attribute::Float(v) => m.float(2, *v).int(20, 1),
            Attribute::Int(v) => m.int(3, *v as u64).int(20, 2),
            Attribute::Text(v) => m.bytes(4, v).int(20, 3),
            Attribute::Tensor(v) => m.message(5, &v.message()).int(20, 4),
            Attribute::Floats(v) => v.iter().fold(m, |m, v| m.float(7, *v)).int(20, 6),
            Attribute::Ints(v) => v.iter().fold(m, |m, v| m.int(8, *v as u64)).int(20, 7),
            Attribute::Texts(v) => v.iter().fold(m, |m, v| m.bytes(9, v)).int(20, 8),
            Attribute::Other => m,
        }
    }

    fn read(bytes: &[u8]) -> Checked<(String, Attribute)> {
        let (mut name, mut kind, mut found) = (String::new(), 0, None);
        let (mut floats, mut ints, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        let mut fields = Fields(bytes);
        while let Some((number, field)) = fields.next_field()? {
            match (number, field) {
                (1, Field::Bytes(b)) => name = text(b)?,
                (2, Field::Fixed32(v)) => found = Some(Attribute::Float(f32::from_bits(v))),
                (3, Field::Int(v)) => found = Some(Attribute::Int(v as i64)),
                (4, Field::Bytes(b)) => {
                    found = Some(Attribute::Text(String::from_utf8_lossy(b).into_owned()));
                }
                (5, Field::Bytes(b)) => found = Some(Attribute::Tensor(Constant::read(b)?)),
                (7, field) => floats_of(field, &mut floats)?,
                (8, field) => integers(field, &mut ints)?,
                (9, Field::Bytes(b)) => texts.push(String::from_utf8_lossy(b).into_owned()),
                (20, Field::Int(v)) => kind = v,
                _ => {}
            }
        }
        let attribute = match (kind, found) {
            (6, _) => Attribute::Floats(floats),
            (7, _) => Attribute::Ints(ints),
            (8, _) => Attribute::Texts(texts),
            // A zero may be left out.
            (1, None) => Attribute::Float(0.0),
            (2, None) => Attribute::Int(0),
            (3, None) => Attribute::Text(String::new()),
            (0..=4, Some(found)) => found,
            // Files from before types were written.
            (0, None) if !ints.is_empty() => Attribute::Ints(ints),
            (0, None) if !floats.is_empty() => Attribute::Floats(floats),
            _ => Attribute::Other,
        };
        Ok((name, attribute))
    }
}

impl Node {
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, a)| a)
    }

    fn message(&self) -> Message {
        let m = self.inputs.iter().fold(Message::default(), |m, name| m.bytes(1, name));
        let m = self.outputs.iter().fold(m, |m, name| m.bytes(2, name));
        let m = m.bytes(3, &self.name).bytes(4, &self.op);
        self.attributes.iter().fold(m, |m, (name, a)| m.message(5, &a.message(name)))
    }

    fn read(bytes: &[u8]) -> Checked<Node> {
        let (mut node, mut fields) = (Node::default(), Fields(bytes));
        while let Some((number, field)) = fields.next_field()? {
            match (number, field) {
                (1, Field::Bytes(b)) => node.inputs.push(text(b)?),
                (2, Field::Bytes(b)) => node.outputs.push(text(b)?),
                (3, Field::Bytes(b)) => node.name = text(b)?,
                (4, Field::Bytes(b)) => node.op = text(b)?,
                (5, Field::Bytes(b)) => node.attributes.push(Attribute::read(b)?),
                (7, Field::Bytes(b)) => node.domain = text(b)?,
                _ => {}
            }
        }
        Ok(node)
    }
}

impl Place {
    fn message(&self) -> Message {
        let size = |m: Message, size: &Size| {
            let size = match size {
                Size::Known(n) => Message::default().int(1, *n as u64),
                Size::Named(name) => Message::default().bytes(2, name),
            };
            m.message(1, &size)
        };
        let mut tensor = Message::default().int(1, self.kind.into());
        if let Some(sizes) = &self.sizes {
            tensor = tensor.message(2, &sizes.iter().fold(Message::default(), size));
        }
        Message::default().bytes(1, &self.name).message(2, &Message::default().message(1, &tensor))
    }

    fn read(bytes: &[u8]) -> Checked<Place> {
        let (mut place, mut kind) = (Place { name: String::new(), kind: 0, sizes: None }, None);
        let mut fields = Fields(bytes);
        while let Some((number, field)) = fields.next_field()? {
            match (number, field) {
                (1, Field::Bytes(b)) => place.name = text(b)?,
                (2, Field::Bytes(b)) => kind = Some(b),
                _ => {}
            }
        }
        let mut fields = Fields(kind.unwrap_or_default());
        while let Some((number, field)) = fields.next_field()? {
            let (1, Field::Bytes(b)) = (number, field) else { continue };
            let mut fields = Fields(b);
            while let Some((number, field)) = fields.next_field()? {
                match (number, field) {
                    (1, Field::Int(v)) => place.kind = u32::try_from(v).unwrap_or(0),
                    (2, Field::Bytes(b)) => place.sizes = Some(Place::sizes(b)?),
                    _ => {}
                }
            }
        }
        Ok(place)
    }

    fn sizes(bytes: &[u8]) -> Checked<Vec<Size>> {
        let (mut sizes, mut fields) = (Vec::new(), Fields(bytes));
        while let Some((number, field)) = fields.next_field()? {
            let (1, Field::Bytes(b)) = (number, field) else { continue };
            let (mut size, mut fields) = (Size::Named(String::new()), Fields(b));
            while let Some((number, field)) = fields.next_field()? {
                match (number, field) {
                    (1, Field::Int(v)) if v as i64 >= 0 => {
                        size = usize::try_from(v).map_or(size, Size::Known);
                    }
                    (2, Field::Bytes(b)) => size = Size::Named(text(b)?),
                    _ => {}
                }
            }
            sizes.push(size);
        }
        Ok(sizes)
    }
}

impl Graph {
    /// The bytes of a file.
    pub fn to_bytes(&self, opset: u64) -> Vec<u8> {
        let m = self.nodes.iter().fold(Message::default(), |m, node| m.message(1, &node.message()));
        let m = self.constants.iter().fold(m.bytes(2, "kolmo"), |m, c| m.message(5, &c.message()));
        let m = self.inputs.iter().fold(m, |m, place| m.message(11, &place.message()));
        let graph = self.outputs.iter().fold(m, |m, place| m.message(12, &place.message()));
        let operators = Message::default().bytes(1, "").int(2, opset);
        Message::default()
            .int(1, format_of(opset))
            .bytes(2, "kolmo")
            .bytes(3, env!("CARGO_PKG_VERSION"))
            .message(7, &graph)
            .message(8, &operators)
            .0
    }

    /// The graph of a file, and the version of its operators.
    pub fn from_bytes(bytes: &[u8]) -> Checked<(Graph, u64)> {
        let (mut graph, mut opset, mut fields) = (None, 1, Fields(bytes));
        while let Some((number, field)) = fields.next_field()? {
            match (number, field) {
                (7, Field::Bytes(b)) => graph = Some(Graph::read(b)?),
                (8, Field::Bytes(b)) => {
                    let (mut domain, mut version, mut fields) = (String::new(), 1, Fields(b));
                    while let Some((number, field)) = fields.next_field()? {
                        match (number, field) {
                            (1, Field::Bytes(b)) => domain = text(b)?,
                            (2, Field::Int(v)) => version = v,
                            _ => {}
                        }
                    }
                    if domain.is_empty() || domain == "ai.onnx" {
                        opset = version;
                    }
                }
                _ => {}
            }
        }
        graph.map(|graph| (graph, opset)).ok_or_else(|| "there is no graph in it: not an ONNX model".into())
    }

    fn read(bytes: &[u8]) -> Checked<Graph> {
        let (mut graph, mut fields) = (Graph::default(), Fields(bytes));
        while let Some((number, field)) = fields.next_field()? {
            match (number, field) {
                (1, Field::Bytes(b)) => graph.nodes.push(Node::read(b)?),
                (5, Field::Bytes(b)) => graph.constants.push(Constant::read(b)?),
                (11, Field::Bytes(b)) => graph.inputs.push(Place::read(b)?),
                (12, Field::Bytes(b)) => graph.outputs.push(Place::read(b)?),
                (15, _) => return Err("sparse tensors aren't read".into()),
                _ => {}
            }
        }
        Ok(graph)
    }
}

/// The first version of the file format that a version of the operators came with.
fn format_of(opset: u64) -> u64 {
    match opset {
        ..19 => 8,
        19..21 => 9,
        21..23 => 10,
        23 => 11,
        24 => 12,
        _ => 13,
    }
}
