//! Elements taken, written, moved and joined.
use crate::case::{List, rows};
use kolmo::{
    Random, Tensor,
    ops::{MeshgridIndexing, Pad, Scatter, TensorIndex},
};

pub fn cases(list: &mut List) {
    rows! { list, "index";
        "index_select(0)" DOUBLE ["f:16x8 i:16:0..16", "f:1000x64 i:1000:0..1000", "f:10000x128 i:8192:0..10000"]
            |x, i| x[0].index_select(0, &i[0]), "x[0].index_select(0, i[0])";
        "index_select(1)" BOTH ["f:256x256 i:256:0..256", "f:1024x1024 i:1024:0..1024"]
            |x, i| x[0].index_select(1, &i[0]), "x[0].index_select(1, i[0])";
        "index_select middle" BOTH ["f:32x64x128 i:64:0..64"] |x, i| x[0].index_select(1, &i[0]), "x[0].index_select(1, i[0])";
        "embedding" BOTH ["f:100x16 i:4x8:0..100", "f:1000x128 i:32x64:0..1000", "f:50000x256 i:32x128:0..50000"]
            |x, i| x[0].embedding(&i[0], None), "F.embedding(i[0], x[0])";
        "gather(1)" BOTH ["f:4x16 i:4x4:0..16", "f:256x256 i:256x256:0..256", "f:4096x1000 i:4096x1:0..1000"]
            |x, i| x[0].gather(1, &i[0]), "x[0].gather(1, i[0])";
        "gather(0)" BOTH ["f:256x256 i:256x256:0..256"] |x, i| x[0].gather(0, &i[0]), "x[0].gather(0, i[0])";
        "take" BOTH ["f:256x256 i:10000:0..65536"] |x, i| x[0].take(&i[0]), "x[0].take(i[0])";
        "scatter(1)" BOTH ["f:256x256 i:256x1:0..256 f:256x1"] |x, i| x[0].scatter(1, &i[0], &x[1]), "x[0].scatter(1, i[0], x[1])";
        "scatter_add(1)" BOTH ["f:4x16 i:4x16:0..16 f:4x16", "f:256x256 i:256x256:0..256 f:256x256"]
            |x, i| x[0].scatter_add(1, &i[0], &x[1]), "x[0].scatter_add(1, i[0], x[1])";
        "scatter_add(0)" BOTH ["f:256x256 i:256x256:0..256 f:256x256", "f:100 i:100000:0..100 f:100000"]
            |x, i| x[0].scatter_add(0, &i[0], &x[1]), "x[0].scatter_add(0, i[0], x[1])";
        "scatter_reduce mean" BOTH ["f:256x256 i:256x256:0..256 f:256x256"]
            |x, i| x[0].scatter_reduce(1, &i[0], &x[1], Scatter::Mean, true), "x[0].scatter_reduce(1, i[0], x[1], 'mean')";
        "scatter_reduce amax" BOTH ["f:256x256 i:256x256:0..256 f:256x256"]
            |x, i| x[0].scatter_reduce(1, &i[0], &x[1], Scatter::Amax, true), "x[0].scatter_reduce(1, i[0], x[1], 'amax')";
        "index_add(0)" BOTH ["f:16x8 i:16:0..16 f:16x8", "f:1000x64 i:4096:0..1000 f:4096x64"]
            |x, i| x[0].index_add(0, &i[0], &x[1], 1.0), "x[0].index_add(0, i[0], x[1])";
        "index_copy(0)" BOTH ["f:1000x64 p:1000 f:1000x64"] |x, i| x[0].index_copy(0, &i[0], &x[1]), "x[0].index_copy(0, i[0], x[1])";
        "index_fill(1)" BOTH ["f:256x256 i:16:0..256"] |x, i| x[0].index_fill(1, &i[0], 2.0), "x[0].index_fill(1, i[0], 2.0)";
        "masked_select" BOTH ["f:16 m:16", "f:256x256 m:256x256", "f:1024x1024 m:1024x1024"]
            |x, _i, m| x[0].masked_select(&m[0]), "x[0].masked_select(m[0])";
        "masked_fill" BOTH ["f:16 m:16", "f:256x256 m:256x256", "f:1024x1024 m:1024x1024"]
            |x, _i, m| x[0].masked_fill(&m[0], 2.0), "x[0].masked_fill(m[0], 2.0)";
        "masked_fill heads" BOTH ["f:4x8x128x128 m:128x128"] |x, _i, m| x[0].masked_fill(&m[0], 2.0), "x[0].masked_fill(m[0], 2.0)";
        "masked_scatter" BOTH ["f:256x256 m:256x256 f:256x256"] |x, _i, m| x[0].masked_scatter(&m[0], &x[1]), "x[0].masked_scatter(m[0], x[1])";
        "narrow(0)" BOTH ["f:1024x1024"] |x| x[0].narrow(0, 256, 512), "x[0].narrow(0, 256, 512)";
        "narrow(-1)" BOTH ["f:4x16", "f:256x256", "f:1024x1024"] |x| x[0].narrow(-1, 4, 8), "x[0].narrow(-1, 4, 8)";
        "narrow(-1) and copy" BOTH ["f:256x256", "f:1024x1024"] |x| x[0].narrow(-1, 64, 128).reshape([-1]), "x[0].narrow(-1, 64, 128).reshape(-1)";
        "slice by 2" BOTH ["f:256x256", "f:1024x1024"] |x| x[0].slice(1, 0, None, 2) * 2.0, "x[0][:, ::2] * 2";
        "select(0)" BOTH ["f:64x64x64"] |x| x[0].select(0, 3), "x[0].select(0, 3)";
        "select(2)" BOTH ["f:64x64x64"] |x| x[0].select(2, 3) * 2.0, "x[0].select(2, 3) * 2";
        "rows and columns" BOTH ["f:256x256 i:1000:0..256 i:1000:0..256"]
            |x, i| x[0].index([TensorIndex::from(i[0].cast::<i64>()), TensorIndex::from(i[1].cast::<i64>())]), "x[0][i[0], i[1]]";
        "one_hot" FORWARD ["i:64:0..10", "i:4096:0..1000"] |_x, i| i[0].one_hot::<f32>(1000), "F.one_hot(i[0], 1000)";
        "tril" BOTH ["f:16x16", "f:256x256", "f:1024x1024"] |x| x[0].tril(0), "x[0].tril()";
        "triu" BOTH ["f:8x128x128"] |x| x[0].triu(1), "x[0].triu(1)";
        "diagonal" BOTH ["f:256x256", "f:64x64x64"] |x| x[0].diagonal(0, -2, -1), "x[0].diagonal(0, -2, -1)";
        "diag_embed" BOTH ["f:64x64"] |x| x[0].diag_embed(0, -2, -1), "x[0].diag_embed()";
        "trace" BOTH ["f:256x256"] |x| x[0].trace(), "x[0].trace()";
    }
    rows! { list, "shape";
        "transpose and copy" DOUBLE ["f:16x16", "f:256x256", "f:1024x1024"] |x| x[0].t().reshape([-1]), "x[0].t().reshape(-1)";
        "transpose(0, 2) and copy" BOTH ["f:64x64x64"] |x| x[0].transpose(0, 2).reshape([-1]), "x[0].transpose(0, 2).reshape(-1)";
        "heads and copy" BOTH ["f:4x16x4x8", "f:16x128x8x32"] |x| x[0].transpose(1, 2).reshape([-1]), "x[0].transpose(1, 2).reshape(-1)";
        "channels last and copy" BOTH ["f:8x32x28x28"] |x| x[0].permute([0, 2, 3, 1]).reshape([-1]), "x[0].permute(0, 2, 3, 1).reshape(-1)";
        "permute all and copy" BOTH ["f:16x16x16x16"] |x| x[0].permute([3, 1, 0, 2]).reshape([-1]), "x[0].permute(3, 1, 0, 2).reshape(-1)";
        "sum of transposed" BOTH ["f:512x512"] |x| &x[0] + &x[0].t(), "x[0] + x[0].t()";
        "expand" BOTH ["f:64x1"] |x| x[0].expand([64, 1024]), "x[0].expand(64, 1024)";
        "flip(0)" BOTH ["f:256x256"] |x| x[0].flip(0), "x[0].flip(0)";
        "flip(1)" BOTH ["f:16x16", "f:256x256", "f:1024x1024"] |x| x[0].flip(1), "x[0].flip(1)";
        "roll(0)" BOTH ["f:256x256"] |x| x[0].roll(3, 0), "x[0].roll(3, 0)";
        "roll(1)" BOTH ["f:16x16", "f:256x256", "f:1024x1024"] |x| x[0].roll(3, 1), "x[0].roll(3, 1)";
        "rot90" BOTH ["f:256x256"] |x| x[0].rot90(1, [0, 1]), "x[0].rot90()";
        "repeat" BOTH ["f:16x16", "f:128x128"] |x| x[0].repeat(&[2, 3]), "x[0].repeat(2, 3)";
        "repeat_interleave" BOTH ["f:1000x64 i:1000:0..4"] |x, i| x[0].repeat_interleave(&i[0], 0), "x[0].repeat_interleave(i[0], 0)";
        "unfold" BOTH ["f:32x1000"] |x| x[0].unfold(1, 16, 8) * 2.0, "x[0].unfold(1, 16, 8) * 2";
        "pad constant" BOTH ["f:4x16", "f:8x16x28x28", "f:1024x1024"] |x| x[0].pad(&[1, 1, 1, 1], Pad::Constant(0.5)), "F.pad(x[0], (1, 1, 1, 1), value=0.5)";
        "pad reflect" BOTH ["f:8x16x28x28"] |x| x[0].pad(&[1, 1, 1, 1], Pad::Reflect), "F.pad(x[0], (1, 1, 1, 1), mode='reflect')";
        "pad replicate" BOTH ["f:8x16x28x28"] |x| x[0].pad(&[1, 1, 1, 1], Pad::Replicate), "F.pad(x[0], (1, 1, 1, 1), mode='replicate')";
        "pad circular" BOTH ["f:8x16x28x28"] |x| x[0].pad(&[1, 1, 1, 1], Pad::Circular), "F.pad(x[0], (1, 1, 1, 1), mode='circular')";
        "cat(0)" BOTH ["f:16x8 f:16x8", "f:256x256 f:256x256", "f:1024x512 f:1024x512"] |x| x[0].tape().cat(&[&x[0], &x[1]], 0), "torch.cat(x, 0)";
        "cat(1)" BOTH ["f:16x8 f:16x8", "f:256x256 f:256x256", "f:1024x512 f:1024x512"] |x| x[0].tape().cat(&[&x[0], &x[1]], 1), "torch.cat(x, 1)";
        "stack(0)" BOTH ["f:256x256 f:256x256"] |x| x[0].tape().stack(&[&x[0], &x[1]], 0), "torch.stack(x, 0)";
        "stack(-1)" BOTH ["f:256x256 f:256x256"] |x| x[0].tape().stack(&[&x[0], &x[1]], -1), "torch.stack(x, -1)";
        "split(-1)" BOTH ["f:16x24", "f:256x384", "f:2048x384"] |x| x[0].chunk(3, -1), "x[0].chunk(3, -1)";
        "unbind(0)" BOTH ["f:32x1024"] |x| x[0].unbind(0), "x[0].unbind(0)";
        "meshgrid" BOTH ["f:256 f:256"] |x| x[0].tape().meshgrid(&[&x[0], &x[1]], MeshgridIndexing::Ij), "torch.meshgrid(*x, indexing='ij')";
        "randn" CHANCE ["c:1024"] |x| x[0].tape().constant(Tensor::randn([1024, 1024], &mut Random::new(1))), "torch.randn(1024, 1024, dtype=x[0].dtype)";
        "rand" CHANCE ["c:1024"] |x| x[0].tape().constant(Tensor::rand([1024, 1024], &mut Random::new(1))), "torch.rand(1024, 1024, dtype=x[0].dtype)";
        "randperm" CHANCE ["c:1"] |_x| Random::new(1).randperm(100_000).map(|p| Tensor::<i64>::from_fn([p.len()], |i| p[i] as i64)), "torch.randperm(100000)";
    }
}
