//! Weights that are held as codes go into files as codes, with zero points or offsets, and come back so.
use super::noise;
use kolmo::{
    compress::{matrices, quantize::WeightOnly},
    data::Gguf,
    nn::*,
    onnx::{Export, Model},
    *,
};
use std::{collections::BTreeMap, path::Path};

/// A file of matrices, each with an input of its own, and how it is read again.
fn there_and_back(all: &BTreeMap<String, Param>, opset: u64) -> Result<(usize, BTreeMap<String, Param>)> {
    let given: Vec<Tensor> = all.values().map(|p| noise(&[1, p.shape()[1]])).collect();
    let given: Vec<&Tensor> = given.iter().collect();
    fn run<'t>(all: &BTreeMap<String, Param>, tape: &'t Tape, x: &[Var<'t>]) -> Vec<Var<'t>> {
        x.iter().zip(all.values()).map(|(x, p)| x.linear(&tape.param(p), None)).collect()
    }
    let export = Export::new().opset_version(opset);
    let bytes = export.to_bytes(all, &given, &[], |tape, x, _| run(all, tape, x))?;
    let model = Model::from_bytes(&bytes)?;
    let tape = Tape::inference();
    let x: Vec<Var<'_>> = given.iter().map(|x| tape.constant(*x)).collect();
    super::near(&model.forward(&tape, &x, &[]), &run(all, &tape, &x), &format!("version {opset}"));
    let again = export.to_bytes(&model, &given, &[], |tape, x, _| model.forward(tape, x, &[]))?;
    let again = Model::from_bytes(&again)?;
    let (read, again) = (named_params::<f32>(&model), named_params::<f32>(&again));
    for (name, p) in &again {
        let (_, first) = read.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name} is new"));
        assert_eq!(p.effective()?, first.effective()?, "{name}, again");
        assert_eq!(p.value().packed().is_some(), first.value().packed().is_some(), "{name}, again");
    }
    Ok((bytes.len(), read.into_iter().collect()))
}

#[test]
fn what_a_gguf_file_holds_as_codes_stays_codes() -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/gguf/types.gguf");
    let file = Gguf::open(path)?;
    let mut all = BTreeMap::new();
    for tensor in file.tensors() {
        all.insert(tensor.name().to_string(), Param::new(file.packed_tensor::<f32>(tensor.name())?));
    }
    for opset in [18, 21, 24] {
        let (_, read) = there_and_back(&all, opset)?;
        for (name, p) in &all {
            let (found, own) = (&read[name], p.value());
            assert_eq!(found.effective()?, p.effective()?, "{name}, version {opset}");
            let coded = own.packed().is_some_and(|held| held.codes().is_some());
            let offsets = own.packed().and_then(|held| held.codes().and_then(|codes| codes.offsets()));
            let held = found.value().packed();
            assert_eq!(held.is_some() || found.steps().is_some(), coded, "{name}, version {opset}");
            if offsets.is_some() {
                let held = held.and_then(|held| held.codes().and_then(|codes| codes.offsets()));
                assert_eq!(held, offsets, "{name}, version {opset}");
            }
        }
    }
    Ok(())
}

#[test]
fn codes_with_zero_points_come_back_as_they_were() -> Result<()> {
    // And the most bytes that the files have: 6,144 bytes as floats.
    for (bits, group, most) in [(4, 16, 1800), (4, 64, 1300), (3, 8, 2200), (8, 16, 2600), (8, 64, 2200)] {
        let p = Param::new(Tensor::from_fn([24, 64], |i| (i as f32 * 0.37).sin() + 0.25));
        let all = BTreeMap::from([("w".to_string(), p)]);
        WeightOnly::new(bits).groups(group).apply(&all, matrices)?;
        for opset in [18, 24] {
            let (bytes, read) = there_and_back(&all, opset)?;
            let told = format!("{bits} bits by {group}, version {opset}");
            let most = if opset < 21 { most + 1000 } else { most };
            assert!(bytes <= most, "{told}: {bytes} bytes");
            assert_eq!(read["w"].effective()?, all["w"].effective()?, "{told}");
            assert!(read["w"].value().packed().is_some() && !read["w"].is_trainable(), "{told}");
        }
    }
    Ok(())
}

/// Values of a codebook that are whole numbers are codes themselves, if a type has them all.
#[test]
fn whole_numbers_take_a_type_that_has_them() -> Result<()> {
    for values in [[-20.0f32, 0.0, 30.0], [0.0, 9.0, 15.0], [-100.0, 0.0, 200.0], [-8.0, 1.0, 7.0]] {
        let p = Param::new(Tensor::zeros([3, 8]));
        p.set_codebook(Tensor::from_fn([3, 8], |i| (i % 3) as u32), Tensor::from(values))?;
        p.freeze()?;
        let all = BTreeMap::from([("w".to_string(), p)]);
        for opset in [18, 24] {
            let (_, read) = there_and_back(&all, opset)?;
            assert_eq!(read["w"].effective()?, all["w"].effective()?, "{values:?}, version {opset}");
        }
    }
    Ok(())
}

/// What is no multiple of a group's length has no blocks in a file.
#[test]
fn uneven_groups_go_as_values() -> Result<()> {
    let all = BTreeMap::from([("w".to_string(), Param::new(noise(&[5, 20])))]);
    WeightOnly::new(4).groups(16).apply(&all, matrices)?;
    let (_, read) = there_and_back(&all, 24)?;
    assert_eq!(read["w"].effective()?, all["w"].effective()?);
    assert!(read["w"].value().packed().is_none());
    Ok(())
}
