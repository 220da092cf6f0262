//! What layers are made of: convolution, pooling, resizing, normalisation.
use super::{check_all, numbers};
use kolmo::{
    Result, Tape, Tensor,
    ops::{AttentionOptions, ConvOptions, InterpolateMode, InterpolateTo, Padding, PoolOptions},
};

#[test]
fn convolutions() {
    check_all(&[
        (
            "conv1d",
            |x| x[0].conv1d(&x[1], Some(&x[2]), &ConvOptions::new().stride(2).padding(1)),
            vec![numbers([2, 2, 6]), numbers([3, 2, 3]), numbers([3])],
        ),
        (
            "conv2d with groups, dilation and padding",
            |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding([1, 2]).dilation([2, 1]).groups(2)),
            vec![numbers([1, 2, 5, 4]), numbers([4, 1, 2, 2])],
        ),
        (
            "conv2d that keeps the size",
            |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding(Padding::Same)).tanh(),
            vec![numbers([2, 3, 4]), numbers([2, 2, 2, 3])],
        ),
        (
            "conv2d of points",
            |x| x[0].conv2d(&x[1], None, &ConvOptions::new()),
            vec![numbers([2, 3, 2, 2]), numbers([2, 3, 1, 1])],
        ),
        (
            "conv3d",
            |x| x[0].conv3d(&x[1], None, &ConvOptions::new()),
            vec![numbers([1, 1, 3, 3, 2]), numbers([2, 1, 2, 2, 1])],
        ),
        (
            "conv_transpose2d",
            |x| {
                let options = ConvOptions::new().stride(2).padding(1).output_padding([1, 0]);
                x[0].conv_transpose2d(&x[1], Some(&x[2]), &options)
            },
            vec![numbers([1, 2, 2, 3]), numbers([2, 2, 3, 3]), numbers([2])],
        ),
    ]);
}

#[test]
fn pools_and_sizes() {
    check_all(&[
        (
            "max_pool2d",
            |x| x[0].max_pool2d(&PoolOptions::new([2, 3]).stride(1).padding([1, 1])).square(),
            vec![numbers([1, 2, 3, 4])],
        ),
        (
            "avg_pool2d",
            |x| x[0].avg_pool2d(&PoolOptions::new(2).stride(1).padding(1).count_include_pad(false)).square(),
            vec![numbers([1, 2, 3, 4])],
        ),
        ("adaptive_avg_pool1d", |x| x[0].adaptive_avg_pool1d(&[Some(3)]).square(), vec![numbers([2, 2, 5])]),
        (
            "adaptive_max_pool2d",
            |x| x[0].adaptive_max_pool2d(&[Some(2)]).0.square(),
            vec![numbers([2, 3, 5])],
        ),
        (
            "interpolate",
            |x| {
                x[0].interpolate(
                    &InterpolateTo::Size(5.into()),
                    InterpolateMode::Linear { align_corners: false },
                )
                .square()
            },
            vec![numbers([1, 2, 3, 4])],
        ),
        ("pixel_shuffle", |x| x[0].pixel_shuffle(2).square(), vec![numbers([1, 4, 2, 3])]),
        (
            "im2col",
            |x| x[0].im2col(2, &ConvOptions::new().padding(1).stride(2)).square(),
            vec![numbers([1, 2, 3, 3])],
        ),
    ]);
}

