//! A small network for images, laid out by a line of text, which its file keeps.
use crate::Result;
use kolmo::{
    Random, Tape, Tensor, Var,
    compress::{Artifact, pack, quantize, unpack},
    nn::{Conv2d, Layer, Linear, Param},
    ops::{ConvOptions, PoolOptions},
};
use serde::Serialize;
use std::path::Path;

/// Convolutions as the plan has them, then a linear layer.
#[derive(Serialize)]
pub struct Reader {
    convs: Vec<Conv2d>,
    last: Linear,
    #[serde(skip)]
    plan: String,
}

/// What a word of the plan stands for.
#[derive(Clone, Copy)]
enum Part {
    /// `3@32`, in front: images of so many colours and this side.
    Images(usize, usize),
    /// `5x8`: a convolution, its kernel and channels.
    Conv(usize, usize),
    /// `d3`: each channel convolved by itself.
    Each(usize),
    /// `r`
    Relu,
    /// `p`: the largest of 2 × 2.
    Pool,
    /// `m`: the mean of each channel.
    Mean,
}

/// Colours and side of the images that a plan is for which doesn't say so.
const IMAGES: (usize, usize) = (1, 28);
const CLASSES: usize = 10;

/// A plan for images of so many colours and this side, if that isn't in it.
pub fn plan_for(plan: &str, (colours, side): (usize, usize)) -> String {
    if (colours, side) == IMAGES { plan.to_string() } else { format!("{colours}@{side} {plan}") }
}

fn parts(plan: &str) -> Result<Vec<Part>> {
    let part = |word: &str| match word {
        "r" => Some(Part::Relu),
        "p" => Some(Part::Pool),
        "m" => Some(Part::Mean),
        _ => match (word.strip_prefix('d'), word.split_once('x'), word.split_once('@')) {
            (Some(kernel), ..) => Some(Part::Each(kernel.parse().ok()?)),
            (_, Some((kernel, channels)), _) => {
                Some(Part::Conv(kernel.parse().ok()?, channels.parse().ok()?))
            }
            (.., Some((colours, side))) => Some(Part::Images(colours.parse().ok()?, side.parse().ok()?)),
            _ => None,
        },
    };
    let read = |word| part(word).ok_or_else(|| format!("{word:?} is none of 5x8, d3, r, p and m").into());
    plan.split(' ').map(read).collect()
}

/// Colours and side of a plan's images.
fn images(parts: &[Part]) -> (usize, usize) {
    match parts.first() {
        Some(Part::Images(colours, side)) => (*colours, *side),
        _ => IMAGES,
    }
}

impl Reader {
    /// Of a plan such as `5x8 p r d3 1x16 r m`.
    pub fn new(plan: &str, rng: &mut Random) -> Result<Reader> {
        let parts = parts(plan)?;
        let ((mut channels, mut side), mut convs) = (images(&parts), Vec::new());
        for (i, part) in parts.into_iter().enumerate() {
            match part {
                Part::Images(..) if i > 0 => {
                    return Err(format!("{plan:?} says what images are like behind its first word").into());
                }
                Part::Conv(kernel, to) => {
                    convs.push(Conv2d::new(channels, to, kernel, rng));
                    (channels, side) = (to, (side + 1).saturating_sub(kernel));
                }
                Part::Each(kernel) => {
                    // What follows has a bias.
                    let options = ConvOptions::new().groups(channels);
                    let mut conv = Conv2d::with_options(channels, channels, kernel, options, rng);
                    conv.bias = None;
                    convs.push(conv);
                    side = (side + 1).saturating_sub(kernel);
                }
                Part::Relu | Part::Images(..) => {}
                Part::Pool => side /= 2,
                Part::Mean => side = 1,
            }
        }
        if side == 0 {
            return Err(format!("{plan:?} leaves nothing of an image").into());
        }
        let last = Linear::new(channels * side * side, CLASSES, rng);
        Ok(Reader { convs, last, plan: plan.to_string() })
    }

