//! The tape as a graph for TensorBoard.
use super::listing::{Argument, Listing};
use crate::{error::Result, protobuf::Message, train::SummaryWriter};
use std::collections::{BTreeMap, BTreeSet};

impl SummaryWriter {
    /// The statements of a tape as a graph. Parameters that have names (see
    /// [`with_names`](Listing::with_names)) are grouped as a model's fields are. Statements of scalars are
    /// shown, too; a graph of very many of them is more than TensorBoard can draw.
    ///
    /// ```
    /// use kolmo::{Random, Tape, nn::{Layer, Linear}, train::SummaryWriter};
    /// let folder = std::env::temp_dir().join(format!("kolmo-graph-{}", std::process::id()));
    /// let (net, tape) = (Linear::new(3, 2, &mut Random::new(0)), Tape::new());
    /// let _ = net.forward(&tape.input([[1.0, 2.0, 3.0]])).relu();
    /// SummaryWriter::new(&folder)?.add_graph(&tape.listing().with_names(&net))?;
    /// # std::fs::remove_dir_all(folder).unwrap();
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn add_graph(&mut self, listing: &Listing) -> Result<()> {
        let (mut names, mut taken) = (BTreeMap::new(), BTreeSet::new());
        for row in &listing.rows {
            let name = row.name.as_ref().filter(|name| !name.starts_with('#'));
            let allowed = |c: char| if c.is_ascii_alphanumeric() || "_-/".contains(c) { c } else { '_' };
            let name: Option<String> = name
                .map(|name| name.replace('.', "/").chars().map(allowed).collect())
                .filter(|name: &String| {
                    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && taken.insert(name.clone())
                });
            names.insert(row.id, name.unwrap_or_else(|| format!("{}_{}", row.op, row.id)));
        }
        let mut graph = Message::default();
        for row in &listing.rows {
            let name = names.get(&row.id).map_or("", String::as_str);
            let mut node = Message::default().bytes(1, name).bytes(2, &row.op);
            for argument in &row.arguments {
                if let Argument::Value(id) | Argument::Partial(id, _) = argument
                    && let Some(from) = names.get(id)
                {
                    node = node.bytes(3, from);
                }
            }
            // A map is a list of pairs. Shapes stand in a list of them, texts in bytes.
            let attribute = |node: Message, key: &str, value: &Message| {
                node.message(5, &Message::default().bytes(1, key).message(2, value))
            };
            let sizes = row.shape.iter().flatten().fold(Message::default(), |shape, &size| {
                shape.message(2, &Message::default().int(1, size as u64))
            });
            let shapes = Message::default().message(1, &Message::default().message(7, &sizes));
            node = attribute(node, "_output_shapes", &shapes);
            for (key, text) in [("options", &row.options), ("dtype", &row.dtype)] {
                node = attribute(node, key, &Message::default().bytes(2, text));
            }
            if let Some(site) = &row.site {
                node = attribute(node, "line", &Message::default().bytes(2, site));
            }
            graph = graph.message(1, &node);
        }
        self.event(0, |event| event.message(4, &graph))
    }
}
