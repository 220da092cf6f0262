//! The objectives of ADBench (Microsoft, MIT) as programs of scalars, of tensors, and of both, against its golden values.
#[path = "adbench/gmm.rs"]
mod gmm;
#[path = "adbench/lstm.rs"]
mod lstm;

use kolmo::Result;

/// ADBench's rule: |x − y| / max(1, |x| + |y|) at most 1e-8, element by element.
fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() / (x.abs() + y.abs()).max(1.0) <= 1e-8, "{what}[{i}]: {x}, expected {y}");
    }
}

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
    for (name, run) in gmm::PROGRAMS {
        let (value, gradient) = run(&input)?;
        assert_close(name, &[value], &[golden["objective"].as_f64().unwrap()]);
        assert_close(name, &gradient, &numbers(&golden["gradient"]));
    }
    Ok(())
}

#[test]
fn a_larger_gmm_by_norm_and_sum_of_its_gradient() -> Result<()> {
    let input = gmm::read(include_str!("data/adbench/gmm_d10_K25.txt"));
    let golden = &expected()["measured"]["gmm/gmm_d10_K25.txt"];
    for (name, run) in gmm::PROGRAMS {
        let (value, gradient) = run(&input)?;
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
    let (value, gradient) = lstm::scalars(&input)?;
    // More digits of the objective than expected.json has: ADBench's own run.
    assert_close("objective", &[value], &[0.666665179558852]);
    assert_close(
        "gradient",
        &gradient,
        &numbers(&expected()["expected"]["lstm/lstm_l2_c1024.txt"]["gradient"]),
    );
    Ok(())
}
