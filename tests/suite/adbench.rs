//! The objectives of ADBench (Microsoft, MIT) as programs of scalars, of tensors, and of both, against its
//! golden values.
#[path = "../../examples/adbench/ba.rs"]
mod ba;
#[path = "../../examples/adbench/gmm.rs"]
mod gmm;
#[path = "../../examples/adbench/hand.rs"]
mod hand;
#[path = "../../examples/adbench/hand_model.rs"]
mod hand_model;
#[path = "../../examples/adbench/lstm.rs"]
mod lstm;
#[path = "../../examples/adbench/numbers.rs"]
mod numbers;
#[path = "../../examples/adbench/rotation.rs"]
mod rotation;

use kolmo::{Result, Tape, Tensor, autodiff::Sparse};

/// ADBench's rule: |x − y| / max(1, |x| + |y|) at most 1e-8, element by element.
fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() / (x.abs() + y.abs()).max(1.0) <= 1e-8, "{what}[{i}]: {x}, expected {y}");
    }
}

const PROGRAMS: [(&str, gmm::Program); 4] =
    [("scalars", gmm::scalars), ("tensors", gmm::tensors), ("mixed", gmm::mixed), ("replayed", replayed)];

/// Recorded, and run on parameters that it wasn't recorded with.
fn replayed(_: &mut Tape<f64>, p: &gmm::Input) -> Result<(f64, Vec<f64>)> {
    let x = Tensor::from([&p.alphas[..], &p.means, &p.icf].concat());
    let (value, gradient) = gmm::program(p)?.value_and_grad(&x)?;
    Ok((value.item()?, gradient.to_vec()))
}

fn expected() -> serde_json::Value {
    serde_json::from_str(include_str!("../data/adbench/expected.json")).unwrap()
}

