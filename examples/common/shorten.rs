//! Making a network short: training looks for few bits of the network and few errors at once.
use crate::{
    Result,
    images::Set,
    lab::{Batch, Fit},
    net::Net,
};
use kolmo::{
    Random, Var,
    compress::{quantize, rate},
};
use std::f64::consts::LN_2;

/// A stage of making a network short.
#[derive(Clone, Copy)]
pub struct Stage {
    /// How much a bit of the network weighs against a bit of the labels, at the beginning and from a third
    /// of the time on.
    pub weight: [f64; 2],
    /// Epochs in which the weights' whole numbers change, and in which only their step sizes do.
    pub epochs: [usize; 2],
}

impl Stage {
    /// Trains a network, whose weights are whole numbers of steps, towards what `loss` says about a batch,
    /// with the bits of its file in the loss. Gives a smaller one, without what is dead by then.
    pub fn run(
        &self,
        net: &Net,
        set: &Set,
        fit: &Fit,
        rng: &mut Random,
        loss: impl for<'t> Fn(&Net, &Batch<'t>) -> Var<'t>,
    ) -> Result<Net> {
        let ([from, to], [moving, settled]) = (self.weight, self.epochs);
        Fit { epochs: moving, ..*fit }.run(net, set, rng, |tape, batch| {
            // What goes in haste is missed later.
            let weight = from + (to - from) * (3.0 * batch.progress).min(1.0);
            Ok(loss(net, batch) + rate(net, tape) * (weight * LN_2 / set.len() as f64))
        })?;
        let net = net.trimmed()?;
        quantize::convert(&net)?;
        Fit { epochs: settled, ..*fit }.run(&net, set, rng, |_, batch| Ok(loss(&net, batch)))?;
        quantize::to_half(&net);
        Ok(net)
    }
}
