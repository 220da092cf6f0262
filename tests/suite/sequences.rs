//! Recurrent layers on sequences of different lengths, attention to keys and values of other widths.
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    autodiff::gradcheck,
    nn::{
        AttentionMasks, Embedding, Layer, Linear, MultiheadAttention, MultiheadAttentionOptions, Param,
        Recurrent, RecurrentMode, RecurrentOptions, State, named_params,
    },
};

const MODES: [RecurrentMode; 4] =
    [RecurrentMode::RnnTanh, RecurrentMode::RnnRelu, RecurrentMode::Lstm, RecurrentMode::Gru];
const LENGTHS: [usize; 3] = [2, 4, 1];
const STEPS: usize = 5;

fn numbers(shape: &[usize]) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| (i as f64 * 0.7 + 0.3).sin())
}

/// Equal but for rounding: products of other sizes add in another order.
fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12)
}

/// `[STEPS, 3, 2]`, NaN behind the ends.
fn padded() -> Tensor<f64> {
    let values = numbers(&[STEPS, 3, 2]).to_vec();
    Tensor::from_fn([STEPS, 3, 2], |i| if i / 6 < LENGTHS[i / 2 % 3] { values[i] } else { f64::NAN })
}

fn two_ways(mode: RecurrentMode) -> Recurrent<f64> {
    let options = RecurrentOptions::new().num_layers(2).bidirectional(true);
    Recurrent::with_dtype(mode, 2, 3, options, &mut Random::new(1))
}

/// A state to begin with, of `[4, n, 3]`.
fn begin(tape: &Tape<f64>, mode: RecurrentMode) -> State<'_, f64> {
    let lstm = mode == RecurrentMode::Lstm;
    State {
        hidden: tape.input(numbers(&[4, 3, 3])),
        cell: lstm.then(|| tape.constant(numbers(&[4, 3, 3])) * 0.5),
    }
}

#[test]
fn sequences_of_different_lengths_are_each_as_alone() -> Result<()> {
    for (mode, begun) in MODES.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        let layer = two_ways(mode);
        let gradients = |y: Var<'_, f64>| -> Result<Vec<Vec<f64>>> {
            let grads = y.backward()?;
            let params = named_params::<f64>(&layer).into_iter();
            Ok(params.map(|(_, p)| grads.param(&p).unwrap().to_vec()).collect())
        };
        let tape = Tape::new();
        let (x, state) = (tape.input(padded()), begun.then(|| begin(&tape, mode)));
        let (y, end) = layer.forward_lengths(&x, &LENGTHS, state.as_ref());
        let mut alone = tape.constant(0.0);
        for (i, &length) in LENGTHS.iter().enumerate() {
            fn one<'t>(v: &Var<'t, f64>, i: usize) -> Var<'t, f64> {
                v.select(1, i as isize).detach()
            }
            let state = state
                .as_ref()
                .map(|s| State { hidden: one(&s.hidden, i), cell: s.cell.as_ref().map(|c| one(c, i)) });
            let (own, own_end) = layer.forward(&one(&x, i).narrow(0, 0, length), state.as_ref());
            let found = y.select(1, i as isize);
            assert!(close(&found.narrow(0, 0, length).to_vec()?, &own.to_vec()?), "{mode:?} {i}");
            let rest = found.narrow(0, length, STEPS - length).to_vec()?;
            assert!(rest.iter().all(|v| *v == 0.0), "{mode:?} {i}: {rest:?}");
            for (found, own) in
                [(Some(&end.hidden), Some(&own_end.hidden)), (end.cell.as_ref(), own_end.cell.as_ref())]
            {
                if let (Some(found), Some(own)) = (found, own) {
                    assert!(close(&found.select(1, i as isize).to_vec()?, &own.to_vec()?), "{mode:?} {i}");
                }
            }
            alone = alone + own.square().sum() + own_end.hidden.sum();
        }
        let all = y.square().sum() + end.hidden.sum();
        let of_x = all.grad(&[&x])?[0].to_vec()?;
        let behind = |i: usize| i / 6 >= LENGTHS[i / 2 % 3];
        assert!((0..of_x.len()).all(|i| if behind(i) { of_x[i] == 0.0 } else { of_x[i].is_finite() }));
        for (found, own) in gradients(all)?.iter().zip(gradients(alone)?.iter()) {
            assert!(close(found, own), "{mode:?}: {found:?}, not {own:?}");
        }
    }
    Ok(())
}

