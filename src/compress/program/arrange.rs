//! Steps put together, and a place for every buffer: results that are not needed at the same time share
//! memory.
use super::steps::{At, Buffer, Expr, Step};
use crate::tensor::Tensor;

/// Steps with places in input, output, weights and scratch memory.
pub(super) struct Arranged {
    pub steps: Vec<Step>,
    /// In the order of their places among the weights.
    pub constants: Vec<Tensor<f32>>,
    pub scratch: usize,
}

/// Everything is found from the buffer of the result, which becomes the output.
pub(super) fn arrange(
    mut steps: Vec<Step>,
    constants: &[Tensor<f32>],
    sizes: &[usize],
    result: Buffer,
) -> Arranged {
    needed(&mut steps, result);
    while let Some((i, j)) = (1..steps.len()).find_map(|j| Some((producer(&mut steps, j, result)?, j))) {
        join(&mut steps, i, j);
    }
    let mut places = vec![None; constants.len()];
    let (mut used, mut weights): (Vec<Tensor<f32>>, usize) = (Vec::new(), 0);
    let mut starts = Vec::new();
    for step in &mut steps {
        step.reads(|at| {
            let Buffer::Constant(id) = at.buffer else { return };
            let Some(own) = constants.get(id) else { return };
            let place = places[id].unwrap_or_else(|| match used.iter().position(|other| equal(other, own)) {
                Some(known) => starts[known],
                None => {
                    starts.push(weights);
                    used.push(own.clone());
                    weights += own.numel();
                    weights - own.numel()
                }
            });
            places[id] = Some(place);
            (at.buffer, at.start) = (Buffer::Weights, at.start + place as isize);
        });
    }
    let scratch = share(&mut steps, sizes, result);
    steps.iter_mut().for_each(Step::simplify);
    Arranged { steps, constants: used, scratch }
}

fn equal(a: &Tensor<f32>, b: &Tensor<f32>) -> bool {
    let bits = |t: &Tensor<f32>| t.to_vec().into_iter().map(f32::to_bits).collect::<Vec<_>>();
    a.shape() == b.shape() && bits(a) == bits(b)
}

/// Takes the steps away that the result doesn't need.
fn needed(steps: &mut Vec<Step>, result: Buffer) {
    let mut used = vec![result];
    let mut kept = Vec::new();
    while let Some(mut step) = steps.pop() {
        if used.contains(&step.to.buffer) {
            step.reads(|at| used.push(at.buffer));
            kept.push(step);
        }
    }
    kept.reverse();
    *steps = kept;
}

/// The step whose result step j alone reads, element by element, and that can do as well what step j does.
fn producer(steps: &mut [Step], j: usize, result: Buffer) -> Option<usize> {
    let mut reads: Vec<At> = Vec::new();
    let step = steps.get_mut(j).filter(|step| step.fold.is_none())?;
    step.reads(|at| reads.push(at.clone()));
    let sizes = step.sizes.clone();
    let made = |steps: &[Step], buffer: Buffer| -> Vec<usize> {
        (0..steps.len()).filter(|&i| steps[i].to.buffer == buffer).collect()
    };
    reads.iter().find_map(|read| {
        let Buffer::Result(_) = read.buffer else { return None };
        let [i] = made(steps, read.buffer)[..] else { return None };
        let times = reads.iter().filter(|other| other.buffer == read.buffer).count();
        let all_of_it = reads.iter().all(|other| other.buffer != read.buffer || *other == steps[i].to);
        let short = matches!(steps[i].value, Expr::Folded | Expr::Read(_) | Expr::Number(_));
        let before = |buffer: Buffer| match buffer {
            Buffer::Result(_) => buffer == read.buffer || made(steps, buffer).iter().all(|k| *k < i),
            _ => true,
        };
        let fits =
            i < j && steps[i].sizes == sizes && all_of_it && (times == 1 || short) && read.buffer != result;
        let fits = fits && reads.iter().all(|other| before(other.buffer));
        let mut others = 0;
        for (k, step) in steps.iter_mut().enumerate() {
            step.reads(|at| others += (k != j && at.buffer == read.buffer) as usize);
        }
        (fits && others == 0).then_some(i)
    })
}

/// Step i does what step j does as well.
fn join(steps: &mut Vec<Step>, i: usize, j: usize) {
    let mut step = steps.remove(j);
    let (buffer, value) = (steps[i].to.buffer, steps[i].value.clone());
    step.value.each(&mut |e| {
        if matches!(e, Expr::Read(at) if at.buffer == buffer) {
            *e = value.clone();
        }
    });
    (steps[i].to, steps[i].value) = (step.to, step.value);
}

/// Gives every result a place in the scratch memory, and says how much of it there must be.
fn share(steps: &mut [Step], sizes: &[usize], result: Buffer) -> usize {
    // From the step that writes it to the last that reads it.
    let mut spans: Vec<Option<[usize; 2]>> = vec![None; sizes.len()];
    for (i, step) in steps.iter_mut().enumerate() {
        let to = step.to.buffer;
        let mut meet = |buffer: Buffer| {
            if let Buffer::Result(id) = buffer
                && buffer != result
                && let Some(span) = spans.get_mut(id)
            {
                *span = Some([span.map_or(i, |[first, _]| first), i]);
            }
        };
        meet(to);
        step.reads(|at| meet(at.buffer));
    }
    let mut order: Vec<usize> = (0..sizes.len()).filter(|&id| spans[id].is_some()).collect();
    order.sort_by_key(|&id| spans[id]);
    let mut places: Vec<Option<usize>> = vec![None; sizes.len()];
    for &id in &order {
        let others = order.iter().filter_map(|&other| {
            let ([first, last], [from, to]) = (spans[id]?, spans[other]?);
            let start = places[other]?;
            (first <= to && from <= last).then_some((start, start + sizes[other]))
        });
        let mut busy: Vec<(usize, usize)> = others.collect();
        busy.sort_unstable();
        let after = |at: usize, (start, end): &(usize, usize)| {
            if at + sizes[id] <= *start { at } else { at.max(*end) }
        };
        // The first gap: once one is large enough, what follows lies behind it.
        places[id] = Some(busy.iter().fold(0, after));
    }
    let place = |at: &mut At| match at.buffer {
        buffer if buffer == result => at.buffer = Buffer::Output,
        Buffer::Result(id) => {
            let start = places.get(id).copied().flatten().unwrap_or(0);
            (at.buffer, at.start) = (Buffer::Scratch, at.start + start as isize);
        }
        _ => {}
    };
    for step in steps.iter_mut() {
        place(&mut step.to);
        step.reads(place);
    }
    order.iter().filter_map(|&id| Some(places[id]? + sizes[id])).max().unwrap_or(0)
}
