//! The weights of a model that are to be held in codes, whatever floats they are: read, settled, stored.
use super::{
    Entry,
    calibration::{Calibration, State},
    feedback::Rows,
    filter::{each_field, picks_some},
    pack::packed_entry,
};
use crate::{
    distributed::{put_bytes, take_bytes},
    error::{Checked, Error, Result},
    ids::ParamId,
    kernels::packed::{Packed, Parts, Values},
    ops::Float,
    param::{Groups, Param, ParamState, shown},
    tensor::{Tensor, room::filled},
};
use serde::Serialize;
use std::{any::Any, cell::RefMut, sync::Arc};

/// A weight, as a matrix `[rows, cols]` of the first axis and all others.
pub(super) struct Target {
    pub id: ParamId,
    pub name: String,
    pub rows: usize,
    pub cols: usize,
    param: Box<dyn Held>,
}

/// What a weight becomes.
pub(super) struct Coded {
    pub bits: u32,
    /// What is added to a code.
    pub low: i32,
    pub codes: Vec<u8>,
    pub group: usize,
    pub scales: Vec<f32>,
    pub zeros: Option<Vec<u8>>,
}

impl Coded {
    /// As one process tells it to others.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Coded { bits, low, codes, group, scales, zeros } = self;
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, &bits.to_le_bytes());
        put_bytes(&mut bytes, &low.to_le_bytes());
        put_bytes(&mut bytes, &(*group as u64).to_le_bytes());
        put_bytes(&mut bytes, codes);
        put_bytes(&mut bytes, &scales.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
        zeros.iter().for_each(|zeros| put_bytes(&mut bytes, zeros));
        bytes
    }

    pub fn of_bytes(mut bytes: &[u8]) -> Option<Coded> {
        let mut next = || take_bytes(&mut bytes);
        let bits = u32::from_le_bytes(next()?.try_into().ok()?);
        let low = i32::from_le_bytes(next()?.try_into().ok()?);
        let group = usize::try_from(u64::from_le_bytes(next()?.try_into().ok()?)).ok()?;
        let codes = next()?.to_vec();
        let scales = next()?.as_chunks().0.iter().map(|v| f32::from_le_bytes(*v)).collect();
        Some(Coded { bits, low, codes, group, scales, zeros: next().map(<[u8]>::to_vec) })
    }
}

/// What a weight is to be held as.
pub(super) trait Job {
    fn put(&self);
    /// As it is stored in a file.
    fn entry(&self, name: String, large: bool) -> Result<Entry>;
}

/// What puts floats into a parameter.
type Put = Box<dyn FnOnce() -> Result<()>>;

struct Ready<T: Float>(Param<T>, Arc<Packed<T>>);

impl<T: Float> Job for Ready<T> {
    fn put(&self) {
        self.0.replace(Tensor::from_packed(self.1.clone()));
    }

    fn entry(&self, name: String, large: bool) -> Result<Entry> {
        packed_entry(name, &self.1, &self.0, large)
    }
}

/// A parameter of some float.
trait Held {
    fn read(&self) -> Result<Vec<f32>>;
    /// The matrix of `f32` that it is held as, if it is codes and nothing else.
    fn held(&self) -> Option<Arc<Packed<f32>>>;
    /// What holds floats, some of them pruned.
    fn sparse(&self, values: &[f32], keep: Vec<bool>) -> Result<Put>;
    /// What holds the codes.
    fn store(&self, coded: &Coded) -> Checked<Box<dyn Job>>;
}

impl<T: Float> Held for Param<T> {
    fn read(&self) -> Result<Vec<f32>> {
        let used = self.effective()?.contiguous().made().map_err(|why| Error::invalid("weight", why))?;
        Ok(used.as_slice().unwrap_or_default().iter().map(|v| v.to_f64() as f32).collect())
    }

    fn held(&self) -> Option<Arc<Packed<f32>>> {
        let all: &dyn Any = &self.value();
        let value = all.downcast_ref::<Tensor<f32>>()?;
        Some(value.packed_matrix()?.0)
    }

    fn sparse(&self, values: &[f32], keep: Vec<bool>) -> Result<Put> {
        let mut state = ParamState::dense(Tensor::from_fn(self.shape(), |i| T::from_f32(values[i])));
        state.mask = Some(Tensor::new(self.shape(), keep)?);
        let p = self.clone();
        Ok(Box::new(move || p.replace_state(state)))
    }

