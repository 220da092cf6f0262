//! Convolution, pooling, and pictures resized.
use super::{
    call::{Call, Run, Values, float},
    layout::sizes_of,
};
use crate::{
    error::Checked,
    onnx::{
        proto::Attribute,
        value::{Movable, Value, sound},
    },
    ops::{ConvOptions, Pad, PoolOptions},
    tape::Var,
    tensor::{Shape, Tensor},
};

pub(super) const OPERATORS: &[(&str, Run)] = &[
    ("AveragePool", average_pool),
    ("Conv", conv),
    ("ConvTranspose", conv_transpose),
    ("GlobalAveragePool", |c| {
        let x = c.float(0)?;
        let axes: Vec<isize> = (2..x.rank() as isize).collect();
        float(x.mean_dim(&axes, true))
    }),
    ("GlobalMaxPool", |c| {
        let x = c.float(0)?;
        let axes: Vec<isize> = (2..x.rank() as isize).collect();
        float(x.amax_dim(&axes, true))
    }),
    ("MaxPool", max_pool),
    ("Resize", resize),
    ("Upsample", resize),
];

/// The windows of a node.
struct Windows {
    kernel: Vec<usize>,
    stride: Vec<usize>,
    dilation: Vec<usize>,
    /// What is added before and after each axis.
    before: Vec<usize>,
    after: Vec<usize>,
}

impl Windows {
    fn of(c: &Call<'_, '_>, shape: &Shape, kernel: Option<&[usize]>) -> Checked<Windows> {
        let axes = shape.rank().checked_sub(2).filter(|axes| (1..=3).contains(axes));
        let axes =
            axes.ok_or_else(|| format!("takes [n, channels, …] with 1 to 3 axes more, not {shape}"))?;
        let kernel = match kernel {
            Some(kernel) => kernel.to_vec(),
            None => c.sizes("kernel_shape", axes, 1)?,
        };
        let (stride, dilation) = (c.sizes("strides", axes, 1)?, c.sizes("dilations", axes, 1)?);
        if kernel.len() != axes || [&kernel, &stride, &dilation].iter().any(|list| list.contains(&0)) {
            return Err(format!(
                "kernel {kernel:?}, strides {stride:?} and dilations {dilation:?} don't fit {shape}"
            ));
        }
        let auto = c.text_or("auto_pad", "NOTSET");
        let (mut before, mut after) = (vec![0; axes], vec![0; axes]);
        match auto {
            "NOTSET" | "" => {
                let pads = c.sizes("pads", 2 * axes, 0)?;
                before.copy_from_slice(&pads[..axes]);
                after.copy_from_slice(&pads[axes..]);
            }
            "VALID" => {}
            "SAME_UPPER" | "SAME_LOWER" => {
                for i in 0..axes {
                    let (size, span) = (shape[i + 2], dilation[i] * (kernel[i] - 1) + 1);
                    let all = ((size.div_ceil(stride[i]).max(1) - 1) * stride[i] + span).saturating_sub(size);
                    let (less, more) = (all / 2, all - all / 2);
                    (before[i], after[i]) = if auto == "SAME_UPPER" { (less, more) } else { (more, less) };
                }
            }
            other => return Err(format!("auto_pad {other} isn't known")),
        }
        Ok(Windows { kernel, stride, dilation, before, after })
    }

    /// What must be added at the ends before windows with the same padding on both are laid out.
    fn uneven(&mut self) -> Option<Vec<isize>> {
        if self.before == self.after {
            return None;
        }
        let ends = self.before.iter().zip(&self.after).rev();
        let list = ends.flat_map(|(&before, &after)| [before as isize, after as isize]).collect();
        self.before.fill(0);
        self.after.fill(0);
        Some(list)
    }

    fn conv(&self, groups: usize) -> ConvOptions {
        ConvOptions::new()
            .stride(&self.stride[..])
            .padding(&self.before[..])
            .dilation(&self.dilation[..])
            .groups(groups)
    }
}

fn groups(c: &Call<'_, '_>) -> Checked<usize> {
    match c.int_or("group", 1) {
        n @ 1..=0xffff_ffff => Ok(n as usize),
        n => Err(format!("group is {n}")),
    }
}

fn conv<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let (mut x, w, bias) = (c.float(0)?, c.float(1)?, c.optional_float(2)?);
    let mut windows = Windows::of(c, x.shape(), Some(w.shape().get(2..).unwrap_or_default()))?;
    if let Some(ends) = windows.uneven() {
        x = x.pad(&ends, Pad::Constant(0.0));
    }
    let (options, bias) = (windows.conv(groups(c)?), bias.as_ref());
    float(match windows.kernel.len() {
        1 => x.conv1d(&w, bias, &options),
        2 => x.conv2d(&w, bias, &options),
        _ => x.conv3d(&w, bias, &options),
    })
}

