//! Models go into ONNX files and come back: they give what they gave, whatever the number of examples, and are trained
//! and shrunk as before. What can't go is refused by name.
mod held;
mod nodes;
mod open;

use crate::{
    Folder,
    catalogue::{Entry, all},
    rewritten::models::Model as Chain,
};
use kolmo::{
    compress::{Affine, Along, all_params, matrices, pack, prune, quantize, unpack},
    nn::*,
    onnx::{Export, Model},
    optim::{Optimizer, Sgd},
    *,
};
use std::collections::BTreeSet;

/// Operations that have no form in files, on purpose: those whose positions are found from values, adding and putting by
/// index, losses that are one operation, solvers of equations, and functions that ONNX hasn't got.
const REFUSED: &str = "adaptive_max_pool1d adaptive_max_pool2d atan2 binary_cross_entropy bincount cholesky cross_entropy cummax \
                       cummin cumprod diag_embed digamma gaussian_nll_loss index_add inv kthvalue lgamma masked_scatter max_dim \
                       median median_dim min_dim polygamma scale_grad_by_freq scatter scatter_add scatter_number scatter_reduce \
                       solve solve_triangular sort svdvals topk";

/// The largest difference, of 1 or of the largest element.
fn apart(a: &Tensor, b: &Tensor) -> f32 {
    if a.shape() != b.shape() {
        return f32::INFINITY;
    }
    let (a, b) = (a.to_vec(), b.to_vec());
    let most = b.iter().filter(|v| v.is_finite()).fold(1.0f32, |most, v| most.max(v.abs()));
    let far =
        |(a, b): (&f32, &f32)| if a == b || a.is_nan() && b.is_nan() { 0.0 } else { (a - b).abs() / most };
    a.iter().zip(&b).map(far).fold(0.0, |most, far| if far.is_nan() { f32::INFINITY } else { most.max(far) })
}

fn near(a: &[Var<'_>], b: &[Var<'_>], told: &str) {
    assert_eq!(a.len(), b.len(), "{told}");
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a.value().unwrap_or_else(|e| panic!("{told}: {e}")), b.value().unwrap());
        assert!(apart(a, b) <= 1e-5, "{told}: {} off: {a:?}, not {b:?}", apart(a, b));
    }
}

fn operands(entry: &Entry, shift: usize) -> Vec<Tensor> {
    let own = Tape::<f64>::inference();
    let all = crate::catalogue::operands(&own, entry.operands);
    let moved = |x: &Var<'_, f64>| {
        let x: Tensor = x.value().unwrap().cast();
        let list = x.to_vec();
        Tensor::from_fn(x.shape(), |i| list[(i + shift) % list.len()] + 0.125 * shift as f32)
    };
    all.iter().map(moved).collect()
}

#[test]
fn every_operation_goes_and_comes_back_or_is_refused_by_name() {
    let (mut refused, mut reasons) = (BTreeSet::new(), Vec::new());
    for entry in all() {
        for opset in [18, 24] {
            let x = operands(entry, 0);
            let examples: Vec<&Tensor> = x.iter().collect();
            let export = Export::new().opset_version(opset);
            let bytes = match export.to_bytes(&(), &examples, &[], |_, x, _| vec![(entry.single)(x)]) {
                Ok(bytes) => bytes,
                Err(error) => {
                    let error = error.to_string();
                    assert!(
                        error.contains(".rs:") || error.starts_with("program: "),
                        "{}: {error}",
                        entry.name
                    );
                    refused.insert(entry.name);
                    reasons.push(format!("{}: {}", entry.name, error.lines().next().unwrap_or_default()));
                    continue;
                }
            };
            let model = Model::from_bytes(&bytes).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
            for shift in [0, 1] {
                let tape = Tape::inference();
                let x: Vec<Var<'_>> = operands(entry, shift).iter().map(|x| tape.constant(x)).collect();
                let (a, b) = (model.forward(&tape, &x, &[]), (entry.single)(&x));
                near(&a, &[b], &format!("{}, version {opset}, values {shift}", entry.name));
            }
        }
    }
    let known: BTreeSet<&str> = REFUSED.split_whitespace().collect();
    assert_eq!(refused, known, "{}", reasons.join("\n"));
}

