//! Training images moved in a few ways, and what a teacher answers to them, worked out once.
use crate::{
    Result,
    images::Set,
    lab::{Batch, Fit},
    reader::Reader,
};
use kolmo::{Random, Tensor, Var, compress::distill::soft_target_loss, data::Augment};

/// Ways in which each image is moved.
const WAYS: usize = 8;

pub struct Views {
    /// `[n, side²]` and `[n, classes]` of each way.
    ways: Vec<(Tensor, Tensor)>,
}

impl Views {
    pub fn new(set: &Set, teacher: &Reader, augment: &Augment, rng: &mut Random) -> Result<Views> {
        let ways = (0..WAYS).map(|_| {
            let images = set.varied(augment, rng)?;
            let scores = teacher.scores(&images)?;
            Ok((images, scores))
        });
        Ok(Views { ways: ways.collect::<Result<_>>()? })
    }

    /// How far a network is from the teacher on a batch, whose images are moved in another way in each epoch.
    pub fn loss<'t>(&self, net: &Reader, batch: &Batch<'t>, fit: &Fit, temperature: f64) -> Result<Var<'t>> {
        let (images, scores) = &self.ways[(batch.progress * fit.epochs as f64) as usize % WAYS];
        let tape = batch.x.tape();
        let scores = tape.constant(scores.rows(&batch.rows)?);
        let own = net.forward(&tape.constant(images.rows(&batch.rows)?));
        Ok(soft_target_loss(&own, &scores, &batch.labels, temperature, 1.0))
    }
}
