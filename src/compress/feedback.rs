//! Rounding that makes up for itself: the columns of a weight are settled one after the other, each as its
//! errors before it would have it. With `H = XᵀX = RRᵀ`, R an upper triangle, the squared error of a row is
//! `Σₖ Rₖₖ² (tₖ - ŵₖ)²`, where `tₖ = wₖ + Σⱼ₍ⱼ₎₌₀..ₖ (wⱼ - ŵⱼ) Rⱼₖ / Rₖₖ`: so the best value of a column is
//! the one nearest to t. These are the steps of the optimal brain surgeon (Hassibi, Stork and Wolff, 1993), GPTQ
//! (Frantar et al., 2023) and SparseGPT (Frantar and Alistarh, 2023), without an inverse.
use super::calibration::{Moments, State};
use crate::{
    error::Checked,
    ids::ParamId,
    kernels::{
        dense::{cholesky, panel},
        matmul::{Mat, MatMut, matmul_alone},
        multiples::{WIDTH, add_multiples},
    },
    tensor::room::{filled, listed},
    threads::try_chunks,
};

/// Rows that are settled together, side by side.
pub(super) const LANES: usize = WIDTH;

/// The order in which the columns of a weight are settled, and how each takes over what those before it lost.
pub(super) struct Feedback {
    pub n: usize,
    /// Columns in the order in which they are settled.
    pub order: Vec<usize>,
    /// `Rⱼₖ / Rₖₖ` above the diagonal, by places in the order; none if nothing is taken over.
    factors: Vec<f32>,
    /// `Rₖₖ²`: what an error of 1 costs, by columns.
    pub costs: Vec<f32>,
}

/// What derivatives of a tied weight's outputs count beside those of its rows that are looked up. An error of
/// a row is the same at all places where it is looked up, which sums over places don't tell.
const OUTPUTS: f64 = 0.3;

/// Columns whose share of those before them is one matrix product.
pub(super) const BLOCK: usize = 128;

/// Some rows of a weight, fewer than [`LANES`] at its end, and their codes row after row.
pub(super) struct Rows {
    first: usize,
    pub codes: Vec<u8>,
    /// What the codes are worth, if that is asked for.
    pub values: Vec<f32>,
}

/// How columns are settled.
pub(super) trait Settle: Sync {
    /// How many columns are chosen among together, which divides [`BLOCK`].
    fn width(&self) -> usize {
        1
    }

    /// What `settle` finds in the place of the codes of some columns, by what these are to be as long as none of
    /// them is settled; `[columns, LANES]` both.
    fn choose(&self, _costs: &[f32], _targets: &[f32], _codes: &mut [u8]) {}

    /// Whether what codes are worth is kept.
    fn keeps(&self) -> bool {
        false
    }

    /// What a column is to be: for each target a code, and what it is worth in the target's place.
    fn settle(&self, first_row: usize, column: usize, targets: &mut [f32], codes: &mut [u8]);
}

