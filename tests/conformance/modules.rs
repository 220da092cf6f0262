//! PyTorch's modules: most are calls of a function with the module's parameters, options and buffers.
use crate::case::{Arg, Call, Out, Outs, one, unknown};
use kolmo::{
    Float, Random, Tensor, Var,
    nn::{BatchNorm, InstanceNorm, Layer, Param, Recurrent, RecurrentMode, RecurrentOptions, State},
};
use std::collections::BTreeMap;

/// Past the arguments: by its keyword alone.
pub const KEYWORD: usize = usize::MAX;

pub type Named<'t, T> = BTreeMap<String, Arg<'t, T>>;

pub fn named<'t, T: Float>(map: &Named<'t, T>, name: &str) -> Option<Var<'t, T>> {
    map.get(name).and_then(|a| if let Arg::Var(v) = a { Some(v.clone()) } else { None })
}

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    if c.op == "layers.batch_norm_running" {
        return running(c);
    }
    if let Some(outs) = recurrent(c) {
        return outs;
    }
    let Some(module) = c.op.strip_prefix("module.") else { return unknown() };
    c.tape.set_training(c.flag(KEYWORD, "training", true)?);
    let none = BTreeMap::new();
    let (params, inputs) = match c.args.split_last() {
        Some((Arg::Map(params), inputs)) => (params, inputs),
        _ => (&none, &c.args[..]),
    };
    let buffers = if let Some(Arg::Map(buffers)) = c.kwargs.get("buffers") { buffers } else { &none };
    if module.starts_with("BatchNorm") {
        return batch_norm(c, params, buffers);
    }
    if module.starts_with("InstanceNorm") && buffers.contains_key("running_mean") {
        return instance_norm(c, buffers);
    }
    let sample = if module == "InstanceNorm1d" { 2 } else { 3 };
    if module.starts_with("InstanceNorm") && c.var(0, "input")?.rank() == sample {
        // One sample without an axis for it.
        let (weight, bias) = (named(params, "weight"), named(params, "bias"));
        let x = c.var(0, "input")?.unsqueeze(0);
        let y = x.instance_norm(None, weight.as_ref(), bias.as_ref(), c.num(KEYWORD, "eps", 1e-5)?);
        return one(y.squeeze(0));
    }
    let function = match module {
        "AdaptiveAvgPool1d" => "adaptive_avg_pool1d",
        "AdaptiveAvgPool2d" => "adaptive_avg_pool2d",
        "AvgPool1d" => "avg_pool1d",
        "AvgPool2d" => "avg_pool2d",
        "MaxPool1d" => "max_pool1d",
        "MaxPool2d" => "max_pool2d",
        "BCEWithLogitsLoss" => "binary_cross_entropy_with_logits",
        "CrossEntropyLoss" => "cross_entropy",
        "NLLLoss" => "nll_loss",
        "HuberLoss" => "huber_loss",
        "SmoothL1Loss" => "smooth_l1_loss",
        "KLDivLoss" => "kl_div",
        "Conv1d" => "conv1d",
        "Conv2d" => "conv2d",
        "ConvTranspose1d" => "conv_transpose1d",
        "ConvTranspose2d" => "conv_transpose2d",
        "ELU" => "elu",
        "GELU" => "gelu",
        "GLU" => "glu",
        "Hardtanh" => "hardtanh",
        "PReLU" => "prelu",
        "Softplus" => "softplus",
        "Threshold" => "threshold",
        "LogSoftmax" => "log_softmax",
        "Softmax" => "softmax",
        "Embedding" => "embedding",
        "Linear" => "linear",
        "GroupNorm" => "group_norm",
        "LayerNorm" => "layer_norm",
        "RMSNorm" => "rms_norm",
        "InstanceNorm1d" | "InstanceNorm2d" => "instance_norm",
        _ => return unknown(),
    };
    let mut kwargs: Named<'t, T> = c.kwargs.clone();
    let mut args = inputs.to_vec();
    if let Some(Arg::Map(forward)) = c.kwargs.get("forward_kwargs") {
        args.extend(forward.get("input").cloned());
    }
    // The constructor's `bias` only says whether there is one.
    kwargs.retain(|name, value| name != "bias" || !matches!(value, Arg::Bool(_)));
    for (name, value) in params {
        kwargs.insert(name.clone(), value.clone());
    }
    let weight = params.get("weight").cloned().unwrap_or(Arg::None);
    match module {
        "Embedding" => args.insert(0, weight),
        "Linear" => args.push(weight),
        _ => {}
    }
    let op = format!("nn.functional.{function}");
    let outs = crate::dispatch(&Call { tape: c.tape, op, args, kwargs })?;
    // Weights of a loss are buffers that don't change.
    Ok(outs.into_iter().chain(buffers.values().filter_map(out)).collect())
}