fn conv_transpose<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let (x, w, bias) = (c.float(0)?, c.float(1)?, c.optional_float(2)?);
    if !matches!(c.text_or("auto_pad", "NOTSET"), "NOTSET" | "" | "VALID") {
        return Err("auto_pad isn't done here".into());
    }
    let mut windows = Windows::of(c, x.shape(), Some(w.shape().get(2..).unwrap_or_default()))?;
    let axes = windows.kernel.len();
    let mut extra = c.sizes("output_padding", axes, 0)?;
    if let Some(wanted) = c.ints("output_shape") {
        let wanted = &wanted[wanted.len().saturating_sub(axes)..];
        for (i, extra) in extra.iter().enumerate() {
            let size =
                wanted.get(i).and_then(|&n| usize::try_from(n).ok()).ok_or("output_shape doesn't fit")?;
            let span = windows.dilation[i] * (windows.kernel[i] - 1) + 1;
            let whole = windows.stride[i] * (x.shape()[i + 2].max(1) - 1) + extra + span;
            let all =
                whole.checked_sub(size).ok_or_else(|| format!("output_shape {size} is more than {whole}"))?;
            (windows.before[i], windows.after[i]) = (all / 2, all - all / 2);
        }
    }
    // What only one end loses is cut off afterwards.
    let mut cut = vec![0isize; axes];
    for (i, extra) in extra.iter_mut().enumerate() {
        let (before, after) = (windows.before[i], windows.after[i]);
        if before > after {
            *extra += before - after;
            if *extra >= windows.stride[i].max(windows.dilation[i]) {
                return Err(format!("pads {before} and {after} of one axis aren't done here"));
            }
        } else {
            cut[i] = before as isize - after as isize;
        }
    }
    let options = windows.conv(groups(c)?).output_padding(&extra[..]);
    let bias = bias.as_ref();
    let y = match axes {
        1 => x.conv_transpose1d(&w, bias, &options),
        2 => x.conv_transpose2d(&w, bias, &options),
        _ => x.conv_transpose3d(&w, bias, &options),
    };
    let list: Vec<isize> = cut.iter().rev().flat_map(|&cut| [0, cut]).collect();
    float(if cut.iter().all(|&cut| cut == 0) { y } else { y.pad(&list, Pad::Constant(0.0)) })
}

/// Windows of a pooling, of an input that is longer by what only one end has, and by what `ceil_mode` reads beyond.
fn pooled<'t>(c: &Call<'_, 't>, x: &Var<'t, f32>, fill: f64) -> Checked<(Var<'t, f32>, PoolOptions, usize)> {
    let mut windows = Windows::of(c, x.shape(), None)?;
    let ceil = c.int_or("ceil_mode", 0) != 0;
    let wide = (0..windows.kernel.len())
        .any(|i| windows.before[i] > (windows.dilation[i] * (windows.kernel[i] - 1)).div_ceil(2));
    let mut x = x.clone();
    if wide && windows.before == windows.after {
        windows.after.push(0);
    }
    if windows.before != windows.after {
        windows.after.truncate(windows.kernel.len());
        let ends = windows.before.iter().zip(&windows.after).rev();
        let list: Vec<isize> = ends.flat_map(|(&before, &after)| [before as isize, after as isize]).collect();
        windows.before.fill(0);
        x = x.pad(&list, Pad::Constant(fill));
    }
    let options = PoolOptions::new(&windows.kernel[..])
        .stride(&windows.stride[..])
        .padding(&windows.before[..])
        .dilation(&windows.dilation[..])
        .ceil_mode(ceil);
    Ok((x, options, windows.kernel.len()))
}

fn max_pool<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    if c.node.outputs.iter().skip(1).any(|name| !name.is_empty()) {
        return Err("positions as a result aren't given here".into());
    }
    let x = c.float(0)?;
    let (x, options, axes) = pooled(c, &x, f64::NEG_INFINITY)?;
    float(match axes {
        1 => x.max_pool1d(&options),
        2 => x.max_pool2d(&options),
        _ => return Err("windows along three axes aren't done here".into()),
    })
}

