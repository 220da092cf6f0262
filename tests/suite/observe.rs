//! What an observed tape tells: the numbers are the tape's own.
use kolmo::{
    Random, Result, Scalar, Tape, Tensor, fuse,
    inspect::{Argument, Numbers, Observation, Observed},
    nn::{Layer, Linear, Relu, Sequential},
};

fn row<'a>(seen: &'a Observation, op: &str) -> &'a Observed {
    seen.rows.iter().find(|r| r.row.op == op).unwrap()
}

#[test]
fn scalars_have_names_values_constants_and_lines() -> Result<()> {
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let [x, y] = [0.5, 2.0].map(|v| tape.scalar(v));
    let line = line!() + 1;
    let z = (x * y).sin() + 3.0 - 1.0 / y.clamp(0.0, 2.0);
    let grads = z.backward()?;
    let seen = tape.observation();
    let ops: Vec<&str> = seen.rows.iter().map(|r| r.row.op.as_str()).collect();
    assert_eq!(ops, ["input", "input", "mul", "sin", "add", "clamp", "div", "sub"]);
    let value = |i: usize| seen.rows[i].value.as_ref().unwrap().item().unwrap();
    assert_eq!([value(2), value(3), value(7)], [1.0, 1f64.sin(), z.value()]);
    assert_eq!(seen.rows[5].row.options, "min=0, max=2");
    assert_eq!(seen.rows[5].kinks, 1);
    assert_eq!(seen.rows[6].row.arguments, [Argument::Constant, Argument::Partial(6, -0.25)]);
    assert_eq!(seen.rows[6].constants[0].value.item()?, 1.0);
    for row in &seen.rows[2..] {
        assert!(row.row.site.as_ref().unwrap().contains(&format!("observe.rs:{line}:")), "{row:?}");
    }
    let adjoint = |i: usize| seen.rows[i].adjoint.as_ref().unwrap().item().unwrap();
    assert_eq!([adjoint(0), adjoint(1), adjoint(7)], [grads.scalar(x), grads.scalar(y), 1.0]);
    assert_eq!(seen.seed, Some(8));
    Ok(())
}

#[test]
fn constants_among_many_operands_are_known() -> Result<()> {
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.scalar(3.0);
    let sum: Scalar<'_, f64> = [x, Scalar::constant(2.0), x].into_iter().sum();
    let fused = fuse!(|a, b| a * b + 1.0).apply([Scalar::constant(5.0), sum]);
    assert_eq!(fused.value(), 41.0);
    let seen = tape.observation();
    let operands = |op: &str| row(&seen, op).row.arguments.clone();
    assert_eq!(operands("sum"), [Argument::Partial(1, 1.0), Argument::Constant, Argument::Partial(1, 1.0)]);
    assert_eq!(operands("fused"), [Argument::Constant, Argument::Partial(2, 5.0)]);
    let constant =
        |op: &str| (row(&seen, op).constants[0].operand, row(&seen, op).constants[0].value.to_vec());
    assert_eq!((constant("sum"), constant("fused")), ((1, vec![2.0]), (0, vec![5.0])));
    Ok(())
}

#[test]
fn adjoints_are_the_sums_of_what_flowed_to_them() -> Result<()> {
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.input([[1.0, -2.0], [3.0, 0.0]]);
    let s = tape.scalar(0.5);
    let y = (&x * &x).relu() + x.narrow(1, 0, 1) * x.at([0, 1]) * s;
    let loss = (y.sigmoid() * tape.constant([2.0, 1.0])).sum();
    let grads = loss.backward()?;
    let seen = tape.observation();
    assert_eq!(row(&seen, "input").adjoint.as_ref().unwrap().to_vec(), grads.get(&x).unwrap().to_vec());
    assert_eq!(row(&seen, "relu").kinks, 1);
    for seen_row in seen.rows.iter().filter(|r| r.row.shape.is_some()) {
        let Some(adjoint) = &seen_row.adjoint else { panic!("{seen_row:?}") };
        let mut sum = vec![if seen.seed == Some(seen_row.row.id) { 1.0 } else { 0.0 }; adjoint.numel()];
        for flow in seen.flows.iter().filter(|f| f.to == seen_row.row.id) {
            match flow.element {
                Some(i) => sum[i] += flow.value.item()?,
                None => sum.iter_mut().zip(flow.value.to_vec()).for_each(|(s, v)| *s += v),
            }
        }
        assert_eq!(adjoint.to_vec(), sum, "{:?}", seen_row.row);
    }
    Ok(())
}