    fn store(&self, coded: &Coded) -> Checked<Box<dyn Job>> {
        let scales: Vec<T> = coded.scales.iter().map(|&v| T::from_f32(v)).collect();
        let parts = Parts {
            bits: coded.bits,
            codes: &|i| coded.codes[i],
            values: Values::From(coded.low),
            pruned: None,
            group: coded.group,
            scales: Some(&scales),
            zeros: coded.zeros.as_deref(),
            offsets: None,
        };
        Ok(Box::new(Ready(self.clone(), Arc::new(Packed::of_codes(&self.shape(), &parts)?))))
    }
}

/// The weights of a model that calibration was for.
pub(super) fn targets<'a, M: Serialize + ?Sized>(
    what: &'static str,
    model: &M,
    calibration: &'a Calibration,
) -> Result<(Vec<Target>, RefMut<'a, State>)> {
    let seen = calibration.seen().map_err(|why| Error::invalid(what, why))?;
    let mut all: Vec<Target> = Vec::new();
    each_field!(model, |name, p| {
        let (id, groups) = (p.id(), Groups::new(&p.shape(), 1));
        if seen.weights.contains_key(&id) && all.iter().all(|target| target.id != id) {
            let (rows, cols) = (groups.rows(), groups.cols());
            all.push(Target { id, name, rows, cols, param: Box::new(p.clone()) });
        }
    });
    picks_some(what, model, all.len())?;
    Ok((all, seen))
}

/// A matrix `[rows, cols]` transposed.
fn transposed<V: Copy + Default>(matrix: &[V], cols: usize) -> Checked<Vec<V>> {
    let rows = matrix.len() / cols.max(1);
    let mut out = filled(matrix.len(), V::default())?;
    for (i, row) in matrix.chunks_exact(cols.max(1)).enumerate() {
        row.iter().enumerate().for_each(|(j, &v)| out[j * rows + i] = v);
    }
    Ok(out)
}

impl Target {
    /// An error of this weight's.
    pub fn named(&self, what: &'static str, why: impl ToString) -> Error {
        Error::invalid(what, format!("{}: {}", shown(&self.name), why.to_string()))
    }

    /// The numbers, row after row.
    pub fn read(&self) -> Checked<Vec<f32>> {
        let all = self.param.read().map_err(|why| why.to_string())?;
        match all.iter().find(|v| !v.is_finite()) {
            Some(bad) => Err(format!("a weight is {bad:?}")),
            None => Ok(all),
        }
    }

    /// The matrix that it is held as.
    pub fn held(&self) -> Option<Arc<Packed<f32>>> {
        self.param.held()
    }

    /// Whether its inputs lie along the first axis.
    pub fn turned(&self, seen: &State) -> bool {
        seen.weights.get(&self.id).is_some_and(|weight| weight.turned)
    }

    /// Numbers as `[out, in]`.
    pub fn by_outputs(&self, weight: Vec<f32>, turned: bool) -> Checked<Vec<f32>> {
        if turned { transposed(&weight, self.cols) } else { Ok(weight) }
    }

    /// The codes of settled rows as this weight's.
    pub fn codes(&self, rows: &[Rows], turned: bool) -> Checked<Vec<u8>> {
        let all: Vec<u8> = rows.iter().flat_map(|some| some.codes.iter().copied()).collect();
        if turned { transposed(&all, self.rows) } else { Ok(all) }
    }

    /// The floats that settled rows are worth, where their codes aren't 0, and zeros; a job that puts them, and how many
    /// are left.
    pub fn sparse(&self, rows: &[Rows], turned: bool) -> Result<(Put, usize)> {
        let fail = |why: String| self.named("SparseGpt", why);
        let keep: Vec<bool> = self.codes(rows, turned).map_err(fail)?.iter().map(|&code| code > 0).collect();
        let values: Vec<f32> = rows.iter().flat_map(|some| some.values.iter().copied()).collect();
        let values = if turned { transposed(&values, self.rows).map_err(fail)? } else { values };
        let kept = keep.iter().filter(|&&keep| keep).count();
        Ok((self.param.sparse(&values, keep)?, kept))
    }

    pub fn store(&self, coded: &Coded) -> Checked<Box<dyn Job>> {
        self.param.store(coded)
    }
}