    /// `[n, colours · side²] -> [n, 10]`
    pub fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let parts = parts(&self.plan).unwrap_or_default();
        let (colours, side) = images(&parts);
        let mut x = x.reshape([-1, colours as isize, side as isize, side as isize]);
        let mut convs = self.convs.iter();
        for part in parts {
            x = match (part, convs.as_slice().first()) {
                (Part::Images(..), _) => x,
                (Part::Conv(..) | Part::Each(_), Some(conv)) => {
                    convs.next();
                    conv.forward(&x)
                }
                (Part::Pool, _) => x.max_pool2d(&PoolOptions::new(2)),
                (Part::Mean, _) => x.mean_dim([2, 3], true),
                _ => x.relu(),
            };
        }
        self.last.forward(&x.flatten(1, -1))
    }

    /// The same outside of training, a thousand images at a time.
    pub fn scores(&self, images: &Tensor) -> Result<Tensor> {
        let mut rows = Vec::new();
        for start in (0..images.dim(0)).step_by(1000) {
            let part = images.narrow(0, start, 1000.min(images.dim(0) - start))?;
            rows.extend(self.forward(&Tape::inference().constant(part)).to_vec()?);
        }
        Ok(Tensor::new([images.dim(0), CLASSES], rows)?)
    }

    /// Weights and biases, in order; whatever they are made of isn't listed.
    fn params(&self) -> impl Iterator<Item = &Param> {
        let convs = self.convs.iter().flat_map(|conv| [Some(&conv.weight), conv.bias.as_ref()]);
        convs.chain([Some(&self.last.weight), self.last.bias.as_ref()]).flatten()
    }

    /// How many weights there are, and how many of them aren't 0.
    pub fn count(&self) -> Result<[usize; 2]> {
        let mut counts = [0; 2];
        for p in self.params() {
            let values = p.effective()?.to_vec();
            counts[0] += values.len();
            counts[1] += values.iter().filter(|&&v| v != 0.0).count();
        }
        Ok(counts)
    }

    /// The same network, whose whole numbers can change again.
    pub fn freed(&self) -> Result<Reader> {
        // What comes from a file is packed, and holds no steps for training.
        quantize::thaw(self);
        let net = Reader::new(&self.plan, &mut Random::new(0))?;
        for (from, to) in self.params().zip(net.params()) {
            to.set(from.effective()?);
            if let Some(steps) = from.steps() {
                to.set_steps(steps.bits, steps.group, steps.sizes.value())?;
            }
        }
        Ok(net)
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        Ok(pack(self, &[("plan", &self.plan)])?.save(path)?)
    }

    pub fn load(path: &Path) -> Result<Reader> {
        let artifact = Artifact::load(path)?;
        let plan = artifact.meta.get("plan").map(String::as_str).unwrap_or_default();
        let net = Reader::new(plan, &mut Random::new(0))?;
        unpack(&artifact, &net)?;
        Ok(net)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kolmo::{
        compress::{all_params, quantize::Quantizer, rate},
        optim::{Adam, Optimizer},
    };

    #[test]
    fn a_plan_says_what_a_network_does_and_its_file_keeps_it() -> Result<()> {
        let net = Reader::new("5x4 p r d3 1x6 r p d3 m", &mut Random::new(0))?;
        let images = Tensor::from_fn([3, 784], |i| (i % 7) as f32 / 7.0);
        let scores = net.scores(&images)?;
        assert_eq!((scores.shape().to_vec(), net.count()?[0]), (vec![3, 10], 104 + 36 + 30 + 54 + 70));
        let path = std::env::temp_dir().join(format!("kolmo-reader-{}.kolmo", std::process::id()));
        net.save(&path)?;
        let same = Reader::load(&path)?.scores(&images)?;
        std::fs::remove_file(&path)?;
        assert_eq!(same.to_vec(), scores.to_vec());
        // Images in colour.
        let net = Reader::new(&plan_for("5x4 p r 3x6 m", (3, 32)), &mut Random::new(0))?;
        assert_eq!(net.scores(&Tensor::ones([2, 3072]))?.shape().to_vec(), [2, 10]);
        assert_eq!(net.count()?[0], 304 + 222 + 70);
        net.save(&path)?;
        assert_eq!(Reader::load(&path)?.count()?, net.count()?);
        std::fs::remove_file(&path)?;
        assert_eq!(plan_for("p", (1, 28)), "p");
        let refused = |plan: &str| Reader::new(plan, &mut Random::new(0)).err().map(|e| e.to_string());
        assert_eq!(refused("5x4 q"), Some("\"q\" is none of 5x8, d3, r, p and m".into()));
        let late = "\"5x4 3@32\" says what images are like behind its first word";
        assert_eq!(refused("5x4 3@32"), Some(late.into()));
        assert_eq!(refused("5x4 p p p p p"), Some("\"5x4 p p p p p\" leaves nothing of an image".into()));
        Ok(())
    }

    #[test]
    fn whole_numbers_that_were_freed_are_learnt_again() -> Result<()> {
        let net = Reader::new("5x4 p r 3x6 r p", &mut Random::new(0))?;
        Quantizer::new(4).attach(&net, all_params)?;
        quantize::convert(&net)?;
        let path = std::env::temp_dir().join(format!("kolmo-freed-{}.kolmo", std::process::id()));
        net.save(&path)?;
        let net = Reader::load(&path)?.freed()?;
        std::fs::remove_file(&path)?;
        let before = net.count()?[1];
        let mut adam: Adam = Adam::new(1e-2);
        for _ in 0..40 {
            let tape = Tape::new();
            let bits = rate(&net, &tape);
            let scores = net.forward(&tape.constant(Tensor::from_fn([8, 784], |i| (i % 11) as f32 / 11.0)));
            adam.step(&net, &(bits + scores.square().mean()).backward()?)?;
        }
        let after = net.count()?[1];
        assert!(after < before / 2, "{after} of {before}");
        Ok(())
    }
}
