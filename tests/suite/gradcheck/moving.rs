//! Operations that move elements: views, joins, padding, and reading and writing by index.
use super::{check_all, numbers};
use kolmo::{
    ops::{MeshgridIndexing, Pad, Scatter, TensorIndex},
    *,
};

#[test]
fn views() {
    check_all(&[
        ("reshape", |x| x[0].reshape([3, -1]).tanh(), vec![numbers([2, 6])]),
        ("flatten", |x| x[0].flatten(1, -1).tanh(), vec![numbers([2, 3, 2])]),
        ("unflatten", |x| x[0].unflatten(1, &[2, -1]).tanh(), vec![numbers([2, 6])]),
        ("permute", |x| x[0].permute([2, 0, 1]).tanh(), vec![numbers([2, 3, 2])]),
        ("transpose", |x| x[0].transpose(0, -1).tanh(), vec![numbers([2, 3, 2])]),
        ("t", |x| x[0].t().tanh(), vec![numbers([2, 3])]),
        ("movedim", |x| x[0].movedim([0, 2], [1, 0]).tanh(), vec![numbers([2, 3, 2])]),
        ("expand", |x| x[0].expand([2, -1, 4]).tanh(), vec![numbers([3, 1])]),
        ("squeeze", |x| x[0].squeeze(1).tanh(), vec![numbers([2, 1, 3])]),
        ("unsqueeze", |x| x[0].unsqueeze(-1).tanh(), vec![numbers([2, 3])]),
        ("select", |x| x[0].select(1, -1).tanh(), vec![numbers([2, 3])]),
        ("narrow", |x| x[0].narrow(1, 1, 2).tanh(), vec![numbers([2, 4])]),
        ("slice", |x| x[0].slice(1, 1, -1, 2).tanh(), vec![numbers([2, 6])]),
        ("flip", |x| x[0].flip([0, 2]).tanh(), vec![numbers([2, 3, 2])]),
        ("unfold", |x| x[0].unfold(1, 3, 2).tanh(), vec![numbers([2, 7])]),
        ("diagonal", |x| x[0].diagonal(1, 0, 2).tanh(), vec![numbers([3, 2, 4])]),
        ("diag_embed", |x| x[0].diag_embed(-1, 0, 2).tanh(), vec![numbers([2, 3])]),
        ("tril", |x| x[0].tril(1).tanh(), vec![numbers([2, 3, 4])]),
        ("triu", |x| x[0].triu(-1).tanh(), vec![numbers([4, 3])]),
    ]);
}

#[test]
fn joins_and_parts() {
    check_all(&[
        ("cat", |x| x[0].tape().cat(&[&x[0], &x[1]], 1).tanh(), vec![numbers([2, 3]), numbers([2, 2])]),
        ("stack", |x| x[0].tape().stack(&[&x[0], &x[1]], 1).tanh(), vec![numbers([2, 3]), numbers([2, 3])]),
        (
            "meshgrid",
            |x| {
                let grid = x[0].tape().meshgrid(&[&x[0], &x[1]], MeshgridIndexing::Xy);
                &grid[0] * &grid[1]
            },
            vec![numbers([2]), numbers([3])],
        ),
        ("split", |x| &x[0].split(2, 1)[2] * &x[0].split(2, 1)[0].narrow(1, 0, 1), vec![numbers([2, 5])]),
        ("chunk", |x| &x[0].chunk(2, 1)[0] * &x[0].chunk(2, 1)[1], vec![numbers([2, 4])]),
        ("tensor_split", |x| &x[0].tensor_split(2, 0)[0] * 2.0, vec![numbers([5])]),
        ("tensor_split_at", |x| x[0].tensor_split([1, -1], 0)[1].tanh(), vec![numbers([5])]),
        ("unbind", |x| &x[0].unbind(1)[0] * &x[0].unbind(1)[1], vec![numbers([3, 2])]),
        ("roll", |x| x[0].roll([1, -2], [0, 1]).tanh(), vec![numbers([2, 5])]),
        ("rot90", |x| x[0].rot90(3, [0, 1]).tanh(), vec![numbers([2, 3])]),
        ("repeat", |x| x[0].repeat(&[2, 1, 3]).tanh(), vec![numbers([2, 2])]),
        (
            "repeat_interleave",
            |x| x[0].repeat_interleave(&Tensor::from([2i64, 0, 1]), 1).tanh(),
            vec![numbers([2, 3])],
        ),
        ("pad", |x| x[0].pad(&[1, 2, -1, 0], Pad::Constant(0.5)).tanh(), vec![numbers([3, 2])]),
        ("pad by reflection", |x| x[0].pad(&[2, 1], Pad::Reflect).tanh(), vec![numbers([2, 4])]),
        ("pad by copies", |x| x[0].pad(&[2, 1], Pad::Replicate).tanh(), vec![numbers([2, 3])]),
        ("pad in a circle", |x| x[0].pad(&[2, 1], Pad::Circular).tanh(), vec![numbers([2, 3])]),
    ]);
}

