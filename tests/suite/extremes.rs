//! Arguments that nobody should give: whatever they are, the outcome is a result or an error, never a panic.
use kolmo::{
    autodiff::SparsityPattern,
    compress::*,
    loss::{CtcLoss, NllLoss},
    nn::*,
    ops::{AttentionOptions, ConvOptions, InterpolateMode, InterpolateTo, Pad, PoolOptions, TensorIndex},
    *,
};

const MOST: usize = usize::MAX;
const HIGH: isize = isize::MAX;
const LOW: isize = isize::MIN;

type Operation = for<'t> fn(&Var<'t, f64>) -> Var<'t, f64>;

/// Operations with sizes, axes and offsets at the ends of their types, or with parts of an operand that are
/// empty.
const OPERATIONS: &[(&str, Operation)] = &[
    ("sum_dim", |x| x.sum_dim([LOW], true)),
    ("norm", |x| x.norm_dim(f64::NAN, [-1], false)),
    ("diff", |x| x.diff(MOST, -1)),
    ("roll", |x| x.roll([HIGH, LOW], [0, -1])),
    ("rot90", |x| x.rot90(LOW, [0, 1])),
    ("repeat", |x| x.repeat(&[MOST; 4])),
    ("unfold", |x| x.unfold(-1, 1, MOST)),
    ("pixel_shuffle", |x| x.pixel_shuffle(1 << 32)),
    ("reshape", |x| x.reshape([HIGH, 0, HIGH])),
    ("transpose", |x| x.transpose(HIGH, LOW)),
    ("expand", |x| x.expand([HIGH, HIGH, HIGH, HIGH, -1])),
    ("narrow", |x| x.narrow(0, MOST, MOST)),
    ("softmax", |x| x.softmax(HIGH)),
    ("topk", |x| x.topk(MOST, -1, true).0),
    ("kthvalue", |x| x.kthvalue(0, -1, true).0),
    ("median", |x| x.median()),
    ("flatten", |x| x.flatten(HIGH, LOW)),
    ("unflatten", |x| x.unflatten(-1, &[-1, 0])),
    ("movedim", |x| x.movedim([HIGH], [LOW])),
    ("unsqueeze", |x| x.unsqueeze(LOW)),
    ("select", |x| x.select(0, LOW)),
    ("pad", |x| x.pad(&[LOW, LOW], Pad::Constant(0.0))),
    ("pad, replicate", |x| x.pad(&[HIGH, 1], Pad::Replicate)),
    ("pad, circular", |x| x.pad(&[9, -9], Pad::Circular)),
    ("diagonal", |x| x.diagonal(LOW, 0, 1)),
    ("diag_embed", |x| x.diag_embed(HIGH, -1, -2)),
    ("diag_embed, low", |x| x.diag_embed(LOW, -1, -2)),
    ("tril", |x| x.tril(LOW)),
    ("glu", |x| x.glu(-1)),
    ("group_norm", |x| x.group_norm(MOST, None, None, 1e-5)),
    ("local_response_norm", |x| x.local_response_norm(MOST, 1.0, 0.75, 1.0)),
    ("einsum", |x| x.tape().einsum("é,...ü->", &[x, x])),
    ("interpolate", |x| x.interpolate(&InterpolateTo::Scale(f64::INFINITY), InterpolateMode::Nearest)),
    ("chunk", |x| x.tape().cat(&x.chunk(MOST, 0).iter().collect::<Vec<_>>(), 0)),
    ("tensor_split_at", |x| x.tape().cat(&x.tensor_split([HIGH, LOW], 0).iter().collect::<Vec<_>>(), 0)),
    ("index_select", |x| x.index_select(0, &Tensor::from([i64::MIN]))),
    ("max_pool2d", |x| x.max_pool2d(&PoolOptions::new(MOST).padding(MOST / 2))),
    ("adaptive_avg_pool1d", |x| x.adaptive_avg_pool1d(&[Some(MOST)])),
    ("adaptive_avg_pool2d", |x| x.unsqueeze(0).adaptive_avg_pool2d(&[Some(1 << 28); 2])),
    ("conv1d", |x| x.conv1d(x, None, &ConvOptions::new().padding(MOST))),
    ("conv_transpose1d", |x| x.conv_transpose1d(x, None, &ConvOptions::new().output_padding(MOST))),
    ("sort", |x| x.sort(LOW, true).0),
    ("cumsum", |x| x.cumsum(HIGH)),
    ("var_dim", |x| x.var_dim(-1, f64::INFINITY, true)),
    ("unfold, wide", |x| x.unfold(0, MOST, MOST)),
    ("slice", |x| x.slice(-1, LOW, HIGH, HIGH)),
    ("slice, back", |x| x.slice(-1, HIGH, LOW, LOW)),
    ("index", |x| x.index([TensorIndex::from(LOW)])),
    ("split", |x| &x.split(MOST, 0)[0] * 1.0),
    ("split_with_sizes", |x| &x.split([MOST, 1], 0)[0] * 1.0),
    ("tensor_split", |x| &x.tensor_split(MOST, 0)[0] * 1.0),
    ("repeat_interleave", |x| x.repeat_interleave(&Tensor::from([i64::MAX]), 0)),
    ("repeat_interleave, negative", |x| x.repeat_interleave(&Tensor::from([i64::MIN]), 0)),
    ("triu", |x| x.triu(HIGH)),
    ("diag", |x| x.diag(LOW)),
    ("scatter", |x| x.scatter(LOW, &Tensor::from([i64::MAX]), x)),
    ("take", |x| x.take(&Tensor::from([i64::MIN]))),
    ("bincount", |x| x.bincount(&Tensor::full(x.shape(), i64::MAX), MOST)),
    ("pixel_unshuffle", |x| x.pixel_unshuffle(MOST)),
    ("im2col", |x| x.im2col(MOST / 2, &ConvOptions::new().padding(MOST / 2))),
    ("im2col, apart", |x| x.im2col(2, &ConvOptions::new().dilation(MOST).padding(MOST / 2).stride(MOST))),
    ("conv2d", |x| x.conv2d(x, None, &ConvOptions::new().stride(MOST).dilation(MOST).groups(MOST))),
    ("conv2d, padded", |x| x.conv2d(x, None, &ConvOptions::new().padding(MOST / 2).dilation(MOST / 4))),
    ("conv_transpose2d", |x| {
        x.conv_transpose2d(x, None, &ConvOptions::new().stride(MOST / 2).dilation(MOST / 2).padding(MOST / 2))
    }),
    ("avg_pool2d", |x| {
        x.avg_pool2d(&PoolOptions::new(MOST / 2).stride(MOST).padding(MOST / 4).ceil_mode(true))
    }),
    ("max_pool1d", |x| x.max_pool1d(&PoolOptions::new(2).dilation(MOST).padding(1))),
    ("adaptive_max_pool1d", |x| x.adaptive_max_pool1d(&[Some(MOST)]).0),
    ("upsampling", |x| {
        x.interpolate(&InterpolateTo::Size(MOST.into()), InterpolateMode::Linear { align_corners: true })
    }),
    ("rotary", |x| x.rotary(MOST, f64::MIN_POSITIVE)),
    ("rotary_interleaved", |x| x.rotary_interleaved(MOST, f64::MIN_POSITIVE)),
    ("instance_norm", |x| x.instance_norm(None, None, None, f64::NAN)),
    ("layer_norm", |x| x.layer_norm(&[MOST, MOST], None, None, 1e-5)),
    ("cosine_similarity", |x| x.cosine_similarity(x, LOW, 1e-8)),
    ("renorm", |x| x.renorm(f64::INFINITY, LOW, f64::INFINITY)),
    ("tensordot", |x| x.tensordot(x, [HIGH], [LOW])),
    ("cross", |x| x.cross(x, LOW)),
    ("round_decimals", |x| x.round_decimals(i32::MIN)),
    ("ctc_loss", |x| {
        CtcLoss::new().blank(MOST).apply(x, &Tensor::from([1u32]), &[MOST, MOST], &[MOST, MOST])
    }),
    ("nll_loss", |x| NllLoss::new().ignore_index(i64::MAX).apply(x, &Tensor::from([i64::MIN]))),
    ("attention, no keys", |x| {
        let none = x.narrow(-2, 0, 0);
        x.scaled_dot_product_attention(&none, &none, &AttentionOptions::default())
    }),
    ("attention, no queries", |x| {
        x.narrow(-2, 0, 0).scaled_dot_product_attention(x, x, &AttentionOptions::default())
    }),
    ("attention, no width", |x| {
        let none = x.narrow(-1, 0, 0);
        none.scaled_dot_product_attention(&none, x, &AttentionOptions::new().is_causal(true))
    }),
];

