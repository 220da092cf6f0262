//! Attention and transformers' layers.
use crate::{
    case::{Arg, Call, Out, Outs, Stop, one, unknown},
    modules::{KEYWORD, named},
};
use kolmo::{
    AttentionMask, AttentionOptions, Float, Random, Tensor, Var,
    nn::{
        AttentionMasks, FeedForwardActivation, MultiheadAttention, Param, TransformerDecoderLayer,
        TransformerEncoderLayer, TransformerOptions, named_params,
    },
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
    let known = named_params::<T, _>(model);
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
    let pairs_mask = match given(pairs) {
        Some(Arg::Bools(m)) => Some(AttentionMask::Bool(seen(&m))),
        Some(Arg::Var(m)) => Some(AttentionMask::Additive(m)),
        _ => None,
    };
    let keys_mask = if let Some(Arg::Bools(m)) = given(keys) { Some(seen(&m)) } else { None };
    let is_causal = c.flag(KEYWORD, "causal", false).unwrap_or(false);
    AttentionMasks { pairs: pairs_mask, keys: keys_mask, is_causal }
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
    let mut layer = MultiheadAttention::<T>::new(width, heads, &mut Random::new(0))?;
    if !c.flag(KEYWORD, "bias", true)? {
        (layer.in_proj_bias, layer.out_proj.bias) = (None, None);
    }
    if c.flag(KEYWORD, "add_bias_kv", false)? {
        [layer.bias_k, layer.bias_v] = [0, 1].map(|_| Some(Param::new(Tensor::zeros([1, 1, width]))));
    }
    layer.add_zero_attn = c.flag(KEYWORD, "add_zero_attn", false)?;
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
    let options = TransformerOptions {
        dim_feedforward: c.size(KEYWORD, "dim_feedforward", c.size(KEYWORD, "feed_forward", 2048)?)?,
        dropout: 0.0,
        activation: match c.text(KEYWORD, "activation", "relu")?.as_str() {
            "gelu" => FeedForwardActivation::Gelu,
            _ => FeedForwardActivation::Relu,
        },
        norm_first: c.flag(KEYWORD, "norm_first", false)?,
        bias: c.flag(KEYWORD, "bias", true)?,
    };
    let heads = c.size(KEYWORD, "nhead", c.size(KEYWORD, "heads", 1)?)?;
    Ok((c.size(KEYWORD, "d_model", None)?, heads, options))
}

fn encoder<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let (width, heads, options) = options(c)?;
    let layer = TransformerEncoderLayer::<T>::new(width, heads, options, &mut Random::new(0))?;
    put(c, &layer)?;
    let masks = masks(c, "src_mask", "src_key_padding_mask");
    batches(c, &[c.var(0, "src")?], |x| (layer.forward(&x[0], &masks), None))
}

fn decoder<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let (width, heads, options) = options(c)?;
    let layer = TransformerDecoderLayer::<T>::new(width, heads, options, &mut Random::new(0))?;
    put(c, &layer)?;
    let own = masks(c, "tgt_mask", "tgt_key_padding_mask");
    let other = masks(c, "memory_mask", "memory_key_padding_mask");
    let inputs = [c.var(0, "tgt")?, c.var(1, "memory")?];
    batches(c, &inputs, |x| (layer.forward(&x[0], &x[1], &own, &other), None))
}

fn attention<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let mask = match c.get(3, "attn_mask") {
        None => None,
        Some(Arg::Bools(keep)) => Some(AttentionMask::Bool(keep.clone())),
        Some(Arg::Var(bias)) => Some(AttentionMask::Additive(bias.clone())),
        Some(other) => return Err(Stop::Unrepresentable(format!("a mask is no {}", other.kind()))),
    };
    let options = AttentionOptions {
        mask,
        is_causal: c.flag(5, "is_causal", false)?,
        dropout_p: 0.0,
        scale: c.num_opt(6, "scale")?,
    };
    if c.num(4, "dropout_p", 0.0)? > 0.0 {
        return Err(Stop::Unrepresentable("what is dropped depends on PyTorch's random numbers".into()));
    }
    let (q, k, v) = (c.var(0, "query")?, c.var(1, "key")?, c.var(2, "value")?);
    one(q.scaled_dot_product_attention(&k, &v, &options))
}