impl Feedback {
    /// Of second moments; `damping` times the mean of their diagonal is added to it, before anything was
    /// divided out of the inputs. With `act_order`, columns with the largest inputs come first.
    pub fn new(moments: &[(f64, &Moments)], damping: f64, act_order: bool) -> Checked<Feedback> {
        let n = moments.first().map_or(0, |(_, some)| some.n);
        let at = |i: usize, j: usize| -> f64 {
            let each = moments.iter().map(|(weight, some)| {
                let sum = some.products.get(i.max(j) * n + i.min(j)).copied().unwrap_or_default();
                weight / some.count.max(1) as f64 * f64::from(sum)
            });
            each.sum()
        };
        let divided = |i: usize| moments.first().and_then(|(_, some)| some.divided.get(i)).copied();
        let square = |i: usize| divided(i).map_or(1.0, |by| by * by);
        let mean = (0..n).map(|i| at(i, i) * square(i)).sum::<f64>() / n.max(1) as f64;
        if !(mean > 0.0 && mean.is_finite()) {
            return Err(format!("the inputs' mean square is {mean}: takes finite inputs that aren't all 0"));
        }
        let mut order: Vec<usize> = (0..n).collect();
        if act_order {
            order.sort_by(|&a, &b| at(b, b).total_cmp(&at(a, a)).then(a.cmp(&b)));
        }
        // The upper triangle is the lower one of the matrix from behind.
        let from_behind = |i: usize| order[n - 1 - i];
        let h = listed(
            n * n,
            (0..n * n).map(|i| {
                let (i, j) = (i / n, i % n);
                at(from_behind(i), from_behind(j))
                    + if i == j { damping * mean / square(from_behind(i)) } else { 0.0 }
            }),
        )?;
        let mut lower = filled(n * n, 0.0)?;
        if let Err(minor) = cholesky(&h, n, &mut lower, &mut panel(n)?)? {
            let input = order.get(n - minor.min(n)).copied().unwrap_or_default();
            return Err(format!(
                "the inputs' second moments are not positive definite at input {input}: takes more damping or data"
            ));
        }
        drop(h);
        let root = |j: usize, k: usize| lower[(n - 1 - j) * n + n - 1 - k];
        let mut factors = filled(n * n, 0.0f32)?;
        let mut costs = filled(n, 0.0f32)?;
        (0..n).for_each(|k| costs[order[k]] = (root(k, k) * root(k, k)) as f32);
        for j in 0..n {
            (j + 1..n).for_each(|k| factors[j * n + k] = (root(j, k) / root(k, k)) as f32);
        }
        Ok(Feedback { n, order, factors, costs })
    }

