//! What happened in training, epoch by epoch, for people, spreadsheets and programs.
use crate::{
    error::{Error, Result},
    files::write_atomically,
    numbers,
};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use std::{fmt::Write as _, path::Path};

/// The figures of every epoch, which no metric can be called.
const OWN: [&str; 4] = ["epoch", "step", "lr", "loss"];

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
    /// The mean loss of its examples.
    #[serde(with = "crate::numbers")]
    pub loss: f64,
    /// What was measured after it, by name.
    #[serde(with = "crate::numbers", default)]
    pub metrics: Vec<(String, f64)>,
}

impl Record {
    /// An error if a column would stand for two figures.
    pub(super) fn check_names(metrics: &[(String, f64)]) -> Result<()> {
        for (i, (name, _)) in metrics.iter().enumerate() {
            let wrong = if OWN.contains(&name.as_str()) {
                format!("a metric can't be called {name:?}: {} are the run's own figures", OWN.join(", "))
            } else if metrics.iter().take(i).any(|(other, _)| other == name) {
                format!("two metrics are called {name:?}")
            } else {
                continue;
            };
            return Err(Error::invalid("History", wrong));
        }
        Ok(())
    }
}

/// A line of JSON.
struct Line<'a>(&'a Record);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Record { epoch, step, lr, loss, metrics } = self.0;
        let mut map = to.serialize_map(Some(OWN.len() + metrics.len()))?;
        map.serialize_entry("epoch", epoch)?;
        map.serialize_entry("step", step)?;
        map.serialize_entry("lr", lr)?;
        map.serialize_entry("loss", loss)?;
        metrics.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
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

    /// One line of JSON for each epoch; numbers that JSON doesn't have are `"NaN"`, `"inf"` and `"-inf"`.
    ///
    /// # Errors
    /// Two metrics of an epoch have one name, or one has that of a figure of the run: `epoch`, `step`, `lr`,
    /// `loss`.
    pub fn to_jsonl(&self) -> Result<String> {
        let mut text = String::new();
        for record in &self.records {
            Record::check_names(&record.metrics)?;
            text += &numbers::to_json(&Line(record)).map_err(|e| Error::invalid("History", e.to_string()))?;
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
            let quoted = name.contains([',', '"', '\n', '\r']);
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

    /// Writes the epochs as CSV if the file's name ends so, else as JSON lines. The file is whole or not
    /// there: it is written anew each time, and nothing is added to a line that a crash may have cut.
    ///
    /// # Errors
    /// As [`to_jsonl`](History::to_jsonl), and if the file can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_at(path.as_ref())
    }

    fn save_at(&self, path: &Path) -> Result<()> {
        let csv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        self.records.iter().try_for_each(|record| Record::check_names(&record.metrics))?;
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
        assert!(rows[1]["loss"] == "NaN" && rows.len() == 2);
        let whole = History { records: vec![Record { lr: f64::INFINITY, ..two().records[1].clone() }] };
        let again: History = serde_json::from_str(&serde_json::to_string(&whole).unwrap()).unwrap();
        assert!(again.records[0].loss.is_nan() && again.records[0].lr == f64::INFINITY);
        assert_eq!(two().column("accuracy"), [(1, 0.5), (2, 0.75)]);
        assert_eq!(two().column("a, b"), [(2, 2.0)]);
    }

    #[test]
    fn a_name_stands_for_one_figure() {
        for names in [["loss", "a"], ["a", "epoch"], ["lr", "b"], ["step", "b"], ["a", "a"]] {
            let metrics = names.map(|name| (name.to_string(), 1.0)).to_vec();
            let history = History { records: vec![Record { metrics, ..two().records[0].clone() }] };
            let error = history.to_jsonl().unwrap_err().to_string();
            assert!(names.iter().any(|name| error.contains(&format!("called {name:?}"))), "{error}");
            assert!(history.save("no/such/folder/history.csv").unwrap_err().to_string().contains("called"));
        }
    }
}
