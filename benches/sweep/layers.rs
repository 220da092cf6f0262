//! Normalisation, losses, resizing, layers with parameters, optimisers.
use crate::case::{List, rows};
use kolmo::{
    Random,
    loss::{CrossEntropyLoss, MarginRankingLoss},
    nn::{
        AttentionMasks, BatchNorm2d, Conv2d, GroupNorm, Layer, LayerNorm, Linear, MultiheadAttention,
        Recurrent, RecurrentMode, RmsNorm, TransformerEncoderLayer, TransformerOptions,
    },
    ops::{ConvOptions, InterpolateMode, InterpolateTo},
    optim::{Adagrad, Adam, AdamW, NAdam, RmsProp, Sgd},
};

pub fn cases(list: &mut List) {
    norms(list);
    losses(list);
    pictures(list);
    layers(list);
    optimizers(list);
}

fn norms(list: &mut List) {
    rows! { list, "norm";
        "layer_norm" DOUBLE ["f:4x16 f:16 f:16", "f:768x128 f:128 f:128", "f:1024x1024 f:1024 f:1024"]
            |x| x[0].layer_norm(&[x[0].dim(-1)], Some(&x[1]), Some(&x[2]), 1e-5), "F.layer_norm(x[0], x[1].shape, x[1], x[2])";
        "layer_norm plain" BOTH ["f:768x128"] |x| x[0].layer_norm(&[128], None, None, 1e-5), "F.layer_norm(x[0], (128,))";
        "rms_norm" DOUBLE ["f:4x16 f:16", "f:768x128 f:128", "f:1024x1024 f:1024"]
            |x| x[0].rms_norm(&[x[0].dim(-1)], Some(&x[1]), None), "F.rms_norm(x[0], x[1].shape, x[1])";
        "batch_norm" DOUBLE ["f:16x8 f:8 f:8", "f:8x32x28x28 f:32 f:32", "f:16x64x56x56 f:64 f:64"]
            |x| x[0].batch_norm(None, Some(&x[1]), Some(&x[2]), 1e-5), "F.batch_norm(x[0], None, None, x[1], x[2], training=True)";
        "batch_norm of vectors" BOTH ["f:256x256 f:256 f:256"]
            |x| x[0].batch_norm(None, Some(&x[1]), Some(&x[2]), 1e-5), "F.batch_norm(x[0], None, None, x[1], x[2], training=True)";
        "batch_norm running" BOTH ["f:8x32x28x28 f:32 f:32 c:32 c:32:0.5..1"]
            |x| x[0].batch_norm(Some((&x[3], &x[4])), Some(&x[1]), Some(&x[2]), 1e-5), "F.batch_norm(x[0], x[3], x[4], x[1], x[2])";
        "group_norm" BOTH ["f:2x8x4x4 f:8 f:8", "f:8x32x28x28 f:32 f:32"]
            |x| x[0].group_norm(4, Some(&x[1]), Some(&x[2]), 1e-5), "F.group_norm(x[0], 4, x[1], x[2])";
        "instance_norm" BOTH ["f:8x32x28x28 f:32 f:32"]
            |x| x[0].instance_norm(None, Some(&x[1]), Some(&x[2]), 1e-5), "F.instance_norm(x[0], None, None, x[1], x[2])";
        "local_response_norm" BOTH ["f:8x32x28x28"] |x| x[0].local_response_norm(5, 1e-4, 0.75, 1.0), "F.local_response_norm(x[0], 5)";
    }
}