#[test]
fn no_size_axis_or_offset_makes_an_operation_panic() {
    let shapes: [&[usize]; 9] =
        [&[], &[0], &[5], &[0, 3], &[3, 3], &[2, 3, 4], &[2, 0, 4], &[2, 3, 0], &[1, 2, 3, 4]];
    for shape in shapes {
        for value in [1.0, f64::NAN, f64::INFINITY] {
            for (name, operation) in OPERATIONS {
                println!("{name} on {shape:?} of {value}");
                let tape = Tape::new();
                let y = operation(&tape.input(Tensor::full(shape.to_vec(), value)));
                let (_, _) = (y.value(), y.sum().backward());
            }
        }
    }
}

#[test]
fn what_attention_gives_for_no_keys_is_zero_and_so_are_its_gradients() -> Result<()> {
    let tape = Tape::<f64>::new();
    let (q, none) = (tape.input(Tensor::ones([2, 3])), tape.input(Tensor::zeros([0, 3])));
    let y = q.scaled_dot_product_attention(&none, &none, &AttentionOptions::default());
    assert_eq!(y.to_vec()?, [0.0; 6]);
    assert_eq!(y.sum().backward()?.get(&q).map(Tensor::to_vec), Some(vec![0.0; 6]));
    Ok(())
}

