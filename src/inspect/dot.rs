//! The tape as a graph in the language of Graphviz.
use super::listing::{Argument, Listing};
use std::fmt::Write as _;

impl Listing {
    /// The statements as a graph: an edge leads from each statement to those that read it, with the partial
    /// derivative where that is a number. `dot -Tsvg` of Graphviz draws it.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::new();
    /// let x = tape.input([1.0, 2.0]);
    /// let _ = (&x * &x).sum();
    /// let dot = tape.listing().to_dot();
    /// assert!(dot.contains(r#"v2 [label="%2 mul\n[2]"]"#) && dot.contains("v1 -> v2;"));
    /// ```
    #[doc(alias("make_dot", "graphviz"))]
    pub fn to_dot(&self) -> String {
        let mut out = String::from("digraph tape {\n  node [shape=box, fontname=\"monospace\"];\n");
        for row in &self.rows {
            let mut label = format!("%{} {}", row.id, row.op);
            if let Some(name) = row.name.as_ref().filter(|n| !n.starts_with('#')) {
                let _ = write!(label, " {name}");
            }
            if let Some(shape) = &row.shape {
                let _ = write!(label, "\n{shape:?}");
            }
            let label = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let leaf = if row.arguments.is_empty() { ", style=rounded" } else { "" };
            let _ = writeln!(out, "  v{} [label=\"{label}\"{leaf}];", row.id);
            for argument in &row.arguments {
                let _ = match argument {
                    Argument::Value(0) | Argument::Constant => Ok(()),
                    Argument::Value(id) => writeln!(out, "  v{id} -> v{};", row.id),
                    Argument::Partial(id, d) => {
                        writeln!(out, "  v{id} -> v{} [label=\"{d:.4}\"];", row.id)
                    }
                };
            }
        }
        out.push_str("}\n");
        out
    }
}
