//! The objectives of ADBench (Microsoft, MIT) as programs of scalars, of tensors, and of both, against its golden values.
#[path = "adbench/ba.rs"]
mod ba;
#[path = "adbench/gmm.rs"]
mod gmm;
#[path = "adbench/lstm.rs"]
mod lstm;

use kolmo::{Result, Sparse, Tape};

/// ADBench's rule: |x − y| / max(1, |x| + |y|) at most 1e-8, element by element.
fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() / (x.abs() + y.abs()).max(1.0) <= 1e-8, "{what}[{i}]: {x}, expected {y}");
    }
}

const PROGRAMS: [(&str, gmm::Program); 3] =
    [("scalars", gmm::scalars), ("tensors", gmm::tensors), ("mixed", gmm::mixed)];

fn expected() -> serde_json::Value {
    serde_json::from_str(include_str!("data/adbench/expected.json")).unwrap()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[test]
fn gmm_of_scalars_of_tensors_and_of_both() -> Result<()> {
    let input = gmm::read(include_str!("data/adbench/gmm_test.txt"));
    let golden = &expected()["expected"]["gmm/test.txt"];
    for (name, run) in PROGRAMS {
        let (value, gradient) = run(&mut Tape::new(), &input)?;
        assert_close(name, &[value, gmm::value(&input)], &[golden["objective"].as_f64().unwrap(); 2]);
        assert_close(name, &gradient, &numbers(&golden["gradient"]));
    }
    Ok(())
}

#[test]
fn a_larger_gmm_by_norm_and_sum_of_its_gradient() -> Result<()> {
    let input = gmm::read(include_str!("data/adbench/gmm_d10_K25.txt"));
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
fn lstm_of_scalars() -> Result<()> {
    let input = lstm::read(include_str!("data/adbench/lstm_l2_c1024.txt"));
    let (value, gradient) = lstm::scalars(&mut Tape::new(), &input)?;
    // More digits of the objective than expected.json has: ADBench's own run.
    assert_close("objective", &[value, lstm::value(&input)], &[0.666665179558852; 2]);
    assert_close(
        "gradient",
        &gradient,
        &numbers(&expected()["expected"]["lstm/lstm_l2_c1024.txt"]["gradient"]),
    );
    Ok(())
}

#[test]
fn sparse_jacobian_of_bundle_adjustment() -> Result<()> {
    use ba::Way;
    let input = ba::read(include_str!("data/adbench/ba_test.txt"));
    let golden = &expected()["expected"]["ba/test.txt"];
    let residual = numbers(&golden["residual_of_each_observation"]);
    let weight = golden["weight_residual"].as_f64().unwrap();
    let rows: Vec<Vec<f64>> =
        golden["jacobian_rows_of_each_observation"].as_array().unwrap().iter().map(numbers).collect();
    for way in [Way::Plain, Way::Preaccumulated, Way::Forward] {
        let jacobian = &mut Sparse::default();
        let values = ba::derivatives(&mut Tape::new(), &input, way, jacobian)?;
        let n = input.observations;
        assert_close("values", &values, &ba::values(&input));
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
