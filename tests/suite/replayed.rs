//! What a program replays is what the tape computes on the same values, whatever path an operation takes by
//! them; else it is not recorded at all.
use crate::catalogue::{Entry, all};
use kolmo::{Program, Tape, Tensor, Var, inspect::SavedTape};

/// Numbers of one kind each: as in the catalogue, with other signs, with zeros, with ties, tiny and large,
/// not finite.
fn kinds(operand: usize) -> Vec<Tensor<f64>> {
    let number = |i: usize| ((i * 29 + operand * 11 + 5) % 41) as f64 / 41.0 * 1.7 + 0.3;
    let changes: [fn(f64, usize) -> f64; 9] = [
        |v, _| v,
        |v, i| if i % 3 == 0 { -v } else { v },
        |v, i| if i % 5 == 2 { 0.0 } else { v },
        |v, i| if i == 7 { 0.0 } else { -v },
        |_, _| 0.0,
        |v, _| (v * 2.0).round() / 2.0,
        |v, i| v * 10f64.powi(i as i32 % 7 - 3),
        |v, i| if i == 3 { f64::NAN } else { v },
        |v, i| if i == 3 { f64::INFINITY } else { v },
    ];
    changes.iter().map(|change| Tensor::from_fn([4, 4], |i| change(number(i), i))).collect()
}

fn bits(t: &Tensor<f64>) -> Vec<u64> {
    t.to_vec().iter().map(|v| if v.is_nan() { 0 } else { (v + 0.0).to_bits() }).collect()
}

/// The value, and with it the gradients as they are recorded.
fn with_gradients<'t>(entry: &Entry, x: &[Var<'t, f64>]) -> Vec<Var<'t, f64>> {
    let y = (entry.run)(x);
    let operands: Vec<&Var<'t, f64>> = x.iter().collect();
    let mut all = vec![y.clone()];
    match y.sum().grad(&operands) {
        Ok(grads) => all.extend(grads),
        // Then the whole fails.
        Err(_) => all.push(x[0].reshape([5])),
    }
    all
}

fn agrees(entry: &Entry, gradients: bool, wrong: &mut Vec<String>) -> bool {
    let operands: Vec<Vec<Tensor<f64>>> = (0..entry.operands).map(kinds).collect();
    let of = |kind: usize| operands.iter().map(|kinds| &kinds[kind]).collect::<Vec<_>>();
    let recorded = Program::new(&of(0), &[], |_, x, _| match gradients {
        true => with_gradients(entry, x),
        false => vec![(entry.run)(x)],
    });
    let Ok(mut program) = recorded else { return false };
    for kind in 0..operands[0].len() {
        let tape = Tape::new();
        let x: Vec<Var<'_, f64>> = of(kind).into_iter().map(|x| tape.input(x)).collect();
        let direct = if gradients { with_gradients(entry, &x) } else { vec![(entry.run)(&x)] };
        match (direct.iter().try_for_each(Var::ok), program.run(&of(kind), &[])) {
            (Ok(()), Ok(again)) => {
                let same =
                    direct.iter().zip(&again).all(|(a, b)| a.value().is_ok_and(|a| bits(a) == bits(b)));
                if !same {
                    wrong.push(format!(
                        "{}, gradients {gradients}, kind {kind}:\n{direct:?}\n{again:?}",
                        entry.name
                    ));
                }
            }
            (Err(_), Err(_)) => {}
            (direct, again) => wrong.push(format!(
                "{}, gradients {gradients}, kind {kind}: {direct:?} but {again:?}",
                entry.name
            )),
        }
    }
    true
}

