//! The tape as text and through serde.
use kolmo::{
    Random, Result, Tape, Tensor, fuse,
    inspect::Listing,
    nn::{Layer, Linear, Sequential, Tanh},
};

fn snapshot(name: &str, text: String) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn a_model_with_names_and_lines() -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Sequential((Linear::new(4, 3, rng), Tanh, Linear::new(3, 2, rng).bias(false)));
    let tape = Tape::new();
    let x = tape.constant(Tensor::ones([5, 4]));
    let y = net.forward(&x);
    let _loss = (&y * &y).mean();
    snapshot("model", tape.listing().with_names(&net).to_string());
    snapshot("model_with_lines", tape.listing().with_names(&net).with_sites().to_string());
    Ok(())
}

#[test]
fn scalars_tensors_and_fused_expressions_in_one_list() -> Result<()> {
    let tape = Tape::<f64>::new();
    let s = tape.scalar(2.0);
    let x = tape.input([1.0, 3.0]);
    let f = fuse!(|x, w| (x * w).tanh());
    let y = f.apply([&x, &tape.constant(0.5)]);
    let t = (s * 3.0 + y.at([1])).sin();
    let _z = (t * &y).leaky_relu(0.1).sum();
    let listing = tape.listing();
    snapshot("mixed", listing.to_string());
    let json = serde_json::to_string(&listing).unwrap();
    assert_eq!(serde_json::from_str::<Listing>(&json).unwrap(), listing);
    Ok(())
}

#[test]
fn tensors_and_models_go_through_serde() -> Result<()> {
    let x = Tensor::<f64>::from([[1.5, -2.0], [0.25, f64::MAX]]);
    let json = serde_json::to_string(&x).unwrap();
    assert_eq!(json, r#"{"shape":[2,2],"data":[1.5,-2.0,0.25,1.7976931348623157e+308]}"#);
    assert_eq!(serde_json::from_str::<Tensor<f64>>(&json).unwrap(), x);
    assert!(serde_json::from_str::<Tensor<f64>>(r#"{"shape":[3],"data":[1.0]}"#).is_err());

    let net = Sequential((Linear::new(2, 3, &mut Random::new(1)), Tanh));
    let json = serde_json::to_string(&net).unwrap();
    let copy: Sequential<(Linear, Tanh)> = serde_json::from_str(&json).unwrap();
    assert_eq!(copy.0.0.weight.value(), net.0.0.weight.value());
    Ok(())
}
