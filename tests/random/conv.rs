//! Convolution, pooling, images made larger and smaller.
use super::{
    arr::{Arr, axis, indices},
    number::{N, n, near},
    program::{Gen, Op, mean, op, sum},
    views::unsqueeze,
};
use kolmo::ops::{ConvOptions, InterpolateMode, InterpolateTo, PoolOptions};

/// One axis of windows: how many, and where element `k` of window `o` lies, if it isn't padding.
#[derive(Clone, Debug)]
struct Windows {
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
}

impl Windows {
    fn random(g: &mut Gen, size: usize, most: usize, pool: bool) -> Option<Windows> {
        let kernel = g.int(1, 3);
        let padding = if pool { g.int(0, kernel / 2) } else { g.int(0, 2) };
        let w = Windows { size, kernel, stride: g.int(1, most), padding, dilation: g.int(1, most) };
        (size + 2 * padding > w.dilation * (kernel - 1)).then_some(w)
    }

    fn count(&self, ceil: bool) -> usize {
        let room = self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1;
        if !ceil {
            return room / self.stride + 1;
        }
        let count = room.div_ceil(self.stride) + 1;
        // The last one starts in the input or before it.
        if (count - 1) * self.stride >= self.size + self.padding { count - 1 } else { count }
    }

    fn place(&self, o: usize, k: usize) -> Option<usize> {
        (o * self.stride + k * self.dilation).checked_sub(self.padding).filter(|&i| i < self.size)
    }
}

fn list(w: &[Windows], f: impl Fn(&Windows) -> usize) -> Vec<usize> {
    w.iter().map(f).collect()
}

fn places(w: &[Windows], o: &[usize], k: &[usize]) -> Option<Vec<usize>> {
    w.iter().zip(o).zip(k).map(|((w, &o), &k)| w.place(o, k)).collect()
}

/// `[n, in, …]` with `[out, in / groups, …]`.
fn convolve(x: &Arr, w: &Arr, bias: Option<&Arr>, windows: &[Windows], groups: usize) -> Arr {
    let (outs, ins) = (w.shape[0], w.shape[1]);
    let kernels = indices(&w.shape[2..]);
    let shape = [&[x.shape[0], outs], &list(windows, |w| w.count(false))[..]].concat();
    Arr::build(&shape, |i| {
        let first = i[1] / (outs / groups) * ins;
        let mut y = bias.map_or(n(0.0), |b| b.at(&[i[1]]));
        for k in &kernels {
            if let Some(at) = places(windows, &i[2..], k) {
                for c in 0..ins {
                    y = y + x.at(&[&[i[0], first + c], &at[..]].concat())
                        * w.at(&[&[i[1], c], &k[..]].concat());
                }
            }
        }
        y
    })
}

/// Every element of `[n, in, …]` spread over a window of the output by `[in, out / groups, …]`.
fn transposed(x: &Arr, w: &Arr, bias: Option<&Arr>, windows: &[Windows], groups: usize) -> Arr {
    let (ins, outs) = (x.shape[1], w.shape[1]);
    let shape = [&[x.shape[0], outs * groups], &list(windows, |w| w.size)[..]].concat();
    let mut y = Arr::build(&shape, |i| bias.map_or(n(0.0), |b| b.at(&[i[1]])));
    let (kernels, all) = (indices(&w.shape[2..]), indices(&shape));
    for i in indices(&x.shape) {
        for k in &kernels {
            let Some(at) = places(windows, &i[2..], k) else { continue };
            for c in 0..outs {
                let to = [&[i[0], i[1] / (ins / groups) * outs + c], &at[..]].concat();
                let term = x.at(&i) * w.at(&[&[i[1], c], &k[..]].concat());
                if let Ok(place) = all.binary_search(&to) {
                    y.data[place] = y.data[place] + term;
                }
            }
        }
    }
    y
}

