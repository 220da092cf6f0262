//! What a run keeps: numbers that are none, what is attached in its middle, the best weights; and what it
//! says when it can't be done.
use crate::Folder;
use kolmo::{
    Error, Random, Result, Tape, Tensor,
    compress::{
        matrices,
        prune::{self, Amount},
        quantize::{Quantizer, share_values},
    },
    data::DataLoader,
    nn::{Layer, Linear, Param, Sequential, Tanh, named_params},
    optim::{Adam, Optimizer, ReduceLrOnPlateau},
    train::{
        Control, EarlyStopping, History, Trainer, load_checkpoint, load_safetensors, save_checkpoint,
        save_safetensors,
    },
};
use std::{fs, path::Path};

#[derive(serde::Serialize)]
struct Net {
    first: Linear,
    second: Linear,
    third: Linear,
}

fn net() -> Net {
    let rng = &mut Random::new(3);
    Net { first: Linear::new(4, 4, rng), second: Linear::new(4, 4, rng), third: Linear::new(4, 4, rng) }
}

fn bits(net: &Net) -> Vec<(String, Vec<u32>)> {
    let named = named_params::<f32>(net).into_iter();
    named.map(|(name, p)| (name, p.value().to_vec().iter().map(|v| v.to_bits()).collect())).collect()
}

/// A trainer of four batches of four.
fn trainer<'a>(epochs: u64) -> Trainer<'a> {
    Trainer::new(DataLoader::new(16, 4).seed(1), epochs).progress(false)
}

