//! Attention and transformers' layers.
use crate::{
    case::{Arg, Call, Out, Outs, Stop, one, unknown},
    modules::{KEYWORD, named},
};
use kolmo::{
    Float, Random, Tensor, Var,
    nn::{
        AttentionMasks, FeedForwardActivation, MultiheadAttention, MultiheadAttentionOptions,
        TransformerDecoderLayer, TransformerEncoderLayer, TransformerOptions, named_params,
    },
    ops::AttentionOptions,
};

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    match c.op.as_str() {
        "module.MultiheadAttention" | "layers.multi_head_attention" => multihead(c),
        "module.TransformerEncoderLayer" | "layers.transformer_encoder_layer" => encoder(c),
        "module.TransformerDecoderLayer" => decoder(c),
        "nn.functional.multi_head_attention_forward" => {
            let why = "what is dropped depends on PyTorch's random numbers";
            Err(Stop::Unrepresentable(why.into()))
        }
        "nn.functional.scaled_dot_product_attention" => attention(c),
        _ => unknown(),
    }
}

/// The case's parameters stand for the model's.
fn put<'t, T: Float, M: serde::Serialize>(c: &Call<'t, T>, model: &M) -> Result<(), Stop> {
    let Some(Arg::Map(params)) = c.args.last() else { return Err(Stop::Unsupported("no parameters".into())) };
    let known = named_params::<T>(model);
    assert_eq!(known.len(), params.len(), "{:?} for {:?}", known, params.keys());
    for (name, p) in known {
        let value = named(params, &name).unwrap_or_else(|| panic!("no parameter {name}"));
        c.tape.substitute(&p, &value);
    }
    Ok(())
}

/// PyTorch's masks of this name; they are true where something is hidden.
fn masks<'t, T: Float>(c: &Call<'t, T>, pairs: &str, keys: &str) -> AttentionMasks<'t, T> {
    let given = |name: &str| match c.kwargs.get("forward_kwargs") {
        Some(Arg::Map(map)) => map.get(name).cloned(),
        _ => None,
    };
    let seen = |hidden: &Tensor<bool>| {
        let values = hidden.to_vec();
        Tensor::from_fn(hidden.shape(), |i| !values[i])
    };
    let masks = AttentionMasks::new().is_causal(c.flag(KEYWORD, "causal", false).unwrap_or(false));
    let masks = match given(pairs) {
        Some(Arg::Bools(m)) => masks.pair_mask(seen(&m)),
        Some(Arg::Var(m)) => masks.pair_mask(m),
        _ => masks,
    };
    if let Some(Arg::Bools(m)) = given(keys) { masks.key_mask(seen(&m)) } else { masks }
}

/// Runs a layer of `[n, length, width]` on inputs that may have their first two axes the other way round.
fn batches<'t, T: Float>(
    c: &Call<'t, T>,
    inputs: &[Var<'t, T>],
    run: impl Fn(&[Var<'t, T>]) -> (Var<'t, T>, Option<Var<'t, T>>),
) -> Outs<'t, T> {
    let turned = !c.flag(KEYWORD, "batch_first", false)? && inputs.iter().all(|x| x.rank() == 3);
    let turn = |x: &Var<'t, T>| if turned { x.transpose(0, 1) } else { x.clone() };
    c.tape.set_training(c.flag(KEYWORD, "training", true)?);
    let (y, weights) = run(&inputs.iter().map(turn).collect::<Vec<_>>());
    Ok(std::iter::once(turn(&y)).chain(weights).map(Out::from).collect())
}

fn multihead<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let width = c.size(KEYWORD, "embed_dim", c.size(KEYWORD, "embed", 1)?)?;
    let heads = c.size(KEYWORD, "num_heads", c.size(KEYWORD, "heads", 1)?)?;
    let options = MultiheadAttentionOptions::new()
        .bias(c.flag(KEYWORD, "bias", true)?)
        .add_bias_kv(c.flag(KEYWORD, "add_bias_kv", false)?)
        .add_zero_attn(c.flag(KEYWORD, "add_zero_attn", false)?)
        .kdim(c.num_opt(KEYWORD, "kdim")?.map(|n| n as usize))
        .vdim(c.num_opt(KEYWORD, "vdim")?.map(|n| n as usize));
    let layer = MultiheadAttention::<T>::with_dtype(width, heads, options, &mut Random::new(0))?;
    put(c, &layer)?;
    let masks = masks(c, "attn_mask", "key_padding_mask");
    let own = c.op == "layers.multi_head_attention";
    let inputs = match own {
        true => vec![c.var(0, "input")?; 3],
        false => vec![c.var(0, "query")?, c.var(1, "key")?, c.var(2, "value")?],
    };
    batches(c, &inputs, |x| {
        let (y, weights) = layer.forward_with_weights(&x[0], &x[1], &x[2], &masks);
        (y, (!own).then(|| weights.mean_dim(-3, false)))
    })
}

fn options<T: Float>(c: &Call<T>) -> Result<(usize, usize, TransformerOptions), Stop> {
    let options = TransformerOptions::new()
        .dim_feedforward(c.size(KEYWORD, "dim_feedforward", c.size(KEYWORD, "feed_forward", 2048)?)?)
        .dropout(0.0)
        .activation(match c.text(KEYWORD, "activation", "relu")?.as_str() {
            "gelu" => FeedForwardActivation::Gelu,
            _ => FeedForwardActivation::Relu,
        })
        .norm_first(c.flag(KEYWORD, "norm_first", false)?)
        .bias(c.flag(KEYWORD, "bias", true)?);
    let heads = c.size(KEYWORD, "nhead", c.size(KEYWORD, "heads", 1)?)?;
    Ok((c.size(KEYWORD, "d_model", None)?, heads, options))
}

fn encoder<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let (width, heads, options) = options(c)?;
    let layer = TransformerEncoderLayer::<T>::with_dtype(width, heads, options, &mut Random::new(0))?;
    put(c, &layer)?;
    let masks = masks(c, "src_mask", "src_key_padding_mask");
    batches(c, &[c.var(0, "src")?], |x| (layer.forward(&x[0], &masks), None))
}

fn decoder<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let (width, heads, options) = options(c)?;
    let layer = TransformerDecoderLayer::<T>::with_dtype(width, heads, options, &mut Random::new(0))?;
    put(c, &layer)?;
    let own = masks(c, "tgt_mask", "tgt_key_padding_mask");
    let other = masks(c, "memory_mask", "memory_key_padding_mask");
    let inputs = [c.var(0, "tgt")?, c.var(1, "memory")?];
    batches(c, &inputs, |x| (layer.forward(&x[0], &x[1], &own, &other), None))
}

fn attention<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let options =
        AttentionOptions::new().is_causal(c.flag(5, "is_causal", false)?).scale(c.num_opt(6, "scale")?);
    let options = match c.get(3, "attn_mask") {
        None => options,
        Some(Arg::Bools(keep)) => options.attn_mask(keep),
        Some(Arg::Var(bias)) => options.attn_mask(bias),
        Some(other) => return Err(Stop::Unrepresentable(format!("a mask is no {}", other.kind()))),
    };
    if c.num(4, "dropout_p", 0.0)? > 0.0 {
        return Err(Stop::Unrepresentable("what is dropped depends on PyTorch's random numbers".into()));
    }
    let (q, k, v) = (c.var(0, "query")?, c.var(1, "key")?, c.var(2, "value")?);
    one(q.scaled_dot_product_attention(&k, &v, &options))
}
