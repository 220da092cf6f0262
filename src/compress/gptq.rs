//! Weights in few bits, each error made up for by the weights that are settled after it (Frantar et al.,
//! 2023).
use super::{
    calibration::Calibration,
    feedback::{Feedback, Settle},
    targets::{Coded, Target, targets},
    weight_only::WeightOnly,
};
use crate::{
    checked::Check,
    distributed::{Alone, Communicator, alike, divide},
    error::{Checked, Error, Result},
};
use serde::Serialize;

/// GPTQ (Frantar et al., 2023): weights in the form of [`WeightOnly`], whose columns are rounded one after
/// the other, the later ones making up for what the earlier ones lose on the inputs that a [`Calibration`] saw.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{Calibration, matrices, quantize::Gptq}, nn::{Layer, Linear}};
/// let net = Linear::new(64, 32, &mut Random::new(0));
/// let calibration = Calibration::new(&net, matrices)?;
/// let tape = Tape::inference();
/// let x = tape.constant(Tensor::<f32>::from_fn([200, 64], |i| (i as f32).sin()));
/// calibration.observe(&tape, || net.forward(&x));
/// Gptq::new(4).groups(32).apply(&net, &calibration)?;
/// assert_eq!(net.weight.value().packed().unwrap().codes().unwrap().bits(), 4);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "it does nothing until it is applied to a model"]
#[doc(alias("GPTQModifier", "GPTQConfig", "OBQ"))]
pub struct Gptq {
    grid: WeightOnly,
    damping: f64,
    act_order: bool,
}

impl Gptq {
    /// Integers of so many bits, 1 to 8, with a scale and a zero point for each output.
    pub fn new(bits: u32) -> Gptq {
        Gptq { grid: WeightOnly::new(bits), damping: 0.01, act_order: false }
    }

    /// A scale and a zero point for each `group` neighbours along the inputs of an output.
    pub fn groups(self, group: usize) -> Gptq {
        Gptq { grid: self.grid.groups(group), ..self }
    }

    /// Without zero points, or with them (the default).
    pub fn symmetric(self, symmetric: bool) -> Gptq {
        Gptq { grid: self.grid.symmetric(symmetric), ..self }
    }

    /// How much of the mean of the diagonal of the second moments is added to it; 0.01 if it isn't said.
    #[doc(alias("percdamp", "damp_percent", "dampening_frac"))]
    pub fn damping(self, damping: f64) -> Gptq {
        Gptq { damping, ..self }
    }

    /// Whether columns with the largest inputs are rounded first, which then don't have to make up for
    /// others. Scales are those of the weights as they were, and groups of neighbours as before. `false` if it isn't
    /// said.
    #[doc(alias("desc_act", "actorder"))]
    pub fn act_order(self, act_order: bool) -> Gptq {
        Gptq { act_order, ..self }
    }

    /// Stores the weights that the calibration is for in this form. They aren't trained any more. Those that
    /// nothing was multiplied with are rounded to the nearest; so are those whose rows are looked up as well
    /// (tied embeddings), unless the calibration saw gradients, which tell what both uses count.
    ///
    /// # Errors
    /// As [`WeightOnly::apply`]'s; inputs that are all 0 or not finite; a damping too small for a matrix of
    /// moments that can't be inverted. Nothing has changed then.
    pub fn apply<M: Serialize + ?Sized>(self, model: &M, calibration: &Calibration) -> Result<()> {
        self.apply_together(&Alone, model, calibration)
    }

