//! What is larger than memory, or finds none, is an error with its shape and bytes; what was there before
//! stays usable.
use super::Full;
use kolmo::{
    autodiff::{SparsityPattern, hessian, jacobian},
    nn::*,
    ops::{
        AttentionOptions, ConvOptions, InterpolateMode, InterpolateTo, MeshgridIndexing, Pad, PoolOptions,
        TensorIndex,
    },
    *,
};

const SIDE: usize = 1 << 20;
const HUGE: usize = 1 << 40;

type Function = for<'t> fn(&'t Tape, [&Var<'t>; 2]) -> Var<'t>;

/// Operands are a column and a row of a million.
const TOO_LARGE: &[(&str, Function)] = &[
    ("add", |_, [x, y]| x + y),
    ("matmul", |_, [x, y]| x.matmul(y)),
    ("outer", |_, [x, y]| x.flatten(0, -1).outer(&y.flatten(0, -1))),
    ("kron", |_, [x, y]| x.kron(y)),
    ("where", |_, [x, y]| x.where_(&Tensor::from([[true]]), y)),
    ("lerp", |_, [x, y]| x.lerp(y, 0.5)),
    ("cdist", |_, [x, _]| x.cdist(x, 2.0)),
    ("einsum", |t, [x, y]| t.einsum("ij,jk->ik", &[x, y])),
    ("meshgrid", |t, [x, y]| {
        t.meshgrid(&[&x.flatten(0, -1), &y.flatten(0, -1)], MeshgridIndexing::Ij)[0].exp()
    }),
    ("expand and add", |_, [x, y]| x.expand([1 << 20, 1 << 31]) + y.sum()),
    ("repeat", |_, [x, _]| x.repeat(&[1 << 20, 1 << 10])),
    ("pad", |_, [x, _]| x.pad(&[1 << 40, 0], Pad::Constant(0.0))),
    ("diag_embed", |_, [x, _]| x.flatten(0, -1).diag_embed(0, 0, 1)),
    ("diag", |_, [x, _]| x.flatten(0, -1).diag(0)),
    ("interpolate", |_, [x, _]| {
        x.reshape([1, 1, 1024, 1024]).interpolate(&InterpolateTo::Scale(1e9), InterpolateMode::Nearest)
    }),
    ("upsampling", |_, [x, _]| {
        x.reshape([1, 1, 1024, 1024])
            .interpolate(&InterpolateTo::Scale(1e5), InterpolateMode::Linear { align_corners: false })
    }),
    ("conv1d", |_, [x, _]| {
        x.reshape([1, 1, -1]).conv1d(&x.reshape([1 << 20, 1, 1]), None, &ConvOptions::default())
    }),
    ("linear", |_, [x, _]| x.linear(x, None)),
    ("linear with bias", |_, [x, _]| x.linear(x, Some(&x.flatten(0, -1)))),
    ("stack", |t, [x, _]| t.stack(&[&x.expand([1 << 20, 1 << 20])], 0)),
    ("one hot", |t, _| match Tensor::from([0u32]).one_hot::<f32>(HUGE) {
        Ok(y) => t.constant(y),
        Err(_) => t.constant(Tensor::zeros([HUGE])),
    }),
    ("zeros", |t, _| t.constant(Tensor::zeros([HUGE, HUGE]))),
    ("ones", |t, _| t.input(Tensor::ones([HUGE]))),
    ("eye", |t, _| t.constant(Tensor::eye(1 << 31))),
    ("arange", |t, _| t.constant(Tensor::arange(0.0, 1e15))),
    ("linspace", |t, _| t.constant(Tensor::linspace(0.0, 1.0, HUGE))),
    ("from_fn", |t, _| t.constant(Tensor::from_fn([HUGE], |_| 1.0))),
    ("normal", |t, _| t.constant(init::normal([HUGE], 0.0, 1.0, &mut Random::new(0)))),
    ("cast", |t, [x, _]| {
        t.constant(x.value().unwrap().cast::<bool>().cast::<f32>()).expand([1 << 20, 1 << 20]).exp()
    }),
    ("a layer", |_, [x, _]| Linear::new(1 << 20, 1 << 40, &mut Random::new(0)).forward(&x.t())),
    ("bincount", |t, [x, _]| {
        x.flatten(0, -1).bincount(&Tensor::<u32>::zeros([1 << 20]), HUGE) + t.constant(0.0)
    }),
    ("unfold", |_, [x, _]| x.flatten(0, -1).unfold(0, 1 << 19, 1).exp()),
    ("cholesky of many", |t, _| t.constant(1.0).expand([1 << 40, 1, 1]).cholesky(false)),
];

pub fn sizes_beyond_memory_are_errors_that_tell_shapes_and_bytes() {
    for (name, f) in TOO_LARGE {
        let tape = Tape::new();
        let x = tape.input(Tensor::ones([SIDE, 1]));
        let y = tape.input(Tensor::ones([1, SIDE]));
        let error = f(&tape, [&x, &y]).sum().value().map(|_| ()).expect_err(name).to_string();
        assert!(["memory", "bytes", "can be indexed"].iter().any(|w| error.contains(w)), "{name}: {error}");
        // The tape goes on.
        assert_eq!((x.sum() + y.sum()).item().unwrap(), 2.0 * SIDE as f32, "{name}");
    }
}

pub fn a_tensor_that_was_not_made_is_an_error_wherever_it_is_used() {
    let none = Tensor::<f32>::zeros([HUGE]);
    assert_eq!((none.shape().to_vec(), none.to_vec(), none.numel()), (vec![0], vec![], 0));
    let errors = [
        none.ok().err(),
        none.item().err(),
        none.clone().set([0], 1.0).err(),
        none.reshape([3]).err(),
        none.transpose(0, 0).err(),
        none.rows(&[]).err(),
        Param::new(none.clone()).effective().err(),
    ];
    for error in errors {
        let error = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(
            error.contains("f32[1099511627776] needs 4398046511104 bytes, which can't be had"),
            "{error}"
        );
    }
}

/// Small matrices whose results are not: every allocation of a large result or of room to work in is refused,
/// and is an error.
pub fn an_allocation_that_fails_is_an_error_and_leaves_the_books_right() {
    type Function = for<'t> fn(&Var<'t>, &Var<'t>) -> Var<'t>;
    let functions: &[(&str, Function)] = &[
        ("add", |x, _| x + 1.0),
        ("broadcast", |x, v| x + v),
        ("matmul", |x, _| x.matmul(x)),
        ("matmul of a view", |x, _| x.flip(0).matmul(x)),
        ("linear", |x, v| x.linear(x, Some(v))),
        ("bmm", |x, _| x.reshape([4, 128, 512]).bmm(&x.reshape([4, 512, 128]))),
        ("softmax", |x, _| x.softmax(0)),
        ("log_softmax", |x, _| x.t().log_softmax(1)),
        ("logsumexp", |x, _| x.logsumexp(0, false)),
        ("sum", |x, _| x.t().sum_dim(0, false)),
        ("var", |x, _| x.var_dim(0, 1.0, false)),
        ("amax", |x, _| x.amax_dim(0, false)),
        ("max_dim", |x, _| x.max_dim(0, false).0),
        ("sort", |x, _| x.sort(0, false).0),
        ("topk", |x, _| x.topk(5, 0, true).0),
        ("cumsum", |x, _| x.t().cumsum(0)),
        ("cumprod", |x, _| x.t().cumprod(0)),
        ("logcumsumexp", |x, _| x.logcumsumexp(0)),
        ("cat", |x, _| x.tape().cat(&[x, x], 0)),
        ("stack", |x, _| x.tape().stack(&[x, x], 0)),
        ("repeat", |x, _| x.repeat(&[2, 1])),
        ("roll", |x, _| x.roll(3, 0)),
        ("pad", |x, _| x.pad(&[1, 1], Pad::Reflect)),
        ("index_select", |x, _| x.index_select(0, &Tensor::from_fn([512], |i| 511 - i as u32))),
        ("gather", |x, _| x.gather(0, &Tensor::<u32>::from([[0u32]]).expand([512, 512]).unwrap())),
        ("layer_norm", |x, v| x.layer_norm(&[512], Some(v), Some(v), 1e-5)),
        ("batch_norm", |x, v| x.batch_norm(None, Some(v), Some(v), 1e-5)),
        ("rms_norm", |x, v| x.t().rms_norm(&[512], Some(v), None)),
        ("conv2d", |x, _| {
            let w = x.narrow(0, 0, 4).reshape([512, 1, 2, 2]).narrow(0, 0, 8);
            x.reshape([4, 1, 256, 256]).conv2d(&w, None, &ConvOptions::default())
        }),
        ("conv_transpose2d", |x, _| {
            let w = x.narrow(0, 0, 4).reshape([512, 1, 2, 2]).narrow(0, 0, 1);
            x.reshape([4, 1, 256, 256]).conv_transpose2d(&w, None, &ConvOptions::default())
        }),
        ("max_pool2d", |x, _| x.reshape([4, 1, 256, 256]).max_pool2d(&PoolOptions::new(2).stride(1))),
        ("avg_pool2d", |x, _| x.reshape([4, 1, 256, 256]).avg_pool2d(&PoolOptions::new(2).stride(1))),
        ("attention", |x, _| x.scaled_dot_product_attention(x, x, &AttentionOptions::default())),
        ("inv", |x, _| (x + x.tape().constant(Tensor::eye(512))).inv()),
        ("cross_entropy", |x, _| x.cross_entropy(&Tensor::<u32>::zeros([512]))),
        ("mse_loss", |x, _| x.mse_loss(&x.exp())),
        ("where", |x, _| x.where_(&Tensor::from([true]), &(x * 2.0))),
        ("tril", |x, _| x.tril(0)),
        ("interpolate", |x, _| {
            x.reshape([1, 1, 512, 512]).interpolate(&InterpolateTo::Scale(2.0), InterpolateMode::Nearest)
        }),
    ];
    let mut refused = 0;
    for (name, f) in functions {
        let tape = Tape::new();
        // Views that nobody can use as they are, and so must copy.
        let x = tape.input(Tensor::from_fn([512, 512], |i| (i % 7) as f32 * 1e-3)).t();
        let v = tape.input(Tensor::from_fn([512], |i| i as f32));
        for limit in [4 << 10, 64 << 10, 600 << 10] {
            let full = Full::beyond(limit);
            let y = f(&x, &v);
            let grads = y.sum().backward_retain_graph();
            drop(full);
            let told = |e: Error| e.to_string();
            match (y.value().map_err(told), grads.map_err(told)) {
                (Ok(_), Ok(_)) => {}
                (Err(why), _) | (_, Err(why)) => {
                    refused += 1;
                    let said = why.contains("bytes, which can't be had") || why.contains("memory for");
                    assert!(said, "{name}, {limit} bytes at most: {why}");
                }
            }
        }
        assert!(f(&x, &v).sum().backward_retain_graph().is_ok(), "{name}: with room again");
    }
    assert!(refused > functions.len(), "the limits let too much through: {refused} refused");
}

/// Operands are a column of a million and the same as a square; results or what is needed on the way are
/// beyond 64 MiB.
const LARGE: &[(&str, Function)] = &[
    ("unfold", |_, [x, _]| x.flatten(0, -1).unfold(0, 1 << 10, 1)),
    ("repeat_interleave", |_, [x, _]| x.repeat_interleave(&Tensor::full([1], 1u32 << 10), 0)),
    ("repeat_interleave, endless", |_, [x, _]| x.repeat_interleave(&Tensor::full([1], i64::MAX), 0)),
    ("adaptive_avg_pool1d", |_, [_, s]| s.unsqueeze(0).adaptive_avg_pool1d(&[Some(1 << 21)])),
    ("adaptive_max_pool1d", |_, [_, s]| s.unsqueeze(0).adaptive_max_pool1d(&[Some(1 << 21)]).0),
    ("avg_pool1d", |_, [x, _]| x.reshape([1, 1, -1]).avg_pool1d(&PoolOptions::new(1 << 10).stride(1))),
    ("max_pool1d", |_, [x, _]| {
        x.reshape([1, 1, -1]).max_pool1d(&PoolOptions::new(1 << 10).stride(1).dilation(2))
    }),
    ("im2col", |_, [_, s]| s.unsqueeze(0).unsqueeze(0).im2col(64, &ConvOptions::new())),
    ("im2col, padded", |_, [_, s]| {
        s.unsqueeze(0).unsqueeze(0).im2col(1 << 60, &ConvOptions::new().padding(1 << 61))
    }),
    ("conv1d, padded", |_, [x, _]| {
        x.reshape([1, 1, -1]).conv1d(
            &x.narrow(0, 0, 1).reshape([1, 1, 1]),
            None,
            &ConvOptions::new().padding(1 << 40),
        )
    }),
    ("conv_transpose1d", |_, [x, _]| {
        let options = ConvOptions::new().stride(1 << 20);
        x.reshape([1, 1, -1]).conv_transpose1d(&x.narrow(0, 0, 1).reshape([1, 1, 1]), None, &options)
    }),
    ("diag_embed", |_, [x, _]| x.narrow(0, 0, 1 << 14).flatten(0, -1).diag_embed(0, 0, 1)),
    ("bincount", |_, [x, _]| x.flatten(0, -1).bincount(&Tensor::<u32>::zeros([1 << 20]), 1 << 25)),
    ("masked_select", |_, [x, _]| x.masked_select(&Tensor::full([1, 1 << 10], true))),
    ("masked_scatter", |_, [x, _]| x.masked_scatter(&Tensor::full([1, 1 << 10], true), x)),
    ("where", |_, [x, _]| x.where_(&Tensor::full([1, 1 << 10], true), x)),
    ("multilabel_margin_loss", |_, [_, s]| {
        s.multilabel_margin_loss(&Tensor::<i64>::zeros([1 << 10, 1 << 10]))
    }),
    ("ctc_loss", |_, [_, s]| {
        let (labels, steps) = (Tensor::<u32>::ones([1, 1 << 14]), [1 << 10]);
        s.unsqueeze(1).ctc_loss(&labels, &steps, &[1 << 14])
    }),
    ("pad, replicate", |_, [_, s]| s.pad(&[0, 1 << 24], Pad::Replicate)),
    ("pad, constant", |_, [_, s]| s.pad(&[0, isize::MAX / 8], Pad::Constant(0.0))),
    ("interpolate", |_, [_, s]| {
        let linear = InterpolateMode::Linear { align_corners: true };
        s.unsqueeze(0).interpolate(&InterpolateTo::Size((1usize << 20).into()), linear)
    }),
    ("local_response_norm", |_, [_, s]| {
        s.unsqueeze(0).unsqueeze(3).local_response_norm(1 << 15, 1.0, 0.75, 1.0)
    }),
    ("cdist", |_, [x, _]| x.cdist(x, 1.0)),
    ("kron", |_, [_, s]| s.kron(s)),
    ("meshgrid", |t, [x, _]| {
        t.meshgrid(&[&x.flatten(0, -1), &x.flatten(0, -1)], MeshgridIndexing::Xy)[1].exp()
    }),
    ("embedding", |_, [_, s]| s.embedding(&Tensor::<u32>::zeros([1 << 16]), None)),
    ("index", |_, [_, s]| s.index([TensorIndex::from(Tensor::<i64>::zeros([1 << 16]))])),
    ("Linear", |_, [_, s]| Linear::new(1 << 10, 1 << 15, &mut Random::new(0)).forward(s)),
    ("Linear, endless", |_, [_, s]| Linear::new(usize::MAX, usize::MAX, &mut Random::new(0)).forward(s)),
    ("Embedding", |t, _| {
        Embedding::new(1 << 40, 1 << 40, &mut Random::new(0)).forward(&Tensor::from([0u32]), t)
    }),
    ("Conv1d", |_, [_, s]| Conv1d::new(1 << 30, 1 << 30, usize::MAX, &mut Random::new(0)).forward(s)),
    ("Lstm", |_, [_, s]| Recurrent::lstm(1 << 10, usize::MAX, &mut Random::new(0)).forward(s, None).0),
    ("positions", |t, _| t.constant(nn::sinusoidal_positions(1 << 40, 1 << 40))),
];

pub fn what_is_needed_on_the_way_is_refused_as_results_are() {
    for (name, f) in LARGE {
        let tape = Tape::new();
        let x = tape.input(Tensor::ones([SIDE, 1]));
        let square = x.reshape([1 << 10, 1 << 10]);
        let full = Full::beyond(64 << 20);
        let y = f(&tape, [&x, &square]).sum().value().map(|_| ());
        drop(full);
        let error = y.expect_err(name).to_string();
        assert!(["memory", "bytes", "can be indexed"].iter().any(|w| error.contains(w)), "{name}: {error}");
        assert_eq!((&x + &x).sum().item().unwrap(), 2.0 * SIDE as f32, "{name}");
    }
}

/// Beside the tape, too.
pub fn what_numbers_ask_for_is_an_error_where_there_is_no_room() {
    type Asked = fn() -> Option<Error>;
    const MOST: usize = usize::MAX;
    let asked: &[(&str, Asked)] = &[
        ("jacobian", || jacobian(|x| x * 2.0, &Tensor::<f32>::ones([1 << 13])).err()),
        ("hessian", || hessian(|x| (x * x).sum(), &Tensor::<f32>::ones([1 << 13])).err()),
        ("Pattern", || SparsityPattern::new(u32::MAX as usize, [vec![0]]).err()),
        ("one_hot", || Tensor::<u32>::zeros([1 << 12]).one_hot::<f32>(1 << 14).err()),
        ("bincount", || Tensor::<u32>::zeros([1]).bincount(1 << 25).err()),
        ("train_test_split", || data::train_test_split(MOST, 0.5, &mut Random::new(0)).err()),
        ("k_fold", || data::k_fold(MOST, 2, &mut Random::new(0)).err()),
        ("random_windows", || data::random_windows(&[1, 2, 3], 1 << 30, 1, &mut Random::new(0)).err()),
        ("DataLoader", || {
            data::DataLoader::new(MOST, 1).batches(0, |_, _| Ok(())).next().and_then(Result::err)
        }),
        ("orthogonal", || init::orthogonal::<f32>([1 << 40, 1 << 40], 1.0, &mut Random::new(0)).err()),
        ("orthogonal, long", || init::orthogonal::<f32>([1 << 30, 1], 1.0, &mut Random::new(0)).err()),
        ("xavier", || init::xavier_uniform::<f32>([MOST, MOST, MOST], 1.0, &mut Random::new(0)).err()),
        ("dirac", || init::dirac::<f32>([1 << 20, 1 << 20, 1], 1).err()),
        ("sparse", || init::sparse::<f32>([1 << 20, 1 << 20], 0.5, 1.0, &mut Random::new(0)).err()),
        ("attention", || MultiheadAttention::new(MOST - 1, 2, &mut Random::new(0)).err()),
        ("ConfusionMatrix", || metrics::ConfusionMatrix::new(8192).err()),
    ];
    for (name, f) in asked {
        let full = Full::beyond(64 << 20);
        let error = f();
        drop(full);
        let error = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(
            error.contains("bytes, which can't be had") || error.contains("memory for"),
            "{name}: {error:?}"
        );
    }
}
