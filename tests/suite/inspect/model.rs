//! Reports that need no observation: memory, summary, gradients, dead units.
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    autodiff::CustomOp,
    inspect::{GradientFlag, GroupBy, Memory, summary},
    nn::{Conv2d, Flatten, Layer, LayerNorm, Linear, MaxPool2d, Param, Relu, Sequential},
    ops::AttentionOptions,
};

fn convolutional() -> impl Layer<f32> + serde::Serialize {
    let rng = &mut Random::new(0);
    Sequential((
        Conv2d::new(1, 4, 3, rng),
        Relu,
        MaxPool2d::new(2),
        Flatten,
        LayerNorm::new([4 * 3 * 3]),
        Linear::new(4 * 3 * 3, 10, rng),
    ))
}

#[test]
fn memory_adds_up_to_what_the_tape_keeps() -> Result<()> {
    let net = convolutional();
    let tape = Tape::new();
    let x = tape.constant(Tensor::ones([5, 1, 8, 8]));
    let loss = net.forward(&x).cross_entropy(&Tensor::from([0u32, 1, 2, 3, 4]));
    let memory = tape.memory().with_names(&net, &tape);
    assert_eq!(memory.bytes(), tape.saved_bytes());
    for by in [GroupBy::Operation, GroupBy::Layer, GroupBy::Line] {
        assert_eq!(memory.group_by(by).iter().map(|g| g.bytes).sum::<usize>(), memory.bytes());
    }
    let conv = memory.kept.iter().find(|k| k.origin.op == "conv").unwrap();
    assert_eq!((conv.operand, conv.value, conv.made_by.as_str()), (Some(0), None, "constant"));
    assert!(conv.origin.site.as_ref().unwrap().starts_with("tests/suite/inspect/model.rs:"));
    assert_eq!(memory.group_by(GroupBy::Layer).iter().filter(|g| g.name == "5").count(), 1);
    let copy: Memory = serde_json::from_str(&serde_json::to_string(&memory).unwrap()).unwrap();
    assert_eq!(copy, memory);

    let _ = loss.backward()?;
    let after = tape.memory();
    assert!(after.kept.is_empty() && after.freed > 0);
    assert!(after.to_string().contains("a sweep has freed what"));
    Ok(())
}

#[test]
fn a_buffer_that_two_rules_read_counts_once() {
    let tape = Tape::<f64>::new();
    let y = tape.input(Tensor::zeros([1024])).exp().sin();
    let memory = tape.memory();
    assert_eq!((memory.kept.len(), memory.bytes()), (2, 8192));
    let [exp, sin] = &memory.kept[..] else { panic!("two tensors are kept") };
    assert_eq!(exp.to_string(), "exp %2 reads its result [1024]");
    assert_eq!(sin.to_string(), "sin %3 reads its operand 0, %2 = exp [1024]");
    assert!(exp.counted && !sin.counted);
    drop(y);
}

#[test]
fn scalar_statements_take_their_arguments() {
    let tape = Tape::<f64>::new();
    let (x, y) = (tape.scalar(1.0), tape.scalar(2.0));
    let _ = x * y;
    // Four statements with the sink, five arguments, each an id and a number.
    assert_eq!((tape.memory().scalars, tape.memory().scalar_bytes), (3, 4 + 5 * 12));
}

#[test]
fn a_summary_tells_frozen_pruned_and_shared_numbers() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Sequential((Linear::new(4, 3, rng), Relu, Linear::new(3, 2, rng)));
    net.0.0.weight.set_mask(Some(&Tensor::from_fn([3, 4], |i| i % 3 == 0)))?;
    net.0.2.weight.set_codebook(Tensor::zeros([2, 3]), Tensor::from([0.5f32, 1.0]))?;
    net.0.2.bias.as_ref().unwrap().set_trainable(false);
    let summary = summary(&net);
    assert_eq!((summary.numbers(), summary.trainable(), summary.pruned()), (12 + 3 + 6 + 2, 21, 8));
    assert_eq!(summary.bytes(), 4 * 23);
    let owners: Vec<&str> = summary.parameters.iter().map(|p| p.owner.as_str()).collect();
    assert_eq!(owners, ["Linear"; 4]);
    let text = summary.to_string();
    assert!(
        text.contains("66.7 % pruned") && text.contains("2 shared values") && text.contains("frozen"),
        "{text}"
    );
    Ok(())
}

/// Parameters around a nested layer, so that the owner must come back.
#[derive(serde::Serialize)]
struct Outer {
    first: Param<f32>,
    inner: Linear<f32>,
    last: Vec<Param<f32>>,
}

#[test]
fn a_parameters_owner_is_the_struct_whose_field_it_is() {
    let param = || Param::new(Tensor::zeros([2]));
    let model = Outer { first: param(), inner: Linear::new(1, 1, &mut Random::new(0)), last: vec![param()] };
    let rows = summary(&model).parameters;
    let owners: Vec<(&str, &str)> = rows.iter().map(|p| (p.name.as_str(), p.owner.as_str())).collect();
    let expected =
        [("first", "Outer"), ("inner.weight", "Linear"), ("inner.bias", "Linear"), ("last.0", "Outer")];
    assert_eq!(owners, expected);
}

