//! What `{:?}` tells of things that hold much: what they are, not all that is in them.
use kolmo::{
    Program, Random, Result, Tensor,
    compress::Channels,
    data::DataLoader,
    fuse,
    nn::{Layer, Linear, Param, Relu, Sequential},
    ops::AttentionOptions,
    train::Trainer,
};

#[test]
fn a_program_tells_what_there_is_of_what() -> Result<()> {
    let p = Param::new(Tensor::<f64>::from([2.0, 3.0]));
    let x = Tensor::from([1.0, 2.0]);
    let program = Program::new(&[&x], &[], |tape, x, _| vec![(&x[0] * tape.param(&p)).sum()])?;
    let text = format!("{program:?}");
    assert!(text.starts_with("Program { nodes: 4, passes: "), "{text}");
    assert!(text.ends_with("parameters: 1, inputs: [[2]], indices: [], results: 1 }"), "{text}");
    Ok(())
}

#[test]
fn an_expression_tells_its_source_and_what_it_took_from_outside() {
    let slope = 0.5;
    let f = fuse!([slope] | x | x.tanh() + slope * x);
    let text = format!("{f:?}");
    assert!(text.starts_with("Fused(") && text.ends_with("x.tanh() + slope * x, [0.5])"), "{text}");
}

#[test]
fn others_tell_their_options() -> Result<()> {
    let options = AttentionOptions::<f32>::new().is_causal(true);
    let text = format!("{options:?}");
    assert_eq!(
        text,
        "AttentionOptions { attn_mask: None, is_causal: true, causal_lower_right: false, dropout_p: 0.0, scale: None }"
    );
    let text = format!("{:?}", Trainer::<f32>::new(DataLoader::new(10, 5), 3).clip_norm(1.0));
    assert!(text.contains("epochs: 3") && text.contains("clip_norm: Some(1.0)"), "{text}");
    let rng = &mut Random::new(0);
    let net = Sequential((Linear::new(4, 6, rng), Relu, Linear::new(6, 3, rng)));
    let channels = Channels::trace(&net, &Tensor::ones([2, 4]), |x| net.forward(x))?;
    assert_eq!(
        format!("{channels:?}"),
        r#"Channels { families: [6], axes: [("0.weight", 0), ("0.bias", 0), ("2.weight", 1)] }"#
    );
    Ok(())
}
