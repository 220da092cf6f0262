//! Whole messages and their answers: golden values of ADBench and GradBench where there are some, differences
//! of the values elsewhere.
use crate::{
    Result, ba, gmm, hand,
    hand_model::{BONES, Model},
    lstm,
    modules::MODULES,
    protocol::{Answer, answer},
};
use kolmo::Random;
use serde_json::{Value, json};

macro_rules! data {
    ($name:literal) => {
        include_str!(concat!("../../tests/data/adbench/", $name))
    };
}

/// The answer to a request for `module::function`.
fn ask(module: &str, function: &str, input: &Value) -> Result<Answer> {
    let message =
        json!({ "id": 7, "kind": "evaluate", "module": module, "function": function, "input": input });
    answer(&message.to_string())
}

fn output(module: &str, function: &str, input: &Value) -> Result<Value> {
    let answer = ask(module, function, input)?;
    assert_eq!((answer.id, answer.success, &answer.error), (7, Some(true), &None), "{module}::{function}");
    Ok(answer.output.unwrap())
}

/// All numbers of a value, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        Value::Object(fields) => fields.values().flat_map(numbers).collect(),
        value => vec![value.as_f64().unwrap()],
    }
}

/// ADBench's rule: |x − y| / max(1, |x| + |y|) at most so much, element by element.
fn assert_close(what: &str, found: &[f64], expected: &[f64], most: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() / (x.abs() + y.abs()).max(1.0) <= most, "{what}[{i}]: {x}, expected {y}");
    }
}

fn expected(name: &str) -> Value {
    serde_json::from_str::<Value>(data!("expected.json")).unwrap()["expected"][name].clone()
}

fn random(n: usize, seed: u64) -> Vec<f64> {
    let mut rng = Random::new(seed);
    (0..n).map(|_| rng.uniform()).collect()
}

/// The gradient by central differences of a function with one number as its output; `field` of the input is x.
fn differences(module: &str, function: &str, input: &Value, field: &str) -> Result<Vec<f64>> {
    const H: f64 = 1e-5;
    let x = numbers(&input[field]);
    let at = |i: usize, h: f64| -> Result<f64> {
        let (mut x, mut input) = (x.clone(), input.clone());
        x[i] += h;
        input[field] = json!(x);
        // Of several numbers it is the last one.
        Ok(*numbers(&output(module, function, &input)?).last().unwrap())
    };
    (0..x.len()).map(|i| Ok((at(i, H)? - at(i, -H)?) / (2.0 * H))).collect()
}

#[test]
fn a_session_is_answered_message_by_message() -> Result<()> {
    let lines = [
        (json!({ "id": 0, "kind": "start", "eval": "hello" }), json!({ "id": 0, "tool": "kolmo" })),
        (json!({ "id": 1, "kind": "define", "module": "hello" }), json!({ "id": 1, "success": true })),
        (json!({ "id": 2, "kind": "define", "module": "foo" }), json!({ "id": 2, "success": false })),
        (json!({ "id": 3, "kind": "analysis", "of": 2, "valid": false, "error": "no" }), json!({ "id": 3 })),
        (json!({ "id": 4, "kind": "end" }), json!({ "id": 4 })),
    ];
    for (message, expected) in lines {
        assert_eq!(serde_json::to_value(answer(&message.to_string())?)?, expected);
    }
    assert!(answer("").is_err());
    Ok(())
}

#[test]
fn a_function_runs_as_often_as_it_is_asked_for() -> Result<()> {
    let timings = |runs: Value| -> Result<Vec<u64>> {
        let mut input = json!({ "x": [1.0, 2.0], "n": 4 });
        input.as_object_mut().unwrap().extend(runs.as_object().unwrap().clone());
        let timings = ask("llsq", "gradient", &input)?.timings;
        assert!(timings.iter().all(|t| t.name == "evaluate"));
        Ok(timings.iter().map(|t| t.nanoseconds).collect())
    };
    assert_eq!(timings(json!({}))?.len(), 1);
    assert_eq!(timings(json!({ "min_runs": 5, "min_seconds": 0 }))?.len(), 5);
    assert!(timings(json!({ "min_runs": 1, "min_seconds": 0.01 }))?.iter().sum::<u64>() >= 10_000_000);
    Ok(())
}