/// A view of no elements that steps backwards lies in memory as any other of no elements does.
#[test]
fn products_of_reversed_views_of_nothing_are_zero() -> Result<()> {
    let tape = Tape::<f64>::new();
    let (x, y) = (tape.input(Tensor::ones([5, 4, 0])), tape.input(Tensor::ones([5, 0, 2])));
    for dims in [&[0][..], &[1], &[0, 2], &[0, 1, 2]] {
        let (x, y) = (x.flip(dims), y.flip(dims));
        let z = x.bmm(&y);
        assert_eq!(z.to_vec()?, [0.0; 40]);
        let w = tape.input(Tensor::ones([3, 0])).flip([0, 1]);
        assert_eq!(x.linear(&w, None).sum().item()?, 0.0);
        let seen = x.scaled_dot_product_attention(&x, &x, &AttentionOptions::default());
        assert_eq!(seen.shape(), &[5, 4, 0]);
        assert!((z.sum() + seen.sum()).backward_retain_graph().is_ok());
        let strides = y.value()?.strides().to_vec();
        assert!(strides.iter().all(|s| *s >= 0), "{strides:?}");
    }
    Ok(())
}

#[test]
fn sizes_beyond_any_memory_are_errors() {
    let tape = Tape::<f32>::new();
    let message = |e: Option<Error>| e.map(|e| e.to_string()).unwrap_or_default();
    assert!(
        message(tape.input(1.0).expand([HIGH, HIGH]).value().err()).contains("more than there is memory for")
    );
    assert!(
        message(Tensor::<f32>::new([MOST, MOST, 0], vec![]).err()).contains("more than there is memory for")
    );
    let p = Param::<f32>::new(Tensor::ones([4]));
    assert!(message(hash_weights(&p, MOST, &mut Random::new(0)).err()).contains("from 1 to as many"));
    assert!(
        message(Tensor::from([0u32]).one_hot::<f32>(MOST).err()).contains("more than there is memory for")
    );
    let blocks = data::random_windows(&[1, 2, 3], MOST, 2, &mut Random::new(0));
    assert!(message(blocks.err()).contains("more than there is memory for"));
    assert!(message(SparsityPattern::new(MOST, [vec![0]]).err()).contains("columns"));
    // A sum of so many products of codes might not fit 32 bits.
    let wide = linear(Tensor::ones([1, (1 << 17) + 1]), Tensor::zeros([1]));
    assert!(message(Int8Linear::from_linear(&wide).err()).contains("at most 131,072"));
}