fn convolutions(ops: &mut Vec<Op>, axes: usize, name: &'static str, back: bool) {
    op(ops, name, move |g| {
        let groups = if g.chance(40) { g.int(2, 3) } else { 1 };
        let (inner, outs) = (g.int(1, 3), g.int(1, 3));
        let mut shape = vec![g.int(1, 3), inner * groups];
        shape.extend((0..axes).map(|_| g.int(1, [9, 5, 4][axes - 1])));
        let mut windows = Vec::new();
        for &size in &shape[2..] {
            windows.push(Windows::random(g, size, 2, false)?);
        }
        let mut extra = vec![0; axes];
        if back {
            // The windows are those of the output, whose size follows.
            for (w, extra) in windows.iter_mut().zip(&mut extra) {
                *extra = g.int(0, w.stride.max(w.dilation) - 1);
                let size = (w.size - 1) * w.stride + w.dilation * (w.kernel - 1) + *extra + 1;
                w.size = size.checked_sub(2 * w.padding).filter(|&s| s > 0)?;
            }
        }
        let kernel = list(&windows, |w| w.kernel);
        let weight = match back {
            true => [&[inner * groups, outs], &kernel[..]].concat(),
            false => [&[outs * groups, inner], &kernel[..]].concat(),
        };
        let mut operands = vec![g.of(&shape), g.of(&weight)];
        if g.chance(50) {
            operands.push(g.of(&[outs * groups]));
        }
        let options = ConvOptions::new()
            .stride(&list(&windows, |w| w.stride)[..])
            .padding(&list(&windows, |w| w.padding)[..])
            .dilation(&list(&windows, |w| w.dilation)[..])
            .groups(groups);
        let options = if back { options.output_padding(&extra[..]) } else { options };
        let text = format!("$0.{name}($1, bias $2, {options:?})");
        g.emit(
            text,
            &operands,
            move |v| match (axes, back) {
                (1, false) => v[0].conv1d(&v[1], v.get(2), &options),
                (2, false) => v[0].conv2d(&v[1], v.get(2), &options),
                (_, false) => v[0].conv3d(&v[1], v.get(2), &options),
                (1, true) => v[0].conv_transpose1d(&v[1], v.get(2), &options),
                (2, true) => v[0].conv_transpose2d(&v[1], v.get(2), &options),
                (_, true) => v[0].conv_transpose3d(&v[1], v.get(2), &options),
            },
            move |a| match back {
                false => convolve(a[0], a[1], a.get(2).copied(), &windows, groups),
                true => transposed(a[0], a[1], a.get(2).copied(), &windows, groups),
            },
        )?;
        Some(())
    });
}

/// Windows over the last axes, each a list of what lies in them, with how many places they have up to the
/// padding's end.
fn pooled(x: &Arr, windows: &[Windows], ceil: bool, f: impl Fn(&[N], usize) -> N) -> Arr {
    let lead = x.rank() - windows.len();
    let shape = [&x.shape[..lead], &list(windows, |w| w.count(ceil))[..]].concat();
    let kernels = indices(&list(windows, |w| w.kernel));
    Arr::build(&shape, |i| {
        let inside = kernels.iter().filter_map(|k| places(windows, &i[lead..], k));
        let found: Vec<N> = inside.map(|at| x.at(&[&i[..lead], &at[..]].concat())).collect();
        let room = |(w, &o): (&Windows, &usize)| w.kernel.min(w.size + 2 * w.padding - o * w.stride);
        f(&found, windows.iter().zip(&i[lead..]).map(room).product())
    })
}

fn max(x: &[N]) -> N {
    if x.is_empty() {
        // Nothing but padding: refused.
        near(0.0);
    }
    x.iter().copied().reduce(N::max).unwrap_or_default()
}

fn pools(ops: &mut Vec<Op>, axes: usize, name: &'static str, largest: bool) {
    op(ops, name, move |g| {
        let x = g.any(axes + 1, axes + 2);
        let shape = g.shape(x);
        let mut windows = Vec::new();
        for &size in &shape[shape.len() - axes..] {
            let w = Windows::random(g, size, 3, true)?;
            let dilation = if largest { w.dilation } else { 1 };
            windows.push(Windows { dilation, ..w });
        }
        let fits = |w: &Windows| w.size + 2 * w.padding > w.dilation * (w.kernel - 1);
        if !windows.iter().all(fits) {
            return None;
        }
        let (ceil, count_pad, divisor) = (g.chance(30), g.chance(50), g.chance(20).then_some(2.5));
        let options = PoolOptions::new(&list(&windows, |w| w.kernel)[..])
            .stride(&list(&windows, |w| w.stride)[..])
            .padding(&list(&windows, |w| w.padding)[..])
            .ceil_mode(ceil);
        let options = match (largest, divisor) {
            (true, _) => options.dilation(&list(&windows, |w| w.dilation)[..]),
            (_, Some(d)) if axes > 1 => options.divisor_override(d),
            _ => options.count_include_pad(count_pad),
        };
        let text = format!("$0.{name}({options:?})");
        let definition = move |a: &[&Arr]| {
            pooled(a[0], &windows, ceil, |x, room| match (largest, divisor) {
                (true, _) => max(x),
                (_, Some(d)) if axes > 1 => sum(x) / d,
                _ => sum(x) / (if count_pad { room } else { x.len() }) as f64,
            })
        };
        g.emit(
            text,
            &[x],
            move |v| match (axes, largest) {
                (1, true) if name.ends_with("indices") => v[0].max_pool1d_with_indices(&options).0,
                (_, true) if name.ends_with("indices") => v[0].max_pool2d_with_indices(&options).0,
                (1, true) => v[0].max_pool1d(&options),
                (_, true) => v[0].max_pool2d(&options),
                (1, false) => v[0].avg_pool1d(&options),
                (_, false) => v[0].avg_pool2d(&options),
            },
            definition,
        )?;
        Some(())
    });
}

