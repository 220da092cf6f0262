//! Where time and memory go: by operation, layer and source line, forward and in the sweep.
use super::{
    GroupBy, Origin,
    observation::{Observation, Observed},
    origin::sums,
    table::{Table, bytes, count, percent, time, total},
};
use crate::{ops::Float, tape::Tape};
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, fmt};

/// Time, bytes and calls of a program that a tape [observed](Tape::set_observing); see
/// [`Observation::profile`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[must_use = "a report is made to be read"]
#[non_exhaustive]
pub struct Profile {
    /// One for each operation that was recorded; inputs and parameters left out.
    pub calls: Vec<Call>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Call {
    /// The statement.
    pub id: u32,
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Nanoseconds for its value; 0 for scalars, which can't be timed one by one.
    pub forward: u64,
    /// Nanoseconds of its rule in the sweep.
    pub sweep: u64,
    /// Bytes that it adds to what is kept for the sweep.
    pub bytes: usize,
}

/// The calls of one operation, layer or line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileGroup {
    /// The operation, layer or line.
    pub name: String,
    /// How many there are.
    pub calls: usize,
    /// Nanoseconds for the values.
    pub forward: u64,
    /// Nanoseconds of the rules.
    pub sweep: u64,
    /// Bytes kept for the sweep.
    pub bytes: usize,
}

impl ProfileGroup {
    /// Nanoseconds in all.
    pub fn nanos(&self) -> u64 {
        self.forward.saturating_add(self.sweep)
    }
}

/// # Reports: time
impl<T: Float> Tape<T> {
    /// [`Observation::profile`] of what was recorded so far.
    pub fn profile(&self) -> Profile {
        self.observation().profile()
    }
}

impl Observation {
    /// Where time and memory went, by operation, layer and source line. In a first step much of the time is
    /// for fresh memory; observe a later one.
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, inspect::GroupBy, nn::{Layer, Linear, Relu, Sequential}};
    /// let rng = &mut Random::new(0);
    /// let net = Sequential((Linear::new(64, 32, rng), Relu, Linear::new(32, 10, rng)));
    /// let tape = Tape::new();
    /// tape.set_observing(true);
    /// net.forward(&tape.constant(Tensor::ones([16, 64]))).square().mean().backward()?;
    /// let profile = tape.observation().with_names(&net).profile();
    /// println!("{profile}");
    /// let linear = profile.group_by(GroupBy::Operation).into_iter().find(|g| g.name == "linear").unwrap();
    /// assert_eq!(linear.calls, 2);
    /// assert!(profile.group_by(GroupBy::Layer).iter().any(|g| g.name == "2" && g.sweep > 0));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn profile(&self) -> Profile {
        let call = |seen: &Observed| Call {
            id: seen.row.id,
            origin: Origin::of(seen),
            forward: seen.nanos,
            sweep: seen.backward_nanos,
            bytes: seen.bytes,
        };
        Profile { calls: self.rows.iter().filter(|seen| !Origin::of(seen).is_leaf()).map(call).collect() }
    }
}

impl Profile {
    /// The sums over each operation, layer or line, those that take longest first.
    pub fn group_by(&self, by: GroupBy) -> Vec<ProfileGroup> {
        let groups = sums(
            &self.calls,
            |c| &c.origin,
            by,
            |group: &mut ProfileGroup, c| {
                group.calls += 1;
                group.forward = group.forward.saturating_add(c.forward);
                group.sweep = group.sweep.saturating_add(c.sweep);
                group.bytes = group.bytes.saturating_add(c.bytes);
            },
        );
        let mut groups: Vec<ProfileGroup> =
            groups.into_iter().map(|(name, group)| ProfileGroup { name, ..group }).collect();
        groups.sort_by_key(|g| Reverse((g.nanos(), g.bytes)));
        groups
    }

    /// Nanoseconds for all values and of all rules.
    pub fn nanos(&self) -> (u64, u64) {
        let more = |(forward, sweep): (u64, u64), c: &Call| {
            (forward.saturating_add(c.forward), sweep.saturating_add(c.sweep))
        };
        self.calls.iter().fold((0, 0), more)
    }
}

/// How many rows of a table are printed.
const ROWS: usize = 12;

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (forward, sweep) = self.nanos();
        let kept = total(self.calls.iter().map(|c| c.bytes));
        writeln!(
            f,
            "{} operations: {} forward, {} in the sweep, {} kept for it",
            count(self.calls.len()),
            time(forward),
            time(sweep),
            bytes(kept)
        )?;
        for (by, head) in
            [(GroupBy::Operation, "operation"), (GroupBy::Layer, "layer"), (GroupBy::Line, "line")]
        {
            let groups = self.group_by(by);
            if groups.iter().all(|g| g.name == "–") {
                continue;
            }
            let mut table = Table::new(&[head, ">calls", ">forward", ">sweep", ">share of time", ">kept"]);
            for g in groups.iter().take(ROWS) {
                let share = percent(g.nanos() as f64, forward.saturating_add(sweep) as f64);
                let [own, rule] = [g.forward, g.sweep].map(time);
                table.row([g.name.clone(), count(g.calls), own, rule, share, bytes(g.bytes)]);
            }
            write!(f, "\n{table}")?;
            if groups.len() > ROWS {
                writeln!(f, "and {} more", groups.len() - ROWS)?;
            }
        }
        Ok(())
    }
}