    /// The same by several processes, each of which has the model and has seen the same data: a process settles
    /// some of the weights, and tells the others their codes. So the model is the same on all, to the bit, and
    /// that which one process alone makes of it.
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, compress::{Calibration, matrices, quantize::Gptq}, nn::{Layer, Linear}};
    /// use kolmo::distributed::Local;
    /// let made = Local::run(2, |world| {
    ///     let rng = &mut Random::new(0);
    ///     let net = (Linear::new(64, 32, rng), Linear::new(32, 16, rng));
    ///     let calibration = Calibration::new(&net, matrices)?;
    ///     let tape = Tape::inference();
    ///     let x = tape.constant(Tensor::<f32>::from_fn([200, 64], |i| (i as f32).sin()));
    ///     calibration.observe(&tape, || net.1.forward(&net.0.forward(&x)));
    ///     Gptq::new(4).apply_together(&world, &net, &calibration)?;
    ///     Ok((net.0.weight.value().to_vec(), net.1.weight.value().to_vec()))
    /// })?;
    /// assert_eq!(made[0], made[1]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`apply`](Gptq::apply) on any process, on all; options or weights of other names or shapes.
    pub fn apply_together<M: Serialize + ?Sized>(
        self,
        world: &dyn Communicator,
        model: &M,
        calibration: &Calibration,
    ) -> Result<()> {
        let fail = |why: String| Error::invalid("Gptq", why);
        self.grid.check().and_then(|()| self.grid.group(1)).map_err(fail)?;
        if !(self.damping >= 0.0 && self.damping.is_finite()) {
            return Err(fail(format!("damping {}: takes 0 or more", self.damping)));
        }
        let (targets, seen) = targets("Gptq", model, calibration)?;
        let mut last = None;
        let mut coded = |target: &Target| {
            Feedback::of((target.id, target.cols), &seen, (self.damping, self.act_order), &mut last)
                .and_then(|feedback| self.coded(target, target.turned(&seen), feedback))
                .map_err(|why| target.named("Gptq", why))
        };
        let store =
            |target: &Target, coded: &Coded| target.store(coded).map_err(|why| target.named("Gptq", why));
        let jobs: Result<Vec<_>> = if world.size() == 1 {
            targets.iter().map(|target| store(target, &coded(target)?)).collect()
        } else {
            let shape = |target: &Target| format!("[{}, {}]", target.rows, target.cols);
            let mut facts = vec![("the quantiser".into(), format!("{self:?}"))];
            facts.extend(targets.iter().map(|target| (target.name.clone(), shape(target))));
            alike(world, facts)?;
            // A row costs as many steps as it has columns, each as many as there are before it.
            let costs: Vec<usize> = targets.iter().map(|t| t.rows * t.cols * t.cols).collect();
            let made = divide(world, &costs, |own| {
                own.iter().map(|&i| Ok(coded(&targets[i])?.to_bytes())).collect()
            })?;
            let unfit = |target: &Target| target.named("Gptq", "its codes came in pieces");
            let taken = targets.iter().zip(made);
            taken.map(|(t, made)| store(t, &Coded::of_bytes(&made).ok_or_else(|| unfit(t))?)).collect()
        };
        jobs?.iter().for_each(|job| job.put());
        Ok(())
    }

    /// A weight in this form.
    fn coded(self, target: &Target, turned: bool, feedback: &Feedback) -> Checked<Coded> {
        let (weight, cols, group) = (target.read()?, target.cols, self.grid.group(target.cols)?);
        let ranges = self.grid.ranges(&weight, cols)?;
        let rounding =
            Rounding { grid: self.grid, group, each: cols.div_ceil(group), turned, ranges: &ranges };
        let rows = feedback.run(&target.by_outputs(weight, turned)?, &rounding)?;
        let (scales, zeros) = ranges.into_iter().unzip();
        let (bits, low, zeros) = self.grid.codes(zeros);
        Ok(Coded { bits, low, codes: target.codes(&rows, turned)?, group, scales, zeros })
    }
}

struct Rounding<'a> {
    grid: WeightOnly,
    group: usize,
    /// Groups of a row of the parameter.
    each: usize,
    turned: bool,
    /// Scales and zero points of the parameter's groups.
    ranges: &'a [(f32, u8)],
}

impl Settle for Rounding<'_> {
    fn settle(&self, first_row: usize, column: usize, targets: &mut [f32], codes: &mut [u8]) {
        let (group, each) = (self.group, self.each);
        for (row, (target, code)) in (first_row..).zip(targets.iter_mut().zip(codes)) {
            let (scale, zero) = match self.turned {
                false => self.ranges[row * each + column / group],
                true => self.ranges[column * each + row / group],
            };
            *code = self.grid.code(*target, scale, zero);
            *target = self.grid.worth(*code, scale, zero);
        }
    }
}
