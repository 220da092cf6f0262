//! The networks of the compression examples: convolutions with pooling, then linear layers; and their files.
#![allow(dead_code)] // Not every example needs all of it.
use crate::Result;
use kolmo::{
    Random, Tape, Tensor, Var,
    compress::{Artifact, Channels, pack, quantize, unpack},
    nn::{Conv2d, Layer, Linear, Param},
    ops::PoolOptions,
};
use serde::Serialize;
use std::path::Path;

/// Convolutions, each followed by ReLU and 2 × 2 max pooling, then linear layers with ReLU between them.
#[derive(Serialize)]
pub struct Net {
    pub convs: Vec<Conv2d>,
    pub layers: Vec<Linear>,
    #[serde(skip)]
    shape: Shape,
}

/// Sides of the images and of the kernels, channels, and sizes of the linear layers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    pub side: usize,
    pub kernel: usize,
    /// Of the input and of each convolution's output; empty without convolutions.
    pub channels: Vec<usize>,
    /// Of the first linear layer's input and of each layer's output.
    pub widths: Vec<usize>,
}

impl Shape {
    /// Linear layers of these widths.
    pub fn mlp(widths: &[usize]) -> Shape {
        Shape { side: widths[0].isqrt(), kernel: 0, channels: Vec::new(), widths: widths.to_vec() }
    }

    /// Convolutions with as many channels, then linear layers of these widths; images of 28 × 28.
    pub fn conv(kernel: usize, channels: &[usize], widths: &[usize]) -> Shape {
        let side = channels.iter().fold(28, |side, _| (side + 1 - kernel) / 2);
        let flat = side * side * channels.last().copied().unwrap_or(0);
        let widths = [&[flat], widths].concat();
        Shape { side: 28, kernel, channels: [&[1], channels].concat(), widths }
    }

    /// Such as `5:1-20-50;800-500-10`.
    fn text(&self) -> String {
        let join = |v: &[usize]| v.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        match self.channels.is_empty() {
            true => join(&self.widths),
            false => format!("{}:{};{}", self.kernel, join(&self.channels), join(&self.widths)),
        }
    }

    fn parse(text: &str) -> Option<Shape> {
        let list = |t: &str| t.split('-').map(|v| v.parse().ok()).collect::<Option<Vec<usize>>>();
        match text.split_once(';') {
            None => list(text).filter(|w| w.len() > 1).map(|w| Shape::mlp(&w)),
            Some((convs, widths)) => {
                let (kernel, channels) = convs.split_once(':')?;
                let (channels, widths) = (list(channels)?, list(widths)?);
                Some(Shape { side: 28, kernel: kernel.parse().ok()?, channels, widths })
            }
        }
    }
}