fn adaptive(ops: &mut Vec<Op>, axes: usize, name: &'static str, largest: bool) {
    op(ops, name, move |g| {
        let x = g.any(axes + 1, axes + 2);
        let counts: Vec<usize> = (0..axes).map(|_| g.int(1, 4)).collect();
        let sizes: Vec<Option<usize>> = counts.iter().map(|&c| Some(c)).collect();
        let text = format!("$0.{name}({counts:?})");
        let definition = move |a: &[&Arr]| {
            let lead = a[0].rank() - axes;
            let shape = [&a[0].shape[..lead], &counts[..]].concat();
            Arr::build(&shape, |i| {
                let mut all = vec![i[..lead].to_vec()];
                for (j, &count) in counts.iter().enumerate() {
                    let (size, o) = (a[0].shape[lead + j], i[lead + j]);
                    let (low, high) = (o * size / count, ((o + 1) * size).div_ceil(count));
                    all =
                        all.iter().flat_map(|h| (low..high).map(move |k| [&h[..], &[k]].concat())).collect();
                }
                let found: Vec<N> = all.iter().map(|at| a[0].at(at)).collect();
                if largest { max(&found) } else { mean(&found) }
            })
        };
        g.emit(
            text,
            &[x],
            move |v| match (axes, largest) {
                (1, true) => v[0].adaptive_max_pool1d(&sizes).0,
                (_, true) => v[0].adaptive_max_pool2d(&sizes).0,
                (1, false) => v[0].adaptive_avg_pool1d(&sizes),
                (_, false) => v[0].adaptive_avg_pool2d(&sizes),
            },
            definition,
        )?;
        Some(())
    });
}

/// Along one axis: places and weights of the two neighbours of each output.
fn resized(x: &Arr, at: usize, out: usize, scale: f64, mode: InterpolateMode) -> Arr {
    let size = x.shape[at];
    let mut shape = x.shape.clone();
    shape[at] = out;
    Arr::build(&shape, |i| {
        let place = |p: usize| {
            let mut from = i.to_vec();
            from[at] = p.min(size - 1);
            x.at(&from)
        };
        let o = i[at] as f64;
        let t = match mode {
            InterpolateMode::Nearest => return place((i[at] as f32 * scale as f32).floor() as usize),
            InterpolateMode::Linear { align_corners: true } if out == 1 => 0.0,
            InterpolateMode::Linear { align_corners: true } => o * (size - 1) as f64 / (out - 1) as f64,
            InterpolateMode::Linear { .. } => ((o + 0.5) * scale - 0.5).max(0.0),
            new => unimplemented!("{new:?}"),
        };
        let part = t - t.floor();
        place(t as usize) * (1.0 - part) + place(t as usize + 1) * part
    })
}

