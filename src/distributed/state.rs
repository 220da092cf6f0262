//! What an optimiser remembers, put together from what each process has of it.
use super::{
    communicator::Communicator,
    layout::{Layout, put, take, used_up},
};
use crate::{
    error::Result,
    ops::Float,
    optim::{OptimState, Slot},
    tensor::Tensor,
};
use std::collections::BTreeMap;

/// The whole state, on rank 0, of which this process has its ranges.
pub(crate) fn whole_state<T: Float>(
    world: &dyn Communicator,
    layout: &Layout<T>,
    mut state: OptimState<T>,
) -> Result<Option<OptimState<T>>> {
    if world.size() == 1 {
        return Ok(Some(state));
    }
    let places: BTreeMap<&str, usize> =
        layout.places.iter().enumerate().map(|(i, place)| (place.name.as_str(), i)).collect();
    let place_of = |name: &str| places.get(name).copied();
    let mut bytes = Vec::new();
    for (name, slot) in &state.params {
        let Some(i) = place_of(name) else { continue };
        for tensor in &slot.tensors {
            let values = tensor.contiguous();
            let values = values.as_slice().unwrap_or_default();
            // Before its first step it still has all of what was loaded.
            let own =
                if tensor.shape() == &layout.places[i].shape { values.get(layout.own(i)) } else { None };
            put(&mut bytes, own.unwrap_or(values));
        }
    }
    let Some(all) = world.gather(0, bytes)? else { return Ok(None) };
    let mut all: Vec<&[u8]> = all.iter().map(|bytes| bytes.as_slice()).collect();
    for (name, Slot { tensors, .. }) in &mut state.params {
        let Some(i) = place_of(name) else { continue };
        for tensor in tensors {
            let mut whole = Tensor::zeros(&layout.places[i].shape);
            for (rank, bytes) in all.iter_mut().enumerate() {
                let range = whole.as_mut_slice().get_mut(layout.range(i, rank));
                take(bytes, rank, range.unwrap_or_default())?;
            }
            *tensor = whole;
        }
    }
    all.into_iter().enumerate().try_for_each(|(rank, rest)| used_up(rest, rank))?;
    Ok(Some(state))
}