/// The loss is multiplied by `factor`, which may make it anything.
fn fit(
    trainer: &mut Trainer,
    net: &Net,
    mut metrics: impl FnMut(&Net) -> Result<Vec<(&'static str, f64)>>,
    factor: impl Fn(&[u32]) -> f64,
) -> Result<History> {
    let x = Tensor::<f32>::from_fn([16, 4], |i| (i as f32 * 0.7).sin());
    trainer.fit(
        net,
        &mut Adam::new(0.01),
        |rows, _| Ok(rows.iter().map(|&i| i as u32).collect::<Vec<_>>()),
        |tape, rows| {
            let index: Vec<usize> = rows.iter().map(|&i| i as usize).collect();
            let x = tape.constant(x.rows(&index).unwrap());
            let y = net.third.forward(&net.second.forward(&net.first.forward(&x).tanh()).tanh());
            (y - &x).square().mean() * factor(rows)
        },
        || metrics(net),
    )
}

#[test]
fn a_loss_or_metric_that_is_no_number_is_kept_and_the_run_goes_on() -> Result<()> {
    let folder = Folder::new("no-numbers");
    let metrics =
        |_: &Net| Ok(vec![("score", f64::NAN), ("bound", f64::INFINITY), ("low", f64::NEG_INFINITY)]);
    let checkpoint = folder.join("run");
    let history = folder.join("history.jsonl");
    let run = |net: &Net, epochs| {
        let trainer = trainer(epochs).checkpoint(&checkpoint, 1).save_history(&history);
        fit(&mut trainer.early_stopping(EarlyStopping::new(9)), net, metrics, |_| f64::NAN)
    };
    let first = net();
    run(&first, 2)?;
    let second = net();
    let all = run(&second, 4)?;
    assert_eq!(all.records.len(), 4);
    assert!(all.records.iter().all(|r| r.loss.is_nan() && r.metrics[1].1 == f64::INFINITY));
    let text = fs::read_to_string(&history).unwrap();
    assert_eq!(text.lines().count(), 4);
    for part in [r#""loss":"NaN""#, r#""score":"NaN""#, r#""bound":"inf""#, r#""low":"-inf""#] {
        assert!(text.contains(part), "{text}");
    }
    Ok(())
}

#[test]
fn numbers_that_json_has_not_go_through_a_checkpoint_and_through_serde() -> Result<()> {
    let folder = Folder::new("strange-numbers");
    let path = folder.join("run");
    let p = Param::new(Tensor::from([f32::NAN, f32::INFINITY, 1.0, 2.0]));
    let mut adam: Adam = Adam::new(0.1);
    adam.step(&p, &Tape::new().param(&p).sum().backward()?)?;
    let values = [f32::NAN, f32::INFINITY, -0.0, 1e-45];
    p.set(Tensor::from(values));
    let mut plateau = ReduceLrOnPlateau::new(0.1).maximize(true);
    plateau.step(f64::INFINITY)?;
    let mut stopping = EarlyStopping::new(3);
    let _ = stopping.update(f64::NEG_INFINITY);
    let run = (plateau, stopping, Some(f64::NAN), vec![f32::INFINITY], f64::MIN_POSITIVE);
    save_checkpoint(&p, &adam, &run, &path)?;
    type Run = (ReduceLrOnPlateau, EarlyStopping, Option<f64>, Vec<f32>, f64);
    let again: Run = load_checkpoint(&p, &mut adam, &path)?;
    assert_eq!((&again.0, &again.1, &again.3, again.4), (&run.0, &run.1, &run.3, run.4));
    assert!(again.2.is_some_and(f64::is_nan));

    fn back<V: serde::Serialize + serde::de::DeserializeOwned>(v: &V) -> (V, String) {
        let text = serde_json::to_string(v).unwrap();
        (serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}")), text)
    }
    assert_eq!(back(&run.0).0, run.0);
    assert_eq!(back(&run.1).0, run.1);
    let bounded = kolmo::nn::Hardtanh { min_val: 0.0, max_val: f64::INFINITY };
    assert_eq!(back(&bounded).0, bounded);
    let copy = back(&p).0.value().to_vec();
    assert!(
        copy[0].is_nan() && copy[1..].iter().map(|v| v.to_bits()).eq(values[1..].iter().map(|v| v.to_bits()))
    );
    let state = back(&adam.state(&p));
    adam.load_state(&p, state.0)?;
    assert_eq!(back(&adam.state(&p)).1, state.1);
    assert_eq!(back(&Tensor::from([f64::INFINITY, 0.1])).1, r#"{"shape":[2],"data":["inf",0.1]}"#);
    Ok(())
}

#[test]
fn a_run_goes_on_to_the_same_bits_whatever_was_attached_in_its_middle() -> Result<()> {
    let folder = Folder::new("attached");
    // After each epoch something else comes between the weights and their use, once.
    let attach = |net: &Net| -> Result<Vec<(&'static str, f64)>> {
        let (first, second, third) = (&net.first.weight, &net.second.weight, &net.third.weight);
        if first.codebook().is_none() {
            share_values(first, 4)?;
        } else if third.steps().is_none() {
            Quantizer::new(4).attach(net, |name, _| name == "third.weight")?;
        } else if second.mask().is_none() {
            prune::global(net, Amount::Density(0.6), matrices)?;
        } else if second.codebook().is_none() {
            // One codebook for both.
            let (_, centroids) = first.codebook().unwrap();
            second.set_codebook(Tensor::from_fn([4, 4], |i| i as u32 % 4), centroids)?;
        } else {
            net.first.bias.as_ref().unwrap().set_trainable(false);
        }
        Ok(Vec::new())
    };
    let whole = net();
    fit(&mut trainer(6), &whole, attach, |_| 1.0)?;
    for stop in 1..6 {
        let path = folder.join(format!("run-{stop}"));
        fit(&mut trainer(stop).checkpoint(&path, 3), &net(), attach, |_| 1.0)?;
        let rest = net();
        fit(&mut trainer(6).checkpoint(&path, 3), &rest, attach, |_| 1.0)?;
        assert_eq!(bits(&rest), bits(&whole), "stopped after {stop}");
        let frozen = |net: &Net| net.first.bias.as_ref().map(|b| b.is_trainable());
        assert_eq!(frozen(&rest), frozen(&whole));
    }
    // What is saved of it for others is what the model computes, without what it is made of.
    let weights = folder.join("weights");
    save_safetensors(&whole, &weights)?;
    let plain = net();
    load_safetensors(&plain, &weights)?;
    assert_eq!(plain.third.weight.value(), whole.third.weight.effective()?);
    Ok(())
}

#[test]
fn a_checkpoint_that_the_optimiser_refuses_changes_nothing() -> Result<()> {
    let folder = Folder::new("refused");
    let path = folder.join("run");
    let model = net();
    share_values(&model.first.weight, 4)?;
    Quantizer::new(4).attach(&model, |name, _| name == "third.weight")?;
    let mut adam: Adam = Adam::new(0.1);
    let tape = Tape::new();
    let loss = tape.param(&model.first.weight).sum() + tape.param(&model.third.weight).sum();
    adam.step(&model, &loss.backward()?)?;
    save_checkpoint(&model, &adam, &(), &path)?;
    let other = net();
    let before = bits(&other);
    // SGD without momentum remembers another number of tensors.
    let mut sgd: kolmo::optim::Sgd = kolmo::optim::Sgd::new(0.5);
    assert!(load_checkpoint::<f32, _, _, ()>(&other, &mut sgd, &path).is_err());
    assert_eq!(bits(&other), before);
    assert!(other.first.weight.codebook().is_none() && other.third.weight.steps().is_none());
    load_checkpoint::<f32, _, _, ()>(&other, &mut adam, &path)?;
    assert_eq!(bits(&other), bits(&model));
    Ok(())
}

#[test]
fn parameters_of_both_types_are_in_a_checkpoint() -> Result<()> {
    let folder = Folder::new("both-types");
    let path = folder.join("run");
    let model = |v: f64| (Param::new(Tensor::from([v as f32])), Param::<f64>::new(Tensor::from([v])));
    save_checkpoint(&model(0.1), &Adam::<f64>::new(0.1), &(), &path)?;
    let other = model(7.0);
    load_checkpoint::<f64, _, _, ()>(&other, &mut Adam::new(0.1), &path)?;
    assert_eq!((other.0.value().item()?, other.1.value().item()?), (0.1f32, 0.1f64));
    Ok(())
}

#[test]
fn a_good_checkpoint_outlives_one_that_can_not_be_read() -> Result<()> {
    let folder = Folder::new("unreadable");
    let path = folder.join("run");
    let (model, adam) = (net(), Adam::<f32>::new(0.1));
    save_checkpoint(&model, &adam, &1u64, &path)?;
    // Deeper than a reader of JSON goes.
    let deep = (0..200).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]));
    let error = save_checkpoint(&model, &adam, &deep, &path).unwrap_err().to_string();
    assert!(error.contains("could not be read again"), "{error}");
    assert_eq!(load_checkpoint::<f32, _, _, u64>(&model, &mut Adam::new(0.1), &path)?, 1);
    Ok(())
}

