//! Operations on tensors once each, on square operands, for tests of what holds for all of them.
use crate::CATALOGUE as N;
use kolmo::{
    loss::*,
    ops::{
        AttentionOptions, ConvOptions, InterpolateMode, InterpolateTo, MatrixNorm, MeshgridIndexing, Pad,
        PoolOptions, Scatter, SolveTriangularOptions, TensorIndex,
    },
    *,
};

type Function<T> = for<'t> fn(&[Var<'t, T>]) -> Var<'t, T>;

/// The name of the method, and how many operands it has.
pub struct Entry {
    pub name: &'static str,
    pub operands: usize,
    pub run: Function<f64>,
    /// The same in single precision.
    #[allow(dead_code, reason = "not every program that has the list computes in single precision")]
    pub single: Function<f32>,
}

macro_rules! entries {
    ($($name:ident $n:literal |$x:ident| $run:expr;)*) => {
        pub const ALL: &[Entry] = &[$(Entry { name: stringify!($name), operands: $n, run: |$x| $run, single: |$x| $run }),*];
    };
}

macro_rules! functions {
    ($($name:ident)*) => {
        pub const ELEMENTARY: &[Entry] =
            &[$(Entry { name: stringify!($name), operands: 1, run: |x| x[0].$name(), single: |x| x[0].$name() }),*];
    };
}

functions! {
    abs acos acosh asin asinh atan atanh ceil cos cosh digamma erf erfc exp exp2 expm1 floor frac gelu gelu_tanh hardsigmoid
    hardswish lgamma log log10 log1p log2 logsigmoid mish neg reciprocal relu relu6 round rsqrt selu sigmoid sign silu sin sinc sinh
    softsign sqrt square tan tanh tanhshrink trunc
}

fn index() -> Tensor<u32> {
    const FOUR: [u32; 16] = [0, 1, 2, 3, 3, 2, 1, 0, 0, 0, 1, 1, 2, 3, 2, 3];
    Tensor::from_fn([N, N], |i| if N == 4 { FOUR[i] } else { (i * i / 3 % N) as u32 })
}

fn rows() -> Tensor<u32> {
    Tensor::from_fn([N], |i| [2u32, 0, 3, 0][i % 4])
}

fn mask() -> Tensor<bool> {
    Tensor::from_fn([N, N], |i| i % 3 != 1)
}

/// As `[1, 1, N, N]`: a picture.
fn picture<'t, T: Float>(x: &Var<'t, T>) -> Var<'t, T> {
    x.unsqueeze(0).unsqueeze(0)
}

/// The first eight numbers.
fn eight<'t, T: Float>(x: &Var<'t, T>, shape: [isize; 4]) -> Var<'t, T> {
    x.flatten(0, -1).narrow(0, 0, 8).reshape(shape)
}

