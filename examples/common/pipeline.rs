//! Pruning and quantising a network with training in between.
#![allow(dead_code)] // Not every example needs all of it.
use crate::{
    Result,
    images::Set,
    lab::{Batch, Fit},
    net::Net,
};
use kolmo::{
    Random, Var,
    compress::{
        everything,
        prune::{self, Amount},
        quantize,
    },
    data::Augment,
    nn::{Param, named_params, visit_params},
};

/// How a network is made small.
#[derive(Clone, Copy)]
pub struct Pipeline {
    /// The share of weights that pruning leaves.
    pub density: f64,
    /// Shared values of each parameter.
    pub values: usize,
    /// Weight of the sum of magnitudes while pruning.
    pub pull: f64,
    pub augment: Augment,
    pub batch: usize,
    pub lr: f64,
    /// Epochs of pruning, of training what is left, of each layer's values, and of all values.
    pub epochs: [usize; 4],
}

/// What a network is trained towards.
pub trait Goal {
    fn loss<'t>(&self, net: &Net, batch: &Batch<'t>) -> Var<'t>;
}

/// The right classes.
pub struct Labels;

impl Goal for Labels {
    fn loss<'t>(&self, net: &Net, batch: &Batch<'t>) -> Var<'t> {
        net.forward(&batch.x).cross_entropy(&batch.labels)
    }
}

impl Pipeline {
    fn fit(&self, epochs: usize) -> Fit {
        Fit { epochs, batch: self.batch, lr: self.lr, augment: self.augment }
    }

    /// The smallest weights of the whole network go, many at first and few at last; a pull to zero makes more of them
    /// small. What went stays zero from here on.
    pub fn prune(&self, net: &Net, set: &Set, rng: &mut Random, goal: &impl Goal) -> Result<()> {
        let [rounds, rest, ..] = self.epochs;
        for round in 1..=rounds {
            prune::global(net, Amount::Density(prune::cubic(1.0, self.density, round, rounds)), everything)?;
            self.sparse(1, net, set, rng, goal)?;
        }
        self.sparse(rest, net, set, rng, goal)
    }

    /// Trains with a pull to zero on all weights.
    fn sparse(&self, epochs: usize, net: &Net, set: &Set, rng: &mut Random, goal: &impl Goal) -> Result<()> {
        self.fit(epochs).run(net, set, rng, |tape, batch| {
            let mut loss = goal.loss(net, batch);
            visit_params(net, |_, p: &Param| {
                if p.shape().rank() > 1 {
                    loss = &loss + tape.param(p).abs().sum() * self.pull;
                }
            });
            Ok(loss)
        })
    }

    /// Layer by layer the weights get a few shared values; the layers that are still free make up for what the others
    /// lost. At the end there are only shared values to train, which are then rounded to half precision.
    pub fn quantize(&self, net: &Net, set: &Set, rng: &mut Random, goal: &impl Goal) -> Result<()> {
        let [_, _, layer, values] = self.epochs;
        for (_, p) in named_params::<f32, _>(net).iter().filter(|(_, p)| p.shape().rank() > 1) {
            quantize::share_values(p, self.values)?;
            self.fit(layer).run(net, set, rng, |_, batch| Ok(goal.loss(net, batch)))?;
        }
        quantize::codebooks(net, self.values, |_, shape| shape.rank() == 1)?;
        self.fit(values).run(net, set, rng, |_, batch| Ok(goal.loss(net, batch)))?;
        quantize::round_to_half(net);
        Ok(())
    }
}