fn losses(list: &mut List) {
    rows! { list, "loss";
        "cross_entropy" DOUBLE ["f:8x10 i:8", "f:768x65 i:768:0..65", "f:1024x1000 i:1024:0..1000"] |x, i| x[0].cross_entropy(&i[0]), "F.cross_entropy(x[0], i[0])";
        "cross_entropy smoothed" BOTH ["f:768x65 i:768:0..65"]
            |x, i| CrossEntropyLoss::new().label_smoothing(0.1).apply(&x[0], &i[0]), "F.cross_entropy(x[0], i[0], label_smoothing=0.1)";
        "cross_entropy of pixels" BOTH ["f:4x10x32x32 i:4x32x32"] |x, i| x[0].cross_entropy(&i[0]), "F.cross_entropy(x[0], i[0])";
        "cross_entropy of probabilities" BOTH ["f:768x65 c:768x65:0..0.03"] |x| x[0].cross_entropy(&x[1]), "F.cross_entropy(x[0], x[1])";
        "nll_loss" BOTH ["f:768x65:-5..-1 i:768:0..65"] |x, i| x[0].nll_loss(&i[0]), "F.nll_loss(x[0], i[0])";
        "mse_loss" DOUBLE ["f:16 f:16", "f:256x256 f:256x256", "f:1024x1024 f:1024x1024"] |x| x[0].mse_loss(&x[1]), "F.mse_loss(x[0], x[1])";
        "l1_loss" BOTH ["f:256x256 f:256x256"] |x| x[0].l1_loss(&x[1]), "F.l1_loss(x[0], x[1])";
        "smooth_l1_loss" BOTH ["f:256x256 f:256x256"] |x| x[0].smooth_l1_loss(&x[1]), "F.smooth_l1_loss(x[0], x[1])";
        "huber_loss" BOTH ["f:256x256 f:256x256"] |x| x[0].huber_loss(&x[1]), "F.huber_loss(x[0], x[1])";
        "binary_cross_entropy" BOTH ["f:256x256:0.1..0.9 c:256x256:0..1"] |x| x[0].binary_cross_entropy(&x[1]), "F.binary_cross_entropy(x[0], x[1])";
        "binary_cross_entropy_with_logits" BOTH ["f:16 c:16:0..1", "f:256x256 c:256x256:0..1"]
            |x| x[0].binary_cross_entropy_with_logits(&x[1]), "F.binary_cross_entropy_with_logits(x[0], x[1])";
        "kl_div" BOTH ["f:256x256:-5..-1 c:256x256:0.01..0.1"] |x| x[0].kl_div(&x[1]), "F.kl_div(x[0], x[1])";
        "poisson_nll_loss" BOTH ["f:256x256 c:256x256:0..3"] |x| x[0].poisson_nll_loss(&x[1]), "F.poisson_nll_loss(x[0], x[1])";
        "gaussian_nll_loss" BOTH ["f:256x256 c:256x256 f:256x256:0.5..1"] |x| x[0].gaussian_nll_loss(&x[1], &x[2]), "F.gaussian_nll_loss(x[0], x[1], x[2])";
        "hinge_embedding_loss" BOTH ["f:256x256 s:256x256"] |x| x[0].hinge_embedding_loss(&x[1]), "F.hinge_embedding_loss(x[0], x[1])";
        "margin_ranking_loss" BOTH ["f:65536 f:65536 s:65536"]
            |x| MarginRankingLoss::new().margin(0.5).apply(&x[0], &x[1], &x[2]), "F.margin_ranking_loss(x[0], x[1], x[2], margin=0.5)";
        "cosine_embedding_loss" BOTH ["f:1024x64 f:1024x64 s:1024"] |x| x[0].cosine_embedding_loss(&x[1], &x[2]), "F.cosine_embedding_loss(x[0], x[1], x[2])";
        "soft_margin_loss" BOTH ["f:256x256 s:256x256"] |x| x[0].soft_margin_loss(&x[1]), "F.soft_margin_loss(x[0], x[1])";
        "multi_margin_loss" BOTH ["f:768x65 i:768:0..65"] |x, i| x[0].multi_margin_loss(&i[0]), "F.multi_margin_loss(x[0], i[0])";
        "multilabel_soft_margin_loss" BOTH ["f:256x64 c:256x64:0..1"] |x| x[0].multilabel_soft_margin_loss(&x[1]), "F.multilabel_soft_margin_loss(x[0], x[1])";
        "multilabel_margin_loss" BOTH ["f:256x20 i:256x20:0..20"] |x, i| x[0].multilabel_margin_loss(&i[0]), "F.multilabel_margin_loss(x[0], i[0])";
        "triplet_margin_loss" BOTH ["f:1024x64 f:1024x64 f:1024x64"]
            |x| kolmo::loss::TripletMarginLoss::new().apply(&x[0], &x[1], &x[2]), "F.triplet_margin_loss(x[0], x[1], x[2])";
        "ctc_loss" BOTH ["f:16x2x8 i:2x4:1..8", "f:100x8x30 i:8x20:1..30"]
            |x, i| {
                let (steps, n, labels) = (x[0].dim(0), x[0].dim(1), i[0].dim(1));
                x[0].log_softmax(2).ctc_loss(&i[0], &vec![steps; n], &vec![labels; n])
            },
            "F.ctc_loss(x[0].log_softmax(2), i[0], [x[0].shape[0]] * x[0].shape[1], [i[0].shape[1]] * x[0].shape[1])";
    }
}

fn pictures(list: &mut List) {
    rows! { list, "resize";
        "nearest" BOTH ["f:1x3x8x8", "f:8x16x28x28"] |x| x[0].interpolate(&InterpolateTo::Scale(2.0), InterpolateMode::Nearest), "F.interpolate(x[0], scale_factor=2.0)";
        "bilinear" BOTH ["f:1x3x8x8", "f:8x16x28x28", "f:2x3x128x128"]
            |x| x[0].interpolate(&InterpolateTo::Scale(2.0), InterpolateMode::Linear { align_corners: false }),
            "F.interpolate(x[0], scale_factor=2.0, mode='bilinear')";
        "bilinear down" BOTH ["f:8x16x28x28"]
            |x| x[0].interpolate(&InterpolateTo::Size(14.into()), InterpolateMode::Linear { align_corners: true }),
            "F.interpolate(x[0], size=14, mode='bilinear', align_corners=True)";
        "linear" BOTH ["f:8x32x128"]
            |x| x[0].interpolate(&InterpolateTo::Scale(2.0), InterpolateMode::Linear { align_corners: false }),
            "F.interpolate(x[0], scale_factor=2.0, mode='linear')";
        "pixel_shuffle" BOTH ["f:8x16x28x28"] |x| x[0].pixel_shuffle(2), "F.pixel_shuffle(x[0], 2)";
        "pixel_unshuffle" BOTH ["f:8x16x28x28"] |x| x[0].pixel_unshuffle(2), "F.pixel_unshuffle(x[0], 2)";
    }
}