fn out<'t, T: Float>(arg: &Arg<'t, T>) -> Option<Out<'t, T>> {
    match arg {
        Arg::Var(v) => Some(v.clone().into()),
        Arg::Ints(t) => Some(t.clone().into()),
        _ => None,
    }
}

/// Value and gradients from the function, statistics from the layer.
fn batch_norm<'t, T: Float>(c: &Call<'t, T>, params: &Named<'t, T>, buffers: &Named<'t, T>) -> Outs<'t, T> {
    let x = c.var(0, "input")?;
    let eps = c.num(KEYWORD, "eps", 1e-5)?;
    let (weight, bias) = (named(params, "weight"), named(params, "bias"));
    let (mean, variance) = (named(buffers, "running_mean"), named(buffers, "running_var"));
    let running = mean.as_ref().zip(variance.as_ref());
    let y = x.batch_norm(running.filter(|_| !c.tape.is_training()), weight.as_ref(), bias.as_ref(), eps);
    let Some((mean, variance)) = running else { return one(y) };
    let mut layer = BatchNorm::<T>::with_dtype(mean.numel());
    (layer.eps, layer.weight, layer.bias) = (eps, None, None);
    layer.momentum = match c.kwargs.get("momentum") {
        Some(Arg::None) => None,
        _ => Some(c.num(KEYWORD, "momentum", 0.1)?),
    };
    layer.running_mean = Param::new(mean.value()?.clone());
    layer.running_var = Param::new(variance.value()?.clone());
    layer.forward(&x).ok()?;
    let after = |p: &Param<T>| Out::Var(c.tape.constant(p.value()));
    Ok(vec![y.into(), after(&layer.running_mean), after(&layer.running_var)])
}

/// Value and statistics from the layer.
fn instance_norm<'t, T: Float>(c: &Call<'t, T>, buffers: &Named<'t, T>) -> Outs<'t, T> {
    let x = c.var(0, "input")?;
    let mut layer =
        InstanceNorm::<T>::with_dtype().track_running_stats(c.size(KEYWORD, "num_features", None)?);
    layer.eps = c.num(KEYWORD, "eps", 1e-5)?;
    layer.momentum = Some(c.num(KEYWORD, "momentum", 0.1)?);
    for (p, name) in [(&layer.running_mean, "running_mean"), (&layer.running_var, "running_var")] {
        if let (Some(p), Some(v)) = (p, named(buffers, name)) {
            p.set(v.value()?.clone());
        }
    }
    // One sample may come without an axis for it.
    let sample = x.rank() == if c.op.ends_with("1d") { 2 } else { 3 };
    let y = layer.forward(&if sample { x.unsqueeze(0) } else { x.clone() });
    let after = |p: &Option<Param<T>>| p.as_ref().map(|p| Out::Var(c.tape.constant(p.value())));
    let y = if sample { y.squeeze(0) } else { y };
    Ok([Some(y.into()), after(&layer.running_mean), after(&layer.running_var)]
        .into_iter()
        .flatten()
        .collect())
}

