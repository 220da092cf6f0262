//! What a model's whole numbers take as a file, as something that training can make less of.
use crate::{
    ops::Float,
    param::{Groups, Param, visit_params},
    real::Arithmetic,
    tape::{Tape, Var},
    tensor::{Shape, Tensor},
};
use serde::Serialize;

/// How many positions of usual density a row or column is thought to have besides its own.
const PRIOR: f64 = 2.0;
/// No position is surer than this of being zero or not: about what the coder of the file goes down to.
const LEAST: f64 = 1.0 / 1024.0;

/// Bits that the weights of a model take, as far as they are whole numbers of steps that are still trained
/// ([`Quantizer::attach`](super::quantize::Quantizer::attach)): an estimate of what the coder of the file
/// makes of them. Added to a loss it brings weights to zero, above all those in rows and columns with few
/// others, and to values that are frequent; step sizes widen. A loss in nats per example takes `rate · ln 2 /
/// examples`: then training looks for the shortest description of its labels, model included (Oktay et al.,
/// 2020, penalise the entropy of a model in this way).
///
/// Each whole number costs what its frequency says, `-log₂` of: whether it is zero, from the density of its
/// row and of its column (their odds multiplied), and if it isn't, its value's share of all that aren't.
/// Frequencies are those of the weights as they are now. Between two whole numbers the bits are interpolated,
/// so that the gradient of a weight is the difference of bits to its next neighbours, and 0 at a whole
/// number.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{all_params, quantize::{Quantizer, convert}, rate}, nn::{Layer, Linear}, optim::{Adam, Optimizer}};
/// let net = Linear::new(20, 10, &mut Random::new(0));
/// Quantizer::new(4).attach(&net, all_params)?;
/// let still = Tape::<f32>::inference();
/// let before = rate(&net, &still).item()?;
/// let (mut adam, mut tape) = (Adam::new(1e-2), Tape::new());
/// for _ in 0..50 {
///     let loss = net.forward(&tape.constant(Tensor::ones([1, 20]))).cross_entropy(&Tensor::from([3u32]));
///     let grads = (loss + rate(&net, &tape) * 1e-3).backward()?;
///     adam.step(&net, &grads)?;
///     tape.reset();
/// }
/// assert!(rate(&net, &still).item()? < before / 2.0);
/// convert(&net)?; // for `pack`
/// # Ok::<(), kolmo::Error>(())
/// ```
#[track_caller]
pub fn rate<'t, T: Float>(model: &(impl Serialize + ?Sized), tape: &'t Tape<T>) -> Var<'t, T> {
    let mut bits = tape.constant(T::constant(0.0));
    visit_params(model, |_, p: &Param<T>| {
        if let (Some(steps), Some(x)) = (p.steps(), p.in_steps(tape)) {
            let mask = p.mask().map(|mask| mask.to_vec());
            tape.note_read(&x);
            let (constant, slopes) = tangent(x.tensor(), (1i64 << (steps.bits - 1)) - 1, mask.as_deref());
            bits = &bits + (&x * tape.constant(slopes)).sum() + constant;
        }
    });
    bits
}

/// The bits as a linear function of numbers of steps, from `-most` to `most`: a constant, and the slope of
/// each.
fn tangent<T: Float>(x: &Tensor<T>, most: i64, mask: Option<&[bool]>) -> (f64, Tensor<T>) {
    let values = x.to_vec();
    let table = Table::of(x.shape(), most, values.iter().map(|v| v.to_f64()), mask);
    let kept = |i: usize| mask.is_none_or(|mask| mask[i]);
    let mut constant = 0.0;
    let slopes: Vec<T> = values
        .iter()
        .enumerate()
        .map(|(i, v)| {
            if !kept(i) {
                return T::default();
            }
            let v = v.to_f64().clamp(-most as f64, most as f64);
            let below = v.floor();
            let bits = |number: f64| table.bits(i, number as i64);
            let slope = if below == v { 0.0 } else { bits(below + 1.0) - bits(below) };
            constant += bits(below) - slope * below;
            T::constant(slope)
        })
        .collect();
    let zeros = match mask {
        None => table.zeros(),
        // Which weights are kept is told apart; of these alone zeros are told.
        Some(mask) => {
            let zeros = (0..mask.len())
                .filter(|&i| mask[i])
                .map(|i| Arithmetic::log1p(Arithmetic::exp2(table.odds(i))));
            of_mask(x.shape(), mask) + zeros.sum::<f64>() / std::f64::consts::LN_2
        }
    };
    (constant + zeros, Tensor::from_fn(x.shape(), |i| slopes[i]))
}