#[test]
fn reports_name_parameters_of_either_type() -> Result<()> {
    let net = (Param::new(Tensor::from([1.0f32, 2.0])), Param::new(Tensor::from([3.0f64])));
    let rows = summary(&net).parameters;
    let rows: Vec<(&str, usize)> = rows.iter().map(|p| (p.name.as_str(), p.bytes)).collect();
    assert_eq!(rows, [("0", 8), ("1", 8)]);
    let (singles, doubles) = (Tape::<f32>::new(), Tape::<f64>::new());
    let (_a, _b) = (singles.param(&net.0), doubles.param(&net.1));
    let [a, b] =
        [singles.listing(), doubles.listing()].map(|list| list.with_names(&net).rows[0].name.clone());
    assert_eq!((a.as_deref(), b.as_deref()), (Some("0"), Some("1")));
    Ok(())
}

struct Twice;

impl CustomOp<f32> for Twice {
    fn name(&self) -> &str {
        "twice"
    }
    fn forward(&self, x: &[&Tensor<f32>]) -> Result<Tensor<f32>> {
        Ok(Tensor::from_fn(x[0].shape(), |i| 2.0 * x[0].to_vec()[i]))
    }
    fn backward<'t>(&self, _: &[Var<'t>], _: &Var<'t>, grad: &Var<'t>) -> Vec<Option<Var<'t>>> {
        vec![Some(grad * 2.0)]
    }
}

#[test]
fn multiply_adds_are_those_of_the_products() {
    let net = convolutional();
    let tape = Tape::new();
    let _ = net.forward(&tape.constant(Tensor::ones([5, 1, 8, 8])));
    let made = summary(&net).with_operations(&net, &tape);
    // 5 images, 4 channels of 6×6 places, windows of 1×3×3; then 5 rows, 36 inputs, 10 outputs.
    assert_eq!(made.multiply_adds(), 5 * 4 * 36 * 9 + 5 * 36 * 10);
    assert_eq!(made.operations.last().unwrap().shape, [5, 10]);

    let tape = Tape::<f32>::new();
    let [q, k, v] = [[2, 3, 4], [2, 3, 4], [2, 3, 5]].map(|shape| tape.input(Tensor::zeros(shape)));
    let causal = AttentionOptions::new().is_causal(true);
    let y = q.scaled_dot_product_attention(&k, &v, &causal);
    let x = tape.constant(Tensor::zeros([7, 3])).matmul(&tape.input(Tensor::zeros([3, 2])));
    let _ = tape.custom(Twice, &[&x]);
    assert!(y.ok().is_ok());
    let operations = summary(&net).with_operations(&net, &tape).operations;
    let costs: Vec<Option<usize>> = operations.iter().map(|o| o.multiply_adds).collect();
    // Rows see 1, 2 and 3 keys; each is a product of 4 numbers and adds 5.
    assert_eq!(costs, [Some(2 * 6 * (4 + 5)), Some(7 * 3 * 2), None]);
}

#[test]
fn gradients_in_numbers() -> Result<()> {
    let param = |v: [f32; 4]| Param::new(Tensor::from(v));
    let model = [
        param([1.0; 4]),
        param([2.0; 4]),
        param([3.0; 4]),
        param([4.0; 4]),
        param([5.0; 4]),
        param([6.0; 4]),
    ];
    model[5].set_trainable(false);
    let tape = Tape::new();
    let slopes = [
        [3.0, 0.0, -4.0, 0.0],
        [1e-6, 0.0, 0.0, 0.0],
        [f32::NAN, 1.0, f32::INFINITY, 0.0],
        [2e3, 0.0, 0.0, 0.0],
    ];
    let terms = model.iter().zip(slopes).map(|(p, c)| (tape.param(p) * tape.constant(c)).sum());
    let grads = terms.reduce(|a, b| a + b).unwrap().backward()?;
    let statistics = grads.statistics(&model);
    let [first, _, third, ..] = &statistics.parameters[..] else { panic!("six parameters") };
    assert_eq!((first.norm, first.max, first.zeros, first.weight_norm), (5.0, 4.0, 2, 2.0));
    assert_eq!((third.not_finite, third.norm), (2, 1.0));
    let flags: Vec<Option<GradientFlag>> = (0..6).map(|i| statistics.flag(i)).collect();
    use GradientFlag::*;
    assert_eq!(flags, [None, Some(Vanishing), Some(NotFinite), Some(Exploding), Some(Unused), None]);
    assert_eq!(statistics.clone().thresholds(0.0, 1e4).flag(3), None);
    assert_eq!(statistics.layers()[0], ("0".to_string(), 5.0));
    Ok(())
}

#[test]
fn dead_units_are_channels_behind_a_convolution() -> Result<()> {
    let conv = Conv2d::new(1, 3, 3, &mut Random::new(1));
    conv.bias.as_ref().unwrap().set([1e3, -1e3, 1e3]);
    let tape = Tape::new();
    let y = conv.forward(&tape.constant(Tensor::ones([2, 1, 6, 6]))).relu();
    let z = y.reshape([2, -1]).matmul(&tape.input(Tensor::zeros([48, 4]))).relu();
    let dead = tape.dead_units()?.with_names(&Sequential((conv.clone(),)), &tape);
    let [first, second] = &dead.activations[..] else { panic!("two activations") };
    assert_eq!((first.units, first.values, first.dead.as_slice()), (3, 2 * 16, &[1usize][..]));
    assert_eq!((second.units, second.values, second.dead.len()), (4, 2, 4));
    assert!(dead.to_string().contains("of layer 0"), "{dead}");
    let _ = z.sum().backward()?;
    let error = tape.dead_units().unwrap_err().to_string();
    assert!(error.contains("relu") && error.contains("before backward()"), "{error}");
    Ok(())
}
