//! Reads the cases of a family from its folder: `cases.json` and the tensors of `data.safetensors`.
//! What a case means, and whether it passes, is left to `case.rs` and `run.rs`.
use kolmo::Tensor;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::{collections::HashMap, fs, path::Path, rc::Rc};

/// A tensor of the file. Masks are stored as bytes.
#[derive(Clone)]
pub enum Stored {
    Floats(Tensor<f64>),
    Ints(Tensor<i64>),
    Bools(Tensor<bool>),
}

/// One call with what it must give.
pub struct Case {
    pub family: String,
    pub id: String,
    pub op: String,
    pub json: Value,
    tensors: Rc<HashMap<String, Stored>>,
}

/// The folders that hold cases, by name.
pub fn families(root: &Path) -> Vec<String> {
    let folders = fs::read_dir(root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut names: Vec<String> = folders
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("cases.json").is_file())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_string()))
        .collect();
    names.sort();
    names
}

/// The cases of a family, in the order of the file.
pub fn load(root: &Path, family: &str) -> Vec<Case> {
    let read = |name: &str| {
        let path = root.join(family).join(name);
        fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let cases: Vec<Value> =
        serde_json::from_slice(&read("cases.json")).unwrap_or_else(|e| panic!("{family}/cases.json: {e}"));
    let tensors = Rc::new(tensors(&read("data.safetensors")));
    let text = |json: &Value, key: &str| json[key].as_str().unwrap_or_default().to_string();
    cases
        .into_iter()
        .map(|json| Case {
            family: family.to_string(),
            id: text(&json, "id"),
            op: text(&json, "op"),
            json,
            tensors: tensors.clone(),
        })
        .collect()
}

fn tensors(file: &[u8]) -> HashMap<String, Stored> {
    let parsed = SafeTensors::deserialize(file).unwrap_or_else(|e| panic!("data.safetensors: {e}"));
    parsed
        .iter()
        .map(|(name, view)| {
            let words = || view.data().chunks_exact(8).map(|b| b.try_into().unwrap_or_default());
            let shape = view.shape();
            let stored = match view.dtype() {
                Dtype::F64 => {
                    Tensor::new(shape, words().map(f64::from_le_bytes).collect()).map(Stored::Floats)
                }
                Dtype::I64 => Tensor::new(shape, words().map(i64::from_le_bytes).collect()).map(Stored::Ints),
                Dtype::U8 | Dtype::BOOL => {
                    Tensor::new(shape, view.data().iter().map(|&b| b != 0).collect()).map(Stored::Bools)
                }
                other => panic!("{name}: elements of type {other:?}"),
            };
            (name.to_string(), stored.unwrap_or_else(|e| panic!("{name}: {e}")))
        })
        .collect()
}

impl Case {
    /// The tensor that a JSON item `{"t": NAME, …}` names.
    pub fn stored(&self, item: &Value) -> Option<&Stored> {
        let name = item.get("t")?.as_str()?;
        Some(self.tensors.get(name).unwrap_or_else(|| panic!("{}: no tensor {name}", self.id)))
    }

    /// The items of a list, or none if there is no such key.
    pub fn items(&self, key: &str) -> &[Value] {
        self.json[key].as_array().map_or(&[], Vec::as_slice)
    }

    /// Whether the call must give an error.
    pub fn is_error(&self) -> bool {
        self.json.get("outputs").is_none()
    }

    /// The call in a line: the operation, and its arguments with small tensors in full.
    pub fn summary(&self) -> String {
        let mut parts: Vec<String> = self.items("args").iter().map(|a| self.describe(a)).collect();
        if let Some(kwargs) = self.json["kwargs"].as_object() {
            parts.extend(kwargs.iter().map(|(k, v)| format!("{k}={}", self.describe(v))));
        }
        format!("{}({})", self.op, parts.join(", "))
    }

    fn describe(&self, item: &Value) -> String {
        match (self.stored(item), item) {
            (Some(Stored::Floats(t)), _) => describe(t, item),
            (Some(Stored::Ints(t)), _) => describe(t, item),
            (Some(Stored::Bools(t)), _) => describe(t, item),
            (None, Value::Array(items)) => {
                format!("[{}]", items.iter().map(|i| self.describe(i)).collect::<Vec<_>>().join(", "))
            }
            (None, Value::Object(map)) if map.values().any(Value::is_object) => {
                let parts: Vec<String> =
                    map.iter().map(|(k, v)| format!("{k}: {}", self.describe(v))).collect();
                format!("{{{}}}", parts.join(", "))
            }
            _ => item.to_string(),
        }
    }
}

fn describe<T: kolmo::tensor::Element>(t: &Tensor<T>, item: &Value) -> String {
    let layout = item["layout"].as_str().map_or_else(String::new, |l| format!(" {l}"));
    let values = if t.numel() <= 6 { format!(" {:?}", t.to_vec()) } else { String::new() };
    format!("{}{}{layout}{values}", T::NAME, t.shape())
}