/// Bits of a mask.
fn of_mask(shape: &Shape, mask: &[bool]) -> f64 {
    let table = Table::of(shape, 1, mask.iter().map(|&keep| f64::from(u8::from(keep))), None);
    let kept = (0..mask.len()).filter(|&i| mask[i]);
    table.zeros() - kept.map(|i| table.odds(i)).sum::<f64>()
}

/// What each position's numbers cost.
struct Table {
    cols: usize,
    most: i64,
    /// Logarithms to base 2 of the odds for a number that isn't zero: a row's share and a column's, to be
    /// added.
    rows: Vec<f64>,
    columns: Vec<f64>,
    /// Bits of each number from `-most` to `most`, if it isn't zero.
    values: Vec<f64>,
}

impl Table {
    /// Of the numbers that are kept.
    fn of(shape: &Shape, most: i64, numbers: impl Iterator<Item = f64>, mask: Option<&[bool]>) -> Table {
        let groups = Groups::new(shape, 0);
        let (rows, cols) = (groups.rows().max(1), groups.cols().max(1));
        let (mut in_row, mut in_column) = (vec![0.0; rows], vec![0.0; cols]);
        let (mut row_kept, mut column_kept) = (vec![cols; rows], vec![rows; cols]);
        let mut counts = vec![0.5; 2 * most as usize + 1];
        let (mut seen, mut nonzero) = (0.0f64, 0.0f64);
        for (i, v) in numbers.enumerate() {
            if mask.is_some_and(|mask| !mask[i]) {
                row_kept[i / cols] -= 1;
                column_kept[i % cols] -= 1;
                continue;
            }
            let number = v.round_ties_even().clamp(-most as f64, most as f64);
            seen += 1.0;
            if number != 0.0 {
                nonzero += 1.0;
                in_row[i / cols] += 1.0;
                in_column[i % cols] += 1.0;
                counts[(number as i64 + most) as usize] += 1.0;
            }
        }
        let density = (nonzero + 0.5) / (seen + 1.0);
        let odds = |p: f64| Arithmetic::log2(p / (1.0 - p));
        let share =
            |count: f64, of: usize| odds((count + PRIOR * density) / (of as f64 + PRIOR)) - odds(density);
        // A single row has nothing to say about its columns.
        let columns = in_column.iter().zip(column_kept);
        let columns = columns.map(|(&n, of)| if rows > 1 { share(n, of) } else { 0.0 }).collect();
        let rows = in_row.iter().zip(row_kept).map(|(&n, of)| odds(density) + share(n, of)).collect();
        let all: f64 = counts.iter().sum::<f64>() - 0.5;
        Table {
            cols,
            most,
            rows,
            columns,
            values: counts.iter().map(|n| Arithmetic::log2(all / n)).collect(),
        }
    }

    fn odds(&self, i: usize) -> f64 {
        let limit = Arithmetic::log2(1.0 / LEAST - 1.0);
        (self.rows[i / self.cols] + self.columns[i % self.cols]).clamp(-limit, limit)
    }

    /// What a number takes beyond a zero in the same place.
    fn bits(&self, i: usize, number: i64) -> f64 {
        if number == 0 { 0.0 } else { self.values[(number + self.most) as usize] - self.odds(i) }
    }