#[test]
fn observing_changes_no_number() -> Result<()> {
    let net =
        Sequential((Linear::new(4, 5, &mut Random::new(1)), Relu, Linear::new(5, 3, &mut Random::new(2))));
    let x = Tensor::from_fn([6, 4], |i| (i as f32 * 0.7).sin());
    let run = |observed: bool| -> Result<_> {
        let tape = Tape::new();
        tape.set_observing(observed);
        let y = net.forward(&tape.constant(&x));
        let loss = y.cross_entropy(&Tensor::from([0u32, 1, 2, 0, 1, 2]));
        let value = loss.item()?;
        let grads = loss.backward()?;
        let weights = [&net.0.0.weight, &net.0.2.weight].map(|w| grads.param(w).unwrap().to_vec());
        Ok((value, weights, tape.observation().with_names(&net)))
    };
    let (plain, observed) = (run(false)?, run(true)?);
    assert_eq!((plain.0, plain.1), (observed.0, observed.1.clone()));
    assert!(plain.2.rows.iter().all(|r| r.value.is_none() && r.adjoint.is_none()));
    let seen = observed.2;
    let weight = seen.rows.iter().find(|r| r.row.name.as_deref() == Some("0.weight")).unwrap();
    assert_eq!(weight.adjoint.as_ref().unwrap().cast::<f32>().to_vec(), observed.1[0]);
    // A statement without parameters belongs where its operand does.
    assert_eq!(row(&seen, "relu").layer.as_deref(), Some("0"));
    assert_eq!(seen.rows.last().unwrap().layer.as_deref(), Some("2"));
    Ok(())
}

#[test]
fn values_are_held_as_they_were_computed_and_without_copies() -> Result<()> {
    let tape = Tape::<f32>::new();
    tape.set_observing(true);
    let x = tape.input([0.1, 0.7]);
    let y = x.exp();
    let _ = y.sum().backward()?;
    let seen = tape.observation();
    let Some(Numbers::F32(value)) = &row(&seen, "exp").value else { panic!("{:?}", seen.rows[1].value) };
    assert_eq!(value.as_slice().map(<[f32]>::as_ptr), y.value()?.as_slice().map(<[f32]>::as_ptr));
    // Read, and through a file, they are the same numbers of 64 bits.
    let exact: Vec<f64> = y.to_vec()?.into_iter().map(f64::from).collect();
    let back: Observation = serde_json::from_str(&serde_json::to_string(&seen).unwrap()).unwrap();
    for seen in [&seen, &back] {
        assert_eq!(row(seen, "exp").value.as_ref().unwrap().to_vec(), exact);
        assert_eq!(row(seen, "sum").value.as_ref().unwrap().item()?, exact.iter().sum::<f64>() as f32 as f64);
    }
    Ok(())
}

#[test]
fn memory_rises_while_recording_and_falls_in_the_sweep() -> Result<()> {
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.input(Tensor::ones([100]));
    let y = x.exp(); // keeps its result
    let z = y.sin(); // keeps its operand, which is there already
    let w = (&z * &z).sum(); // keeps z
    let _ = w.backward()?;
    let seen = tape.observation();
    let bytes: Vec<usize> = seen.rows.iter().map(|r| r.bytes).collect();
    assert_eq!(bytes, [0, 800, 0, 800, 0]);
    assert_eq!(seen.rows.iter().map(|r| r.memory).collect::<Vec<_>>(), [0, 800, 800, 1600, 1600]);
    // After each statement's turn, from the last to the first: what is kept, and the adjoints that wait or
    // stay.
    let swept: Vec<usize> = seen.rows.iter().rev().map(|r| r.backward_memory.unwrap()).collect();
    assert_eq!(swept, [1600 + 800, 800 + 800, 800 + 800, 800, 800]);
    Ok(())
}

#[test]
fn what_is_not_finite_survives_json() -> Result<()> {
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.input([0.0, -1.0, 1.0]);
    let y = x.sqrt() + tape.scalar(0.0).log();
    let _ = y.sum().backward()?;
    let seen = tape.observation();
    let json = serde_json::to_string(&seen).unwrap();
    let back: Observation = serde_json::from_str(&json).unwrap();
    let bits = |seen: &Observation| -> Vec<Vec<String>> {
        seen.rows
            .iter()
            .map(|r| {
                r.value.iter().chain(&r.adjoint).flat_map(|t| t.to_vec()).map(|v| v.to_string()).collect()
            })
            .collect()
    };
    assert_eq!(bits(&back), bits(&seen));
    assert!(json.contains("\"-inf\"") && json.contains("\"NaN\"") && json.contains("\"inf\""));
    assert_eq!(serde_json::to_string(&back).unwrap(), json);
    Ok(())
}

#[test]
fn scopes_name_what_is_recorded_in_them() -> Result<()> {
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.scalar(1.0);
    let y = tape.scope("outer", || tape.scope("inner", || x + x) * x);
    let _ = y * y;
    let layers: Vec<_> = tape.observation().rows.into_iter().map(|r| r.layer).collect();
    assert_eq!(layers, [None, Some("outer.inner".to_string()), Some("outer".to_string()), None]);
    Ok(())
}

#[test]
fn a_reset_starts_anew_and_a_block_made_short_is_one_statement() -> Result<()> {
    let mut tape = Tape::<f64>::new();
    tape.set_observing(true);
    let x = tape.scalar(2.0);
    let [y] = tape.preaccumulate(|| [(x * x + 1.0).sqrt() * x]);
    assert_eq!(y.value(), 5f64.sqrt() * 2.0);
    let seen = tape.observation();
    assert_eq!(seen.rows.len(), 2);
    assert_eq!(row(&seen, "preaccumulate").value.as_ref().unwrap().item()?, y.value());
    tape.reset();
    let _ = tape.scalar(1.0);
    assert_eq!(tape.observation().rows.len(), 1);
    tape.set_observing(false);
    let _ = tape.scalar(1.0);
    assert!(tape.observation().rows.iter().all(|r| r.value.is_none()));
    Ok(())
}
