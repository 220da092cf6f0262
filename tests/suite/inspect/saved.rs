//! Saved tapes: the same bits without the program, checks, and files that are not what they should be.
use super::noise;
use kolmo::{
    Random, Result, Scalar, Tape, Tensor, Var,
    autodiff::{CustomOp, GradCheck},
    inspect::SavedTape,
    nn::{
        AttentionMasks, BatchNorm2d, Conv2d, Dropout, Flatten, Layer, LayerNorm, Linear, MaxPool2d,
        MultiheadAttention, Relu, Sequential,
    },
    number::{Arithmetic, Dual},
    ops::PoolOptions,
};
use serde_json::Value;

fn through_json(saved: &SavedTape) -> SavedTape {
    serde_json::from_str(&serde_json::to_string(saved).unwrap()).unwrap()
}

/// Runs a saved tape and compares value and gradients of all leaves with those of the tape itself, bit by
/// bit.
fn same_bits(tape: &Tape<f32>, loss: &Var<'_, f32>) -> Result<SavedTape> {
    let saved = through_json(&SavedTape::from_var(loss)?);
    let run = saved.replay::<f32>()?;
    let bits = |v: Vec<f64>| v.into_iter().map(|v| (v as f32).to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(run.value.cast::<f64>().to_vec()), bits(loss.value()?.cast::<f64>().to_vec()));
    let _ = loss.backward_retain_graph()?;
    let rows = tape.observation().rows;
    let leaves: Vec<_> = rows.iter().filter(|r| ["input", "param"].contains(&r.row.op.as_str())).collect();
    let reached: Vec<_> = leaves.into_iter().filter(|r| r.adjoint.is_some()).collect();
    assert_eq!(reached.len(), run.gradients.len());
    for (row, (name, gradient)) in reached.iter().zip(&run.gradients) {
        let direct = row.adjoint.as_ref().unwrap().to_vec();
        assert_eq!(bits(gradient.cast::<f64>().to_vec()), bits(direct), "{name}");
    }
    Ok(saved)
}

#[test]
fn a_convolutional_network_has_the_same_bits() -> Result<()> {
    let rng = &mut Random::new(3);
    let net = Sequential((
        Conv2d::new(2, 4, 3, rng).padding(1),
        BatchNorm2d::new(4),
        Relu,
        MaxPool2d::new(2),
        Flatten,
        LayerNorm::new([4 * 4 * 4]),
        Dropout::new(0.3),
        Linear::new(4 * 4 * 4, 5, rng),
    ));
    let tape = Tape::new();
    tape.set_observing(true);
    let x = tape.input(Tensor::new([3, 2, 8, 8], noise(11, 3 * 2 * 64))?);
    let loss = net.forward(&x).cross_entropy(&Tensor::from([0u32, 4, 2]));
    let saved = same_bits(&tape, &loss)?;
    saved.gradcheck(GradCheck::new().max_elements(7))
}

#[test]
fn a_transformer_block_has_the_same_bits() -> Result<()> {
    let rng = &mut Random::new(4);
    let attention = MultiheadAttention::new(8, 2, rng)?;
    let tape = Tape::new();
    tape.set_observing(true);
    let x = tape.input(Tensor::new([2, 5, 8], noise(12, 80))?);
    let y = &x + attention.forward(&x, &x, &x, &AttentionMasks::default()).gelu();
    let tail = tape.cat(&[&y.narrow(1, 1, 3), &y.cumsum(1)], 1).softmax(-1);
    let loss = tail.amax_dim(2, false).log().mean()
        + y.flip(0).transpose(0, 1).index_select(0, &Tensor::from([4u32, 0, 4])).prod();
    same_bits(&tape, &loss)?.gradcheck(GradCheck::new().max_elements(9))
}

#[test]
fn scalars_and_tensors_are_saved_together() -> Result<()> {
    let tape = Tape::<f32>::new();
    tape.set_observing(true);
    let x = tape.input([0.5, -1.5, 2.0]);
    let s = tape.scalar(0.7);
    let all = x.to_scalars();
    let t = (s * 3.0 - all[1]).tanh() + 2.0 / (all[0] + all[2].leaky_relu(0.2)) - s.pow(all[2]);
    let many: Scalar<'_, f32> = all.iter().copied().sum();
    let dots = Scalar::dot(&all, &all) + Scalar::dot(&all, &[s, t, Scalar::constant(0.25)]);
    let back = tape.stack_scalars(&[t, Scalar::constant(1.5), many, dots], [2, 2]);
    let loss = back.sin().matmul(&back).sum();
    same_bits(&tape, &loss)?.gradcheck(GradCheck::new())
}

