//! A network of linear layers, and its way to a `.kolmo` file and back.
use crate::Result;
use kolmo::{
    Random, Tape, Tensor, Var,
    compress::{Artifact, pack, unpack},
    nn::{Layer, Linear},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Linear layers with ReLU between them.
#[derive(Serialize, Deserialize)]
pub struct Mlp {
    pub layers: Vec<Linear>,
}

impl Mlp {
    /// `sizes` are those of the input, of the hidden layers and of the output.
    pub fn new(sizes: &[usize], rng: &mut Random) -> Mlp {
        Mlp { layers: sizes.windows(2).map(|pair| Linear::new(pair[0], pair[1], rng)).collect() }
    }

    /// `[n, inputs] -> [n, outputs]`
    pub fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&if i == 0 { x } else { x.relu() });
        }
        x
    }

    /// The same outside of training: nothing is recorded.
    pub fn scores(&self, images: &Tensor) -> Result<Tensor> {
        let tape = Tape::inference();
        Ok(self.forward(&tape.constant(images)).value()?.clone())
    }

    /// Writes the network to a file, from which it can be made again without knowing anything else.
    pub fn save(&self, path: &Path) -> Result<()> {
        Ok(pack(self, &[("sizes", &self.sizes())])?.save(path)?)
    }

    /// The network in a file.
    pub fn load(path: &Path) -> Result<Mlp> {
        let artifact = Artifact::load(path)?;
        let text = artifact.meta.get("sizes").ok_or("the file doesn't say which sizes the layers have")?;
        let sizes = text.split('-').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
        let net = Mlp::new(&sizes, &mut Random::new(0));
        unpack(&artifact, &net)?;
        Ok(net)
    }

    /// Such as `64-300-100-10`.
    pub fn sizes(&self) -> String {
        let inputs = self.layers.first().map(|layer| layer.weight.shape()[1]);
        let outputs = self.layers.iter().map(|layer| layer.weight.shape()[0]);
        inputs.into_iter().chain(outputs).map(|size| size.to_string()).collect::<Vec<_>>().join("-")
    }
}
