//! What rounding costs, in units of the result: of each statement as it was computed, and of each value if it
//! had fewer bits.
use super::{
    Origin,
    observation::{Observation, Observed},
    table::{Table, count, percent, short},
};
use crate::{ops::Float, real::Arithmetic, tape::Tape};
use serde::Serialize;
use std::fmt;

/// What rounding each value of an [observed](Tape::set_observing) tape does to the result, to first order;
/// see [`Observation::rounding`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use = "a report is made to be read"]
#[non_exhaustive]
pub struct Rounding {
    /// The statements that the sweep came to, in their order.
    pub statements: Vec<RoundingError>,
    /// The relative error of one rounding: 2⁻²⁴ for `f32`, 2⁻⁵³ for `f64`.
    #[serde(with = "crate::numbers")]
    pub unit: f64,
}

/// What rounding one value does to the result.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RoundingError {
    /// The statement.
    pub id: u32,
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Name of the parameter.
    pub name: Option<String>,
    /// How many elements it has.
    pub numel: usize,
    /// `Σ |v̄·v|`: a relative error of ε in each element v moves the result by at most ε times this.
    #[serde(with = "crate::numbers")]
    pub sensitivity: f64,
    /// Whether computing the value rounds; moving elements, and inputs and parameters, don't.
    pub rounds: bool,
    /// The smallest and the largest element.
    #[serde(with = "crate::numbers")]
    pub range: (f64, f64),
    /// `Σ |v̄|`
    #[serde(with = "crate::numbers")]
    pub gradient_sum: f64,
    /// `√(Σ v̄²)`
    #[serde(with = "crate::numbers")]
    pub gradient_norm: f64,
}

/// # Reports: rounding
impl<T: Float> Tape<T> {
    /// [`Observation::rounding`] of the last sweep.
    pub fn rounding(&self) -> Rounding {
        self.observation().rounding()
    }
}

impl Observation {
    /// The first-order effect of rounding each value on the result whose gradients were taken: an error e in
    /// an element v moves it by `v̄·e`. Empty without a sweep.
    ///
    /// Near a minimum gradients are small and so is this effect; then the second order counts, which
    /// [`ObsSolver`](crate::compress::ObsSolver) has.
    ///
    /// ```
    /// use kolmo::Tape;
    /// let tape = Tape::<f32>::new();
    /// tape.set_observing(true);
    /// let x = tape.input([1.0, -2.0]);
    /// let y = (x * 3.0).sum();
    /// let _ = y.backward()?;
    /// let rounding = tape.rounding();
    /// println!("{rounding}");
    /// let product = &rounding.statements[1];
    /// assert_eq!(product.sensitivity, 9.0); // |1 · 3| + |1 · -6|
    /// assert_eq!(product.quantized_bound(2), 3.0); // four values 3 apart: half a step for each of two elements
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn rounding(&self) -> Rounding {
        let error = |seen: &Observed| {
            let (value, adjoint) = (seen.value.as_ref()?.to_vec(), seen.adjoint.as_ref()?.to_vec());
            let origin = Origin::of(seen);
            Some(RoundingError {
                id: seen.row.id,
                name: seen.row.name.clone(),
                numel: value.len(),
                sensitivity: value.iter().zip(&adjoint).map(|(v, a)| (v * a).abs()).sum(),
                rounds: !origin.is_leaf() && !seen.exact,
                origin,
                range: value.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v), high.max(v))),
                gradient_sum: adjoint.iter().map(|a| a.abs()).sum(),
                gradient_norm: adjoint.iter().map(|a| a * a).sum::<f64>().sqrt(),
            })
        };
        let single = self.rows.iter().any(|seen| seen.row.dtype == "f32");
        let unit = if single { f64::from(f32::EPSILON) } else { f64::EPSILON } / 2.0;
        Rounding { statements: self.rows.iter().filter_map(error).collect(), unit }
    }
}

impl RoundingError {
    /// The step between neighbours if the value had `bits` bits: as many equally spaced numbers as these bits
    /// tell apart, from the smallest element to the largest.
    fn step(&self, bits: u32) -> f64 {
        (self.range.1 - self.range.0).max(0.0) / (Arithmetic::exp2(f64::from(bits)) - 1.0).max(1.0)
    }

    /// How far the result moves at most, to first order, if the value is rounded to `bits` bits: half a step
    /// times `Σ |v̄|`.
    pub fn quantized_bound(&self, bits: u32) -> f64 {
        self.step(bits) / 2.0 * self.gradient_sum
    }