#[test]
fn the_size_of_an_axis_that_is_not_there_is_zero() {
    let number = Tensor::<f32>::scalar(1.0);
    assert_eq!((number.dim(0), number.dim(-1), number.shape().dim(7)), (0, 0, 0));
}

#[test]
fn differences_of_nothing_are_nothing_however_often() -> Result<()> {
    let tape = Tape::<f32>::new();
    assert_eq!(tape.input([1.0, 2.0, 4.0]).diff(MOST, 0).shape()[..], [0]);
    assert_eq!(tape.input([1.0, 2.0, 4.0]).diff(2, 0).to_vec()?, [1.0]);
    Ok(())
}

#[test]
fn a_program_refuses_an_input_that_nobody_hands_over() {
    let x = Tensor::<f32>::ones([3]);
    let program = Program::new(&[&x], &[], |tape, x, _| vec![(&x[0] + tape.input(Tensor::ones([3]))).exp()]);
    assert!(program.err().is_some_and(|e| e.to_string().contains("tape.input")));
}

fn linear(weight: Tensor, bias: Tensor) -> Linear {
    Linear { weight: Param::new(weight), bias: Some(Param::new(bias)) }
}

#[test]
fn layers_of_codes_and_of_zeros_check_weight_and_bias() -> Result<()> {
    for (weight, bias) in [(vec![3, 2], 5), (vec![3, 2], 1), (vec![3], 3), (vec![], 1), (vec![2, 3, 4], 2)] {
        let layer = linear(Tensor::ones(weight), Tensor::ones([bias]));
        assert!(SparseLinear::from_linear(&layer).is_err() && Int8Linear::from_linear(&layer).is_err());
    }
    // No inputs: the bias is left.
    let layer = linear(Tensor::ones([3, 0]), Tensor::ones([3]));
    for rows in [0, 1, 9] {
        let x = Tensor::zeros([rows, 0]);
        assert_eq!(Int8Linear::from_linear(&layer)?.forward(&x)?.to_vec(), vec![1.0; 3 * rows]);
        assert_eq!(SparseLinear::from_linear(&layer)?.forward(&x)?.to_vec(), vec![1.0; 3 * rows]);
    }
    Ok(())
}

#[test]
fn what_is_not_finite_stays_so_in_layers_of_codes() -> Result<()> {
    let layer = Int8Linear::from_linear(&linear(Tensor::ones([2, 2]), Tensor::ones([2])))?;
    for rows in [2, 20] {
        for bad in [f32::NAN, f32::INFINITY] {
            let y = layer.forward(&Tensor::from_fn([rows, 2], |i| if i == 1 { bad } else { 1.0 }))?.to_vec();
            assert!(y[..2].iter().all(|v| !v.is_finite()), "{rows} rows with {bad}: {y:?}");
            assert!(y[2..].iter().all(|v| (v - 3.0).abs() < 0.1));
        }
    }
    Ok(())
}

#[test]
fn a_file_that_ends_in_its_header_says_where() {
    let folder = crate::Folder::new("extremes");
    let path = folder.join("images.idx");
    for (bytes, place) in [(&[][..], "byte 0"), (&[0, 0, 8, 2, 0, 0, 0, 9, 0], "byte 8")] {
        std::fs::write(&path, bytes).unwrap();
        let message = data::read_idx(&path).unwrap_err().to_string();
        assert!(message.contains(place) && message.contains("ends before its header"), "{message}");
    }
}
