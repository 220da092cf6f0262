//! What happened in training, epoch by epoch, for people, spreadsheets and programs.
use crate::{
    error::{Error, Result},
    files::write_atomically,
};
use serde::{Deserialize, Serialize};
use std::{fmt::Write as _, path::Path};

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// From 1.
    pub epoch: u64,
    /// Steps of the optimiser until its end.
    pub step: u64,
    /// The learning rate of its last step.
    #[serde(with = "crate::numbers")]
    pub lr: f64,
    /// The mean of its losses.
    #[serde(with = "crate::numbers")]
    pub loss: f64,
    /// What was measured after it, by name.
    #[serde(with = "crate::numbers", default)]
    pub metrics: Vec<(String, f64)>,
}

/// All epochs of a run.
///
/// ```
/// use kolmo::train::{History, Record};
/// let record = |epoch, loss| Record { epoch, step: 10 * epoch, lr: 0.1, loss, metrics: Vec::new() };
/// let history = History { records: vec![record(1, 2.0), record(2, 1.5)] };
/// assert_eq!(history.column("loss"), [(1, 2.0), (2, 1.5)]);
/// assert!(history.to_csv().starts_with("epoch,step,lr,loss"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    /// In their order.
    pub records: Vec<Record>,
}

impl History {
    /// The last epoch.
    pub fn last(&self) -> Option<&Record> {
        self.records.last()
    }

    /// A column: `loss`, `lr` or a metric, with the epochs that have it.
    pub fn column(&self, name: &str) -> Vec<(u64, f64)> {
        let value = |r: &Record| match name {
            "loss" => Some(r.loss),
            "lr" => Some(r.lr),
            _ => r.metrics.iter().find(|(n, _)| n == name).map(|(_, v)| *v),
        };
        self.records.iter().filter_map(|r| Some((r.epoch, value(r)?))).collect()
    }

    /// The names of all metrics, in the order of their first appearance.
    pub fn metrics(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in self.records.iter().flat_map(|r| &r.metrics) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// One line of JSON for each epoch; numbers that JSON doesn't have are `null`.
    pub fn to_jsonl(&self) -> Result<String> {
        let mut text = String::new();
        for record in &self.records {
            let mut row = serde_json::Map::new();
            let mut add = |name: &str, value: serde_json::Value| row.insert(name.to_string(), value);
            add("epoch", record.epoch.into());
            add("step", record.step.into());
            add("lr", record.lr.into());
            add("loss", record.loss.into());
            for (name, value) in &record.metrics {
                add(name, (*value).into());
            }
            let line = serde_json::to_string(&row).map_err(|e| Error::invalid("History", e.to_string()))?;
            text += &line;
            text.push('\n');
        }
        Ok(text)
    }

    /// A table with a head line, a column for each metric.
    pub fn to_csv(&self) -> String {
        let metrics = self.metrics();
        let mut text = String::from("epoch,step,lr,loss");
        for name in &metrics {
            // As RFC 4180 has it.
            let quoted = name.contains([',', '"', '\n']);
            let name = if quoted { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.clone() };
            text += &format!(",{name}");
        }
        for r in &self.records {
            let _ = write!(text, "\n{},{},{},{}", r.epoch, r.step, r.lr, r.loss);
            for name in &metrics {
                text.push(',');
                if let Some((_, value)) = r.metrics.iter().find(|(n, _)| n == name) {
                    let _ = write!(text, "{value}");
                }
            }
        }
        text.push('\n');
        text
    }

    /// Writes the epochs as CSV if the file's name ends so, else as JSON lines. The file is whole or not there.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let csv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        let text = if csv { self.to_csv() } else { self.to_jsonl()? };
        write_atomically(path, text.as_bytes()).map_err(|e| Error::io(path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> History {
        let record = |epoch, loss, metrics| Record { epoch, step: 10 * epoch, lr: 0.1, loss, metrics };
        let later = vec![("accuracy".into(), 0.75), ("a, b".into(), 2.0)];
        History { records: vec![record(1, 0.5, vec![("accuracy".into(), 0.5)]), record(2, f64::NAN, later)] }
    }

    #[test]
    fn lines_and_tables_have_every_number() {
        let csv = "epoch,step,lr,loss,accuracy,\"a, b\"\n1,10,0.1,0.5,0.5,\n2,20,0.1,NaN,0.75,2\n";
        assert_eq!(two().to_csv(), csv);
        let lines = two().to_jsonl().unwrap();
        let rows: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!((rows[0]["accuracy"].as_f64(), rows[1]["step"].as_u64()), (Some(0.5), Some(20)));
        assert!(rows[1]["loss"].is_null() && rows.len() == 2);
        assert_eq!(two().column("accuracy"), [(1, 0.5), (2, 0.75)]);
        assert_eq!(two().column("a, b"), [(2, 2.0)]);
    }
}
