//! Products of matrices, what is made of them, systems of equations, distances.
use crate::case::{BOTH, DOUBLE, List, rows, run};
use kolmo::ops::{AttentionOptions, ConvOptions, MatrixNorm, PoolOptions, SolveTriangularOptions};

pub fn cases(list: &mut List) {
    rows! { list, "matmul";
        "square" DOUBLE ["f:16x16 f:16x16", "f:64x64 f:64x64", "f:256x256 f:256x256"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "square" BOTH ["f:3x3 f:3x3", "f:128x128 f:128x128", "f:512x512 f:512x512", "f:1024x1024 f:1024x1024"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "large f64" DOUBLE ["f:256x256 f:256x256"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "odd" BOTH ["f:65x67 f:67x63", "f:129x257 f:257x131"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "tall" BOTH ["f:4096x16 f:16x16", "f:4096x64 f:64x64", "f:8192x3 f:3x8"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "thin" BOTH ["f:16x4096 f:4096x16", "f:1x1024 f:1024x1024", "f:8x1024 f:1024x1024", "f:1024x1024 f:1024x4"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "outer" BOTH ["f:512x4 f:4x512", "f:512x1 f:1x512"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "matrix by vector" DOUBLE ["f:16x16 f:16", "f:256x256 f:256", "f:1024x1024 f:1024"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "vector by matrix" DOUBLE ["f:16 f:16x16", "f:256 f:256x256", "f:1024 f:1024x1024"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "left transposed" BOTH ["t:64x64 f:64x64", "t:256x256 f:256x256", "t:64x4096 f:4096x64"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "right transposed" BOTH ["f:64x64 t:64x64", "f:256x256 t:256x256", "f:64x4096 t:4096x64"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "both transposed" BOTH ["t:256x256 t:256x256"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "batched" DOUBLE ["f:10000x3x3 f:10000x3x3", "f:1000x4x4 f:1000x4x4", "f:64x64x64 f:64x64x64"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "batched" BOTH ["f:4096x8x8 f:4096x8x8", "f:256x16x16 f:256x16x16", "f:32x128x32 f:32x32x128", "f:32x128x128 f:32x128x32", "f:16x256x64 f:16x64x256"]
            |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "batched, right transposed" BOTH ["f:32x128x32 t:32x32x128"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "batched by vectors" BOTH ["f:10000x3x3 f:10000x3x1", "f:64x64x64 f:64x64x1"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "batch by one" BOTH ["f:32x64x64 f:64x64"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "one by batch" BOTH ["f:64x64 f:32x64x64"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "broadcast batches" BOTH ["f:8x1x32x32 f:8x32x32"] |x| x[0].matmul(&x[1]), "x[0] @ x[1]";
        "dot" BOTH ["f:16 f:16", "f:65536 f:65536", "f:1000000 f:1000000"] |x| x[0].dot(&x[1]), "x[0].dot(x[1])";
        "outer of vectors" BOTH ["f:16 f:16", "f:512 f:512"] |x| x[0].outer(&x[1]), "x[0].outer(x[1])";
        "addmm" BOTH ["f:256x256 f:256x64 f:64x256"] |x| x[0].addmm(&x[1], &x[2], 0.5, 2.0), "torch.addmm(x[0], x[1], x[2], beta=0.5, alpha=2.0)";
        "baddbmm" BOTH ["f:32x64x64 f:32x64x64 f:32x64x64"] |x| x[0].baddbmm(&x[1], &x[2], 0.5, 2.0), "torch.baddbmm(x[0], x[1], x[2], beta=0.5, alpha=2.0)";
        "tensordot" BOTH ["f:16x32x32 f:32x32x16"] |x| x[0].tensordot(&x[1], [1, 2], [0, 1]), "torch.tensordot(x[0], x[1], ([1, 2], [0, 1]))";
        "kron" BOTH ["f:16x16 f:16x16"] |x| x[0].kron(&x[1]), "torch.kron(x[0], x[1])";
        "cross" BOTH ["f:16x3 f:16x3", "f:10000x3 f:10000x3"] |x| x[0].cross(&x[1], -1), "torch.linalg.cross(x[0], x[1])";
        "bilinear" BOTH ["f:64x32 f:64x32 f:16x32x32"] |x| x[0].bilinear(&x[1], &x[2], None), "F.bilinear(x[0], x[1], x[2])";
        "linear" DOUBLE ["f:1x16 f:16x16 f:16", "f:64x784 f:300x784 f:300", "f:768x128 f:512x128 f:512"]
            |x| x[0].linear(&x[1], Some(&x[2])), "F.linear(x[0], x[1], x[2])";
        "linear" BOTH ["f:1x784 f:300x784 f:300", "f:32x64x128 f:384x128 f:384", "f:1024x1024 f:10x1024 f:10"]
            |x| x[0].linear(&x[1], Some(&x[2])), "F.linear(x[0], x[1], x[2])";
    }
    for (equation, inputs) in [
        ("ij,jk->ik", "f:64x64 f:64x64"),
        ("bij,bjk->bik", "f:32x64x64 f:32x64x64"),
        ("bhld,bhsd->bhls", "f:4x8x64x32 f:4x8x64x32"),
        ("blhd,bshd->bhls", "f:4x64x8x32 f:4x64x8x32"),
        ("bi,bi->b", "f:1024x64 f:1024x64"),
        ("ij->ji", "f:256x256"),
        ("bij,j->bi", "f:32x64x64 f:64"),
        ("bnd,hde->bhne", "f:8x64x64 f:4x64x16"),
        ("i,j->ij", "f:256 f:256"),
        ("ij,ij->", "f:256x256 f:256x256"),
    ] {
        let run = run!(|x| x[0].tape().einsum(equation, &x.iter().collect::<Vec<_>>()));
        list.add("einsum", equation, BOTH, &[inputs], run, &format!("torch.einsum('{equation}', *x)"));
    }
    rows! { list, "linalg";
        "cholesky" DOUBLE ["d:4x4", "d:64x64", "d:256x256", "d:1000x3x3"] |x| x[0].cholesky(false), "torch.linalg.cholesky(x[0])";
        "solve" DOUBLE ["d:4x4 f:4x1", "d:64x64 f:64x8", "d:256x256 f:256x16", "d:1000x3x3 f:1000x3x1"] |x| x[0].solve(&x[1]), "torch.linalg.solve(x[0], x[1])";
        "solve_triangular" DOUBLE ["d:4x4 f:4x1", "d:64x64 f:64x8", "d:256x256 f:256x16"]
            |x| x[0].solve_triangular(&x[1], SolveTriangularOptions::new().upper(true)), "torch.linalg.solve_triangular(x[0], x[1], upper=True)";
        "inv" DOUBLE ["d:4x4", "d:64x64", "d:256x256", "d:1000x3x3"] |x| x[0].inv(), "torch.linalg.inv(x[0])";
        "det" DOUBLE ["d:4x4", "d:64x64", "d:1000x3x3"] |x| x[0].det(), "torch.linalg.det(x[0])";
        "slogdet" BOTH ["d:4x4", "d:64x64", "d:256x256"] |x| x[0].slogdet().1, "torch.linalg.slogdet(x[0])[1]";
        "svdvals" DOUBLE ["f:4x4", "f:64x32", "f:128x128"] |x| x[0].svdvals(), "torch.linalg.svdvals(x[0])";
        "matrix_norm" BOTH ["f:256x256"] |x| x[0].matrix_norm(MatrixNorm::Fro, [0, 1], false), "torch.linalg.matrix_norm(x[0])";
    }
    rows! { list, "distance";
        "cdist" DOUBLE ["f:8x3 f:8x3", "f:128x16 f:128x16", "f:512x64 f:512x64"] |x| x[0].cdist(&x[1], 2.0), "torch.cdist(x[0], x[1])";
        "cdist 1" BOTH ["f:128x16 f:128x16"] |x| x[0].cdist(&x[1], 1.0), "torch.cdist(x[0], x[1], p=1.0)";
        "pairwise_distance" BOTH ["f:1024x64 f:1024x64"] |x| x[0].pairwise_distance(&x[1], 2.0, 1e-6, false), "F.pairwise_distance(x[0], x[1])";
        "cosine_similarity" BOTH ["f:1024x64 f:1024x64"] |x| x[0].cosine_similarity(&x[1], 1, 1e-8), "F.cosine_similarity(x[0], x[1])";
        "normalize" BOTH ["f:1024x64"] |x| x[0].normalize(2.0, 1, 1e-12), "F.normalize(x[0])";
        "renorm" FORWARD ["f:256x64"] |x| x[0].renorm(2.0, 0, 1.0), "x[0].renorm(2, 0, 1.0)";
    }
    attention(list);
    convolution(list);
}

fn attention(list: &mut List) {
    for size in ["2x2x16x8", "4x4x64x32", "4x8x128x16", "4x8x128x64", "2x4x128x128", "1x4x512x64"] {
        let three = format!("f:{size} f:{size} f:{size}");
        let length = size.split('x').nth(2).unwrap_or("1");
        list.add(
            "attention",
            "full",
            if size == "4x8x128x64" { DOUBLE } else { BOTH },
            &[&three],
            run!(|x| x[0].scaled_dot_product_attention(&x[1], &x[2], &AttentionOptions::new())),
            "F.scaled_dot_product_attention(x[0], x[1], x[2])",
        );
        list.add(
            "attention",
            "causal",
            BOTH,
            &[&three],
            run!(|x| x[0].scaled_dot_product_attention(
                &x[1],
                &x[2],
                &AttentionOptions::new().is_causal(true)
            )),
            "F.scaled_dot_product_attention(x[0], x[1], x[2], is_causal=True)",
        );
        if length == "128" {
            list.add(
                "attention",
                "mask",
                BOTH,
                &[&format!("{three} m:{length}x{length}")],
                run!(|x, _i, m| x[0].scaled_dot_product_attention(
                    &x[1],
                    &x[2],
                    &AttentionOptions::new().attn_mask(m[0].clone())
                )),
                "F.scaled_dot_product_attention(x[0], x[1], x[2], attn_mask=m[0])",
            );
            list.add(
                "attention",
                "added mask",
                BOTH,
                &[&format!("{three} c:{length}x{length}")],
                run!(|x| x[0].scaled_dot_product_attention(
                    &x[1],
                    &x[2],
                    &AttentionOptions::new().attn_mask(x[3].clone())
                )),
                "F.scaled_dot_product_attention(x[0], x[1], x[2], attn_mask=x[3])",
            );
        }
    }
    rows! { list, "attention";
        "one query" BOTH ["f:8x8x1x64 f:8x8x256x64 f:8x8x256x64"]
            |x| x[0].scaled_dot_product_attention(&x[1], &x[2], &AttentionOptions::new()), "F.scaled_dot_product_attention(x[0], x[1], x[2])";
    }
}

fn convolution(list: &mut List) {
    rows! { list, "conv";
        "conv1d 1" BOTH ["f:8x64x128 f:64x64x1"] |x| x[0].conv1d(&x[1], None, &ConvOptions::new()), "F.conv1d(x[0], x[1])";
        "conv1d 3" BOTH ["f:1x4x16 f:4x4x3", "f:8x64x128 f:64x64x3", "f:16x128x256 f:128x128x3"]
            |x| x[0].conv1d(&x[1], None, &ConvOptions::new().padding(1)), "F.conv1d(x[0], x[1], padding=1)";
        "conv1d 5 dilated" BOTH ["f:8x32x256 f:32x32x5"] |x| x[0].conv1d(&x[1], None, &ConvOptions::new().dilation(2)), "F.conv1d(x[0], x[1], dilation=2)";
        "conv1d depthwise" BOTH ["f:8x64x256 f:64x1x5"] |x| x[0].conv1d(&x[1], None, &ConvOptions::new().groups(64)), "F.conv1d(x[0], x[1], groups=64)";
        "conv2d 1" BOTH ["f:8x64x28x28 f:64x64x1x1", "f:8x256x14x14 f:64x256x1x1"] |x| x[0].conv2d(&x[1], None, &ConvOptions::new()), "F.conv2d(x[0], x[1])";
        "conv2d 3" DOUBLE ["f:1x3x8x8 f:4x3x3x3", "f:8x32x28x28 f:32x32x3x3", "f:4x64x56x56 f:64x64x3x3"]
            |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding(1)), "F.conv2d(x[0], x[1], padding=1)";
        "conv2d 3" BOTH ["f:32x3x32x32 f:32x3x3x3", "f:8x128x14x14 f:128x128x3x3", "f:8x256x7x7 f:256x256x3x3", "f:1x64x28x28 f:64x64x3x3"]
            |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding(1)), "F.conv2d(x[0], x[1], padding=1)";
        "conv2d 3 bias" BOTH ["f:8x32x28x28 f:32x32x3x3 f:32"] |x| x[0].conv2d(&x[1], Some(&x[2]), &ConvOptions::new().padding(1)), "F.conv2d(x[0], x[1], x[2], padding=1)";
        "conv2d 5" BOTH ["f:64x1x28x28 f:20x1x5x5", "f:16x20x12x12 f:50x20x5x5"] |x| x[0].conv2d(&x[1], None, &ConvOptions::new()), "F.conv2d(x[0], x[1])";
        "conv2d 3 stride 2" BOTH ["f:8x32x28x28 f:64x32x3x3"] |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding(1).stride(2)), "F.conv2d(x[0], x[1], padding=1, stride=2)";
        "conv2d 7 stride 2" BOTH ["f:1x3x112x112 f:64x3x7x7"] |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding(3).stride(2)), "F.conv2d(x[0], x[1], padding=3, stride=2)";
        "conv2d 3 dilated" BOTH ["f:8x32x28x28 f:32x32x3x3"] |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding(2).dilation(2)), "F.conv2d(x[0], x[1], padding=2, dilation=2)";
        "conv2d 3 groups" BOTH ["f:8x32x28x28 f:32x8x3x3"] |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding(1).groups(4)), "F.conv2d(x[0], x[1], padding=1, groups=4)";
        "conv2d depthwise" BOTH ["f:1x8x8x8 f:8x1x3x3", "f:8x64x28x28 f:64x1x3x3"]
            |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding(1).groups(x[1].dim(0))), "F.conv2d(x[0], x[1], padding=1, groups=x[1].shape[0])";
        "conv2d depthwise 5" BOTH ["f:8x32x28x28 f:32x1x5x5"]
            |x| x[0].conv2d(&x[1], None, &ConvOptions::new().padding(2).groups(32)), "F.conv2d(x[0], x[1], padding=2, groups=32)";
        "conv3d 3" BOTH ["f:1x2x4x6x6 f:2x2x3x3x3", "f:2x16x8x14x14 f:16x16x3x3x3"] |x| x[0].conv3d(&x[1], None, &ConvOptions::new().padding(1)), "F.conv3d(x[0], x[1], padding=1)";
        "conv_transpose1d" BOTH ["f:8x32x64 f:32x32x4"] |x| x[0].conv_transpose1d(&x[1], None, &ConvOptions::new().stride(2).padding(1)), "F.conv_transpose1d(x[0], x[1], stride=2, padding=1)";
        "conv_transpose2d" BOTH ["f:1x4x4x4 f:4x4x4x4", "f:8x32x14x14 f:32x16x4x4"] |x| x[0].conv_transpose2d(&x[1], None, &ConvOptions::new().stride(2).padding(1)), "F.conv_transpose2d(x[0], x[1], stride=2, padding=1)";
        "conv_transpose3d" BOTH ["f:2x8x4x8x8 f:8x8x2x2x2"] |x| x[0].conv_transpose3d(&x[1], None, &ConvOptions::new().stride(2)), "F.conv_transpose3d(x[0], x[1], stride=2)";
        "im2col" BOTH ["f:8x16x28x28"] |x| x[0].im2col(3, &ConvOptions::new().padding(1)), "F.unfold(x[0], 3, padding=1)";
    }
    rows! { list, "pool";
        "max_pool1d 2" BOTH ["f:8x64x256"] |x| x[0].max_pool1d(&PoolOptions::new(2)), "F.max_pool1d(x[0], 2)";
        "max_pool2d 2" DOUBLE ["f:1x4x8x8", "f:8x32x28x28", "f:16x64x56x56"] |x| x[0].max_pool2d(&PoolOptions::new(2)), "F.max_pool2d(x[0], 2)";
        "max_pool2d 3 stride 2" BOTH ["f:8x32x28x28", "f:4x64x56x56"] |x| x[0].max_pool2d(&PoolOptions::new(3).stride(2).padding(1)), "F.max_pool2d(x[0], 3, stride=2, padding=1)";
        "avg_pool1d 2" BOTH ["f:8x64x256"] |x| x[0].avg_pool1d(&PoolOptions::new(2)), "F.avg_pool1d(x[0], 2)";
        "avg_pool2d 2" DOUBLE ["f:1x4x8x8", "f:8x32x28x28", "f:16x64x56x56"] |x| x[0].avg_pool2d(&PoolOptions::new(2)), "F.avg_pool2d(x[0], 2)";
        "avg_pool2d 3 stride 1" BOTH ["f:8x32x28x28"] |x| x[0].avg_pool2d(&PoolOptions::new(3).stride(1).padding(1)), "F.avg_pool2d(x[0], 3, stride=1, padding=1)";
        "adaptive_avg_pool2d 1" BOTH ["f:32x128x7x7"] |x| x[0].adaptive_avg_pool2d(&[Some(1)]), "F.adaptive_avg_pool2d(x[0], 1)";
        "adaptive_avg_pool2d 5" BOTH ["f:8x32x28x28"] |x| x[0].adaptive_avg_pool2d(&[Some(5)]), "F.adaptive_avg_pool2d(x[0], 5)";
        "adaptive_max_pool2d 5" BOTH ["f:8x32x28x28"] |x| x[0].adaptive_max_pool2d(&[Some(5)]), "F.adaptive_max_pool2d(x[0], 5)";
    }
}