/// One of several, the last if there are fewer; `x` itself if there are none.
fn part<'t, T: Float>(x: &Var<'t, T>, parts: &[Var<'t, T>], i: usize) -> Var<'t, T> {
    parts.iter().take(i + 1).next_back().unwrap_or(x) * 1.0
}

entries! {
    add 2 |x| &x[0] + &x[1];
    sub 2 |x| &x[0] - &x[1];
    mul 2 |x| &x[0] * &x[1];
    div 2 |x| &x[0] / &x[1];
    pow 2 |x| x[0].pow(&x[1]);
    powf 1 |x| x[0].powf(1.7);
    atan2 2 |x| x[0].atan2(&x[1]);
    fmod 2 |x| x[0].fmod(&x[1]);
    remainder 2 |x| x[0].remainder(&x[1]);
    maximum 2 |x| x[0].maximum(&x[1]);
    minimum 2 |x| x[0].minimum(&x[1]);
    fmax 2 |x| x[0].fmax(&x[1]);
    fmin 2 |x| x[0].fmin(&x[1]);
    hypot 2 |x| x[0].hypot(&x[1]);
    logaddexp 2 |x| x[0].logaddexp(&x[1]);
    copysign 2 |x| x[0].copysign(&x[1]);
    xlogy 2 |x| x[0].xlogy(&x[1]);
    where_ 2 |x| x[0].where_(&mask(), &x[1]);
    lerp 2 |x| x[0].lerp(&x[1], 0.3);
    addcmul 3 |x| x[0].addcmul(&x[1], &x[2], 0.5);
    addcdiv 3 |x| x[0].addcdiv(&x[1], &x[2], 0.5);
    clamp 1 |x| x[0].clamp(0.5, 1.5);
    nan_to_num 1 |x| x[0].nan_to_num(0.0, None, None);
    round_decimals 1 |x| x[0].round_decimals(1);
    prelu 1 |x| x[0].prelu(&x[0].tape().constant(0.1));
    leaky_relu 1 |x| x[0].leaky_relu(0.1);
    elu 1 |x| x[0].elu(1.0);
    celu 1 |x| x[0].celu(1.0);
    softplus 1 |x| x[0].softplus(1.0, 20.0);
    threshold 1 |x| x[0].threshold(0.5, 0.1);
    hardtanh 1 |x| x[0].hardtanh(-1.0, 1.0);
    hardshrink 1 |x| x[0].hardshrink(0.5);
    softshrink 1 |x| x[0].softshrink(0.5);
    rrelu 1 |x| x[0].rrelu(0.1, 0.3);
    glu 1 |x| x[0].glu(1);
    softmax 1 |x| x[0].softmax(1);
    log_softmax 1 |x| x[0].log_softmax(1);
    logsumexp 1 |x| x[0].logsumexp(1, false);
    sum 1 |x| x[0].sum();
    sum_dim 1 |x| x[0].sum_dim(1, true);
    mean 1 |x| x[0].mean();
    mean_dim 1 |x| x[0].mean_dim(0, false);
    var 1 |x| x[0].var(1.0);
    var_dim 1 |x| x[0].var_dim(1, 1.0, false);
    std 1 |x| x[0].std(1.0);
    std_dim 1 |x| x[0].std_dim(1, 1.0, false);
    prod 1 |x| x[0].prod();
    prod_dim 1 |x| x[0].prod_dim(1, false);
    nansum_dim 1 |x| x[0].nansum_dim(1, false);
    nanmean_dim 1 |x| x[0].nanmean_dim(1, false);
    norm_dim 1 |x| x[0].norm_dim(2.0, 1, false);
    matrix_norm 1 |x| x[0].matrix_norm(MatrixNorm::Fro, [0, 1], false);
    amax_dim 1 |x| x[0].amax_dim(1, false);
    amin_dim 1 |x| x[0].amin_dim(1, false);
    max 1 |x| x[0].max();
    min 1 |x| x[0].min();
    max_dim 1 |x| x[0].max_dim(1, false).0;
    min_dim 1 |x| x[0].min_dim(1, false).0;
    median 1 |x| x[0].median();
    median_dim 1 |x| x[0].median_dim(1, false).0;
    cummax 1 |x| x[0].cummax(1).0;
    cummin 1 |x| x[0].cummin(1).0;
    sort 1 |x| x[0].sort(1, true).0;
    topk 1 |x| x[0].topk(2, 1, true).0;
    kthvalue 1 |x| x[0].kthvalue(2, 1, false).0;
    cumsum 1 |x| x[0].cumsum(1);
    cumprod 1 |x| x[0].cumprod(1);
    logcumsumexp 1 |x| x[0].logcumsumexp(1);
    diff 1 |x| x[0].diff(1, 1);
    reshape 1 |x| x[0].reshape([2, -1]);
    flatten 1 |x| x[0].flatten(0, 1);
    unflatten 1 |x| x[0].unflatten(1, &[2, -1]);
    permute 1 |x| x[0].permute([1, 0]);
    transpose 1 |x| x[0].transpose(0, 1);
    t 1 |x| x[0].t();
    movedim 1 |x| x[0].movedim([0], [1]);
    expand 1 |x| x[0].unsqueeze(0).expand([3, -1, -1]);
    narrow 1 |x| x[0].narrow(1, 1, 2);
    slice 1 |x| x[0].slice(1, 0, None, 2);
    index 1 |x| x[0].index([TensorIndex::from(1)]);
    select 1 |x| x[0].select(1, -1);
    unsqueeze 1 |x| x[0].unsqueeze(1);
    squeeze 1 |x| x[0].squeeze([]);
    flip 1 |x| x[0].flip([0, 1]);
    roll 1 |x| x[0].roll(1, 0);
    rot90 1 |x| x[0].rot90(1, [0, 1]);
    repeat 1 |x| x[0].repeat(&[2, 1]);
    repeat_interleave 1 |x| x[0].repeat_interleave(&rows(), 0);
    unfold 1 |x| x[0].unfold(1, 2, 1);
    pad 1 |x| x[0].pad(&[1, 1], Pad::Constant(0.5));
    cat 2 |x| x[0].tape().cat(&[&x[0], &x[1]], 0);
    stack 2 |x| x[0].tape().stack(&[&x[0], &x[1]], 0);
    meshgrid 2 |x| part(&x[0], &x[0].tape().meshgrid(&[&x[0].select(0, 0), &x[1].select(0, 1)], MeshgridIndexing::Ij), 1);
    split 1 |x| part(&x[0], &x[0].split(2, 1), 1);
    chunk 1 |x| part(&x[0], &x[0].chunk(2, 1), 1);
    tensor_split 1 |x| part(&x[0], &x[0].tensor_split(3, 1), 2);
    unbind 1 |x| part(&x[0], &x[0].unbind(0), 3);
    diagonal 1 |x| x[0].diagonal(1, 0, 1);
    diag_embed 1 |x| x[0].diag_embed(0, 0, 1);
    diag 1 |x| x[0].diag(0);
    trace 1 |x| x[0].trace();
    tril 1 |x| x[0].tril(0);
    triu 1 |x| x[0].triu(0);
    gather 1 |x| x[0].gather(1, &index());
    index_select 1 |x| x[0].index_select(0, &rows());
    take 1 |x| x[0].take(&index());
    take_along_dim 1 |x| x[0].take_along_dim(&index(), 1);
    masked_select 1 |x| x[0].masked_select(&mask());
    embedding 1 |x| x[0].embedding(&rows(), None);
    scatter 2 |x| x[0].scatter(1, &index(), &x[1]);
    scatter_number 1 |x| x[0].scatter(1, &index(), 2.0);
    scatter_add 2 |x| x[0].scatter_add(1, &index(), &x[1]);
    scatter_reduce 2 |x| x[0].scatter_reduce(1, &index(), &x[1], Scatter::Mean, true);
    index_add 2 |x| x[0].index_add(0, &rows(), &x[1], 2.0);
    index_copy 2 |x| x[0].index_copy(0, &Tensor::from_fn([N], |i| (N - 1 - i) as u32), &x[1]);
    index_fill 1 |x| x[0].index_fill(0, &rows(), 2.0);
    masked_fill 1 |x| x[0].masked_fill(&mask(), 2.0);
    masked_scatter 2 |x| x[0].masked_scatter(&mask(), &x[1]);
    matmul 2 |x| x[0].matmul(&x[1]);
    bmm 2 |x| x[0].unsqueeze(0).bmm(&x[1].unsqueeze(0));
    dot 2 |x| x[0].select(0, 0).dot(&x[1].select(0, 1));
    outer 2 |x| x[0].select(0, 0).outer(&x[1].select(0, 1));
    tensordot 2 |x| x[0].tensordot(&x[1], [1], [0]);
    addmm 3 |x| x[0].addmm(&x[1], &x[2], 0.5, 2.0);
    baddbmm 3 |x| x[0].unsqueeze(0).baddbmm(&x[1].unsqueeze(0), &x[2].unsqueeze(0), 0.5, 2.0);
    kron 2 |x| x[0].kron(&x[1]);
    cross 2 |x| x[0].narrow(0, 0, 3).cross(&x[1].narrow(0, 0, 3), 0);
    bilinear 3 |x| x[0].bilinear(&x[1], &x[2].unsqueeze(0), None);
    linear 3 |x| x[0].linear(&x[1], Some(&x[2].select(0, 0)));
    einsum 2 |x| x[0].tape().einsum("ij,jk->ik", &[&x[0], &x[1]]);
    solve 2 |x| x[0].solve(&x[1]);
    solve_triangular 2 |x| x[0].solve_triangular(&x[1], SolveTriangularOptions::new().upper(true));
    inv 1 |x| x[0].inv();
    det 1 |x| x[0].det();
    slogdet 1 |x| x[0].slogdet().1;
    cholesky 1 |x| x[0].matmul(&x[0].t()).cholesky(false);
    svdvals 1 |x| x[0].svdvals();
    batch_norm 1 |x| x[0].batch_norm(None, None, None, 1e-5);
    instance_norm 1 |x| x[0].unsqueeze(0).instance_norm(None, None, None, 1e-5);
    group_norm 1 |x| x[0].group_norm(2, None, None, 1e-5);
    layer_norm 1 |x| x[0].layer_norm(&[N], None, None, 1e-5);
    rms_norm 1 |x| x[0].rms_norm(&[N], None, None);
    local_response_norm 1 |x| x[0].unsqueeze(0).local_response_norm(2, 1e-4, 0.75, 1.0);
    normalize 1 |x| x[0].normalize(2.0, 1, 1e-12);
    cosine_similarity 2 |x| x[0].cosine_similarity(&x[1], 1, 1e-8);
    pairwise_distance 2 |x| x[0].pairwise_distance(&x[1], 2.0, 1e-6, false);
    cdist 2 |x| x[0].cdist(&x[1], 2.0);
    renorm 1 |x| x[0].renorm(2.0, 0, 1.0);
    scaled_dot_product_attention 3 |x| x[0].scaled_dot_product_attention(&x[1], &x[2], &AttentionOptions::default());
    conv1d 2 |x| x[0].unsqueeze(0).conv1d(&x[1].reshape([-1, N as isize, 2]), None, &ConvOptions::default());
    conv2d 2 |x| picture(&x[0]).conv2d(&eight(&x[1], [2, 1, 2, 2]), None, &ConvOptions::default());
    conv_transpose1d 2 |x| x[0].unsqueeze(0).conv_transpose1d(&x[1].reshape([N as isize, -1, 2]), None, &ConvOptions::default());
    conv_transpose2d 2 |x| {
        picture(&x[0]).conv_transpose2d(&eight(&x[1], [1, 2, 2, 2]), None, &ConvOptions::default())
    };
    max_pool1d 1 |x| x[0].max_pool1d(&PoolOptions::new(2));
    max_pool2d 1 |x| picture(&x[0]).max_pool2d(&PoolOptions::new(2));
    avg_pool1d 1 |x| x[0].avg_pool1d(&PoolOptions::new(2));
    avg_pool2d 1 |x| picture(&x[0]).avg_pool2d(&PoolOptions::new(2));
    adaptive_max_pool1d 1 |x| x[0].adaptive_max_pool1d(&[Some(3)]).0;
    adaptive_max_pool2d 1 |x| picture(&x[0]).adaptive_max_pool2d(&[Some(3)]).0;
    adaptive_avg_pool1d 1 |x| x[0].adaptive_avg_pool1d(&[Some(3)]);
    adaptive_avg_pool2d 1 |x| picture(&x[0]).adaptive_avg_pool2d(&[Some(3)]);
    interpolate 1 |x| picture(&x[0]).interpolate(&InterpolateTo::Scale(2.0), InterpolateMode::Nearest);
    pixel_shuffle 1 |x| x[0].reshape([1, 4, N as isize / 2, -1]).pixel_shuffle(2);
    pixel_unshuffle 1 |x| picture(&x[0]).pixel_unshuffle(2);
    im2col 1 |x| picture(&x[0]).im2col(2, &ConvOptions::new());
    add_number 1 |x| &x[0] + 1.5;
    mul_number 1 |x| &x[0] * 0.7;
    div_number 1 |x| &x[0] / 1.7;
    rsub_number 1 |x| 1.5 - &x[0];
    rdiv_number 1 |x| 1.7 / &x[0];
    deg2rad 1 |x| x[0].deg2rad();
    rad2deg 1 |x| x[0].rad2deg();
    clamp_min 1 |x| x[0].clamp_min(0.5);
    clamp_max 1 |x| x[0].clamp_max(1.5);
    logit 1 |x| x[0].logit(0.1);
    polygamma 1 |x| x[0].polygamma(1.0);
    div_floor 2 |x| x[0].div_floor(&x[1]);
    div_trunc 2 |x| x[0].div_trunc(&x[1]);
    bincount 1 |x| x[0].select(0, 0).bincount(&rows(), 5);
    scale_grad_by_freq 1 |x| x[0].scale_grad_by_freq(&rows());
    rotary 1 |x| x[0].rotary(1, 100.0);
    rotary_interleaved 1 |x| x[0].rotary_interleaved(1, 100.0);
    dropout 1 |x| x[0].dropout(0.3);
    fake_quantize_learned 2 |x| x[0].fake_quantize_learned(&x[1].select(0, 0), -4.0, 3.0);
    conv3d 2 |x| picture(&x[0]).unsqueeze(0).conv3d(&eight(&x[1], [2, 1, 2, 2]).unsqueeze(2), None, &ConvOptions::default());
    conv_transpose3d 2 |x| {
        let weight = eight(&x[1], [1, 2, 2, 2]).unsqueeze(2);
        picture(&x[0]).unsqueeze(0).conv_transpose3d(&weight, None, &ConvOptions::default())
    };
    detach 1 |x| x[0].detach();
    mse_loss 2 |x| x[0].mse_loss(&x[1]);
    l1_loss 2 |x| x[0].l1_loss(&x[1]);
    smooth_l1_loss 2 |x| x[0].smooth_l1_loss(&x[1]);
    huber_loss 2 |x| x[0].huber_loss(&x[1]);
    hinge_embedding_loss 2 |x| x[0].hinge_embedding_loss(&x[1]);
    margin_ranking_loss 3 |x| MarginRankingLoss::new().margin(1.0).apply(&x[0], &x[1], &x[2]);
    cosine_embedding_loss 3 |x| CosineEmbeddingLoss::new().margin(0.1).apply(&x[0], &x[1], &x[2].select(0, 0));
    kl_div 2 |x| x[0].kl_div(&x[1]);
    poisson_nll_loss 2 |x| x[0].poisson_nll_loss(&x[1]);
    gaussian_nll_loss 3 |x| x[0].gaussian_nll_loss(&x[1], &x[2]);
    binary_cross_entropy 2 |x| x[0].sigmoid().binary_cross_entropy(&x[1].sigmoid());
    binary_cross_entropy_with_logits 2 |x| x[0].binary_cross_entropy_with_logits(&x[1].sigmoid());
    soft_margin_loss 2 |x| x[0].soft_margin_loss(&x[1]);
    multilabel_soft_margin_loss 2 |x| x[0].multilabel_soft_margin_loss(&x[1]);
    cross_entropy 1 |x| x[0].cross_entropy(&rows());
    nll_loss 1 |x| x[0].log_softmax(1).nll_loss(&rows());
    multi_margin_loss 1 |x| x[0].multi_margin_loss(&rows());
    multilabel_margin_loss 1 |x| x[0].multilabel_margin_loss(&index().cast::<i64>());
    ctc_loss 1 |x| x[0].unsqueeze(1).log_softmax(2).ctc_loss(&Tensor::from([[1u32, 2]]), &[N], &[2]);
}

/// Every entry, and one of every elementary function.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    ALL.iter().chain(ELEMENTARY)
}

/// Operands from 0.3 to 2, all different.
pub fn operands<'t>(tape: &'t Tape<f64>, n: usize) -> Vec<Var<'t, f64>> {
    let of = |number: usize, modulus: usize| (number % modulus) as f64 / modulus as f64 * 1.7 + 0.3;
    let number = |k: usize, i: usize| match N {
        4 => of(i * 29 + k * 11 + 5, 41),
        _ => of(i * i * 4007 + k * 11 + 5, 16_411),
    };
    (0..n).map(|k| tape.input(Tensor::from_fn([N, N], |i| number(k, i)))).collect()
}