fn floats(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[test]
fn gmm_of_scalars_of_tensors_and_of_both() -> Result<()> {
    let input = gmm::read("gmm_test", include_str!("../data/adbench/gmm_test.txt"))?;
    let golden = &expected()["expected"]["gmm/test.txt"];
    for (name, run) in PROGRAMS {
        let (value, gradient) = run(&mut Tape::new(), &input)?;
        assert_close(name, &[value, gmm::value(&input)], &[golden["objective"].as_f64().unwrap(); 2]);
        assert_close(name, &gradient, &floats(&golden["gradient"]));
    }
    Ok(())
}

#[test]
fn a_larger_gmm_by_norm_and_sum_of_its_gradient() -> Result<()> {
    let input = gmm::read("gmm_d10_K25", include_str!("../data/adbench/gmm_d10_K25.txt"))?;
    let golden = &expected()["measured"]["gmm/gmm_d10_K25.txt"];
    for (name, run) in PROGRAMS {
        let (value, gradient) = run(&mut Tape::new(), &input)?;
        let found = [value, norm(&gradient), gradient.iter().sum()];
        assert_close(
            name,
            &found,
            &["objective", "gradient_l2", "gradient_sum"].map(|k| golden[k].as_f64().unwrap()),
        );
    }
    Ok(())
}

#[test]
fn gmm_with_the_prior_added_has_the_values_of_gradbench() -> Result<()> {
    // Objective and norm of the gradient, as GradBench has them, which mended ADBench's sign.
    let mut small = gmm::read("gmm_test", include_str!("../data/adbench/gmm_test.txt"))?;
    let mut large = gmm::read("gmm_d10_K25", include_str!("../data/adbench/gmm_d10_K25.txt"))?;
    let golden = [
        (&mut small, [-20.0673605466583, 7.86848792367221]),
        (&mut large, [-32901.6305036405, 2780.19449108497]),
    ];
    for (input, expected) in golden {
        input.prior = gmm::Prior::Added;
        for (name, run) in PROGRAMS {
            let (value, gradient) = run(&mut Tape::new(), input)?;
            assert_close(name, &[value, norm(&gradient)], &expected);
        }
    }
    Ok(())
}

#[test]
fn lstm_of_scalars() -> Result<()> {
    let input = lstm::read("lstm_l2_c1024", include_str!("../data/adbench/lstm_l2_c1024.txt"))?;
    let (value, gradient) = lstm::scalars(&mut Tape::new(), &input)?;
    let (again, replayed) = lstm::program(&input)?.value_and_grad(&lstm::parameters(&input))?;
    // More digits of the objective than expected.json has: ADBench's own run.
    assert_close("objective", &[value, lstm::value(&input), again.item()?], &[0.666665179558852; 3]);
    assert_eq!(again.item()?, value);
    for gradient in [gradient, replayed.to_vec()] {
        assert_close(
            "gradient",
            &gradient,
            &floats(&expected()["expected"]["lstm/lstm_l2_c1024.txt"]["gradient"]),
        );
    }
    Ok(())
}

#[test]
fn sparse_jacobian_of_bundle_adjustment() -> Result<()> {
    use ba::Way;
    let input = ba::read("ba_test", include_str!("../data/adbench/ba_test.txt"))?;
    let golden = &expected()["expected"]["ba/test.txt"];
    let residual = floats(&golden["residual_of_each_observation"]);
    let weight = golden["weight_residual"].as_f64().unwrap();
    let rows: Vec<Vec<f64>> =
        golden["jacobian_rows_of_each_observation"].as_array().unwrap().iter().map(floats).collect();
    for way in [Way::Plain, Way::Preaccumulated, Way::Forward] {
        let jacobian = &mut Sparse::default();
        let values = ba::derivatives(&mut Tape::new(), &input, way, jacobian)?;
        let n = input.observations.len();
        assert_close("values", &values, &ba::values(&input, &input.variables));
        let expected: Vec<f64> = residual.repeat(n).into_iter().chain(vec![weight; n]).collect();
        assert_close("values", &values, &expected);
        assert_eq!(jacobian.shape(), [3 * n, 2 * 11 + 10 * 3 + n], "{way:?}");
        for (i, expected) in (0..2 * n).zip(rows.iter().cycle()) {
            let (columns, row): (Vec<usize>, Vec<f64>) = jacobian.row(i).unzip();
            let (camera, point) = (i / 2 % 2 * 11, 22 + i / 2 % 10 * 3);
            let places = (camera..camera + 11).chain(point..point + 3).chain([52 + i / 2]);
            // A derivative that is zero whatever the values are has no place on a tape of single operations.
            let full: Vec<f64> =
                places.map(|j| columns.iter().position(|&c| c == j).map_or(0.0, |k| row[k])).collect();
            assert_close(&format!("{way:?}, row {i}"), &full, expected);
        }
        let d = golden["jacobian_of_weight_residual"].as_f64().unwrap();
        assert_eq!(jacobian.row(2 * n + 3).collect::<Vec<_>>(), [(52 + 3, d)], "{way:?}");
    }
    Ok(())
}

#[test]
fn bundle_adjustment_replayed_for_all_observations_at_once() -> Result<()> {
    let mut input = ba::read("ba_test", include_str!("../data/adbench/ba_test.txt"))?;
    let program = ba::program()?;
    // Also with a camera that isn't turned: its slopes are those of the other branch.
    for turned in [true, false] {
        if !turned {
            input.variables[..3].fill(0.0);
        }
        let (values, jacobian) = ba::replayed(&program, &input)?;
        assert_close("values", &values, &ba::values(&input, &input.variables));
        let sparse = &mut Sparse::default();
        let way = ba::Way::Forward;
        let _ = ba::derivatives(&mut Tape::new(), &input, way, sparse)?;
        let rows = 2 * input.observations.len();
        let expected: Vec<f64> =
            (0..rows).flat_map(|i| sparse.row(i).map(|(_, d)| d).collect::<Vec<_>>()).collect();
        assert_close(&format!("turned: {turned}"), &jacobian.to_vec(), &expected);
    }
    Ok(())
}

/// The hand of ADBench in a file's pose.
fn hand(name: &str, text: &str) -> Result<hand::Input> {
    let files = [
        ("bones", include_str!("../data/adbench/hand_model/bones.txt")),
        ("vertices", include_str!("../data/adbench/hand_model/vertices.txt")),
        ("triangles", include_str!("../data/adbench/hand_model/triangles.txt")),
    ];
    hand::read(hand_model::Model::parse(files)?, name, text)
}

fn hand_three_ways(input: &hand::Input) -> Result<[(&'static str, hand::Derivatives); 3]> {
    let both = hand::both(input, &hand::skin(&input.model)?)?;
    let reverse = hand::reverse(&mut Tape::new(), input)?;
    Ok([("duals", hand::forward(input)), ("a tape", reverse), ("duals and tensors", both)])
}

#[test]
fn jacobian_of_hand_tracking() -> Result<()> {
    for (name, text) in [
        ("hand/test.txt", include_str!("../data/adbench/hand_test.txt")),
        ("hand/hand_complicated.txt", include_str!("../data/adbench/hand_complicated.txt")),
    ] {
        let input = hand(name, text)?;
        let golden = &expected()["expected"][name];
        let rows: Vec<f64> = golden["jacobian_rows"].as_array().unwrap().iter().flat_map(floats).collect();
        for (way, found) in hand_three_ways(&input)? {
            let what = format!("{name} by {way}");
            assert_close(&what, &found.errors, &floats(&golden["objective"]));
            assert_eq!(found.columns, if input.on_triangles { 28 } else { 26 }, "{what}");
            assert_close(&what, &found.jacobian, &rows);
        }
    }
    Ok(())
}

#[test]
fn larger_hands_by_the_norms_of_errors_and_jacobian() -> Result<()> {
    for (name, text) in [
        ("hand/hand1_t26_c100.txt", include_str!("../data/adbench/hand1_t26_c100.txt")),
        ("hand/complicated/hand1_t26_c100.txt", include_str!("../data/adbench/hand1_complicated_c100.txt")),
    ] {
        let golden = &expected()["measured"][name];
        let norms = ["objective_l2", "jacobian_frobenius"].map(|k| golden[k].as_f64().unwrap());
        for (way, found) in hand_three_ways(&hand(name, text)?)? {
            assert_close(&format!("{name} by {way}"), &[norm(&found.errors), norm(&found.jacobian)], &norms);
        }
    }
    Ok(())
}
