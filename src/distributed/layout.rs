//! Which part of each parameter belongs to which process, and how numbers become bytes and come back.
use super::communicator::{Bytes, Communicator, others};
use crate::{
    data::share,
    error::{Error, Result},
    ops::Float,
    param::{Param, visit_params},
    tape::Gradients,
    tensor::{Shape, Tensor},
};
use serde::Serialize;
use std::ops::Range;

/// Elements that stay together: the squares of each block are added up by its owner, and sums of blocks by
/// everybody in one order, however many owners there are.
pub(super) const BLOCK: usize = 1024;
/// Bytes of parameters that are sent together, about.
const BUCKET: usize = 4 << 20;

/// By the places of a layout.
pub(super) type Values<T> = Vec<Option<Tensor<T>>>;

/// The parameters of a model, in the order in which gradients become ready, about: the last come first.
pub(crate) struct Layout<T: Float> {
    pub(super) places: Vec<Place<T>>,
    pub(super) rank: usize,
    pub(super) size: usize,
}

pub(super) struct Place<T: Float> {
    pub name: String,
    pub param: Param<T>,
    pub shape: Shape,
    /// Whether an optimiser changes it; else it may be moved by being used, as running statistics are.
    pub trained: bool,
}

impl<T: Float> Layout<T> {
    pub fn of<M: Serialize + ?Sized>(model: &M, world: &dyn Communicator) -> Layout<T> {
        let mut places = Vec::new();
        visit_params(model, |path, param: &Param<T>| {
            let (shape, trained) = (param.shape(), param.is_trainable());
            places.push(Place { name: path.to_string(), param: param.clone(), shape, trained });
        });
        places.reverse();
        Layout { places, rank: world.rank(), size: world.size() }
    }

    /// Gradients of what is trained.
    pub(super) fn gradients(&self, grads: &Gradients<T>) -> Values<T> {
        let of = |place: &Place<T>| {
            let grad = grads.param(&place.param).filter(|_| place.trained)?;
            Some(grad.contiguous())
        };
        self.places.iter().map(of).collect()
    }

    /// Whether this is rank 0.
    pub fn leads(&self) -> bool {
        self.rank == 0
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The elements of a parameter that belong to a process: whole blocks, those of small parameters to one
    /// process after the other.
    pub fn range(&self, place: usize, rank: usize) -> Range<usize> {
        let n = self.places.get(place).map_or(0, |place| place.shape.numel());
        let (blocks, turn) = (n.div_ceil(BLOCK), (rank + place) % self.size.max(1));
        let at = |turn| (share(blocks, turn, self.size) * BLOCK).min(n);
        at(turn)..at(turn + 1)
    }

    /// The shape of a parameter and the range of it that is this process's.
    pub fn part(&self, name: &str) -> Option<(&Shape, Range<usize>)> {
        let place = self.places.iter().position(|place| place.name == name)?;
        Some((&self.places.get(place)?.shape, self.own(place)))
    }

    pub fn own(&self, place: usize) -> Range<usize> {
        self.range(place, self.rank)
    }

    /// The ranks in the order of their ranges of a parameter.
    pub fn owners(&self, place: usize) -> impl Iterator<Item = usize> + use<T> {
        let (size, place) = (self.size.max(1), place);
        (0..size).map(move |turn| (turn + size - place % size) % size)
    }

    /// Parameters that are sent together, in the order in which they are sent.
    pub fn buckets(&self) -> Vec<Range<usize>> {
        let (mut buckets, mut start, mut bytes) = (Vec::new(), 0, 0);
        for (i, place) in self.places.iter().enumerate() {
            bytes += place.shape.numel() * size_of::<T>();
            if bytes >= BUCKET || i + 1 == self.places.len() {
                buckets.push(start..i + 1);
                (start, bytes) = (i + 1, 0);
            }
        }
        buckets
    }

    /// Exchanges bucket by bucket, the next one on its way while the one before is used: `made` makes the
    /// message of a bucket for a rank, `used` takes one from a rank. Where all get the same, it is made once.
    pub fn exchange(
        &self,
        world: &dyn Communicator,
        same: bool,
        mut made: impl FnMut(Range<usize>, usize) -> Vec<u8>,
        mut used: impl FnMut(Range<usize>, Vec<(usize, Bytes)>) -> Result<()>,
    ) -> Result<()> {
        let (ranks, buckets) = (others(self.rank, self.size), self.buckets());
        let mut start = |bucket: &Range<usize>| {
            let mut last: Option<Bytes> = None;
            let mut message = |&to: &usize| {
                let known = last.take().filter(|_| same);
                let bytes = known.unwrap_or_else(|| Bytes::new(made(bucket.clone(), to)));
                last = Some(bytes.clone());
                (to, bytes)
            };
            world.start(ranks.iter().map(&mut message).collect(), ranks.clone())
        };
        if let Some(first) = buckets.first() {
            start(first)?;
        }
        for (i, bucket) in buckets.iter().enumerate() {
            if let Some(next) = buckets.get(i + 1) {
                start(next)?;
            }
            let received = world.finish()?;
            used(bucket.clone(), ranks.iter().copied().zip(received).collect())?;
        }
        Ok(())
    }
}

/// Numbers at the end of a message.
pub(super) fn put<T: Float>(bytes: &mut Vec<u8>, values: &[T]) {
    let start = bytes.len();
    bytes.resize(start + size_of_val(values), 0);
    let (_, new) = bytes.split_at_mut(start);
    match size_of::<T>() {
        4 => new
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(values)
            .for_each(|(b, v)| *b = (v.to_f64() as f32).to_le_bytes()),
        _ => new.as_chunks_mut().0.iter_mut().zip(values).for_each(|(b, v)| *b = v.to_f64().to_le_bytes()),
    }
}

/// Takes numbers from the front of a message.
pub(super) fn take<T: Float>(bytes: &mut &[u8], from: usize, into: &mut [T]) -> Result<()> {
    let size = size_of_val(into);
    let Some((front, rest)) = bytes.split_at_checked(size) else {
        let message = format!("sent {} bytes where {size} were to come: has it another model?", bytes.len());
        return Err(Error::rank(from, message));
    };
    match size_of::<T>() {
        4 => front
            .as_chunks()
            .0
            .iter()
            .zip(into)
            .for_each(|(b, v)| *v = T::from_f64(f32::from_le_bytes(*b).into())),
        _ => front.as_chunks().0.iter().zip(into).for_each(|(b, v)| *v = T::from_f64(f64::from_le_bytes(*b))),
    }
    *bytes = rest;
    Ok(())
}

/// That a message was used up.
pub(super) fn used_up(bytes: &[u8], from: usize) -> Result<()> {
    match bytes.len() {
        0 => Ok(()),
        more => Err(Error::rank(from, format!("sent {more} bytes too many: has it another model?"))),
    }
}