#[test]
fn normalisation_and_distances() {
    let vectors = || vec![numbers([2, 4, 3]), numbers([4]), numbers([4])];
    check_all(&[
        ("batch_norm", |x| x[0].batch_norm(None, Some(&x[1]), Some(&x[2]), 1e-3), vectors()),
        (
            "batch_norm by running statistics",
            |x| x[0].batch_norm(Some((&x[1], &x[2].square())), None, None, 0.1),
            vectors(),
        ),
        ("instance_norm", |x| x[0].instance_norm(None, Some(&x[1]), Some(&x[2]), 0.1), vectors()),
        ("group_norm", |x| x[0].group_norm(2, Some(&x[1]), Some(&x[2]), 1e-3), vectors()),
        (
            "layer_norm",
            |x| x[0].layer_norm(&[3], Some(&x[1]), Some(&x[2]), 1e-3),
            vec![numbers([2, 2, 3]), numbers([3]), numbers([3])],
        ),
        ("rms_norm", |x| x[0].rms_norm(&[3], Some(&x[1]), None), vec![numbers([2, 2, 3]), numbers([3])]),
        ("local_response_norm", |x| x[0].local_response_norm(3, 0.5, 0.75, 1.0), vec![numbers([1, 4, 3])]),
        ("normalize", |x| x[0].normalize(2.0, 1, 1e-12), vec![numbers([2, 3])]),
        (
            "cosine_similarity",
            |x| x[0].cosine_similarity(&x[1], 1, 1e-8),
            vec![numbers([2, 3]), numbers([1, 3])],
        ),
        ("cdist", |x| x[0].cdist(&x[1].exp(), 2.0), vec![numbers([2, 3]), numbers([3, 3])]),
        ("renorm", |x| x[0].renorm(2.0, 0, 0.5), vec![numbers([2, 3])]),
    ]);
}

#[test]
fn attention() {
    let operands = || vec![numbers([2, 2, 3]), numbers([2, 3, 3]), numbers([2, 3, 2])];
    check_all(&[
        (
            "all pairs",
            |x| x[0].scaled_dot_product_attention(&x[1], &x[2], &AttentionOptions::default()),
            operands(),
        ),
        (
            "earlier keys",
            |x| {
                let causal = AttentionOptions::new().is_causal(true).scale(0.5);
                x[0].scaled_dot_product_attention(&x[1], &x[2], &causal)
            },
            operands(),
        ),
        (
            "keys up to the same place from the end",
            |x| {
                let later = AttentionOptions::new().causal_lower_right(true);
                x[0].scaled_dot_product_attention(&x[1], &x[2], &later)
            },
            operands(),
        ),
        (
            "a mask of keys",
            |x| {
                let keep = Tensor::from_fn([2, 1, 3], |i| i % 4 != 1);
                x[0].scaled_dot_product_attention(&x[1], &x[2], &AttentionOptions::new().attn_mask(keep))
            },
            operands(),
        ),
        (
            "a bias",
            |x| {
                let biased = AttentionOptions::new().attn_mask(&x[3]);
                x[0].scaled_dot_product_attention(&x[1], &x[2], &biased)
            },
            vec![numbers([2, 2, 3]), numbers([2, 3, 3]), numbers([2, 3, 2]), numbers([2, 3])],
        ),
    ]);
}

#[test]
fn a_query_that_sees_nothing_gives_zeros_and_no_nan() -> Result<()> {
    let tape = Tape::<f64>::new();
    let [q, k, v] = [[3, 2], [3, 2], [3, 2]].map(|shape| tape.input(numbers(shape)));
    let lower = Tensor::from_fn([3, 3], |i| i % 3 <= i / 3);
    let attend = |mask: Option<Tensor<bool>>, is_causal: bool| {
        let options = AttentionOptions::new().is_causal(is_causal);
        let options = if let Some(mask) = mask { options.attn_mask(mask) } else { options };
        q.scaled_dot_product_attention(&k, &v, &options)
    };
    assert_eq!(attend(Some(lower), false).value()?, attend(None, true).value()?);
    let blind = Tensor::from_fn([3, 3], |i| i >= 3);
    let y = attend(Some(blind), false);
    assert_eq!(y.value()?.to_vec()[..2], [0.0, 0.0]);
    let grads = y.square().sum().backward()?;
    for x in [&q, &k, &v] {
        assert!(grads.get(x).unwrap().to_vec().iter().all(|g| g.is_finite()));
    }
    assert!(attend(Some(Tensor::from([true])), true).value().is_err());
    Ok(())
}