#[test]
fn what_cannot_be_computed_is_an_answer() -> Result<()> {
    for (module, _) in MODULES {
        for input in [json!({}), json!(null), json!([1]), json!({ "x": [], "n": 0, "s": 0 })] {
            let answer = ask(module, "gradient", &input)?;
            assert_eq!(answer.success, Some(false), "{module} of {input}");
            assert!(answer.error.is_some());
        }
    }
    for (module, function, input) in [
        ("hello", "gradient", json!(1.0)),
        ("foo", "gradient", json!(1.0)),
        ("kmeans", "cost", json!({ "points": [[1.0, 2.0], [3.0]], "centroids": [[1.0, 2.0]] })),
        ("det", "primal", json!({ "A": [1.0, 2.0], "ell": 2 })),
        ("det", "primal", json!({ "A": [], "ell": 0 })),
        ("llsq", "primal", json!({ "x": [1.0], "n": 1u64 << 60 })),
    ] {
        assert_eq!(ask(module, function, &input)?.success, Some(false), "{module}::{function} of {input}");
    }
    Ok(())
}

#[test]
fn hello() -> Result<()> {
    assert_eq!(output("hello", "square", &json!(3.0))?, json!(9.0));
    assert_eq!(output("hello", "double", &json!(3))?, json!(6.0));
    Ok(())
}

#[test]
fn bundle_adjustment_has_the_golden_values() -> Result<()> {
    let p = ba::read("ba_test", data!("ba_test.txt"))?;
    let (cameras, points, weights) = p.parts(&p.variables);
    let count = p.observations.len();
    let input = json!({
        "n": p.cameras, "m": p.points, "p": count, "cam": cameras[..11], "x": points[..3], "w": weights[0],
        "feat": p.observations[0].feature,
    });
    let golden = expected("ba/test.txt");
    let found = output("ba", "objective", &input)?;
    assert_eq!(found["w_err"]["repeated"], count);
    let residual = numbers(&golden["residual_of_each_observation"]);
    assert_close("residual", &numbers(&found["reproj_error"]["elements"]), &residual, 1e-8);
    let of_weight = numbers(&golden["weight_residual"]);
    assert_close("weight", &numbers(&found["w_err"]["element"]), &of_weight, 1e-8);

    let found = output("ba", "jacobian", &input)?;
    let mut values = numbers(&golden["jacobian_rows_of_each_observation"]);
    values.push(numbers(&golden["jacobian_of_weight_residual"])[0]);
    assert_close("values", &numbers(&found["vals"]), &values, 1e-8);
    let first_weight = 11 * p.cameras + 3 * p.points;
    let row = || (0..11).chain(11 * p.cameras..11 * p.cameras + 3).chain([first_weight]);
    let columns: Vec<usize> = row().chain(row()).chain([first_weight + count - 1]).collect();
    assert_eq!(found["cols"], json!(columns));
    // Rows of fifteen, and then of one.
    let starts: Vec<usize> =
        (0..=2 * count).map(|i| 15 * i).chain((1..=count).map(|i| 30 * count + i)).collect();
    assert_eq!(found["rows"], json!([&starts[..30.min(starts.len())], &starts[starts.len() - 1..]].concat()));
    Ok(())
}

#[test]
fn mixtures_have_the_golden_values() -> Result<()> {
    // Objective and norm of the gradient with GradBench's sign of the prior.
    for (name, text, objective, norm) in [
        ("gmm_test", data!("gmm_test.txt"), -20.0673605466583, 7.86848792367221),
        ("gmm_d10_K25", data!("gmm_d10_K25.txt"), -32901.6305036405, 2780.19449108497),
    ] {
        let p = gmm::read(name, text)?;
        let (d, lower) = (p.d, p.d * (p.d - 1) / 2);
        let factors = || p.icf.chunks(d + lower).map(|part| part.split_at(d));
        let input = json!({
            "d": d, "k": p.k, "n": p.n, "m": p.m, "gamma": p.gamma, "alpha": p.alphas,
            "x": p.x.chunks(d).collect::<Vec<_>>(), "mu": p.means.chunks(d).collect::<Vec<_>>(),
            "q": factors().map(|(q, _)| q).collect::<Vec<_>>(),
            "l": factors().map(|(_, l)| l).collect::<Vec<_>>(),
        });
        let found = numbers(&output("gmm", "objective", &input)?);
        assert_close(name, &found, &[objective], 1e-8);
        let found = output("gmm", "jacobian", &input)?;
        assert_close(name, &[numbers(&found).iter().map(|v| v * v).sum::<f64>().sqrt()], &[norm], 1e-8);
        for field in ["alpha", "mu", "q", "l"] {
            assert_eq!(numbers(&found[field]).len(), numbers(&input[field]).len(), "{field}");
        }
        if name == "gmm_test" {
            let by_differences = differences("gmm", "objective", &input, "alpha")?;
            assert_close("alpha", &numbers(&found["alpha"]), &by_differences, 1e-7);
        }
    }
    Ok(())
}