fn layers(list: &mut List) {
    let rng = || Random::new(0);
    for (name, module, mode) in [
        ("rnn", "RNN", RecurrentMode::RnnTanh),
        ("gru", "GRU", RecurrentMode::Gru),
        ("lstm", "LSTM", RecurrentMode::Lstm),
    ] {
        for (input, hidden, inputs) in [
            (8, 16, ["f:8x1x8"].as_slice()),
            (64, 128, &["f:32x1x64", "f:32x32x64"]),
            (128, 256, &["f:32x32x128"]),
        ] {
            let object = format!("nn.{module}({input}, {hidden})");
            let make = move || Recurrent::new(mode, input, hidden, &mut rng());
            list.layer([&format!("{name} {hidden}"), &object, "net(x[0])[0]"], inputs, make, |net, x| {
                net.forward(x, None).0
            });
        }
    }
    list.layer(
        [
            "multihead attention",
            "nn.MultiheadAttention(128, 4, batch_first=True)",
            "net(x[0], x[0], x[0], need_weights=False)[0]",
        ],
        &["f:1x16x128", "f:12x64x128"],
        move || MultiheadAttention::new(128, 4, &mut rng()).ok(),
        |net, x| net.as_ref().map_or_else(|| x.clone(), |net| net.forward(x, x, x, &AttentionMasks::new())),
    );
    list.layer(
        [
            "transformer encoder layer",
            "nn.TransformerEncoderLayer(128, 4, 512, 0.0, batch_first=True)",
            "net(x[0])",
        ],
        &["f:1x16x128", "f:12x64x128"],
        move || {
            TransformerEncoderLayer::with_options(
                128,
                4,
                TransformerOptions::new().dim_feedforward(512).dropout(0.0),
                &mut rng(),
            )
            .ok()
        },
        |net, x| net.as_ref().map_or_else(|| x.clone(), |net| net.forward(x, &AttentionMasks::new())),
    );
    list.layer(
        ["linear", "nn.Linear(784, 300)", "net(x[0])"],
        &["f:1x784", "f:64x784"],
        move || Linear::new(784, 300, &mut rng()),
        |net, x| net.forward(x),
    );
    list.layer(
        ["conv2d", "nn.Conv2d(32, 64, 3, padding=1, groups=2)", "net(x[0])"],
        &["f:1x32x14x14", "f:8x32x28x28"],
        move || Conv2d::with_options(32, 64, 3, ConvOptions::new().padding(1).groups(2), &mut rng()),
        |net, x| net.forward(x),
    );
    list.layer(
        ["batch norm", "nn.BatchNorm2d(32)", "net(x[0])"],
        &["f:2x32x4x4", "f:8x32x28x28"],
        || BatchNorm2d::new(32),
        |net, x| net.forward(x),
    );
    list.layer(
        ["layer norm", "nn.LayerNorm(128)", "net(x[0])"],
        &["f:768x128"],
        || LayerNorm::new([128]),
        |net, x| net.forward(x),
    );
    list.layer(
        ["rms norm", "nn.RMSNorm(128)", "net(x[0])"],
        &["f:768x128"],
        || RmsNorm::new([128]),
        |net, x| net.forward(x),
    );
    list.layer(
        ["group norm", "nn.GroupNorm(4, 32)", "net(x[0])"],
        &["f:8x32x28x28"],
        || GroupNorm::new(4, 32),
        |net, x| net.forward(x),
    );
}

fn optimizers(list: &mut List) {
    list.optimizer("sgd", "torch.optim.SGD(p, lr=0.05)", || Sgd::new(0.05));
    list.optimizer("sgd momentum", "torch.optim.SGD(p, lr=0.05, momentum=0.9)", || {
        Sgd::new(0.05).momentum(0.9)
    });
    list.optimizer("adam", "torch.optim.Adam(p, lr=1e-3)", || Adam::new(1e-3));
    list.optimizer("adamw", "torch.optim.AdamW(p, lr=1e-3, weight_decay=0.01)", || {
        AdamW::new(1e-3).weight_decay(0.01)
    });
    list.optimizer("nadam", "torch.optim.NAdam(p, lr=1e-3)", || NAdam::new(1e-3));
    list.optimizer("rmsprop", "torch.optim.RMSprop(p, lr=1e-3)", || RmsProp::new(1e-3));
    list.optimizer("adagrad", "torch.optim.Adagrad(p, lr=1e-3)", || Adagrad::new(1e-3));
}