/// An error with these words.
fn told<V>(result: Result<V>, parts: &[&str]) {
    let error = result.map(|_| ()).unwrap_err().to_string();
    assert!(parts.iter().all(|part| error.contains(part)), "{error}: expected to read {parts:?}");
}

#[test]
fn what_a_trainer_can_not_do_it_says() -> Result<()> {
    let folder = Folder::new("told");
    let nothing = |_: &Net| Ok(Vec::new());
    let mut empty = Trainer::new(DataLoader::new(10, 64).drop_last(true), 2).progress(false);
    told(fit(&mut empty, &net(), nothing, |_| 1.0), &["no batch", "10 examples in batches of 64"]);
    told(
        fit(&mut trainer(1).save_best(folder.join("best")), &net(), nothing, |_| 1.0),
        &["best(", "early_stopping"],
    );
    let mut stopping = trainer(2).early_stopping(EarlyStopping::new(1));
    told(fit(&mut stopping, &net(), nothing, |_| 1.0), &["first metric", "after epoch 1"]);
    let mut other = trainer(2).early_stopping(EarlyStopping::new(1).monitor("recall"));
    let one = |_: &Net| Ok(vec![("precision", 1.0)]);
    told(fit(&mut other, &net(), one, |_| 1.0), &["judges by \"recall\"", "there are [\"precision\"]"]);
    for name in ["loss", "lr", "step", "epoch"] {
        let path = folder.join(format!("run-{name}"));
        let named = |_: &Net| Ok(vec![(name, 1.0)]);
        told(fit(&mut trainer(1).checkpoint(&path, 0), &net(), named, |_| 1.0), &[name, "run's own"]);
        // What was trained is there, and goes on under a better name.
        let rest =
            fit(&mut trainer(1).checkpoint(&path, 0), &net(), |_| Ok(vec![("mine", 1.0)]), |_| panic!());
        assert_eq!(rest?.records.len(), 1);
    }
    Ok(())
}

