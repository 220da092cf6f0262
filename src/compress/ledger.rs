//! What a model costs as it is stored: where its bytes are, how many multiply-adds it takes, how long it
//! takes.
use super::{
    Sizes, all_params, pack,
    prune::{self, Weights},
};
use crate::{
    clock::Clock,
    error::{Error, Result},
    ids::ParamId,
    ops::list::{Conv, Linalg, TensorOp},
    param::inventory,
    program::{Operand, Recorded},
    tape::{NodeId, Op, Tape, Var},
    tensor::{Shape, Tensor},
};
use serde::Serialize;
use std::{collections::HashMap, fmt};

/// The bytes, the work and the time of a model.
///
/// ```
/// use kolmo::{Random, Tensor, compress::{CostReport, matrices, prune::{self, Amount}}, nn::{Layer, Linear, Relu, Sequential}};
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::new(20, 30, rng), Relu, Linear::new(30, 5, rng)));
/// prune::global(&net, Amount::Density(0.1), matrices)?;
/// let ledger = CostReport::measure(&net, &Tensor::ones([1, 20]), |x| net.forward(x))?;
/// assert_eq!((ledger.dense(), ledger.stored()), (750, 75));
/// println!("{ledger}");
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct CostReport {
    /// Of the file that [`pack`] makes.
    pub sizes: Sizes,
    /// Of all parameters.
    pub weights: Weights,
    /// The products with parameters, in the order of the computation.
    pub work: Vec<Work>,
    /// If it was measured.
    pub latency: Option<Latency>,
}

/// The multiply-adds of one product with a parameter, for one example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Work {
    /// The parameter's name.
    pub param: String,
    /// With all of its elements.
    pub dense: u64,
    /// With those that aren't zero.
    pub stored: u64,
}

/// Medians of twenty times, in microseconds, measured in turn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Latency {
    /// Of the model with plain tensors of floats.
    pub dense: f64,
    /// Of the form that is stored.
    pub stored: f64,
}

impl CostReport {
    /// Packs a model and records one run of it, on an example `[n, …]`.
    ///
    /// # Errors
    /// As [`pack`]; the model fails, or does what a [`Program`](crate::Program) can't do.
    pub fn measure<M: Serialize + ?Sized>(
        model: &M,
        example: &Tensor<f32>,
        forward: impl for<'t> Fn(&Var<'t, f32>) -> Var<'t, f32>,
    ) -> Result<CostReport> {
        let sizes = pack(model, &[])?.sizes()?;
        let recorded = Recorded::of(&[example], &[], &|tape: &Tape<f32>, x, _| {
            tape.set_training(false);
            vec![forward(&x[0])]
        })?;
        let examples = example.shape().first().copied().unwrap_or(1).max(1) as u64;
        let shares = shares(model)?;
        let params: Vec<ParamId> = recorded
            .nodes
            .iter()
            .filter_map(|node| if let Op::Param(id) = node.op { Some(id) } else { None })
            .collect();
        if !params.is_empty() && !params.iter().any(|id| shares.contains_key(id)) {
            let message = format!("the run reads none of the model's parameters: {}", inventory(model));
            return Err(Error::invalid("CostReport", message));
        }
        let work = products(&recorded, &shares, examples);
        Ok(CostReport { sizes, weights: prune::count(model, all_params), work, latency: None })
    }

    /// The report with times: of `dense`, a run of the model, and of `stored`, a run in compressed form, such
    /// as of one that [`unpack`](super::unpack) loaded. Best on one thread ([`set_threads`](crate::runtime::set_num_threads)) of
    /// a quiet machine.
    ///
    /// # Errors
    /// What the runs give.
    pub fn timed(
        self,
        mut dense: impl FnMut() -> Result<()>,
        mut stored: impl FnMut() -> Result<()>,
    ) -> Result<CostReport> {
        let mut times = [Vec::new(), Vec::new()];
        let calls = [calls(&mut dense)?, calls(&mut stored)?];
        for _ in 0..20 {
            let runs: [&mut dyn FnMut() -> Result<()>; 2] = [&mut dense, &mut stored];
            for ((run, times), calls) in runs.into_iter().zip(&mut times).zip(calls) {
                let start = Clock::now();
                (0..calls).try_for_each(|_| run())?;
                times.push(start.elapsed().as_secs_f64() * 1e6 / calls as f64);
            }
        }
        let [dense, stored] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[10]
        });
        Ok(CostReport { latency: Some(Latency { dense, stored }), ..self })
    }

    /// All multiply-adds for one example with plain tensors.
    pub fn dense(&self) -> u64 {
        self.work.iter().map(|work| work.dense).sum()
    }

    /// Those that are left if zeros are left out.
    pub fn stored(&self) -> u64 {
        self.work.iter().map(|work| work.stored).sum()
    }
}

