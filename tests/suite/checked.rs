//! What serde reads is refused where its numbers can't be, and whatever is accepted works or fails with an
//! error: valid JSON of every type is changed at random, read, and used.
mod mutate;
pub mod types;

use kolmo::{Random, Result, data::DataLoader, nn::*, optim::StepLr};
use mutate::{Numbers, mutate};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use types::Kind;

/// Changes the JSON of values in many ways, and uses what can be read.
fn changed(kinds: Result<Vec<Kind>>) {
    for Kind { name, whole, tries, read } in kinds.unwrap() {
        assert!(read(&whole.to_string()), "{name} as it is");
        let mut random = Numbers(name.len() as u64);
        let mut refused = 0;
        for round in 0..tries {
            let mut json = whole.clone();
            (0..1 + random.below(3)).for_each(|_| mutate(&mut json, &mut random));
            let text = json.to_string();
            let used = catch_unwind(AssertUnwindSafe(|| read(&text)));
            let shown = || text.chars().take(3000).collect::<String>();
            refused += usize::from(!used.unwrap_or_else(|_| panic!("{name}, round {round}: {}", shown())));
        }
        assert!(refused > 0, "{name}: nothing was refused");
    }
}

#[test]
fn changed_layers_are_refused_or_work() {
    changed(types::layers());
}

#[test]
fn changed_blocks_are_refused_or_work() {
    changed(types::blocks());
}

#[test]
fn changed_optimisers_and_schedules_are_refused_or_work() {
    changed(types::optimisers());
}

#[test]
fn changed_data_and_recipes_are_refused_or_work() {
    changed(types::data());
}

#[test]
fn changed_tapes_are_refused_or_work() {
    changed(types::tapes());
}

#[test]
fn changed_reports_can_be_read() {
    changed(types::reports());
}

#[test]
fn what_is_refused_is_named() {
    fn told<V: DeserializeOwned>(json: Value, parts: &[&str]) {
        let error = serde_json::from_value::<V>(json).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(parts.iter().all(|part| error.contains(part)), "{error:?} without {parts:?}");
    }
    fn with<V: Serialize>(value: V, place: &str, by: Value) -> Value {
        let mut json = serde_json::to_value(value).unwrap();
        *json.pointer_mut(place).unwrap() = by;
        json
    }
    let rng = &mut Random::new(0);
    let attention = MultiheadAttention::new(4, 2, rng).unwrap();
    told::<MultiheadAttention>(
        with(&attention, "/num_heads", json!(3)),
        &["MultiheadAttention", "num_heads 3", "4"],
    );
    told::<MultiheadAttention>(with(&attention, "/dropout", json!(1.5)), &["dropout is 1.5"]);
    told::<Dropout>(json!({"p": -0.5}), &["Dropout", "p is -0.5"]);
    told::<BatchNorm>(with(BatchNorm::new(3), "/eps", json!(0)), &["BatchNorm", "eps is 0"]);
    let other = serde_json::to_value(Param::<f32>::new(types::numbers(&[4]))).unwrap();
    told::<BatchNorm>(with(BatchNorm::new(3), "/running_var", other.clone()), &["running_var", "[4]", "[3]"]);
    told::<Linear>(with(Linear::new(3, 2, rng), "/weight", other), &["Linear", "weight", "[4]"]);
    told::<Conv2d>(
        with(Conv2d::new(1, 2, 3, rng), "/options/stride", json!([0])),
        &["ConvOptions", "stride"],
    );
    told::<StepLr>(with(StepLr::new(0.1, 3), "/step_size", json!(0)), &["StepLr", "step_size"]);
    told::<DataLoader>(with(DataLoader::new(10, 3), "/size", json!(0)), &["DataLoader", "size"]);
    let mut transformer =
        TransformerEncoder::with_options(4, 2, 1, TransformerOptions::default(), rng).unwrap();
    transformer.layers[0].norm2 = LayerNorm::new([5]);
    let json = serde_json::to_value(&transformer).unwrap();
    told::<TransformerEncoder>(json, &["TransformerEncoderLayer", "norm2", "[5]", "[4]"]);
}