#[test]
fn a_run_is_judged_by_what_is_named() -> Result<()> {
    let stopped = |stopping: EarlyStopping| {
        let mut epoch = 0.0;
        let metrics = |_: &Net| {
            epoch += 1.0;
            Ok(vec![("first", epoch), ("second", -epoch), ("third", 1.0)])
        };
        // A loss of nothing is never better than the one before.
        fit(&mut trainer(6).early_stopping(stopping), &net(), metrics, |_| 0.0).map(|h| h.records.len())
    };
    let stopping = || EarlyStopping::new(2);
    assert_eq!(stopped(stopping())?, 3);
    assert_eq!(stopped(stopping().monitor("second"))?, 6);
    assert_eq!(stopped(stopping().monitor("third"))?, 3);
    assert_eq!(stopped(stopping().monitor("second").maximize(true))?, 3);
    assert_eq!(stopped(stopping().monitor("loss"))?, 3);
    Ok(())
}

#[test]
fn what_is_done_on_the_way_sees_the_run_and_can_end_it() -> Result<()> {
    let folder = Folder::new("hooks");
    let path = folder.join("run");
    let nothing = |_: &Net| Ok(Vec::new());
    let (mut steps, mut seen, mut epochs) = (Vec::new(), 0, Vec::new());
    let mut stopped = trainer(9)
        .accumulate_grad_batches(3)
        .checkpoint(&path, 0)
        .on_gradients(|info, grads| {
            seen += 1;
            assert!(info.step == seen && grads.norm() > 0.0);
            Ok(())
        })
        .on_step(|info| {
            steps.push(*info);
            Ok(())
        })
        .on_epoch(|record| {
            epochs.push(record.clone());
            Ok(if record.epoch == 2 { Control::Stop } else { Control::Continue })
        });
    let text = format!("{stopped:?}");
    assert!(text.contains("on_gradients") && text.contains("on_epoch"), "{text}");
    let first = net();
    let history = fit(&mut stopped, &first, nothing, |_| 1.0)?;
    drop(stopped);
    assert_eq!((history.records.len(), seen), (2, 4));
    assert_eq!(epochs, history.records);
    assert_eq!(steps.iter().map(|s| (s.step, s.epoch)).collect::<Vec<_>>(), [(1, 1), (2, 1), (3, 2), (4, 2)]);
    // Twelve examples in the first step of an epoch, four in the second.
    let mean = (steps[0].loss * 12.0 + steps[1].loss * 4.0) / 16.0;
    assert!((mean - history.records[0].loss).abs() < 1e-12 && steps[0].lr == 0.01);

    // Taken up, it goes on; an error ends it behind an epoch that is kept.
    let mut rest = trainer(4)
        .accumulate_grad_batches(3)
        .checkpoint(&path, 0)
        .on_epoch(|_| Tensor::<f32>::new([2], vec![1.0]).map(|_| Control::Continue));
    told(fit(&mut rest, &first, nothing, |_| 1.0), &["1 elements", "shape [2]"]);
    let mut last = trainer(4).accumulate_grad_batches(3).checkpoint(&path, 0);
    let rest = fit(&mut last, &first, nothing, |_| 1.0)?;
    assert_eq!(rest.records.len(), 4);
    let whole = net();
    fit(&mut trainer(4).accumulate_grad_batches(3), &whole, nothing, |_| 1.0)?;
    assert_eq!(bits(&whole), bits(&first), "a hook that only looks changes nothing");
    Ok(())
}

#[test]
fn a_run_by_weights_goes_on_with_the_same_bits() -> Result<()> {
    let folder = Folder::new("weights");
    let path = folder.join("run");
    let nothing = |_: &Net| Ok(Vec::new());
    let weights: Vec<f64> = (0..16).map(|i| f64::from(i % 5)).collect();
    let run = |epochs| Trainer::new(DataLoader::new(16, 4).seed(1).weights(&weights), epochs).progress(false);
    let (whole, parts) = (net(), net());
    fit(&mut run(4), &whole, nothing, |_| 1.0)?;
    fit(&mut run(2).checkpoint(&path, 0), &parts, nothing, |_| 1.0)?;
    let parts = net();
    fit(&mut run(4).checkpoint(&path, 0), &parts, nothing, |_| 1.0)?;
    assert_eq!(bits(&whole), bits(&parts));
    told(fit(&mut trainer(5).checkpoint(&path, 0), &parts, nothing, |_| 1.0), &["was made with", "weights"]);
    let mut wrong = Trainer::new(DataLoader::new(16, 4).weights(&[1.0]), 1).progress(false);
    told(fit(&mut wrong, &parts, nothing, |_| 1.0), &["weights has 1", "each of the 16"]);
    Ok(())
}