    /// Of a weight's inputs, mostly the same as for the one before, which is in `last`. Of a weight whose rows
    /// are looked up as well, derivatives by these count, too; where they aren't known nothing is made up for.
    pub fn of<'f>(
        (id, cols): (ParamId, usize),
        seen: &State,
        (damping, act_order): (f64, bool),
        last: &'f mut Option<(Option<usize>, Feedback)>,
    ) -> Checked<&'f Feedback> {
        let weight = seen.weights.get(&id);
        let number = weight.and_then(|weight| weight.input);
        let looked_up = weight.is_some_and(|weight| weight.looked_up);
        let known = number.is_some() && !looked_up;
        if !known || last.as_ref().is_none_or(|(last, _)| *last != number) {
            let mut moments = Vec::new();
            let lookups = weight.and_then(|weight| weight.lookups.as_ref());
            if let (Some(weight), Some(input)) = (weight, number.and_then(|i| seen.moments.get(i))) {
                let slopes = weight.slopes.iter().sum::<f64>() / weight.sloped.max(1) as f64;
                moments.push((if lookups.is_some() { OUTPUTS * slopes } else { 1.0 }, input));
            }
            moments.extend(lookups.map(|lookups| (1.0, lookups)));
            let alone = looked_up && (lookups.is_none() || weight.is_some_and(|weight| weight.turned));
            let new = match moments.is_empty() || alone {
                true => Feedback::none(cols, moments.first().map_or(1.0, |(_, some)| some.mean())),
                false => Feedback::new(&moments, damping, act_order)?,
            };
            *last = Some((number.filter(|_| known), new));
        }
        last.as_ref().map(|(_, feedback)| feedback).ok_or_else(|| "nothing is known of its inputs".into())
    }

    /// Of inputs that tell nothing but what an error costs: each column is settled for itself.
    fn none(n: usize, cost: f64) -> Feedback {
        Feedback { n, order: (0..n).collect(), factors: Vec::new(), costs: vec![cost as f32; n] }
    }

    /// Settles the rows of a weight `[rows, n]`, [`LANES`] at a time.
    pub fn run(&self, weight: &[f32], how: &dyn Settle) -> Checked<Vec<Rows>> {
        let n = self.n.max(1);
        let rows = weight.len() / n;
        let mut all = listed(
            rows.div_ceil(LANES),
            (0..rows).step_by(LANES).map(|first| Rows { first, codes: Vec::new(), values: Vec::new() }),
        )?;
        try_chunks(&mut all, 1, &|_, all| {
            all.iter_mut().try_for_each(|some| {
                let end = rows.min(some.first + LANES);
                self.some(&weight[some.first * n..end * n], how, some)
            })
        })?;
        Ok(all)
    }

    fn some(&self, weight: &[f32], how: &dyn Settle, rows: &mut Rows) -> Checked<()> {
        let n = self.n;
        let count = weight.len() / n.max(1);
        rows.codes = filled(weight.len(), 0)?;
        rows.values = filled(if how.keeps() { weight.len() } else { 0 }, 0.0)?;
        let (mut errors, mut targets) = (filled(n * LANES, 0.0f32)?, filled(BLOCK * LANES, 0.0f32)?);
        let (mut codes, width) = ([0u8; BLOCK * LANES], how.width());
        let mut probes = filled(if width > 1 { BLOCK * LANES } else { 0 }, 0.0f32)?;
        for from in (0..n).step_by(BLOCK) {
            let to = n.min(from + BLOCK);
            for (column, targets) in self.order[from..to].iter().zip(targets.chunks_exact_mut(LANES)) {
                targets.iter_mut().zip(weight.chunks_exact(n)).for_each(|(t, row)| *t = row[*column]);
            }
            let feeds = !self.factors.is_empty();
            if feeds && from > 0 {
                let factors = &self.factors[from..];
                let a =
                    Mat { data: factors, rows: to - from, cols: from, row_stride: 1, col_stride: n as isize };
                let b =
                    Mat { data: &errors, rows: from, cols: LANES, row_stride: LANES as isize, col_stride: 1 };
                matmul_alone(1.0, a, b, 1.0, MatMut::dense(&mut targets, to - from, LANES))?;
            }
            // What the columns of this block give a later one.
            let feed = |targets: &mut [f32], errors: &[f32], i: usize| {
                if feeds {
                    let before = &errors[from * LANES..(from + i) * LANES];
                    add_multiples(targets, before, &self.factors[from * n + from + i..], n);
                }
            };
            for (i, &column) in self.order[from..to].iter().enumerate() {
                if width > 1 && i % width == 0 {
                    let end = (i + width).min(to - from);
                    let some = i * LANES..end * LANES;
                    probes[some.clone()].copy_from_slice(&targets[some.clone()]);
                    for k in i..end {
                        let probe = &mut probes[k * LANES..(k + 1) * LANES];
                        feed(probe, &errors, k);
                        let own = weight.chunks_exact(n).map(|row| row[self.order[from + k]]);
                        let errors = errors[(from + k) * LANES..].iter_mut();
                        errors.zip(own).zip(probe).for_each(|((error, own), probe)| *error = own - *probe);
                    }
                    let mut costs = [0.0; BLOCK];
                    let columns = self.order[from + i..from + end].iter();
                    costs.iter_mut().zip(columns).for_each(|(cost, &column)| *cost = self.costs[column]);
                    how.choose(&costs[..end - i], &probes[some.clone()], &mut codes[some]);
                }
                let targets = &mut targets[i * LANES..(i + 1) * LANES];
                let codes = &mut codes[i * LANES..(i + 1) * LANES];
                feed(targets, &errors, i);
                how.settle(rows.first, column, &mut targets[..count], &mut codes[..count]);
                let errors = &mut errors[(from + i) * LANES..][..count];
                for (r, error) in errors.iter_mut().enumerate() {
                    *error = weight[r * n + column] - targets[r];
                    rows.codes[r * n + column] = codes[r];
                    if let Some(value) = rows.values.get_mut(r * n + column) {
                        *value = targets[r];
                    }
                }
            }
        }
        Ok(())
    }
}