/// A program of numbers of any kind.
fn program<R: Arithmetic>(x: &[R]) -> R {
    x.windows(2).fold(R::constant(1.0), |y, pair| {
        let [a, b] = [pair[0], pair[1]];
        (y * R::constant(0.5) + a.sin() * b.exp()).maximum(a) / (b * b + R::constant(1.0)).sqrt() - a.atan2(b)
    })
}

#[test]
fn a_scalar_program_is_replayed_and_checked() -> Result<()> {
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let values: Vec<f64> = noise(13, 12).into_iter().map(f64::from).collect();
    let x = tape.scalars(&values);
    let y = program(&x);
    let saved = through_json(&SavedTape::from_scalar(y)?);
    let run = saved.replay::<f64>()?;
    assert_eq!(run.value.item()?.to_bits(), y.value().to_bits());
    let grads = y.backward()?;
    for (x, (_, gradient)) in x.iter().zip(&run.gradients) {
        assert_eq!(gradient.item()?.to_bits(), grads.scalar(*x).to_bits());
    }
    saved.gradcheck(GradCheck::new())?;
    // On other numbers it is the same program.
    let others: Vec<f64> = values.iter().map(|v| v * 0.5 + 0.1).collect();
    let leaves: Vec<Tensor<f64>> = others.iter().map(|&v| Tensor::scalar(v)).collect();
    assert_eq!(saved.replay_on(&leaves)?.value.item()?, program(&others));
    assert!(saved.replay_on(&leaves[1..]).unwrap_err().to_string().contains("takes 12 leaves, not 11"));
    Ok(())
}

#[test]
fn what_results_do_not_need_is_not_saved() -> Result<()> {
    let tape = Tape::<f32>::new();
    tape.set_observing(true);
    let x = tape.input([1.0, 2.0]);
    let unused = tape.input([3.0]).exp();
    let saved = SavedTape::from_var(&x.square().sum())?;
    assert_eq!((saved.len(), saved.leaves().len()), (3, 1));
    drop(unused);
    Ok(())
}

#[test]
fn fused_losses_are_saved_as_single_operations() -> Result<()> {
    let tape = Tape::<f32>::new();
    tape.set_observing(true);
    let x = tape.input(Tensor::new([3, 4], noise(14, 12))?);
    let target = tape.constant(Tensor::new([3, 4], noise(15, 12))?);
    let loss = x.mse_loss(&target);
    let saved = through_json(&SavedTape::from_var(&loss)?);
    let run = saved.replay::<f32>()?;
    assert!((run.value.item()? - loss.item()?).abs() < 1e-6);
    let grads = loss.backward()?;
    let expected = grads.get(&x).unwrap().to_vec();
    assert!(run.gradients[0].1.to_vec().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
    saved.gradcheck(GradCheck::new())?;
    let p = x.sigmoid();
    same_bits(&tape, &p.binary_cross_entropy(&tape.constant(Tensor::full([3, 4], 0.25))))?;
    Ok(())
}

#[test]
fn a_gradcheck_fails_where_the_rule_is_not_the_slope() -> Result<()> {
    let check = |x: f64| {
        let tape = Tape::<f64>::new();
        tape.set_observing(true);
        through_json(&SavedTape::from_var(&tape.input([x, 1.0]).relu().sum())?).gradcheck(GradCheck::new())
    };
    check(0.5)?;
    // On the kink the rule says 0 and differences say 1/2.
    let error = check(0.0).unwrap_err().to_string();
    assert!(error.contains("gradient of input 0 at element 0 is 0"), "{error}");
    Ok(())
}

struct Cube;

impl CustomOp<f32> for Cube {
    fn name(&self) -> &str {
        "cube"
    }
    fn forward(&self, x: &[&Tensor<f32>]) -> Result<Tensor<f32>> {
        Ok(x[0].clone())
    }
    fn backward<'t>(&self, _: &[Var<'t>], _: &Var<'t>, grad: &Var<'t>) -> Vec<Option<Var<'t>>> {
        vec![Some(grad.clone())]
    }
}