#[test]
fn stopping_and_best_weights_may_be_asked_for_when_a_run_is_taken_up() -> Result<()> {
    let folder = Folder::new("taken-up");
    let scores = [0.5, 0.9, 0.8, 0.7, 0.85, 0.6];
    let scored = |path: &Path, begun: usize, trainer: Trainer| {
        let (mut epoch, net) = (begun, net());
        let metrics = |_: &Net| {
            epoch += 1;
            Ok(vec![("accuracy", scores[epoch - 1])])
        };
        fit(&mut trainer.checkpoint(path, 0), &net, metrics, |_| 1.0)
            .map(|history| (history.records.len(), bits(&net)))
    };
    let stopping = EarlyStopping::new(3).maximize(true);
    let path = folder.join("run");
    scored(&path, 0, trainer(3))?;
    fs::copy(&path, folder.join("other")).unwrap();
    // The best was the second; two since then, and this is the third.
    let best = folder.join("best");
    let (epochs, _) = scored(&path, 3, trainer(6).early_stopping(stopping).save_best(&best))?;
    assert_eq!(epochs, 5);
    // Of those since the file was asked for, the fifth.
    let (_, fifth) = scored(&folder.join("none"), 0, trainer(5))?;
    let kept = net();
    load_safetensors(&kept, &best)?;
    assert_eq!(bits(&kept), fifth);
    assert_eq!(scored(&folder.join("other"), 3, trainer(6))?.0, 6, "not asked for");
    Ok(())
}

#[test]
fn a_small_last_batch_counts_by_its_examples() -> Result<()> {
    // Batches of 4, 4 and 2; the loss of an example is its number.
    let rows = |batch: &[u32]| batch.iter().map(|&i| f64::from(i)).sum::<f64>() / batch.len() as f64;
    let p = Param::new(Tensor::from([1.0f64]));
    let run = |accumulate: usize| -> Result<(f64, f64)> {
        p.set(Tensor::from([1.0]));
        let loader = DataLoader::new(10, 4).shuffle(false);
        let history = Trainer::new(loader, 1).progress(false).accumulate_grad_batches(accumulate).fit(
            &p,
            &mut kolmo::optim::Sgd::new(0.1),
            |rows, _| Ok(rows.iter().map(|&i| i as u32).collect::<Vec<_>>()),
            |tape, batch| {
                tape.param(&p).sum() * 0.0 + rows(batch) + (tape.param(&p).sum() - 1.0) * rows(batch)
            },
            || Ok(Vec::<(String, f64)>::new()),
        )?;
        Ok((history.records[0].loss, p.value().item()?))
    };
    let (_, weight) = run(3)?;
    // One step along the mean over all ten examples.
    assert!((weight - (1.0 - 0.1 * 4.5)).abs() < 1e-12, "{weight}");
    let (loss, _) = run(3)?;
    assert!((loss - 4.5).abs() < 1e-12, "{loss}");
    Ok(())
}

#[test]
fn a_name_that_is_there_twice_is_named() {
    let folder = Folder::new("twice");
    let path = folder.join("weights");
    let one = r#""weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let header = format!("{{{one},{}}}", one.replace("0,4", "4,8"));
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
    fs::write(&path, bytes).unwrap();
    let model = Sequential((Linear::new(1, 1, &mut Random::new(0)), Tanh));
    for result in [
        load_safetensors(&model, &path),
        load_checkpoint::<f32, _, _, ()>(&model, &mut Adam::new(0.1), &path),
    ] {
        let error: Error = result.unwrap_err();
        assert!(error.to_string().contains("\"weight\" is there twice"), "{error}");
    }
}
