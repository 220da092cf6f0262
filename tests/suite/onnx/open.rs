//! Files in which several sizes are left open: batch, length, and places before.
use super::{near, noise};
use kolmo::{
    compress::{matrices, quantize::Quantizer},
    nn::*,
    onnx::{Export, Model},
    ops::AttentionOptions,
    *,
};

#[test]
fn batch_and_length_are_left_open_together() -> Result<()> {
    let rng = &mut Random::new(3);
    let blocks = TransformerEncoder::new(8, 2, 2, rng)?;
    let places = Param::new(noise(&[20, 8]));
    let model = (&blocks, &places);
    fn run<'t>((blocks, places): &(&TransformerEncoder, &Param), x: &Var<'t>, causal: bool) -> Vec<Var<'t>> {
        let x = x + x.tape().param(places).narrow(0, 0, x.dim(1));
        vec![blocks.forward(&x, &AttentionMasks::new().is_causal(causal)).flatten(0, 1)]
    }
    for causal in [false, true] {
        let bytes = Export::new()
            .dynamic_axes("batch", &[(0, 0)])
            .dynamic_axes("length", &[(0, 1)])
            .to_bytes(&model, &[&noise(&[2, 2, 8])], &[], |_, x, _| run(&model, &x[0], causal))?;
        let file = Model::from_bytes(&bytes)?;
        for sizes in [[1, 1], [4, 9], [9, 4], [3, 20]] {
            let tape = Tape::inference();
            let x = tape.constant(noise(&[sizes[0], sizes[1], 8]));
            let (found, own) = (file.forward(&tape, std::slice::from_ref(&x), &[]), run(&model, &x, causal));
            near(&found, &own, &format!("{sizes:?}"));
        }
    }
    Ok(())
}

#[test]
fn new_places_see_all_before_them_whatever_their_numbers() -> Result<()> {
    fn step<'t>(tape: &'t Tape, x: &[Var<'t>]) -> Vec<Var<'t>> {
        let [q, new, past] = [0, 1, 2].map(|i| &x[i]);
        let keys = tape.cat(&[past, new], 2);
        let options = AttentionOptions::new().causal_lower_right(true);
        vec![q.scaled_dot_product_attention(&keys, &keys.tanh(), &options), keys]
    }
    let example = |texts: usize, new: usize, past: usize| {
        [[texts, 4, new, 6], [texts, 2, new, 6], [texts, 2, past, 6]].map(|sizes| noise(&sizes))
    };
    for opset in [18, 24] {
        let [q, new, past] = example(2, 3, 4);
        let bytes = Export::new()
            .opset_version(opset)
            .dynamic_axes("texts", &[(0, 0), (1, 0), (2, 0)])
            .dynamic_axes("new", &[(0, 2), (1, 2)])
            .dynamic_axes("past", &[(2, 2)])
            .to_bytes(&(), &[&q, &new, &past], &[], |tape, x, _| step(tape, x))?;
        let file = Model::from_bytes(&bytes)?;
        for [texts, new, past] in [[1, 1, 1], [2, 1, 7], [1, 5, 2], [3, 4, 4], [1, 2, 0]] {
            let tape = Tape::inference();
            let x = example(texts, new, past).map(|x| tape.constant(x));
            let told = format!("version {opset}, {texts} texts, {new} new places behind {past}");
            near(&file.forward(&tape, &x, &[]), &step(&tape, &x), &told);
        }
    }
    Ok(())
}

#[test]
fn sizes_that_can_not_be_left_open_are_told() {
    let x = noise(&[3, 3]);
    let told = |export: Export, f: for<'t> fn(&Var<'t>) -> Var<'t>| {
        export.to_bytes(&(), &[&x], &[], |_, x, _| vec![f(&x[0])]).unwrap_err().to_string()
    };
    let plain = |export: Export| told(export, |x| x.relu());
    let rows = || Export::new().dynamic_axes("rows", &[(0, 0)]);
    assert!(plain(rows().dynamic_axes("cols", &[(0, 0)])).contains("axis 0 of input 0 is named twice"));
    assert!(plain(rows().dynamic_axes("rows", &[(0, 1)])).contains("a name of its own"));
    let four = ["b", "c", "d"].iter().fold(rows(), |export, name| export.dynamic_axes(*name, &[(0, 1)]));
    assert!(plain(four).contains("4 sizes, 3 at most"));
    // A square isn't in proportion.
    let error = told(rows(), |x| x.narrow(1, 0, 1).matmul(&x.narrow(1, 0, 1).transpose(0, 1)).flatten(0, 1));
    assert!(error.contains("must stay or grow in proportion"), "{error}");
}

/// A product with a sequence repeats its weights for each text of the batch: the file doesn't.
#[test]
fn weights_that_meet_sequences_are_written_once_and_keep_names_and_codes() -> Result<()> {
    let index = Tensor::from([[3u32, 1, 39], [0, 4, 7]]);
    for (coded, most) in [(false, 40 * 16 * 4 + 1000), (true, 40 * 16 / 2 + 40 * 4 + 1000)] {
        let table = Embedding::new(40, 16, &mut Random::new(1));
        if coded {
            Quantizer::new(4).channels().attach(&table, matrices)?;
        }
        let run = |tape: &'_ Tape, index: &Tensor<u32>| -> Result<Tensor> {
            let y = table.forward(index, tape).linear(&tape.param(&table.weight), None);
            Ok(y.value()?.clone())
        };
        for open in [false, true] {
            let export = Export::new();
            let export = if open { export.dynamic_axes("batch", &[(0, 0)]) } else { export };
            let bytes = export.to_bytes(&table, &[], &[&index], |tape, _, index| {
                vec![table.forward(&index[0], tape).linear(&tape.param(&table.weight), None)]
            })?;
            assert!(bytes.len() <= most, "codes {coded}, open {open}: {} bytes", bytes.len());
            let file = Model::from_bytes(&bytes)?;
            let mut params = named_params::<f32>(&file);
            params.retain(|(name, _)| name != "weight.steps");
            assert_eq!(params.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["weight"]);
            assert_eq!(params[0].1.steps().is_some(), coded);
            let tape = Tape::inference();
            let index = if open { Tensor::cat(&[&index, &index, &index], 0)? } else { index.clone() };
            let own = tape.constant(run(&tape, &index)?);
            near(&file.forward(&tape, &[], &[index]), &[own], &format!("codes {coded}, open {open}"));
        }
    }
    Ok(())
}