#[test]
fn what_cannot_be_saved_is_named_with_its_line() {
    let tape = Tape::<f32>::new();
    tape.set_observing(true);
    let x = tape.input([1.0]);
    let line = line!() + 1;
    let error = SavedTape::from_var(&tape.custom(Cube, &[&x])).unwrap_err().to_string();
    assert!(
        error.contains("%2 = cube at tests/suite/inspect/saved.rs:") && error.contains(&format!(":{line}:")),
        "{error}"
    );

    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.scalar(2.0);
    let [y] = Scalar::forward([x], |[x]: [Dual<f64, 1>; 1]| [x * x]);
    let error = SavedTape::from_scalar(y).unwrap_err().to_string();
    assert!(
        error.contains("forward at tests/suite/inspect/saved.rs:") && error.contains("only its derivatives"),
        "{error}"
    );

    let tape = Tape::<f32>::new();
    let error = SavedTape::from_var(&tape.input([1.0]).exp()).unwrap_err().to_string();
    assert!(error.contains("set_observing(true)"), "{error}");
    assert!(SavedTape::from_var(&tape.constant([1.0])).unwrap_err().to_string().contains("is a constant"));
}

#[test]
fn numbers_that_json_does_not_have_come_back() -> Result<()> {
    let tape = Tape::<f32>::new();
    tape.set_observing(true);
    let x = tape.input([f32::INFINITY, f32::NAN, -0.0, f32::MIN_POSITIVE / 2.0]);
    let saved = through_json(&SavedTape::from_var(&(x + tape.constant([f32::NEG_INFINITY])))?);
    let bits: Vec<u32> = saved.replay::<f32>()?.value.to_vec().iter().map(|v| v.to_bits()).collect();
    assert_eq!(bits[2..], [f32::NEG_INFINITY.to_bits(); 2]);
    assert!(f32::from_bits(bits[0]).is_nan() && f32::from_bits(bits[1]).is_nan());
    Ok(())
}

/// Every number in a file, by its path.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(path.to_string()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, v)| numbers(v, &format!("{path}/{i}"), found))
        }
        Value::Object(map) => map.iter().for_each(|(k, v)| numbers(v, &format!("{path}/{k}"), found)),
        _ => {}
    }
}

#[test]
fn a_file_with_any_number_changed_gives_a_result_or_an_error() -> Result<()> {
    let tape = Tape::<f32>::new();
    tape.set_observing(true);
    let x = tape.input(Tensor::new([1, 2, 4, 4], noise(16, 32))?);
    let w = tape.input(Tensor::new([2, 2, 3, 3], noise(17, 36))?);
    let conv = x.conv2d(&w, None, &Default::default());
    let pooled = conv.max_pool2d(&PoolOptions::new(2));
    let rows = conv.reshape([2, 4]).layer_norm(&[4], None, None, 1e-5);
    let parts =
        tape.cat(&[&rows, &rows.cumsum(1).narrow(1, 1, 2)], 1).index_select(1, &Tensor::from([0u32, 5, 2]));
    let scalar = parts.at([1, 2]).sin();
    let mixed = tape.stack_scalars(&[scalar, scalar], [2]).unsqueeze(0).expand([2, 2]);
    let scores = parts.matmul(&tape.constant(Tensor::ones([3, 2]))) + mixed;
    let loss = scores.cross_entropy(&Tensor::from([0u32, 1]))
        + scores.softmax(0).logsumexp([0, 1], false)
        + rows.amax_dim(1, true).sum()
        + pooled.sum();
    let text = serde_json::to_string(&SavedTape::from_var(&loss)?).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let mut paths = Vec::new();
    numbers(&whole, "", &mut paths);
    assert!(paths.len() > 150);
    let (mut rejected, mut run) = (0, 0);
    for path in paths {
        for other in [0i64, 1, 3, 1 << 40, -1, i64::MAX] {
            let mut changed = whole.clone();
            *changed.pointer_mut(&path).unwrap() = other.into();
            match serde_json::from_value::<SavedTape>(changed).map(|saved| saved.replay::<f32>()) {
                Ok(Ok(_)) => run += 1,
                _ => rejected += 1,
            }
        }
    }
    assert!(rejected > 100 && run > 100, "{rejected} rejected, {run} run");
    Ok(())
}

#[test]
fn files_are_read_again_and_damage_is_told() -> Result<()> {
    let tape = Tape::<f32>::new();
    tape.set_observing(true);
    let saved = SavedTape::from_var(&tape.input([1.0, 2.0]).exp())?;
    let folder = crate::Folder::new("saved");
    let path = folder.join("tape.json");
    saved.save(&path)?;
    assert_eq!(SavedTape::load(&path)?.replay::<f32>()?.value, saved.replay::<f32>()?.value);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    let error = SavedTape::load(&path).unwrap_err().to_string();
    assert!(error.contains("at line 1, column"), "{error}");
    assert!(SavedTape::load(folder.join("none.json")).is_err());
    let missing: std::result::Result<SavedTape, _> = serde_json::from_str(&text.replace("f32", "f16"));
    assert!(missing.unwrap_err().to_string().contains("f16 is neither f32 nor f64"));
    Ok(())
}
