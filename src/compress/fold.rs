//! Columns of weights that are scaled while what gives them their inputs is divided by the same: the model
//! computes what it did, and its weights round better.
use super::{
    calibration::{Calibration, State},
    feedback::Feedback,
};
use crate::{
    error::{Checked, Error, Result},
    ids::ParamId,
    nn::Param,
    ops::Float,
    real::Arithmetic,
    tensor::Tensor,
};

/// Scales of the inputs of weights, folded into what comes before: `(W·diag(s))·(x/s)` is `W·x`. A norm's
/// weight can take a division by s, and so can the rows of a layer with nothing but products after it.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{Calibration, matrices, quantize::ColumnScales}, nn::{Layer, LayerNorm, Linear}};
/// let net = (LayerNorm::new([64]), Linear::new(64, 32, &mut Random::new(0)));
/// let calibration = Calibration::new(&net, matrices)?;
/// let tape = Tape::inference();
/// let x = tape.constant(Tensor::<f32>::from_fn([200, 64], |i| ((i * i) as f32).sin()));
/// let before = calibration.observe(&tape, || net.1.forward(&net.0.forward(&x)).sum().item())?;
/// let norm = [&net.0.weight, &net.0.bias].map(|p| p.as_ref().unwrap());
/// ColumnScales::errors(0.1).fold(&norm, &[&net.1.weight], &calibration)?;
/// let after = net.1.forward(&net.0.forward(&x)).sum().item()?;
/// assert!((before - after).abs() < 1e-3 * before.abs());
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "it does nothing until it is folded into parameters"]
#[doc(alias("AWQ", "SmoothQuant", "SmoothQuantModifier"))]
pub struct ColumnScales {
    by: By,
    heads: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Errors(f64),
    Magnitudes(f64),
    Largest(f64),
}

impl ColumnScales {
    /// By what an error of a column costs that the columns after it can't make up for: then one step is right
    /// for all columns, as [`Budget`](super::quantize::Budget) has it. `damping` is that of what follows.
    pub fn errors(damping: f64) -> ColumnScales {
        ColumnScales { by: By::Errors(damping), heads: None }
    }

    /// By the inputs' mean magnitudes to this power, as AWQ (Lin et al., 2024), which searches for powers from
    /// 0 to 1.
    pub fn awq(power: f64) -> ColumnScales {
        ColumnScales { by: By::Magnitudes(power), heads: None }
    }