#[test]
fn a_text_has_the_golden_values() -> Result<()> {
    let p = lstm::read("lstm_l2_c1024", data!("lstm_l2_c1024.txt"))?;
    let rows = |values: &[f64], width: usize| json!(values.chunks(width).collect::<Vec<_>>());
    let input = json!({
        "main_params": rows(&p.main, 4 * p.bits), "extra_params": rows(&p.extra, p.bits),
        "state": rows(&p.state, p.bits), "sequence": rows(&p.sequence, p.bits),
    });
    assert_close("objective", &numbers(&output("lstm", "objective", &input)?), &[0.666665179558852], 1e-8);
    let golden = numbers(&expected("lstm/lstm_l2_c1024.txt")["gradient"]);
    assert_close("gradient", &numbers(&output("lstm", "jacobian", &input)?), &golden, 1e-8);
    Ok(())
}

#[test]
fn hands_have_the_golden_values() -> Result<()> {
    for (name, text) in [
        ("hand/test.txt", data!("hand_test.txt")),
        ("hand/hand_complicated.txt", data!("hand_complicated.txt")),
    ] {
        let model = Model::parse([
            ("bones", data!("hand_model/bones.txt")),
            ("vertices", data!("hand_model/vertices.txt")),
            ("triangles", data!("hand_model/triangles.txt")),
        ])?;
        let p = hand::read(model, name, text)?;
        let golden = expected(name);
        let input = hand_input(&p);
        let found = numbers(&output("ht", "objective", &input)?);
        assert_close(name, &found, &numbers(&golden["objective"]), 1e-8);
        let found = output("ht", "jacobian", &input)?;
        assert_eq!(found.as_array().map(Vec::len), Some(3 * p.points.len()));
        assert_close(name, &numbers(&found), &numbers(&golden["jacobian_rows"]), 1e-8);
        for (field, wrong) in [("parents", json!(vec![21; BONES])), ("is_mirrored", json!(true))] {
            let mut input = input.clone();
            input["data"]["model"][field] = wrong;
            assert_eq!(ask("ht", "objective", &input)?.success, Some(false), "{field}");
        }
    }
    Ok(())
}

/// The same as GradBench writes it.
fn hand_input(p: &hand::Input) -> Value {
    let square = |m: &[f64; 12]| {
        let mut rows: Vec<&[f64]> = m.chunks(4).collect();
        rows.push(&[0.0, 0.0, 0.0, 1.0]);
        json!(rows)
    };
    let place = |v: &[(usize, [f64; 4])]| {
        let [x, y, z, w] = v.iter().find(|(_, weighted)| weighted[3] != 0.0).map(|(_, w)| *w).unwrap();
        [x / w, y / w, z / w, 1.0]
    };
    let weights = |v: &[(usize, [f64; 4])]| {
        let mut weights = vec![0.0; BONES];
        v.iter().for_each(|(bone, weighted)| weights[*bone] += weighted[3]);
        weights
    };
    let parent = |parent: Option<usize>| parent.map_or(-1, |p| p as i64);
    let (us, pose) = p.variables.split_at(p.variables.len() - hand::POSE);
    let Model { bones, vertices, triangles } = &p.model;
    json!({
        "theta": pose,
        "us": us.chunks(2).collect::<Vec<_>>(),
        "data": {
            "correspondences": p.points.iter().map(|point| point.on).collect::<Vec<_>>(),
            "points": p.points.iter().map(|point| point.place).collect::<Vec<_>>(),
            "model": {
                "bone_count": bones.len(),
                "bone_names": vec![""; bones.len()],
                "parents": bones.iter().map(|bone| parent(bone.parent)).collect::<Vec<_>>(),
                "base_relatives": bones.iter().map(|bone| square(&bone.base)).collect::<Vec<_>>(),
                "inverse_base_absolutes": bones.iter().map(|bone| square(&bone.inverse)).collect::<Vec<_>>(),
                "base_positions": vertices.iter().map(|v| place(&v.0)).collect::<Vec<_>>(),
                "weights": vertices.iter().map(|v| weights(&v.0)).collect::<Vec<_>>(),
                "triangles": triangles,
                "is_mirrored": false,
            },
        },
    })
}