    /// What zeros everywhere would take.
    fn zeros(&self) -> f64 {
        let (limit, columns) =
            (1.0 / LEAST - 1.0, self.columns.iter().map(|&c| Arithmetic::exp2(c)).collect::<Vec<_>>());
        // One logarithm for many factors.
        let (mut bits, mut product) = (0.0, 1.0f64);
        for row in self.rows.iter().map(|&r| Arithmetic::exp2(r)) {
            for column in &columns {
                product *= 1.0 + (row * column).clamp(1.0 / limit, limit);
                if product > 1e200 {
                    bits += Arithmetic::log2(product);
                    product = 1.0;
                }
            }
        }
        bits + Arithmetic::log2(product)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Random,
        compress::{description_length, quantize::convert},
        error::Result,
    };
    use rand::RngExt;

    fn bits(p: &Param<f64>) -> Result<f64> {
        let tape = Tape::inference();
        rate(p, &tape).item()
    }

    fn gradient(p: &Param<f64>) -> Result<Vec<f64>> {
        let tape = Tape::new();
        let gradients = rate(p, &tape).backward()?;
        Ok(gradients.param(p).map(Tensor::to_vec).unwrap_or_default())
    }

    /// 60 × 80 weights of which one in `rare` isn't zero, seven values below and above, in steps of ⅛.
    fn sparse(rare: f64) -> Result<Param<f64>> {
        let rng = &mut Random::new(3);
        let kept: Vec<f64> = (0..4800).map(|_| rng.random()).collect();
        let values: Vec<f64> = (0..4800).map(|_| rng.normal(0.0, 1.0)).collect();
        let value = |i: usize| {
            if kept[i] * rare < 1.0 { (values[i] * 3.0).clamp(-7.0, 7.0).round() * 0.125 } else { 0.0 }
        };
        let p = Param::new(Tensor::from_fn([60, 80], value));
        p.set_steps(4, 0, Tensor::from([0.125]))?;
        Ok(p)
    }

    #[test]
    fn the_estimate_is_near_the_file() -> Result<()> {
        for rare in [2.0, 10.0, 40.0] {
            let p = sparse(rare)?;
            let estimate = bits(&p)?;
            convert(&p)?;
            let file = description_length(&p)? as f64 - 8.0 * 40.0; // header and checksum
            assert!(
                (estimate / file - 1.0).abs() < 0.25,
                "1 of {rare}: {estimate} bits, the file has {file}"
            );
        }
        Ok(())
    }

    #[test]
    fn gradients_are_differences_of_the_estimate() -> Result<()> {
        let p = sparse(4.0)?;
        let start = p.value().to_vec();
        // Between whole numbers and their halves, where nothing is counted differently a little further.
        let moved = |by: f64, at: usize| {
            Tensor::from_fn([60, 80], |i| start[i] + 0.02 + if i == at { by } else { 0.0 })
        };
        p.set(moved(0.0, 0));
        let gradient = gradient(&p)?;
        for at in (0..4800).step_by(97) {
            let value = |by| -> Result<f64> {
                p.set(moved(by, at));
                let tape = Tape::new(); // with what isn't rounded yet
                rate(&p, &tape).item()
            };
            let slope: f64 = (value(1e-4)? - value(-1e-4)?) / 2e-4;
            assert!(
                (slope - gradient[at]).abs() < 1e-6 * slope.abs().max(1.0),
                "{at}: {slope}, {}",
                gradient[at]
            );
        }
        Ok(())
    }

    #[test]
    fn what_is_pruned_or_settled_isnt_moved() -> Result<()> {
        let p = sparse(1.0)?;
        p.set_mask(Some(&Tensor::from_fn([60, 80], |i| i % 2 == 0)))?;
        // The weights stand on whole numbers, but for one.
        p.update(|w| w.as_mut_slice()[..2].fill(0.15));
        let gradient = gradient(&p)?;
        assert!(gradient[0] > 0.0 && gradient[1..].iter().all(|&g| g == 0.0));
        let unmasked = sparse(1.0)?;
        assert!(bits(&p)? < bits(&unmasked)?);
        convert(&p)?;
        assert_eq!(bits(&p)?, 0.0);
        let plain = Param::new(Tensor::<f64>::ones([3, 3]));
        assert_eq!(bits(&plain)?, 0.0);
        Ok(())
    }
}