fn average_pool<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let x = c.float(0)?;
    let all = c.int_or("count_include_pad", 0) != 0;
    if all && c.int_or("ceil_mode", 0) != 0 {
        return Err("ceil_mode together with count_include_pad isn't done here".into());
    }
    if c.sizes("dilations", x.rank().saturating_sub(2), 1)?.iter().any(|&d| d != 1) {
        return Err("dilations of means aren't done here".into());
    }
    if x.rank() > 4 {
        return Err("windows along three axes aren't done here".into());
    }
    let mean = |x: &Var<'t, f32>, options: &PoolOptions, axes: usize| match axes {
        1 => x.avg_pool1d(options),
        _ => x.avg_pool2d(options),
    };
    let (padded, options, axes) = pooled(c, &x, 0.0)?;
    let y = mean(&padded, &options.clone().count_include_pad(all), axes);
    if all || padded.shape() == x.shape() {
        return float(y);
    }
    // Of windows that reach into uneven padding: by the number of elements that are there.
    let ones = c.constant(Tensor::ones(x.shape()));
    let (ones, options, axes) = pooled(c, &ones, 0.0)?;
    let there = mean(&ones, &options.count_include_pad(false), axes);
    float(y / there)
}

fn resize<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let x = c.float(0)?;
    let (rank, given) = (x.rank(), if c.opset >= 11 { 2 } else { 1 });
    let scales = match c.given(given) {
        Some(Value::Float(v)) => v.tensor().list()?,
        _ => match c.node.attribute("scales") {
            Some(Attribute::Floats(v)) => v.clone(),
            _ => Vec::new(),
        },
    };
    let sizes: Vec<usize> = if let Some(sizes) = c.optional_list(3)?.filter(|sizes| !sizes.is_empty()) {
        sizes_of(&sizes)?.to_vec()
    } else {
        let scaled = |(&n, &s): (&usize, &f32)| (n as f64 * f64::from(s)).floor() as i64;
        sizes_of(&x.shape().iter().zip(&scales).map(scaled).collect::<Vec<_>>())?.to_vec()
    };
    if sizes.len() != rank || rank < 3 || sizes[..2] != x.shape()[..2] || x.numel() == 0 {
        return Err(format!(
            "sizes {sizes:?} don't fit {}: axes behind the first two are resized",
            x.shape()
        ));
    }
    let corners =
        c.text_or("coordinate_transformation_mode", if c.opset >= 11 { "half_pixel" } else { "asymmetric" });
    let round = c.text_or("nearest_mode", if c.opset >= 11 { "round_prefer_floor" } else { "floor" });
    let (nearest, mut y) = (c.text_or("mode", "nearest") == "nearest", x.clone());
    if !nearest && c.text_or("mode", "nearest") != "linear" {
        return Err(format!("mode {}: nearest and linear are done here", c.text_or("mode", "")));
    }
    for (axis, &out) in sizes.iter().enumerate().skip(2) {
        let n = x.shape()[axis];
        let scale = match scales.get(axis) {
            Some(&s) if c.given(3).is_none() => f64::from(s),
            _ => out as f64 / n as f64,
        };
        let at = |o: usize| {
            let o = o as f64;
            Ok(match corners {
                "half_pixel" => (o + 0.5) / scale - 0.5,
                "pytorch_half_pixel" => {
                    if out > 1 {
                        (o + 0.5) / scale - 0.5
                    } else {
                        0.0
                    }
                }
                "asymmetric" => o / scale,
                "align_corners" => {
                    if out > 1 {
                        o * (n - 1) as f64 / (scale * n as f64 - 1.0)
                    } else {
                        0.0
                    }
                }
                other => return Err(format!("coordinate_transformation_mode {other} isn't known")),
            })
        };
        let places = (0..out).map(at).collect::<Checked<Vec<f64>>>()?;
        let inside = |v: f64| v.clamp(0.0, (n - 1) as f64) as u32;
        if nearest {
            let whole = |v: &f64| {
                Ok(inside(match round {
                    "round_prefer_floor" => (v - 0.5).ceil(),
                    "round_prefer_ceil" => (v + 0.5).floor(),
                    "floor" => v.floor(),
                    "ceil" => v.ceil(),
                    other => return Err(format!("nearest_mode {other} isn't known")),
                }))
            };
            let index = places.iter().map(whole).collect::<Checked<Vec<u32>>>()?;
            y = y.picked(axis, &Tensor::from(index))?;
        } else {
            let low = |v: &f64| inside(v.clamp(0.0, (n - 1) as f64).floor());
            let index: Vec<u32> = places.iter().map(low).collect();
            let next: Vec<u32> = index.iter().map(|&i| (i + 1).min(n as u32 - 1)).collect();
            let mut column = vec![1; rank - axis];
            column[0] = out;
            let share = |i: usize| (places[i].clamp(0.0, (n - 1) as f64) - f64::from(index[i])) as f32;
            let share = c.constant(Tensor::from_fn(column, share));
            let (a, b) =
                (y.picked(axis, &Tensor::from(index.clone()))?, y.picked(axis, &Tensor::from(next))?);
            y = sound(&a + (b - &a) * share)?;
        }
    }
    float(y)
}
