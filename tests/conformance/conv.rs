//! Convolutions, pooling and resizing: PyTorch's calls as the library's.
use crate::case::{Arg, Call, Outs, Stop, one, unknown};
use kolmo::{
    Float,
    ops::{ConvOptions, InterpolateMode, InterpolateTo, Padding, PoolOptions, Sizes},
};

/// Numbers for each axis, or one for all; `None` if they aren't given.
fn sizes<T: Float>(c: &Call<'_, T>, i: usize, name: &str) -> Result<Option<Sizes>, Stop> {
    // PyTorch's own default for a stride is an empty list.
    let Some(list) = c.dims(i, name)?.filter(|list| !list.is_empty()) else { return Ok(None) };
    let whole = |v: &isize| usize::try_from(*v);
    let list = list.iter().map(whole).collect::<Result<Vec<usize>, _>>();
    let list = list.map_err(|_| Stop::Unrepresentable(format!("{name} is negative")))?;
    Ok(Some(Sizes::from(&list[..])))
}

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let Some(op) = c.op.strip_prefix("nn.functional.conv") else { return pool(c) };
    let (x, w, b) = (c.var(0, "input")?, c.var(1, "weight")?, c.var_opt(2, "bias")?);
    let mut options = ConvOptions::new();
    if let Some(stride) = sizes(c, 3, "stride")? {
        options = options.stride(stride);
    }
    match c.get(4, "padding") {
        Some(Arg::Text(mode)) if mode == "same" => options = options.padding(Padding::Same),
        Some(Arg::Text(mode)) if mode == "valid" => {}
        Some(Arg::Text(mode)) => return Err(Stop::Unrepresentable(format!("no padding {mode:?}"))),
        _ => {
            if let Some(padding) = sizes(c, 4, "padding")? {
                options = options.padding(padding);
            }
        }
    }
    let transposed = op.starts_with("_transpose");
    let (groups, dilation) = if transposed { (6, 7) } else { (6, 5) };
    if let Some(dilation) = sizes(c, dilation, "dilation")? {
        options = options.dilation(dilation);
    }
    options = options.groups(c.size(groups, "groups", 1)?);
    if transposed && let Some(extra) = sizes(c, 5, "output_padding")? {
        options = options.output_padding(extra);
    }
    one(match op {
        "1d" => x.conv1d(&w, b.as_ref(), &options),
        "2d" => x.conv2d(&w, b.as_ref(), &options),
        "3d" => x.conv3d(&w, b.as_ref(), &options),
        "_transpose1d" => x.conv_transpose1d(&w, b.as_ref(), &options),
        "_transpose2d" => x.conv_transpose2d(&w, b.as_ref(), &options),
        "_transpose3d" => x.conv_transpose3d(&w, b.as_ref(), &options),
        _ => return unknown(),
    })
}

fn pool<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let Some(op) = c.op.strip_prefix("nn.functional.") else { return unknown() };
    let x = || c.var(0, "input");
    // Where the options of average and max pooling stand after kernel, stride and padding.
    let (average, max) = (op.starts_with("avg_pool"), op.starts_with("max_pool"));
    let windows = || {
        let kernel = sizes(c, 1, "kernel_size")?;
        let kernel = kernel.ok_or_else(|| Stop::Unrepresentable("no kernel_size".into()))?;
        let mut options = PoolOptions::new(kernel);
        if let Some(stride) = sizes(c, 2, "stride")? {
            options = options.stride(stride);
        }
        if let Some(padding) = sizes(c, 3, "padding")? {
            options = options.padding(padding);
        }
        if max && let Some(dilation) = sizes(c, 4, "dilation")? {
            options = options.dilation(dilation);
        }
        options = options.ceil_mode(c.flag(if max { 5 } else { 4 }, "ceil_mode", false)?);
        if average {
            options = options.count_include_pad(c.flag(5, "count_include_pad", true)?);
            if let Some(divisor) = c.num_opt(6, "divisor_override")? {
                options = options.divisor_override(divisor);
            }
        }
        Ok::<_, Stop>(options)
    };
    let output_size = || {
        let one = |arg: &Arg<'t, T>| match arg {
            Arg::None => Ok(None),
            Arg::Int(v) => usize::try_from(*v)
                .map(Some)
                .map_err(|_| Stop::Unrepresentable("output_size is negative".into())),
            other => Err(Stop::Unrepresentable(format!("output_size is {}", other.kind()))),
        };
        match c.get(1, "output_size") {
            Some(Arg::List(items)) => items.iter().map(one).collect::<Result<Vec<_>, _>>(),
            Some(size) => Ok(vec![one(size)?]),
            None => Err(Stop::Unrepresentable("no output_size".into())),
        }
    };
    let number = |i, name| sizes(c, i, name)?.ok_or_else(|| Stop::Unrepresentable(format!("no {name}")));
    match op {
        "max_pool1d" | "max_pool2d" => {
            let (y, indices) = if op == "max_pool1d" {
                x()?.max_pool1d_with_indices(&windows()?)
            } else {
                x()?.max_pool2d_with_indices(&windows()?)
            };
            let mut outs = vec![y.into()];
            if c.flag(6, "return_indices", false)? {
                outs.push(indices.into());
            }
            Ok(outs)
        }
        "avg_pool1d" => one(x()?.avg_pool1d(&windows()?)),
        "avg_pool2d" => one(x()?.avg_pool2d(&windows()?)),
        "adaptive_avg_pool1d" => one(x()?.adaptive_avg_pool1d(&output_size()?)),
        "adaptive_avg_pool2d" => one(x()?.adaptive_avg_pool2d(&output_size()?)),
        "adaptive_max_pool2d" => {
            let (y, indices) = x()?.adaptive_max_pool2d(&output_size()?);
            let mut outs = vec![y.into()];
            if c.flag(2, "return_indices", false)? {
                outs.push(indices.into());
            }
            Ok(outs)
        }
        "pixel_shuffle" => one(x()?.pixel_shuffle(c.size(1, "upscale_factor", None)?)),
        "pixel_unshuffle" => one(x()?.pixel_unshuffle(c.size(1, "downscale_factor", None)?)),
        "unfold" => {
            let options = ConvOptions::new().dilation(number(2, "dilation")?).padding(number(3, "padding")?);
            one(x()?.im2col(number(1, "kernel_size")?, &options.stride(number(4, "stride")?)))
        }
        "interpolate.nearest" | "interpolate.bilinear" => {
            let x = x()?;
            let to = match (sizes(c, 1, "size")?, c.num_opt(2, "scale_factor")?) {
                (Some(size), _) => InterpolateTo::Size(size),
                // As if the size had been given.
                (None, Some(scale)) if c.flag(5, "recompute_scale_factor", false)? => {
                    let size = |&s: &usize| (s as f64 * scale).floor() as usize;
                    InterpolateTo::Size(Sizes::from(&x.shape()[2..].iter().map(size).collect::<Vec<_>>()[..]))
                }
                (None, scale) => InterpolateTo::Scale(scale.unwrap_or(f64::NAN)),
            };
            let align_corners = c.flag(4, "align_corners", false)?;
            let linear = InterpolateMode::Linear { align_corners };
            one(x.interpolate(&to, if op.ends_with("nearest") { InterpolateMode::Nearest } else { linear }))
        }
        _ => unknown(),
    }
}
