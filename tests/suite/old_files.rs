//! Files that earlier versions wrote are read by every later one: `tests/data/first_version` holds one of
//! each kind, and what the models in them computed.
use kolmo::{
    compress::{Artifact, Recipe, quantize::Quantizer, unpack},
    data,
    inspect::{Listing, Observation, SavedTape},
    nn::{Layer, Linear, Sequential, Tanh},
    optim::{Adam, AdamW, OneCycleLr, OptimState, Optimizer, ReduceLrOnPlateau, Schedule},
    train::{EarlyStopping, Trainer, load_checkpoint, load_safetensors},
    *,
};
use std::{fs, path::PathBuf};

type Net = Sequential<(Linear, Tanh, Linear)>;

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/data/first_version")).join(name)
}

fn json<V: serde::de::DeserializeOwned>(name: &str) -> V {
    serde_json::from_str(&fs::read_to_string(file(name)).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn net() -> Net {
    let rng = &mut Random::new(9);
    Sequential((Linear::new(6, 5, rng), Tanh, Linear::new(5, 3, rng)))
}

fn x() -> Tensor {
    Tensor::from_fn([4, 6], |i| (i as f32 * 0.37).sin())
}

/// That a model computes what it did; sums are not taken in the same order on all machines.
fn computes(net: &Net, expected: &str) {
    let (found, expected) =
        (net.forward(&Tape::inference().constant(x())).to_vec().unwrap(), json::<Vec<f32>>(expected));
    assert!(
        found.len() == 12 && found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5),
        "{found:?}, not {expected:?}"
    );
}

#[test]
fn models_and_states_through_json() -> Result<()> {
    let net: Net = json("model.json");
    assert!(net.0.0.weight.codebook().is_some() && net.0.0.weight.mask().is_some());
    assert_eq!(net.0.2.weight.steps().map(|steps| (steps.bits, steps.group)), Some((4, 5)));
    computes(&net, "model.out.json");
    let mut adam = Adam::<f32>::new(0.5);
    adam.load_state(&net, json::<OptimState>("adam.json"))?;
    assert_eq!(adam.lr(), 0.01);
    assert!(json::<OneCycleLr>("schedule.json").lr(50)? > 0.0);
    let mut plateau: ReduceLrOnPlateau = json("plateau.json");
    assert_eq!(plateau.step(0.5)?, 0.1);
    assert_eq!(json::<Recipe>("recipe.json").stages.len(), 2);
    assert!(json::<Listing>("listing.json").rows.len() > 4);
    assert!(json::<Observation>("observation.json").rows.len() > 4);
    Ok(())
}

#[test]
fn artifacts_weights_and_checkpoints() -> Result<()> {
    let artifact = Artifact::load(file("model.kolmo"))?;
    assert_eq!(artifact.meta["note"], "by the first version");
    let model = net();
    unpack(&artifact, &model)?;
    computes(&model, "model.kolmo.out.json");
    let model = net();
    load_safetensors(&model, file("plain.safetensors"))?;
    computes(&model, "plain.out.json");
    let (model, mut adam) = (net(), AdamW::<f32>::new(0.5));
    let run: String = load_checkpoint(&model, &mut adam, file("plain.checkpoint"))?;
    assert_eq!((run.as_str(), Optimizer::<f32>::lr(&adam)), ("epoch 3", 0.01));
    assert!(model.0.0.weight.mask().is_some());
    computes(&model, "plain.out.json");
    Ok(())
}

#[test]
fn weights_of_every_form() -> Result<()> {
    // A mask, a codebook and step sizes.
    let (model, mut adam) = (net(), AdamW::<f32>::new(0.5));
    // Step sizes were attached by whoever read the file.
    Quantizer::new(4).groups(5).attach(&model, |name, _| name.starts_with('2'))?;
    let run: String = load_checkpoint(&model, &mut adam, file("between.checkpoint"))?;
    assert_eq!((run.as_str(), Optimizer::<f32>::lr(&adam)), ("epoch 4", 0.01));
    assert!(model.0.0.weight.codebook().is_some() && model.0.0.weight.mask().is_some());
    assert!(model.0.2.weight.steps().is_some());
    computes(&model, "between.out.json");
    let model = net();
    load_safetensors(&model, file("between.safetensors"))?;
    computes(&model, "between.out.json");
    Ok(())
}

#[cfg(feature = "formats")]
#[test]
fn archives_of_arrays() -> Result<()> {
    let model = net();
    [&model.0.0.weight, &model.0.2.weight].iter().for_each(|w| w.set(Tensor::zeros(w.shape())));
    kolmo::train::load_npz(&model, file("weights.npz"))?;
    computes(&model, "weights.out.json");
    assert_eq!(data::read_npz(file("arrays.npz"))?.len(), 2);
    Ok(())
}

/// A value of each type that serde reads. A type that is new since then is missing.
#[test]
fn every_type_through_json() -> Result<()> {
    let mut old: Vec<(String, serde_json::Value)> = json("types.json");
    for kind in crate::checked::types::all()? {
        // Of several with one name, each in its turn.
        // What it was called then.
        let then = match kind.name {
            "DataLoader" => "Loader",
            "CharTokenizer" => "Characters",
            name => name,
        };
        let Some(place) = old.iter().position(|(name, _)| name == then) else { continue };
        let (name, value) = old.remove(place);
        assert!((kind.read)(&value.to_string()), "{name} as the first version wrote it: {value}");
    }
    let left: Vec<_> = old.iter().map(|(name, _)| name).collect();
    assert!(left.is_empty(), "nothing reads {left:?}");
    Ok(())
}

#[test]
fn a_run_is_taken_up_where_an_earlier_version_left_it() -> Result<()> {
    let folder = crate::Folder::new("old-run");
    for name in ["run.checkpoint", "run.history.jsonl", "run.best.safetensors"] {
        fs::copy(file(name), folder.join(name)).unwrap();
    }
    let model = net();
    let (xs, ys) = (
        Tensor::<f32>::from_fn([30, 6], |i| (i as f32 * 0.7).sin()),
        Tensor::<u32>::from_fn([30], |i| i as u32 % 3),
    );
    let rows = (xs.clone(), ys.clone());
    Trainer::new(data::DataLoader::new(30, 10).seed(5), 3)
        .seed(3)
        .progress(false)
        .early_stopping(EarlyStopping::new(5).maximize(true))
        .save_best(folder.join("run.best.safetensors"))
        .save_history(folder.join("run.history.jsonl"))
        .checkpoint(folder.join("run.checkpoint"), 1)
        .fit(
            &model,
            &mut AdamW::new(1e-2),
            move |i, _| Ok((rows.0.rows(i)?, rows.1.rows(i)?)),
            |t, (x, y)| model.forward(&t.constant(x)).cross_entropy(y),
            || {
                let tape = Tape::inference();
                let scores = model.forward(&tape.constant(&xs));
                Ok(vec![("accuracy", metrics::accuracy(scores.value()?, &ys)?)])
            },
        )?;
    let history = fs::read_to_string(folder.join("run.history.jsonl")).unwrap();
    let before = fs::read_to_string(file("run.history.jsonl")).unwrap();
    assert_eq!((before.lines().count(), history.lines().count()), (2, 3));
    Ok(())
}

#[test]
fn arrays_and_tapes() -> Result<()> {
    assert_eq!(data::read_npy(file("array.npy"))?.shape()[..], [4, 6]);
    let value = SavedTape::load(file("tape.json"))?.replay::<f32>()?.value.item()?;
    assert!((value - json::<f32>("tape.out.json")).abs() < 1e-4, "{value}");
    Ok(())
}
