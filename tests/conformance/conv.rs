//! Convolutions: PyTorch's calls as the library's.
use crate::case::{Arg, Call, Outs, Stop, one, unknown};
use kolmo::{ConvOptions, Float, Padding, Sizes};

/// Numbers for each axis, or one for all; `None` if they aren't given.
fn sizes<T: Float>(c: &Call<'_, T>, i: usize, name: &str) -> Result<Option<Sizes>, Stop> {
    let Some(list) = c.dims(i, name)? else { return Ok(None) };
    let whole = |v: &isize| usize::try_from(*v);
    let list = list.iter().map(whole).collect::<Result<Vec<usize>, _>>();
    let list = list.map_err(|_| Stop::Unrepresentable(format!("{name} is negative")))?;
    Ok(Some(Sizes::from(&list[..])))
}

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let Some(op) = c.op.strip_prefix("nn.functional.conv") else { return unknown() };
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