#[test]
fn every_operation_is_refused_or_replayed_to_the_bit() {
    let (mut wrong, mut refused) = (Vec::new(), [Vec::new(), Vec::new()]);
    for entry in all() {
        for gradients in [false, true] {
            if !agrees(entry, gradients, &mut wrong) {
                refused[gradients as usize].push(entry.name);
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    refused.iter_mut().for_each(|names| names.sort());
    // Where a caller gets positions, random numbers are drawn, or a path can't be computed anew. Of pooling
    // the gradient is that of a sum here: a constant, put where the largest were when it was recorded.
    let values = "adaptive_max_pool1d adaptive_max_pool2d cummax cummin dropout kthvalue max_dim median median_dim min_dim \
                  rrelu sort topk";
    let gradients = "adaptive_max_pool1d adaptive_max_pool2d cummax cummin det dropout kthvalue max_dim \
                     max_pool1d max_pool2d median median_dim min_dim rrelu sort topk";
    assert_eq!(refused.map(|names| names.join(" ")), [values, gradients]);
}

/// What a program for many examples gives, all operands of each their own or the first alone, beside what it
/// gives for each.
fn agrees_for_many(entry: &Entry, gradients: bool, own: usize, wrong: &mut Vec<String>) -> bool {
    let operands: Vec<Vec<Tensor<f64>>> = (0..entry.operands).map(kinds).collect();
    let of = |kind: usize| operands.iter().take(own).map(|kinds| &kinds[kind]).collect::<Vec<_>>();
    let recorded = Program::new(&of(0), &[], |tape, x, _| {
        let shared = operands.iter().skip(own).map(|kinds| tape.constant(&kinds[0]));
        let x: Vec<Var<'_, f64>> = x.iter().cloned().chain(shared).collect();
        match gradients {
            true => with_gradients(entry, &x),
            false => vec![(entry.run)(&x)],
        }
    });
    let Ok(mut program) = recorded else { return false };
    let each: Vec<(usize, Vec<Tensor<f64>>)> =
        (0..operands[0].len()).filter_map(|kind| Some((kind, program.run(&of(kind), &[]).ok()?))).collect();
    let stacked: Vec<Tensor<f64>> = (0..own.min(operands.len()))
        .map(|k| {
            Tensor::stack(&each.iter().map(|(kind, _)| &operands[k][*kind]).collect::<Vec<_>>(), 0).unwrap()
        })
        .collect();
    let all = match program.run_each(&stacked.iter().collect::<Vec<_>>(), &[]) {
        Ok(all) => all,
        Err(error) => {
            wrong.push(format!("{}, gradients {gradients}, own {own}: {error}", entry.name));
            return true;
        }
    };
    let near = |a: f64, b: f64| a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * (1.0 + b.abs());
    for (i, (kind, results)) in each.iter().enumerate() {
        for (k, (all, one)) in all.iter().zip(results).enumerate() {
            let own = all.select(0, i as isize).unwrap();
            let same =
                own.shape() == one.shape() && own.to_vec().iter().zip(one.to_vec()).all(|(&a, b)| near(a, b));
            if !same {
                wrong.push(format!(
                    "{}, gradients {gradients}, kind {kind}, result {k}:\n{own:?}\n{one:?}",
                    entry.name
                ));
            }
        }
    }
    true
}

#[test]
fn every_operation_gives_for_many_examples_what_it_gives_for_each() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for entry in all() {
        for (gradients, own) in [(false, 9), (true, 9), (true, 1)] {
            count += usize::from(agrees_for_many(entry, gradients, own, &mut wrong));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 500, "{count} were recorded");
}

/// The same of a saved tape: on other values it gives what the tape would have given, or says that it can't.
#[test]
fn every_operation_that_was_saved_is_refused_or_run_again_to_the_bit() {
    let (mut wrong, mut refused) = (Vec::new(), Vec::new());
    for entry in all() {
        let operands: Vec<Vec<Tensor<f64>>> = (0..entry.operands).map(kinds).collect();
        let tape = Tape::new();
        tape.set_observing(true);
        let x: Vec<Var<'_, f64>> = operands.iter().map(|kinds| tape.input(&kinds[0])).collect();
        let Ok(saved) = SavedTape::from_var(&(entry.run)(&x)) else { continue };
        for kind in 0..operands[0].len() {
            let tape = Tape::new();
            let x: Vec<Var<'_, f64>> = operands.iter().map(|kinds| tape.input(&kinds[kind])).collect();
            let names =
                saved.leaves().into_iter().map(|(name, _)| name.trim_start_matches('%').parse::<usize>());
            let leaves = names.filter_map(|id| Some(operands.get(id.ok()?.checked_sub(1)?)?[kind].clone()));
            let again = saved.replay_on::<f64>(&leaves.collect::<Vec<_>>());
            match ((entry.run)(&x).value().map(bits), again.map(|again| bits(&again.value))) {
                (Ok(direct), Ok(again)) if direct == again => {}
                // A fused expression is saved as what it is made of, which is rounded otherwise.
                (Ok(direct), Ok(again)) if entry.name == "ctc_loss" && direct[0].abs_diff(again[0]) < 9 => {}
                (Err(_), Err(_)) => {}
                (Ok(_), Err(e)) if kind > 0 && e.to_string().contains("found from values") => {
                    refused.push(entry.name);
                }
                // The value is there, its gradient, which a replay takes too, is not.
                (Ok(_), Err(e)) if e.to_string().contains("slogdet: its gradient can't be computed") => {}
                (direct, again) => {
                    wrong.push(format!("{}, kind {kind}: {direct:?} but {again:?}", entry.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    refused.dedup();
    refused.sort();
    let positions = "adaptive_max_pool1d adaptive_max_pool2d cummax cummin gaussian_nll_loss kthvalue max_dim max_pool1d max_pool2d \
                     median median_dim min_dim sort topk";
    assert_eq!(refused.join(" "), positions);
}

#[test]
fn what_a_function_does_with_plain_gradients_and_indices_is_noticed() {
    let x = Tensor::from([1.0, 2.0]);
    let plain = Program::new(&[&x], &[], |tape, x, _| {
        let slope = x[0].square().sum().backward_retain_graph().ok().and_then(|g| g.get(&x[0]).cloned());
        vec![&x[0] * tape.constant(slope.unwrap_or_else(|| Tensor::zeros([2])))]
    });
    assert!(plain.err().is_some_and(|e| e.to_string().contains("gradients were taken")));
    // Equal labels look the same from behind: the second use doesn't hang on the index.
    let (x, labels) = (Tensor::from([[1.0, 2.0], [3.0, 4.0]]), Tensor::from([1u32, 1]));
    let twice = Program::new(&[&x], &[&labels], |tape, x, labels| {
        let hot = tape.constant(labels[0].cast::<f64>());
        vec![x[0].cross_entropy(&labels[0]) + hot.sum()]
    });
    assert!(twice.err().is_some_and(|e| e.to_string().contains("other than through operations")));
}

#[test]
fn a_negative_variance_and_no_probability_are_errors_in_each_run() -> kolmo::Result<()> {
    let [good, bad] = [[0.5, 0.25], [0.5, -0.25]].map(Tensor::from);
    let mut gaussian =
        Program::new(&[&good], &[], |_, x, _| vec![x[0].detach().gaussian_nll_loss(&x[0], &x[0])])?;
    let mut binary = Program::new(&[&good], &[], |_, x, _| vec![x[0].binary_cross_entropy(&x[0].detach())])?;
    for program in [&mut gaussian, &mut binary] {
        assert!(program.run(&[&good], &[]).is_ok());
        assert!(program.run(&[&bad], &[]).is_err_and(|e| e.to_string().contains("-0.25")));
    }
    Ok(())
}