#[test]
fn gradients_are_those_of_differences() -> Result<()> {
    for (mode, lengths) in MODES.into_iter().flat_map(|mode| [(mode, &LENGTHS), (mode, &[STEPS; 3])]) {
        let layer = two_ways(mode);
        let names: Vec<&String> = layer.params.keys().collect();
        let mut inputs = vec![numbers(&[STEPS, 3, 2]), numbers(&[4, 3, 3])];
        inputs.extend(names.iter().map(|name| layer.params[*name].value()));
        let substitute = |v: &[Var<'_, f64>]| {
            names.iter().zip(&v[2..]).for_each(|(name, v)| v.tape().substitute(&layer.params[*name], v));
        };
        for part in 0..2 {
            gradcheck(
                |v| {
                    substitute(v);
                    let cell = (mode == RecurrentMode::Lstm).then(|| &v[1] * 0.5);
                    let state = State { hidden: v[1].clone(), cell };
                    let (y, end) = layer.forward_lengths(&v[0], lengths, Some(&state));
                    if part == 0 { y } else { end.cell.unwrap_or(end.hidden) }
                },
                &inputs,
            )?;
        }
    }
    Ok(())
}

#[test]
fn the_way_back_begins_at_each_end() -> Result<()> {
    // h' = tanh(x + h) both ways; by PyTorch's packed sequences of 2 steps and of 1.
    let options = RecurrentOptions::new().bidirectional(true).bias(false);
    let layer = Recurrent::<f64>::with_dtype(RecurrentMode::RnnTanh, 1, 1, options, &mut Random::new(0));
    assert_eq!(layer.params.len(), 4);
    layer.params.values().for_each(|p| p.set(Tensor::from([[1.0]])));
    let x = Tensor::from([[[1.0], [3.0]], [[2.0], [9.0]], [[9.0], [9.0]]]);
    let tape = Tape::new();
    let (y, end) = layer.forward_lengths(&tape.constant(&x), &[2, 1], None);
    let [one, two, three] = [1.0f64, 2.0, 3.0].map(f64::tanh);
    let (forth, back) = ((2.0 + one).tanh(), (1.0 + two).tanh());
    let expected = [one, back, three, three, forth, two, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    assert!(close(&y.to_vec()?, &expected), "{:?}", y.to_vec()?);
    assert!(close(&end.hidden.to_vec()?, &[forth, three, back, three]), "{:?}", end.hidden.to_vec()?);
    let single = tape.constant(Tensor::from([[1.0], [2.0], [9.0]]));
    let (y, end) = layer.forward_lengths(&single, &[2], None);
    assert!(close(&y.to_vec()?, &[one, back, forth, two, 0.0, 0.0]) && end.hidden.shape() == &[2, 1]);
    Ok(())
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let layer = Recurrent::gru(2, 3, &mut Random::new(0));
    let tape = Tape::new();
    let x = tape.constant(Tensor::ones([5, 3, 2]));
    let told =
        |lengths: &[usize]| layer.forward_lengths(&x, lengths, None).0.value().unwrap_err().to_string();
    for (lengths, words) in [
        (&[5, 5][..], "takes 3 lengths, one for each sequence, not 2"),
        (&[5, 0, 1], "length 1 is 0, expected 1 to 5"),
        (&[5, 5, 6], "length 2 is 6, expected 1 to 5"),
    ] {
        let message = told(lengths);
        assert!(message.starts_with("Recurrent: ") && message.contains(words), "{message}");
        assert!(message.contains("sequences.rs"), "{message}");
    }
}

#[test]
fn keys_and_values_of_another_width_have_projections_of_their_own() -> Result<()> {
    let rng = &mut Random::new(3);
    let plain = MultiheadAttention::<f64>::with_dtype(4, 2, MultiheadAttentionOptions::new(), rng)?;
    let tape = Tape::new();
    let (q, k) = (tape.input(numbers(&[2, 3, 4])), tape.input(numbers(&[2, 5, 4])));
    // The same weights in three pieces.
    let all = plain.in_proj_weight.as_ref().unwrap().value();
    let piece = |i: usize| Some(Param::new(all.narrow(0, i * 4, 4).unwrap()));
    let pieces = MultiheadAttention {
        in_proj_weight: None,
        q_proj_weight: piece(0),
        k_proj_weight: piece(1),
        v_proj_weight: piece(2),
        ..plain.clone()
    };
    let masks = AttentionMasks::new();
    let [a, b] = [&plain, &pieces].map(|layer| layer.forward(&q, &k, &k, &masks).to_vec());
    assert_eq!(a?, b?);
    assert_eq!(plain.forward(&q, &q, &q, &masks).to_vec()?, pieces.forward(&q, &q, &q, &masks).to_vec()?);

    let options = MultiheadAttentionOptions::new().kdim(3).vdim(5).bias(false).add_bias_kv(true);
    let layer = MultiheadAttention::<f64>::with_dtype(4, 2, options.add_zero_attn(true), rng)?;
    let names: Vec<String> = named_params::<f64>(&layer).into_iter().map(|(name, _)| name).collect();
    let expected = ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight", "bias_k", "bias_v"];
    assert_eq!(names, expected);
    gradcheck(
        |x| layer.forward(&x[0], &x[1], &x[2], &AttentionMasks::new()),
        &[numbers(&[2, 3, 4]), numbers(&[2, 6, 3]), numbers(&[2, 6, 5])],
    )?;
    let message = layer.forward(&q, &k, &k, &masks).value().unwrap_err().to_string();
    assert!(message.contains("keys [n, other length, 3], values [n, other length, 5]"), "{message}");
    let mixed = MultiheadAttention { in_proj_weight: plain.in_proj_weight.clone(), ..pieces.clone() };
    let message = mixed.forward(&q, &k, &k, &masks).value().unwrap_err().to_string();
    assert!(message.contains("takes in_proj_weight alone, or q_proj_weight"), "{message}");
    let wrong = MultiheadAttention::with_options(4, 2, MultiheadAttentionOptions::new().dropout(1.5), rng);
    assert!(wrong.unwrap_err().to_string().contains("dropout is 1.5"));
    Ok(())
}

#[test]
fn layers_of_given_weights_are_checked() -> Result<()> {
    let tape = Tape::<f64>::new();
    let table = Embedding::from_weights(Tensor::from([[1.0, 2.0], [3.0, 4.0]]))?;
    assert_eq!(table.forward(&Tensor::from([1u32]), &tape).to_vec()?, [3.0, 4.0]);
    let linear = Linear::from_weights(Tensor::from([[1.0, 2.0]]), None)?;
    assert_eq!(linear.forward(&tape.constant([[1.0, 10.0]])).to_vec()?, [21.0]);
    let told = Linear::from_weights(Tensor::from([[1.0, 2.0]]), Some(Tensor::from([1.0, 2.0])));
    let told = told.unwrap_err().to_string();
    assert!(told.contains("Linear") && told.contains("bias has shape [2], expected [1]"), "{told}");
    let told = Embedding::from_weights(Tensor::from([1.0, 2.0])).unwrap_err().to_string();
    assert!(told.contains("weight has shape [2], expected [number of things, dim]"), "{told}");
    Ok(())
}