    /// How far the result moves as a rule (root mean square) if the value is rounded to `bits` bits: errors
    /// that are spread evenly over a step and know nothing of each other give `step / √12` times the norm
    /// of the gradient.
    pub fn quantized(&self, bits: u32) -> f64 {
        self.step(bits) / 12f64.sqrt() * self.gradient_norm
    }
}

impl Rounding {
    /// How far the result is from exact arithmetic at most, to first order: one rounding for each value that
    /// is computed. A sum of n elements counts as one rounding, and is up to n.
    pub fn bound(&self) -> f64 {
        self.unit * self.statements.iter().filter(|s| s.rounds).map(|s| s.sensitivity).sum::<f64>()
    }

    /// Bits for each parameter, `average` for each number of the model, shared out so that the result moves
    /// least: a bit more quarters a parameter's squared error and costs a bit for each of its numbers.
    /// Between 1 and 16 bits each.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor, nn::Param};
    /// let param = |v: [f32; 4]| Param::new(Tensor::from(v));
    /// let (a, b) = (param([-1.0, 0.5, 0.3, 1.0]), param([-1.0, 0.2, 0.9, 1.0]));
    /// let tape = Tape::new();
    /// tape.set_observing(true);
    /// (tape.param(&a) * 100.0 + tape.param(&b)).sum().backward()?; // a counts a hundred times as much
    /// let bits: Vec<u32> = tape.rounding().share_bits(4.0).into_iter().map(|(_, bits)| bits).collect();
    /// assert_eq!(bits, [7, 1]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn share_bits(&self, average: f64) -> Vec<(String, u32)> {
        let params: Vec<&RoundingError> =
            self.statements.iter().filter(|s| s.name.is_some() && s.numel > 0).collect();
        let mut bits = vec![1u32; params.len()];
        let numbers: usize = params.iter().map(|p| p.numel).sum();
        let mut left = average * numbers as f64 - numbers as f64;
        loop {
            let gain = |i: usize| {
                let (p, b) = (params[i], bits[i]);
                (Arithmetic::square(p.quantized(b)) - Arithmetic::square(p.quantized(b + 1))) / p.numel as f64
            };
            let open = (0..params.len()).filter(|&i| bits[i] < 16 && params[i].numel as f64 <= left);
            let Some(best) = open.filter(|&i| gain(i) > 0.0).max_by(|&a, &b| gain(a).total_cmp(&gain(b)))
            else {
                break;
            };
            bits[best] += 1;
            left -= params[best].numel as f64;
        }
        params.iter().zip(bits).map(|(p, bits)| (p.name.clone().unwrap_or_default(), bits)).collect()
    }
}

/// How many rows of a table are printed.
const ROWS: usize = 12;

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.statements.is_empty() {
            return writeln!(
                f,
                "no sweep was observed: call set_observing(true) before recording, then backward()"
            );
        }
        let total: f64 = self.statements.iter().filter(|s| s.rounds).map(|s| s.sensitivity).sum();
        writeln!(
            f,
            "rounding moves the result by at most {}, to first order. Of each value: the most that its own",
            short(self.bound())
        )?;
        writeln!(f, "rounding moves it, and how far it moves as a rule if the value has 8 or 4 bits.")?;
        let mut largest: Vec<&RoundingError> = self.statements.iter().filter(|s| s.rounds).collect();
        largest.sort_by(|a, b| b.sensitivity.total_cmp(&a.sensitivity));
        let mut table =
            Table::new(&["operation", ">elements", ">error", ">share", ">in 8 bits", ">in 4 bits", "line"]);
        for s in largest.iter().take(ROWS) {
            table.row([
                format!("%{} = {}", s.id, s.origin.op),
                count(s.numel),
                short(self.unit * s.sensitivity),
                percent(s.sensitivity, total),
                short(s.quantized(8)),
                short(s.quantized(4)),
                s.origin.line().unwrap_or_default(),
            ]);
        }
        write!(f, "\n{table}")?;
        if largest.len() > ROWS {
            writeln!(f, "and {} more", largest.len() - ROWS)?;
        }
        let params: Vec<&RoundingError> = self.statements.iter().filter(|s| s.name.is_some()).collect();
        if params.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&[
            "parameter",
            ">numbers",
            ">in 8 bits",
            ">in 4 bits",
            ">in 2 bits",
            ">bits, 4 on average",
        ]);
        let shares = self.share_bits(4.0);
        for (s, (name, bits)) in params.iter().filter(|s| s.numel > 0).zip(shares) {
            let costs = [8, 4, 2].map(|bits| short(s.quantized(bits)));
            table.row([name, count(s.numel)].into_iter().chain(costs).chain([bits.to_string()]));
        }
        write!(f, "\n{table}")
    }
}