pub fn ops(list: &mut Vec<Op>) {
    convolutions(list, 1, "conv1d", false);
    convolutions(list, 2, "conv2d", false);
    convolutions(list, 3, "conv3d", false);
    convolutions(list, 1, "conv_transpose1d", true);
    convolutions(list, 2, "conv_transpose2d", true);
    convolutions(list, 3, "conv_transpose3d", true);
    pools(list, 1, "max_pool1d", true);
    pools(list, 2, "max_pool2d", true);
    pools(list, 1, "max_pool1d_with_indices", true);
    pools(list, 2, "max_pool2d_with_indices", true);
    pools(list, 1, "avg_pool1d", false);
    pools(list, 2, "avg_pool2d", false);
    adaptive(list, 1, "adaptive_max_pool1d", true);
    adaptive(list, 2, "adaptive_max_pool2d", true);
    adaptive(list, 1, "adaptive_avg_pool1d", false);
    adaptive(list, 2, "adaptive_avg_pool2d", false);
    op(list, "interpolate", |g| {
        let x = g.any(3, 5);
        let shape = g.shape(x);
        let align_corners = g.chance(50);
        let mode = g.choose(&[InterpolateMode::Nearest, InterpolateMode::Linear { align_corners }]);
        let sizes: Vec<usize> = shape[2..].iter().map(|_| g.int(1, 5)).collect();
        let named = sizes.clone();
        let definition = move |a: &[&Arr]| {
            named.iter().enumerate().fold(a[0].clone(), |x, (i, &out)| {
                let scale = x.shape[i + 2] as f64 / out as f64;
                resized(&x, i + 2, out, scale, mode)
            })
        };
        let to = InterpolateTo::Size((&sizes[..]).into());
        g.emit(
            format!("$0.interpolate({to:?}, {mode:?})"),
            &[x],
            move |v| v[0].interpolate(&to, mode),
            definition,
        )?;
        Some(())
    });
    for (name, up) in [("pixel_shuffle", true), ("pixel_unshuffle", false)] {
        op(list, name, move |g| {
            let (c, h, w, r) = (g.int(1, 2), g.int(1, 3), g.int(1, 3), g.int(1, 2));
            let (small, large) = ([c * r * r, h, w], [c, h * r, w * r]);
            let lead: Vec<usize> = (0..g.int(0, 1)).map(|_| 2).collect();
            let x = g.of(&[&lead[..], if up { &small } else { &large }].concat());
            let shape = [&lead[..], if up { &large } else { &small }].concat();
            let definition = move |a: &[&Arr]| {
                Arr::build(&shape, |i| {
                    let (lead, [c, y, x]) =
                        (&i[..i.len() - 3], [i[i.len() - 3], i[i.len() - 2], i[i.len() - 1]]);
                    let from = match up {
                        true => [c * r * r + y % r * r + x % r, y / r, x / r],
                        false => [c / (r * r), y * r + c / r % r, x * r + c % r],
                    };
                    a[0].at(&[lead, &from].concat())
                })
            };
            let text = format!("$0.{name}({r})");
            match up {
                true => g.emit(text, &[x], move |v| v[0].pixel_shuffle(r), definition)?,
                false => g.emit(text, &[x], move |v| v[0].pixel_unshuffle(r), definition)?,
            };
            Some(())
        });
    }
    op(list, "im2col", |g| {
        let x = g.any(4, 4);
        let shape = g.shape(x);
        let w = Windows::random(g, shape[2], 2, false)?;
        let v = Windows { size: shape[3], ..w.clone() };
        if v.size + 2 * v.padding <= v.dilation * (v.kernel - 1) {
            return None;
        }
        let (k, d, p, s) = (w.kernel, w.dilation, w.padding, w.stride);
        let windows = [w, v];
        let definition = move |a: &[&Arr]| {
            let outs = list_counts(&windows);
            let shape = [a[0].shape[0], a[0].shape[1] * k * k, outs[0] * outs[1]];
            Arr::build(&shape, |i| {
                let (at, o) = ([i[1] / k % k, i[1] % k], [i[2] / outs[1], i[2] % outs[1]]);
                let found = places(&windows, &o, &at);
                found.map_or(n(0.0), |at| a[0].at(&[&[i[0], i[1] / (k * k)], &at[..]].concat()))
            })
        };
        g.emit(
            format!("$0.im2col({k}, {d}, {p}, {s})"),
            &[x],
            move |v| v[0].im2col(k, &ConvOptions::new().dilation(d).padding(p).stride(s)),
            definition,
        )?;
        Some(())
    });
    op(list, "unfold", |g| {
        let x = g.any(1, 3);
        let d = g.axis(x);
        let (size, step) = (g.int(1, g.values[x].dim(d)), g.int(1, 3));
        g.small(g.values[x].data.len() * size)?;
        let definition = move |a: &[&Arr]| {
            let at = axis(d, a[0].rank());
            let mut shape = unsqueeze(a[0], a[0].rank()).shape;
            shape[at] = (a[0].shape[at] - size) / step + 1;
            shape[a[0].rank()] = size;
            Arr::build(&shape, |i| {
                let mut from = i[..i.len() - 1].to_vec();
                from[at] = i[at] * step + i[i.len() - 1];
                a[0].at(&from)
            })
        };
        g.emit(
            format!("$0.unfold({d}, {size}, {step})"),
            &[x],
            move |v| v[0].unfold(d, size, step),
            definition,
        )?;
        Some(())
    });
}

fn list_counts(w: &[Windows]) -> Vec<usize> {
    list(w, |w| w.count(false))
}
