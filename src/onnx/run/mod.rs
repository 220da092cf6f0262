//! The operators of files, as operations of a tape.
mod arithmetic;
mod attention;
mod call;
mod convolution;
mod layout;
mod norm;
mod recurrent;

use super::proto::Node;
pub(super) use call::Call;
use call::Run;

/// The operators that are known, in parts.
const OPERATORS: [&[(&str, Run)]; 6] = [
    arithmetic::OPERATORS,
    attention::OPERATORS,
    convolution::OPERATORS,
    layout::OPERATORS,
    norm::OPERATORS,
    recurrent::OPERATORS,
];

/// What the operator of a name does.
pub(super) fn operator(name: &str) -> Option<Run> {
    OPERATORS.iter().flat_map(|part| part.iter()).find(|(own, _)| *own == name).map(|(_, run)| *run)
}

/// The names of all operators that are known, in order.
pub(super) fn known() -> Vec<&'static str> {
    let mut all: Vec<&str> = OPERATORS.iter().flat_map(|part| part.iter()).map(|(name, _)| *name).collect();
    all.sort_unstable();
    all
}

/// The attributes of operators that are understood; of others none is.
const ATTRIBUTES: &[(&[&str], &[&str])] = &[
    (&["ArgMax", "ArgMin"], &["axis", "keepdims", "select_last_index"]),
    (
        &["Attention"],
        &[
            "is_causal",
            "kv_num_heads",
            "q_num_heads",
            "qk_matmul_output_mode",
            "scale",
            "softcap",
            "softmax_precision",
        ],
    ),
    (
        &["AveragePool", "MaxPool"],
        &[
            "auto_pad",
            "ceil_mode",
            "count_include_pad",
            "dilations",
            "kernel_shape",
            "pads",
            "storage_order",
            "strides",
        ],
    ),
    (&["BatchNormalization"], &["epsilon", "momentum", "training_mode"]),
    (&["Cast", "CastLike"], &["round_mode", "saturate", "to"]),
    (&["Celu", "Elu", "LeakyRelu", "Swish", "ThresholdedRelu"], &["alpha"]),
    (&["Clip"], &["max", "min"]),
    (&["Concat", "Flatten", "Gather", "GatherElements", "LogSoftmax", "Softmax"], &["axis"]),
    (&["Constant"], &["value", "value_float", "value_floats", "value_int", "value_ints"]),
    (&["ConstantOfShape"], &["value"]),
    (&["Conv"], &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"]),
    (
        &["ConvTranspose"],
        &[
            "auto_pad",
            "dilations",
            "group",
            "kernel_shape",
            "output_padding",
            "output_shape",
            "pads",
            "strides",
        ],
    ),
    (&["CumSum"], &["exclusive", "reverse"]),
    (&["DepthToSpace"], &["blocksize", "mode"]),
    (
        &["DequantizeLinear", "QuantizeLinear"],
        &["axis", "block_size", "output_dtype", "precision", "saturate"],
    ),
    (&["Dropout"], &["is_test", "ratio", "seed"]),
    (&["Einsum"], &["equation"]),
    (
        &["GRU", "LSTM", "RNN"],
        &["activations", "clip", "direction", "hidden_size", "input_forget", "layout", "linear_before_reset"],
    ),
    (&["Gelu"], &["approximate"]),
    (&["Gemm"], &["alpha", "beta", "transA", "transB"]),
    (&["GroupNormalization"], &["epsilon", "num_groups", "stash_type"]),
    (&["HardSigmoid"], &["alpha", "beta"]),
    (&["InstanceNormalization"], &["epsilon"]),
    (&["IsInf"], &["detect_negative", "detect_positive"]),
    (&["LRN"], &["alpha", "beta", "bias", "size"]),
    (&["LayerNormalization", "RMSNormalization"], &["axis", "epsilon", "stash_type"]),
    (&["LpNormalization"], &["axis", "p"]),
    (&["Mod"], &["fmod"]),
    (&["Pad"], &["mode", "pads", "value"]),
    (
        &[
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
            "ReduceSum",
            "ReduceSumSquare",
        ],
        &["axes", "keepdims", "noop_with_empty_axes"],
    ),
    (&["Reshape"], &["allowzero", "shape"]),
    (
        &["Resize", "Upsample"],
        &[
            "coordinate_transformation_mode",
            "cubic_coeff_a",
            "extrapolation_value",
            "mode",
            "nearest_mode",
            "scales",
        ],
    ),
    (&["Selu"], &["alpha", "gamma"]),
    (&["Shape"], &["end", "start"]),
    (&["Shrink"], &["bias", "lambd"]),
    (&["Slice"], &["axes", "ends", "starts"]),
    (&["SpaceToDepth"], &["blocksize"]),
    (&["Split"], &["axis", "num_outputs", "split"]),
    (&["Squeeze", "Unsqueeze"], &["axes"]),
    (&["Transpose"], &["perm"]),
    (&["Trilu"], &["upper"]),
];

/// An attribute of a node that isn't understood.
pub(super) fn unknown_attribute(node: &Node) -> Option<&str> {
    let known = ATTRIBUTES
        .iter()
        .find(|(ops, _)| ops.contains(&node.op.as_str()))
        .map_or(&[][..], |(_, names)| names);
    node.attributes.iter().map(|(name, _)| name.as_str()).find(|name| !known.contains(name))
}