/// Statistics of a batch normalisation from their start.
fn running<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let layer = BatchNorm::<T>::with_dtype(c.size(KEYWORD, "features", None)?);
    let layer = BatchNorm { momentum: Some(c.num(KEYWORD, "momentum", 0.1)?), ..layer };
    c.tape.set_training(c.text(KEYWORD, "mode", "train")? == "train");
    let y = layer.forward(&c.var(0, "input")?);
    let after = |t: Tensor<T>| Out::Var(c.tape.constant(t));
    Ok(vec![y.into(), after(layer.running_mean.value()), after(layer.running_var.value())])
}

/// Recurrent layers and cells; `None` for anything else.
fn recurrent<'t, T: Float>(c: &Call<'t, T>) -> Option<Outs<'t, T>> {
    let name = c.op.strip_prefix("module.").or(c.op.strip_prefix("layers."))?.to_uppercase();
    let (kind, single) = name.strip_suffix("CELL").map_or((name.as_str(), false), |kind| (kind, true));
    let cell = match kind {
        "LSTM" => RecurrentMode::Lstm,
        "GRU" => RecurrentMode::Gru,
        "RNN" if c.text(KEYWORD, "nonlinearity", "tanh").ok()? == "relu" => RecurrentMode::RnnRelu,
        "RNN" => RecurrentMode::RnnTanh,
        _ => return None,
    };
    Some(run_recurrent(c, cell, single))
}

fn run_recurrent<'t, T: Float>(c: &Call<'t, T>, cell: RecurrentMode, single: bool) -> Outs<'t, T> {
    let (params, inputs) = match c.args.split_last() {
        Some((Arg::Map(params), inputs)) => (Some(params), inputs),
        _ => (None, &c.args[..]),
    };
    let hidden = c.size(KEYWORD, if c.op.starts_with("layers.") { "hidden" } else { "hidden_size" }, None)?;
    let layers = c.size(KEYWORD, "num_layers", c.size(KEYWORD, "layers", 1)?)?;
    let bidirectional = c.flag(KEYWORD, "bidirectional", false)?;
    let width = c.size(KEYWORD, "input_size", 1)?;
    let options = RecurrentOptions::new().num_layers(layers).bidirectional(bidirectional);
    let mut layer = Recurrent::<T>::with_dtype(cell, width, hidden, options, &mut Random::new(0));
    // The state: one tensor after the input, two, or a list of two.
    let mut states = Vec::new();
    for arg in inputs.iter().skip(1) {
        match arg {
            Arg::Var(v) => states.push(v.clone()),
            Arg::List(items) => states.extend(
                items.iter().filter_map(|a| if let Arg::Var(v) = a { Some(v.clone()) } else { None }),
            ),
            _ => {}
        }
    }
    let mut x = c.var(0, "input")?;
    let batch_first = c.flag(KEYWORD, "batch_first", false)? && x.rank() == 3;
    if single {
        x = x.unsqueeze(0);
        states.iter_mut().for_each(|s| *s = s.unsqueeze(0));
    } else if batch_first {
        x = x.transpose(0, 1);
    }
    let mut states = states.into_iter();
    let state = states.next().map(|hidden| State { hidden, cell: states.next() });
    if let Some(params) = params {
        let given = |name: &str| named(params, if single { name.trim_end_matches("_l0") } else { name });
        layer.params.retain(|name, _| given(name).is_some());
        for (name, p) in &layer.params {
            given(name).iter().for_each(|value| {
                p.set(Tensor::zeros(value.shape()));
                c.tape.substitute(p, value);
            });
        }
    }
    let (y, end) = layer.forward(&x, state.as_ref());
    let mut outs: Vec<Out<'t, T>> = Vec::new();
    let last = |v: Var<'t, T>| if single { v.squeeze(0) } else { v };
    if !single {
        outs.push(if batch_first { y.transpose(0, 1) } else { y }.into());
    }
    outs.push(last(end.hidden).into());
    outs.extend(end.cell.map(|v| last(v).into()));
    Ok(outs)
}