#[test]
fn gradients_are_those_of_differences() -> Result<()> {
    let cases = [
        ("det", json!({ "A": random(1, 0), "ell": 1 }), "A"),
        ("det", json!({ "A": random(9, 1), "ell": 3 }), "A"),
        ("det", json!({ "A": random(49, 2), "ell": 7 }), "A"),
        ("llsq", json!({ "x": random(12, 3), "n": 31 }), "x"),
        ("lse", json!({ "x": random(20, 4) }), "x"),
        ("ode", json!({ "x": random(1, 5), "s": 3 }), "x"),
        ("ode", json!({ "x": random(9, 6), "s": 10 }), "x"),
    ];
    for (module, input, field) in cases {
        let found = numbers(&output(module, "gradient", &input)?);
        assert_close(module, &found, &differences(module, "primal", &input, field)?, 1e-8);
    }
    Ok(())
}

#[test]
fn values_are_those_of_the_formulas() -> Result<()> {
    let found =
        output("det", "primal", &json!({ "A": [2.0, 1.0, 0.0, 1.0, 3.0, 1.0, 0.0, 1.0, 4.0], "ell": 3 }))?;
    assert_eq!(found, json!(18.0));
    // tᵢ of -1, 0, 1: residuals -1 - (1 - 2), 0 - 1, 1 - (1 + 2).
    assert_eq!(output("llsq", "primal", &json!({ "x": [1.0, 2.0], "n": 3 }))?, json!(2.5));
    let found = numbers(&output("lse", "primal", &json!({ "x": [1000.0, 1000.0] }))?);
    assert_close("lse", &found, &[1000.0 + 2f64.ln()], 1e-12);
    // y₀ = x₀ t, y₁ = x₀ x₁ t² / 2, y₂ = x₀ x₁ x₂ t³ / 6: polynomials that the steps meet exactly.
    let found = numbers(&output("ode", "primal", &json!({ "x": [2.0, 3.0, 5.0], "s": 7 }))?);
    assert_close("ode", &found, &[4.0, 12.0, 40.0], 1e-12);
    Ok(())
}

#[test]
fn a_step_of_k_means_leads_to_the_means() -> Result<()> {
    let points: Vec<Vec<f64>> = random(60, 8).chunks(3).map(<[f64]>::to_vec).collect();
    let centroids = points[16..].to_vec();
    let input = json!({ "points": points, "centroids": centroids });
    let far = |p: &[f64], c: &[f64]| p.iter().zip(c).map(|(p, c)| (p - c) * (p - c)).sum::<f64>();
    let nearest =
        |p: &[f64]| (0..4).min_by(|&a, &b| far(p, &centroids[a]).total_cmp(&far(p, &centroids[b]))).unwrap();
    let cost: f64 = points.iter().map(|p| far(p, &centroids[nearest(p)])).sum();
    assert_close("cost", &numbers(&output("kmeans", "cost", &input)?), &[cost], 1e-12);
    // The cost is quadratic as long as no point changes sides: Newton's step goes to each cluster's mean.
    let step: Vec<f64> = (0..4)
        .flat_map(|j| {
            let own: Vec<_> = points.iter().filter(|p| nearest(p) == j).collect();
            let mean = |axis: usize| own.iter().map(|p| p[axis]).sum::<f64>() / own.len() as f64;
            (0..3).map(|axis| centroids[j][axis] - mean(axis)).collect::<Vec<_>>()
        })
        .collect();
    assert_close("dir", &numbers(&output("kmeans", "dir", &input)?), &step, 1e-12);
    Ok(())
}

#[test]
fn nested_derivatives_of_all_modes_agree_with_gradbench() -> Result<()> {
    for function in ["ff", "fr", "rf", "rr"] {
        let found = output("particle", function, &json!({ "w": 0.0 }))?;
        assert_close(function, &numbers(&found), &[0.2071918746486116], 1e-12);
        let found = output("saddle", function, &json!({ "start": [1.0, 1.0] }))?;
        let relative: Vec<f64> = numbers(&found).iter().map(|v| v / 8.246324826140356e-06).collect();
        assert_close(function, &relative, &[1.0; 4], 1e-9);
    }
    Ok(())
}