#[test]
fn reading_by_index() {
    check_all(&[
        (
            "gather",
            |x| x[0].gather(1, &Tensor::from([[0i64, 2, 2], [1, 1, 0]])).tanh(),
            vec![numbers([2, 3])],
        ),
        (
            "index_select",
            |x| x[0].index_select(1, &Tensor::from([2i64, 0, 2])).tanh(),
            vec![numbers([2, 3, 2])],
        ),
        ("take", |x| x[0].take(&Tensor::from([[0i64, -1], [3, 3]])).tanh(), vec![numbers([2, 3])]),
        (
            "take_along_dim",
            |x| x[0].take_along_dim(&Tensor::from([[1i64], [0]]), 1).tanh(),
            vec![numbers([2, 3])],
        ),
        (
            "masked_select",
            |x| x[0].masked_select(&Tensor::from([true, false, true])).tanh(),
            vec![numbers([2, 3])],
        ),
        (
            "index",
            |x| x[0].index(index![vec![1, 0, 1], 1.., TensorIndex::NewAxis, vec![0, 0, 2]]).tanh(),
            vec![numbers([2, 3, 4])],
        ),
        (
            "embedding",
            |x| x[0].embedding(&Tensor::from([[1i64, 0], [2, 1]]), None).tanh(),
            vec![numbers([3, 2])],
        ),
        ("sort", |x| x[0].sort(1, true).0.tanh() * &x[0], vec![numbers([2, 4])]),
        ("topk", |x| x[0].topk(2, 1, false).0.tanh(), vec![numbers([2, 4])]),
        ("kthvalue", |x| x[0].kthvalue(2, 0, true).0.tanh(), vec![numbers([3, 2])]),
        ("bincount", |x| x[0].bincount(&Tensor::from([0i64, 3, 0]), 5).tanh(), vec![numbers([3])]),
    ]);
}

#[test]
fn writing_by_index() {
    let (x, src) = (|| numbers([2, 3]), || Tensor::from([[0.3, -1.2], [0.9, 0.1]]));
    check_all(&[
        ("scatter", |x| x[0].scatter(1, &Tensor::from([[2i64, 0], [1, 2]]), &x[1]).tanh(), vec![x(), src()]),
        (
            "scatter_add",
            |x| x[0].scatter_add(1, &Tensor::from([[2i64, 2], [1, 0]]), &x[1]).tanh(),
            vec![x(), src()],
        ),
        (
            "scatter_reduce by mean",
            |x| {
                let index = Tensor::from([[2i64, 2], [1, 0]]);
                x[0].scatter_reduce(1, &index, &x[1], Scatter::Mean, true).tanh()
            },
            vec![x(), src()],
        ),
        (
            "scatter_reduce by product",
            |x| {
                let index = Tensor::from([[2i64, 2], [1, 0]]);
                x[0].scatter_reduce(1, &index, &x[1], Scatter::Prod, false)
            },
            vec![x(), src()],
        ),
        (
            "scatter_reduce by maximum",
            |x| {
                let index = Tensor::from([[2i64, 2], [1, 0]]);
                x[0].scatter_reduce(1, &index, &x[1], Scatter::Amax, true).tanh()
            },
            vec![x(), src()],
        ),
        ("index_add", |x| x[0].index_add(1, &Tensor::from([2i64, 2]), &x[1], -0.5).tanh(), vec![x(), src()]),
        ("index_copy", |x| x[0].index_copy(1, &Tensor::from([2i64, 0]), &x[1]).tanh(), vec![x(), src()]),
        ("index_fill", |x| x[0].index_fill(1, &Tensor::from([1i64]), 0.5).tanh(), vec![x()]),
        (
            "masked_scatter",
            |x| x[0].masked_scatter(&Tensor::from([true, false, true]), &x[1]).tanh(),
            vec![x(), src()],
        ),
    ]);
}
