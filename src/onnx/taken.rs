//! Elements and slices of an operand, read by positions that are constants or inputs.
use super::{
    dim::Dim,
    emit::{Arg, Emitter, int},
    functions::REFUSED,
    seen::{Seen, each},
};
use crate::{
    error::Checked,
    ops::{
        NOWHERE,
        list::{Take, TensorOp},
    },
    tensor::Tensor,
};

/// Whether each of some positions is somewhere.
fn all_there(index: &[u32]) -> bool {
    index.iter().all(|&i| i != NOWHERE)
}

/// Elements of the flattened operand, block by block.
pub(super) fn elements(to: &mut Emitter, seen: &Seen<'_>, x: &Arg, name: &str) -> Checked<String> {
    let parts = each!(seen, TensorOp::Take(Take::Elements { positions, blocks }) => (positions, *blocks))?;
    // Positions that are the same in every block don't hang on how many there are.
    let own = |(positions, blocks): &(&Tensor<u32>, usize), size: usize| -> Option<Vec<u32>> {
        let (all, blocks) = (positions.to_vec(), (*blocks).max(1));
        let (each, from) = (all.len() / blocks, size / blocks);
        let at = |i: usize, block: usize| {
            let p = *all.get(block * each + i)?;
            Some(if p == NOWHERE { p } else { p.wrapping_sub((block * from) as u32) })
        };
        let first: Vec<u32> = (0..each).map(|i| at(i, 0)).collect::<Option<_>>()?;
        (1..blocks).all(|b| (0..each).all(|i| at(i, b) == first.get(i).copied())).then_some(first)
    };
    let sizes: Vec<usize> = (0..seen.ops.len())
        .map(|k| {
            let given = to.counts.get(k).map_or(&[][..], Vec::as_slice);
            x.shape.iter().map(|dim| dim.at(given) as usize).product()
        })
        .collect();
    let fixed = sizes.iter().all(|size| size == &sizes[0])
        && parts.iter().all(|(positions, _)| positions.to_vec() == parts[0].0.to_vec());
    let (list, blocks) = if fixed {
        (parts[0].0.to_vec(), Dim::ONE)
    } else {
        let all: Option<Vec<Vec<u32>>> =
            parts.iter().zip(&sizes).map(|(part, &size)| own(part, size)).collect();
        let all = all.filter(|all| all.iter().all(|list| list == &all[0]));
        let list = all.ok_or("positions that change with the sizes of the inputs")?.swap_remove(0);
        (list, to.dim(&parts.iter().map(|part| part.1).collect::<Vec<_>>())?)
    };
    let count = blocks.at(to.counts.first().map_or(&[][..], Vec::as_slice));
    let each = sizes[0] as i64 / count.max(1);
    let mut y = to.reshaped(name, &[blocks, Dim::number(each)])?;
    if !all_there(&list) {
        y = to.padded(&y, 2, 1, 0, Dim::ONE)?;
    }
    let index: Vec<i64> = list.iter().map(|&p| if p == NOWHERE { each } else { i64::from(p) }).collect();
    let index = to.integers(&index);
    let y = to.node("Gather", &[&y, &index], [int("axis", 1)]);
    to.reshaped(&y, &seen.shape)
}

/// Slices along an axis, by an index that is an input or a constant.
pub(super) fn rows(to: &mut Emitter, seen: &Seen<'_>, x: &Arg, name: &str) -> Checked<String> {
    let parts = each!(seen, TensorOp::Take(Take::Rows { axis, index, .. }) => (*axis, index))?;
    let axis = parts.first().map_or(0, |part| part.0);
    let given = seen.indices.iter().find(|(all, _)| {
        all.iter().zip(&parts).all(|(own, (_, index))| own.shares_data(index) && own.numel() == index.numel())
    });
    if let Some((_, index)) = given {
        let flat = to.reshaped(index, &[seen.shape.get(axis).copied().ok_or(REFUSED)?])?;
        return Ok(to.node("Gather", &[name, &flat], [int("axis", axis as i64)]));
    }
    let lists: Vec<Vec<u32>> = parts.iter().map(|(_, index)| index.to_vec()).collect();
    let first = lists.first().ok_or(REFUSED)?;
    let rank = x.shape.len();
    let axis_name = to.integers(&[axis as i64]);
    // A run of them is a slice, of any length.
    let runs = lists.iter().all(|list| {
        let start = list.first().copied().unwrap_or(0);
        all_there(list) && list.iter().zip(start..).all(|(a, b)| *a == b)
    });
    if runs {
        let starts: Vec<usize> = lists.iter().map(|list| list.first().map_or(0, |&i| i as usize)).collect();
        let ends: Vec<usize> = lists.iter().zip(&starts).map(|(list, start)| start + list.len()).collect();
        let (start, end) = (to.dim(&starts)?, to.dim(&ends)?);
        let (start, end) = (to.sizes(&[start])?, to.sizes(&[end])?);
        return Ok(to.plain("Slice", &[name, &start, &end, &axis_name]));
    }
    if lists.iter().any(|list| list != first) {
        return Err("indices that change with the sizes of the inputs".into());
    }
    let size = x.shape.get(axis).copied().ok_or(REFUSED)?;
    let mut y = name.to_string();
    if !all_there(first) {
        y = to.padded(&y, rank, axis, 0, Dim::ONE)?;
    }
    let nowhere = size.known();
    let place = |&p: &u32| if p == NOWHERE { nowhere } else { Some(i64::from(p)) };
    let index: Option<Vec<i64>> = first.iter().map(place).collect();
    let index = to.integers(&index.ok_or("places without a value along an axis whose size is left open")?);
    Ok(to.node("Gather", &[&y, &index], [int("axis", axis as i64)]))
}