impl Net {
    pub fn new(shape: Shape, rng: &mut Random) -> Net {
        let convs = shape.channels.windows(2).map(|c| Conv2d::new(c[0], c[1], shape.kernel, rng)).collect();
        let layers = shape.widths.windows(2).map(|w| Linear::new(w[0], w[1], rng)).collect();
        Net { convs, layers, shape }
    }

    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// `[n, side²] -> [n, classes]`; in training, hidden units are dropped with probability `dropout`, inputs
    /// with `first`.
    pub fn forward_dropping<'t>(&self, x: &Var<'t>, first: f64, dropout: f64) -> Var<'t> {
        let mut x = x.dropout(first);
        if !self.convs.is_empty() {
            let side = self.shape.side as isize;
            x = x.reshape([-1, 1, side, side]);
            for conv in &self.convs {
                // The larger of four first: a quarter of the work for ReLU, and the same.
                x = conv.forward(&x).max_pool2d(&PoolOptions::new(2)).relu();
            }
            x = x.flatten(1, -1);
        }
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&if i == 0 { x } else { x.relu().dropout(dropout) });
        }
        x
    }

    /// `[n, side²] -> [n, classes]`
    pub fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        self.forward_dropping(x, 0.0, 0.0)
    }

    /// The same outside of training, a thousand images at a time.
    pub fn scores(&self, images: &Tensor) -> Result<Tensor> {
        let mut rows = Vec::new();
        for start in (0..images.dim(0)).step_by(1000) {
            let part = images.narrow(0, start, 1000.min(images.dim(0) - start))?;
            rows.extend(self.forward(&Tape::inference().constant(part)).to_vec()?);
        }
        let classes = rows.len() / images.dim(0).max(1);
        Ok(Tensor::new([images.dim(0), classes], rows)?)
    }

    /// Weight and bias of each layer, in order.
    fn params(&self) -> Vec<(&Param, Option<&Param>)> {
        let convs = self.convs.iter().map(|conv| (&conv.weight, conv.bias.as_ref()));
        convs.chain(self.layers.iter().map(|layer| (&layer.weight, layer.bias.as_ref()))).collect()
    }

    /// How many numbers there are, and how many of them aren't 0.
    pub fn count(&self) -> Result<(usize, usize)> {
        let (mut all, mut nonzero) = (0, 0);
        for p in self.params().into_iter().flat_map(|(weight, bias)| [Some(weight), bias]).flatten() {
            let values = p.effective()?.to_vec();
            all += values.len();
            nonzero += values.iter().filter(|&&v| v != 0.0).count();
        }
        Ok((all, nonzero))
    }

    /// A network that says the same without channels and units that nothing reads, or that are always 0.
    /// Weights that were settled can change again.
    pub fn trimmed(&self) -> Result<Net> {
        let (params, widths) = (self.params(), self.all_widths());
        let kept = self.alive(&widths)?;
        let (convs, mut shape) = (self.convs.len(), self.shape.clone());
        (0..convs).for_each(|i| shape.channels[i + 1] = kept[i + 1].len());
        for (i, width) in shape.widths.iter_mut().enumerate() {
            *width = *width / widths[convs + i] * kept[convs + i].len();
        }
        let net = Net::new(shape, &mut Random::new(0));
        for (i, ((from, from_bias), (to, to_bias))) in params.iter().zip(net.params()).enumerate() {
            // As [units, units before, numbers for each pair].
            let sizes = |p: &Param| p.shape().iter().map(|&n| n as isize).collect::<Vec<_>>();
            let pairs = from.value().reshape([widths[i + 1] as isize, widths[i] as isize, -1])?;
            let rows = pairs.rows(&kept[i + 1])?.transpose(0, 1)?.contiguous();
            let both = rows.rows(&kept[i])?.transpose(0, 1)?.contiguous();
            give(from, to, both.reshape(sizes(to))?)?;
            if let (Some(from), Some(to)) = (from_bias, to_bias) {
                give(from, to, from.value().rows(&kept[i + 1])?)?;
            }
        }
        Ok(net)
    }

    /// A copy without this share of the channels and hidden units, those whose weights are smallest.
    pub fn narrowed(&self, share: f64) -> Result<Net> {
        let mut net = self.trimmed()?;
        let example = Tensor::zeros([1, net.shape.side * net.shape.side]);
        Channels::trace(&net, &example, |x| net.forward(x))?.shrink(&net, share)?;
        for (width, conv) in net.shape.channels.iter_mut().skip(1).zip(&net.convs) {
            *width = conv.weight.shape()[0];
        }
        for (i, layer) in net.layers.iter().enumerate() {
            let [out, inputs] = layer.weight.shape()[..] else { continue };
            (net.shape.widths[i], net.shape.widths[i + 1]) = (inputs, out);
        }
        Ok(net)
    }

    /// Channels or units of the input and of each layer.
    fn all_widths(&self) -> Vec<usize> {
        let first = self.shape.channels.first().copied().unwrap_or(self.shape.widths[0]);
        [first].into_iter().chain(self.params().iter().map(|(weight, _)| weight.shape()[0])).collect()
    }

    /// Those of each that are fed by a living one or a bias, and read by a living one.
    fn alive(&self, widths: &[usize]) -> Result<Vec<Vec<usize>>> {
        let (mut linked, mut biased) = (Vec::new(), Vec::new());
        for ((weight, bias), pair) in self.params().iter().zip(widths.windows(2)) {
            let nonzero = |p: &Param, each: usize| -> Result<Vec<bool>> {
                Ok(p.effective()?.to_vec().chunks(each).map(|v| v.iter().any(|&v| v != 0.0)).collect())
            };
            linked.push(nonzero(weight, weight.shape().numel() / (pair[0] * pair[1]))?);
            biased.push(bias.map(|bias| nonzero(bias, 1)).transpose()?.unwrap_or(vec![false; pair[1]]));
        }
        let mut alive: Vec<Vec<usize>> = widths.iter().map(|&n| (0..n).collect()).collect();
        loop {
            let before = alive.clone();
            for i in 1..linked.len() {
                let fed = |unit: usize| {
                    biased[i - 1][unit]
                        || alive[i - 1].iter().any(|from| linked[i - 1][unit * widths[i - 1] + from])
                };
                let read = |unit: usize| alive[i + 1].iter().any(|to| linked[i][to * widths[i] + unit]);
                let living: Vec<usize> = alive[i].iter().copied().filter(|&u| fed(u) && read(u)).collect();
                // A layer without units would be none.
                alive[i] = if living.is_empty() { vec![0] } else { living };
            }
            if alive == before {
                return Ok(alive);
            }
        }
    }

    /// Writes the network to a file, from which it can be made again without knowing anything else.
    pub fn save(&self, path: &Path) -> Result<()> {
        Ok(pack(self, &[("sizes", &self.shape.text())])?.save(path)?)
    }

    /// The network in a file.
    pub fn load(path: &Path) -> Result<Net> {
        let artifact = Artifact::load(path)?;
        let text = artifact.meta.get("sizes").map(String::as_str).unwrap_or_default();
        let shape = Shape::parse(text).ok_or_else(|| format!("{}: sizes {text:?}", path.display()))?;
        let net = Net::new(shape, &mut Random::new(0));
        unpack(&artifact, &net)?;
        // Packed weights are codes alone: steps and codebooks are there again to be trained on.
        quantize::thaw(&net);
        Ok(net)
    }
}

/// Gives a parameter a value, and the step size of another.
fn give(from: &Param, to: &Param, value: Tensor) -> Result<()> {
    to.set(value);
    if let Some(steps) = from.steps().filter(|steps| steps.group == 0) {
        to.set_steps(steps.bits, 0, steps.sizes.value())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kolmo::compress::{all_params, quantize::Quantizer};

    #[test]
    fn whole_numbers_of_a_file_can_be_trained_again() -> Result<()> {
        let net = Net::new(Shape::mlp(&[64, 12, 10]), &mut Random::new(0));
        Quantizer::new(4).attach(&net, all_params)?;
        quantize::convert(&net)?;
        let path = std::env::temp_dir().join(format!("kolmo-net-{}.kolmo", std::process::id()));
        net.save(&path)?;
        let loaded = Net::load(&path)?;
        std::fs::remove_file(&path)?;
        let images = Tensor::from_fn([3, 64], |i| (i % 7) as f32);
        assert_eq!(loaded.scores(&images)?.to_vec(), net.scores(&images)?.to_vec());
        let free = loaded.trimmed()?;
        for (weight, _) in free.params() {
            assert!(weight.is_trainable() && weight.steps().is_some() && weight.codebook().is_none());
        }
        Ok(())
    }
}