/// How many calls take about two milliseconds.
fn calls(run: &mut impl FnMut() -> Result<()>) -> Result<u32> {
    let (start, mut calls) = (Clock::now(), 0);
    while calls < 3 || Clock::THERE && start.elapsed().as_secs_f64() < 0.004 {
        run()?;
        calls += 1;
    }
    Ok((calls / 2).max(1))
}

/// The name of each parameter and the share of it that isn't zero, by its number and those of its codebook
/// and step sizes.
fn shares<M: Serialize + ?Sized>(model: &M) -> Result<HashMap<ParamId, (String, f64)>> {
    let mut shares = HashMap::new();
    let mut result = Ok(());
    crate::param::visit_fields(model, |path, p: &crate::nn::Param<f32>| {
        let value = p.effective().map(|v| v.to_vec());
        let share = value.map(|v| v.iter().filter(|&&v| v != 0.0).count() as f64 / v.len().max(1) as f64);
        match share {
            Ok(share) => {
                let beside = [p.codebook().map(|(_, c)| c.id()), p.steps().map(|steps| steps.sizes.id())];
                for id in [Some(p.id())].into_iter().chain(beside).flatten() {
                    shares.insert(id, (path.to_string(), share));
                }
            }
            Err(e) => result = Err(e),
        }
    });
    result.map(|()| shares)
}

/// The products of a recorded run, each with the parameter that one side of it is made of.
fn products(recorded: &Recorded<f32>, shares: &HashMap<ParamId, (String, f64)>, examples: u64) -> Vec<Work> {
    // For each node the parameter that it is made of, or that it depends on the input.
    let mut origin: Vec<Option<ParamId>> = Vec::new();
    let mut varies: Vec<bool> = Vec::new();
    let mut work = Vec::new();
    for (node, operands) in recorded.nodes.iter().zip(&recorded.operands) {
        let nodes = || operands.iter().filter_map(Operand::node).map(NodeId::place);
        varies.push(matches!(node.op, Op::Input) || nodes().any(|i| varies[i]));
        origin.push(match node.op {
            Op::Param(id) => Some(id),
            _ => nodes().filter(|&i| !varies[i]).find_map(|i| origin[i]),
        });
        let shape = |operand: &Operand<f32>| -> Shape {
            match operand {
                Operand::Node(i) => recorded.nodes[i.place()].shape.clone(),
                Operand::Constant(value) => value.shape().clone(),
            }
        };
        let sides: Vec<Shape> = operands.iter().take(2).map(shape).collect();
        let [left, right] = &sides[..] else { continue };
        // How many products each element of the result is a sum of.
        let terms = match &node.op {
            Op::Tensor(TensorOp::Linalg(Linalg::Linear)) => right.last().copied(),
            Op::Tensor(TensorOp::Linalg(Linalg::Matmul { transpose_a: false, .. })) => left.last().copied(),
            Op::Tensor(TensorOp::Linalg(Linalg::Matmul { transpose_a: true, .. })) => {
                left.iter().rev().nth(1).copied()
            }
            Op::Tensor(TensorOp::Conv(conv)) => match conv {
                Conv::Forward { .. } => Some(right.iter().skip(1).product()),
                Conv::Input { .. } => {
                    Some(right.first().copied().unwrap_or(1) * right.iter().skip(2).product::<usize>())
                }
                Conv::Weight { .. } => None,
            },
            _ => None,
        };
        let side = operands.iter().take(2).filter_map(Operand::node).find(|&i| !varies[i.place()]);
        let param = side.and_then(|i| origin[i.place()]).and_then(|id| shares.get(&id));
        if let (Some(terms), Some((name, share))) = (terms, param) {
            let dense = node.shape.numel() as u64 * terms as u64 / examples;
            let stored = (dense as f64 * share).round() as u64;
            work.push(Work { param: name.clone(), dense, stored });
        }
    }
    work
}

/// Bytes by part and entry, multiply-adds by parameter, times.
impl fmt::Display for CostReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "     bytes\n{}", self.sizes)?;
        writeln!(f, "\n{:>10}{:>12}  multiply-adds", "dense", "stored")?;
        for Work { param, dense, stored } in &self.work {
            writeln!(f, "{dense:>10}{stored:>12}  {param}")?;
        }
        write!(f, "{:>10}{:>12}  total", self.dense(), self.stored())?;
        match self.latency {
            None => Ok(()),
            Some(Latency { dense, stored }) => write!(f, "\n{dense:>10.1}{stored:>12.1}  microseconds"),
        }
    }
}