    /// By `max|x|ᵃ / max|w|¹⁻ᵃ` of each column, as SmoothQuant (Xiao et al., 2023), which takes a half: what makes inputs
    /// hard to round to integers goes over into the weights.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor, compress::{Calibration, matrices, quantize::ColumnScales}, nn::Param};
    /// let (norm, w) = (Param::<f32>::new([1.0, 1.0]), Param::<f32>::new([[1.0, 1.0]]));
    /// let calibration = Calibration::new(&w, matrices)?;
    /// let tape = Tape::inference();
    /// let x = tape.constant(Tensor::<f32>::from([[16.0, 1.0]]));
    /// calibration.observe(&tape, || x.linear(&tape.param(&w), None));
    /// ColumnScales::smooth(0.5).fold(&[&norm], &[&w], &calibration)?;
    /// assert_eq!(w.value().to_vec(), [2.0, 0.5]); // by the root of 16, and the mean of both kept
    /// assert_eq!(norm.value().to_vec(), [0.5, 2.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn smooth(alpha: f64) -> ColumnScales {
        ColumnScales { by: By::Largest(alpha), heads: None }
    }

    /// Of inputs that are heads of this width, of which several neighbours come from the same rows (values in
    /// grouped-query attention): these have one scale.
    pub fn heads(self, width: usize) -> ColumnScales {
        ColumnScales { heads: Some(width), ..self }
    }

    /// Multiplies the columns of `consumers`, `[out, in]`, and divides the rows of `producers` (weights and
    /// biases, or a norm's), and what the calibration has seen. Consumers have to be all weights with that
    /// input.
    ///
    /// # Errors
    /// Shapes that don't fit; consumers that have no input in common or that aren't all that have it; what the
    /// calibration saw is 0 or not finite. Nothing has changed then.
    pub fn fold<T: Float>(
        self,
        producers: &[&Param<T>],
        consumers: &[&Param<T>],
        calibration: &Calibration,
    ) -> Result<()> {
        let fail = |why: String| Error::invalid("ColumnScales", why);
        let mut seen = calibration.seen().map_err(fail)?;
        let (number, rows, scales) = self.scales(producers, consumers, &seen).map_err(fail)?;
        let changed = |p: &Param<T>, by: &dyn Fn(usize) -> f64| -> Result<Tensor<T>> {
            let used =
                p.effective()?.contiguous().made().map_err(|why| Error::invalid("ColumnScales", why))?;
            let old = used.as_slice().unwrap_or_default();
            let new = old.iter().enumerate().map(|(i, v)| T::from_f64(v.to_f64() * by(i))).collect();
            Tensor::new(p.shape(), new)
        };
        let mut all = Vec::new();
        for p in consumers {
            all.push(changed(p, &|i| scales[i % scales.len()])?);
        }
        for p in producers {
            let cols = p.shape().numel() / rows.len();
            all.push(changed(p, &|i| 1.0 / rows[i / cols])?);
        }
        consumers.iter().chain(producers).zip(all).for_each(|(p, new)| p.replace(new));
        if let Some(moments) = seen.moments.get_mut(number) {
            moments.divide(&scales);
        }
        for p in producers {
            if let Some(weight) = seen.weights.get_mut(&p.id()) {
                weight.divide(&rows);
            }
        }
        Ok(())
    }

    /// The number of the moments, what rows are divided by, and what columns are multiplied by.
    fn scales<T: Float>(
        self,
        producers: &[&Param<T>],
        consumers: &[&Param<T>],
        seen: &State,
    ) -> Checked<(usize, Vec<f64>, Vec<f64>)> {
        let first = consumers.first().ok_or("takes one consumer at least")?;
        let number = seen.weights.get(&first.id()).and_then(|weight| weight.input);
        let number = number.ok_or("the calibration saw no input of the first consumer")?;
        let ids: Vec<ParamId> = consumers.iter().map(|p| p.id()).collect();
        for (id, weight) in seen.weights.iter() {
            let name = &weight.name;
            match (weight.input == Some(number), ids.contains(id)) {
                (true, false) => return Err(format!("{name} has the same input: takes all that have it")),
                (false, true) => return Err(format!("{name} has another input than the first consumer")),
                (true, true) if weight.turned || weight.looked_up => {
                    return Err(format!("{name}: takes weights [out, in] whose rows aren't looked up"));
                }
                _ => {}
            }
        }
        let moments = seen.moments.get(number).ok_or("nothing is known of the inputs")?;
        let n = moments.n;
        let rows = producers.first().and_then(|p| p.shape().first().copied()).unwrap_or(0);
        let width = self.heads.unwrap_or(n);
        let even = rows > 0 && width > 0 && n.is_multiple_of(rows) && rows.is_multiple_of(width.min(rows));
        if !even
            || (self.heads.is_none() && rows != n)
            || producers.iter().any(|p| p.shape().first() != Some(&rows))
        {
            let shapes: Vec<String> = producers.iter().map(|p| p.shape().to_string()).collect();
            return Err(format!(
                "producers {} for {n} inputs: takes as many rows in each, or heads() that share them evenly",
                shapes.join(", ")
            ));
        }
        let each = n / rows;
        let row = |column: usize| column / width / each * width + column % width;
        let logs: Vec<f64> = match self.by {
            By::Errors(damping) => {
                let costs = Feedback::new(&[(1.0, moments)], damping, false)?.costs;
                costs
                    .iter()
                    .map(|&cost| Arithmetic::log2(f64::from(cost).max(f64::MIN_POSITIVE)) / 2.0)
                    .collect()
            }
            By::Magnitudes(power) => {
                let mean = moments.magnitudes.iter().sum::<f64>() / n as f64;
                let floor = |v: f64| v.max(1e-4 * mean).max(f64::MIN_POSITIVE);
                moments.magnitudes.iter().map(|&v| power * Arithmetic::log2(floor(v))).collect()
            }
            By::Largest(alpha) => {
                let mut weights = vec![0.0; n];
                for p in consumers {
                    let used = p.effective().map_err(|why| why.to_string())?.to_vec();
                    used.iter().enumerate().for_each(|(i, w)| {
                        let most: &mut f64 = &mut weights[i % n];
                        *most = most.max(w.to_f64().abs());
                    });
                }
                let log = |of: &[f64]| -> Vec<f64> {
                    let floor = (1e-5 * of.iter().copied().fold(0.0, f64::max)).max(f64::MIN_POSITIVE);
                    of.iter().map(|v| Arithmetic::log2(v.max(floor))).collect()
                };
                let both = log(&moments.largest).into_iter().zip(log(&weights));
                both.map(|(x, w)| alpha * x - (1.0 - alpha) * w).collect()
            }
        };
        let mean = logs.iter().sum::<f64>() / n as f64;
        let mut by_row = vec![0.0; rows];
        (0..n).for_each(|column| by_row[row(column)] += (logs[column] - mean) / each as f64);
        let by_row: Vec<f64> = by_row.into_iter().map(Arithmetic::exp2).collect();
        if by_row.iter().any(|by| !by.is_normal()) {
            return Err("the inputs' scales are 0 or not finite".into());
        }
        let scales = (0..n).map(|column| by_row[row(column)]).collect();
        Ok((number, by_row, scales))
    }
}