/// What a chain of layers gives in evaluation.
fn given<'t>(chain: &Chain, tape: &'t Tape, x: &[Var<'t>], index: &[Tensor<u32>]) -> Vec<Var<'t>> {
    let x = match (&chain.embedding, index) {
        (Some(table), [index]) => &x[0] + table.forward(index, tape),
        _ => x[0].clone(),
    };
    let y = chain.parts.iter().fold(x, |x, part| Layer::forward(part, &x));
    vec![chain.head.forward(&y.flatten(1, -1))]
}

#[test]
fn random_models_come_back_and_take_any_number_of_examples() -> Result<()> {
    let (mut refused, mut open, seeds) = (Vec::new(), 0, 0..150);
    for seed in seeds.clone() {
        let chain = Chain::new(seed);
        let (x, index, _) = chain.batch(0);
        let indices: Vec<&Tensor<u32>> = chain.embedding.iter().map(|_| &index).collect();
        let axes: Vec<(usize, usize)> = (0..1 + indices.len()).map(|i| (i, 0)).collect();
        let told = format!("seed {seed}: {}", chain.chain());
        let f = |export: Export| {
            export.to_bytes(&chain, &[&x], &indices, |tape, x, index| given(&chain, tape, x, index))
        };
        let any = f(Export::new().dynamic_axes("batch", &axes));
        let bytes = match (&any, f(Export::new())) {
            (Ok(bytes), _) => bytes.clone(),
            // Recurrent layers have the examples as a sequence's steps.
            (Err(_), Ok(bytes)) => bytes,
            (Err(error), Err(_)) => {
                refused.push(format!("{told}: {error}"));
                continue;
            }
        };
        let (model, count) = (Model::from_bytes(&bytes)?, if any.is_ok() { 3 } else { 1 });
        open += u64::from(any.is_ok());
        for step in [0, 2] {
            let tape = Tape::new();
            tape.set_training(false);
            let (x, index, _) = chain.batch(step);
            let x = [tape.input(Tensor::cat(&vec![&x; count], 0)?)];
            let index = [Tensor::cat(&vec![&index; count], 0)?];
            let index = if chain.embedding.is_some() { &index[..] } else { &[] };
            let (a, b) = (model.forward(&tape, &x, index), given(&chain, &tape, &x, index));
            near(&a, &b, &told);
        }
        // Parameters have the names that they had.
        let own: BTreeSet<String> = named_params::<f32>(&chain).into_iter().map(|(name, _)| name).collect();
        let names = named_params::<f32>(&model);
        assert!(names.iter().any(|(name, _)| own.contains(name)), "{told}: {names:?}");
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(open * 3 > 2 * seeds.end, "{open} models take any number of examples");
    Ok(())
}

fn net(seed: u64) -> Sequential<(Linear, Relu, Linear)> {
    let rng = &mut Random::new(seed);
    Sequential((Linear::new(32, 24, rng), Relu, Linear::new(24, 3, rng)))
}

fn noise(sizes: &[usize]) -> Tensor {
    Tensor::randn(sizes, &mut Random::new(5))
}

fn written(net: &Sequential<(Linear, Relu, Linear)>) -> Result<Vec<u8>> {
    Export::new().to_bytes(net, &[&noise(&[2, 32])], &[], |_, x, _| vec![net.forward(&x[0])])
}

#[test]
fn codes_stay_codes_there_and_back() -> Result<()> {
    type Change = fn(&Sequential<(Linear, Relu, Linear)>) -> Result<()>;
    // And the most bytes that the file has: 888 numbers, as floats 3552 bytes.
    let changes: [(&str, usize, Change); 6] = [
        ("8 bits", 1700, |net| quantize::Quantizer::new(8).attach(net, matrices)),
        ("4 bits by row", 1500, |net| quantize::Quantizer::new(4).channels().attach(net, matrices)),
        ("4 bits by group", 1600, |net| quantize::Quantizer::new(4).groups(8).attach(net, matrices)),
        ("codebook", 1500, |net| quantize::codebooks(net, 16, matrices).map(|_| ())),
        ("pruned codebook", 1500, |net| {
            prune::global(net, prune::Amount::Fraction(0.5), matrices)?;
            quantize::codebooks(net, 8, matrices).map(|_| ())
        }),
        ("frozen", 1600, |net| {
            quantize::Quantizer::new(4).groups(8).attach(net, matrices)?;
            named_params::<f32>(net).iter().try_for_each(|(_, p)| p.freeze())
        }),
    ];
    for (name, most, change) in changes {
        let net = net(1);
        change(&net)?;
        let bytes = written(&net)?;
        assert!(bytes.len() <= most, "{name}: {} bytes", bytes.len());
        let model = Model::from_bytes(&bytes)?;
        let named =
            |m: &Model, name: &str| named_params::<f32>(m).into_iter().find(|(n, _)| n == name).unwrap().1;
        let weight = named(&model, "0.weight");
        assert!(weight.steps().is_some() || weight.codebook().is_some(), "{name}");
        assert_eq!(weight.effective()?, net.0.0.weight.effective()?, "{name}");
        let x = noise(&[2, 32]);
        let again =
            Export::new().to_bytes(&model, &[&x], &[], |tape, x, index| model.forward(tape, x, index))?;
        assert!(again.len() <= most + 200, "{name}, again: {} bytes", again.len());
        let model = Model::from_bytes(&again)?;
        assert_eq!(named(&model, "0.weight").effective()?, net.0.0.weight.effective()?, "{name}, again");
    }
    Ok(())
}

#[test]
fn values_that_are_rounded_are_the_same_codes() -> Result<()> {
    let x = noise(&[3, 4]);
    for q in [
        Affine::from_range(-1.0, 2.0, 8)?,
        Affine::new([0.1], [0], Along::Tensor, -127..=127)?,
        Affine::new([0.1, 0.2, 0.05, 0.5], [3, 0, 7, 15], Along::Axis(1), 0..=15)?,
    ] {
        let bytes = Export::new().to_bytes(&(), &[&x], &[], |_, x, _| vec![x[0].fake_quantize(&q)])?;
        let (model, tape) = (Model::from_bytes(&bytes)?, Tape::new());
        let x = tape.input(&x) * 3.0;
        near(&model.forward(&tape, std::slice::from_ref(&x), &[]), &[x.fake_quantize(&q)], &format!("{q:?}"));
    }
    Ok(())
}

#[test]
fn a_model_from_a_file_is_trained_pruned_packed_and_copied() -> Result<()> {
    let model = Model::from_bytes(&written(&net(2))?)?;
    let (x, labels) = (noise(&[2, 32]), Tensor::from([0u32, 2]));
    let loss = |model: &Model| -> Result<f32> {
        let tape = Tape::new();
        let loss = model.forward(&tape, &[tape.constant(&x)], &[])[0].cross_entropy(&labels);
        let value = loss.item()?;
        Sgd::new(0.1).step(model, &loss.backward()?)?;
        Ok(value)
    };
    let first = loss(&model)?;
    assert!(loss(&model)? < first);
    prune::global(&model, prune::Amount::Fraction(0.5), matrices)?;
    let copy = deep_copy(&model)?;
    let value = |model: &Model| {
        let tape = Tape::inference();
        model.forward(&tape, &[tape.constant(&x)], &[])[0].to_vec()
    };
    for ((name, a), (_, b)) in named_params::<f32>(&copy).iter().zip(&named_params::<f32>(&model)) {
        assert_eq!(a.effective()?, b.effective()?, "{name}");
    }
    assert_eq!(value(&copy)?, value(&model)?);
    quantize::codebooks(&model, 4, all_params)?;
    let packed = pack(&model, &[])?;
    assert_ne!(value(&copy)?, value(&model)?);
    unpack(&packed, &copy)?;
    let [a, b] = [value(&copy)?, value(&model)?].map(Tensor::from);
    assert!(apart(&a, &b) < 1e-6, "{a:?}, not {b:?}");
    Ok(())
}

#[test]
fn a_table_is_read_as_far_as_an_input_goes() -> Result<()> {
    let (table, places) = (Param::new(noise(&[7, 4])), Param::new(noise(&[9, 4])));
    let model = (table.clone(), places.clone());
    let f = |tape: &'_ Tape, index: &Tensor<u32>| {
        let at = Tensor::from_fn([index.dim(1)], |i| i as u32);
        let rows = tape.param(&table).embedding(index, None) + tape.param(&places).embedding(&at, None);
        (rows + tape.param(&places).narrow(0, 1, index.dim(1))).to_vec()
    };
    let index = Tensor::from([[3u32, 1, 6]]);
    let bytes =
        Export::new().dynamic_axes("n", &[(0, 1)]).to_bytes(&model, &[], &[&index], |tape, _, index| {
            let at = Tensor::from_fn([index[0].dim(1)], |i| i as u32);
            let rows =
                tape.param(&table).embedding(&index[0], None) + tape.param(&places).embedding(&at, None);
            vec![rows + tape.param(&places).narrow(0, 1, index[0].dim(1))]
        })?;
    let model = Model::from_bytes(&bytes)?;
    for index in [Tensor::from([[5u32]]), Tensor::from([[0u32, 6, 2, 1, 1, 4]])] {
        let tape = Tape::inference();
        let y = model.forward(&tape, &[], std::slice::from_ref(&index))[0].to_vec()?;
        assert_eq!(y, f(&tape, &index)?);
    }
    Ok(())
}

#[test]
fn what_is_refused_says_why() -> Result<()> {
    let x = noise(&[2, 4]);
    let none = |export: Export| {
        export.to_bytes(&(), &[&x], &[], |_, x, _| vec![x[0].relu()]).unwrap_err().to_string()
    };
    assert!(none(Export::new().opset_version(9)).contains("18 to 24 are written"));
    assert!(none(Export::new().input_names(["a", "b"])).contains("1 different ones are needed"));
    assert!(none(Export::new().dynamic_axes("n", &[(0, 2)])).contains("there is no axis 2 of input 0"));
    let error = Export::new().dynamic_axes("n", &[(0, 0)]);
    let error = error.to_bytes(&(), &[&x], &[], |tape, x, _| {
        vec![&x[0] + tape.constant(Tensor::from_fn([x[0].dim(0), 1], |i| i as f32))]
    });
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("elements change with the sizes") && error.contains("tests/suite/onnx.rs"),
        "{error}"
    );
    let error =
        Export::new().to_bytes(&(), &[&x], &[], |_, x, _| vec![x[0].lgamma()]).unwrap_err().to_string();
    assert!(
        error.starts_with("lgamma: has no form in an ONNX file") && error.contains("tests/suite/onnx.rs"),
        "{error}"
    );
    let model = Model::from_bytes(&written(&net(3))?)?;
    let tape = Tape::new();
    let error = |x: &[Var<'_>]| model.forward(&tape, x, &[])[0].ok().unwrap_err().to_string();
    assert!(error(&[]).contains("takes 1 inputs of floats"), "{}", error(&[]));
    let wrong = error(&[tape.input(Tensor::ones([2, 5]))]);
    assert!(wrong.contains("has shape [2, 5], the model takes [2, 32]"), "{wrong}");
    let folder = Folder::new("onnx");
    std::fs::write(folder.join("bad.onnx"), [0x80; 9]).unwrap();
    let error = Model::load(folder.join("bad.onnx")).unwrap_err().to_string();
    assert!(error.contains("a number doesn't end"), "{error}");
    Ok(())
}

#[test]
fn damaged_files_are_refused_or_run() -> Result<()> {
    let bytes = written(&net(4))?;
    let x = noise(&[2, 32]);
    let mut read = 0;
    // Each byte of the structure, and some of those of the weights.
    for i in (0..bytes.len()).step_by(3) {
        for change in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[i] ^= change;
            let Ok(model) = Model::from_bytes(&damaged) else { continue };
            read += 1;
            let tape = Tape::new();
            let y = model.forward(&tape, &[tape.constant(&x)], &[]);
            let _ = y.first().map(|y| y.ok());
        }
    }
    assert!(read > 100, "{read} files were read");
    Ok(())
}
