//! Readers of archives of arrays and of graphs of ONNX, which are tested on demand.
use super::{Net, Use, all, net, packed, stored_at, train};
use kolmo::{
    Result, Tensor,
    compress::{matrices, quantize},
    data, nn,
    nn::Layer,
    onnx::{Export, Model},
    optim::AdamW,
    train::{load_npz, save_npz},
};
use std::path::Path;

/// Of an archive: the library that reads it may make room for 65,535 members, whatever the file's length.
pub fn archived(bytes: usize) -> isize {
    (16 << 20) + packed(bytes)
}

/// Makes a file and takes its bytes.
fn made(write: impl FnOnce(&Path) -> Result<()>) -> Vec<u8> {
    let path = std::env::temp_dir().join(format!("kolmo-seed-{}", std::process::id()));
    write(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

pub fn npz() -> Vec<Vec<u8>> {
    let net = made(|path| save_npz(&net(), path));
    [all(&["first_version/arrays.npz", "interchange/numpy.npz"]), vec![net]].concat()
}

pub fn read_npz(path: &Path) -> Option<Use> {
    let net = net();
    let loaded = load_npz(&net, path).is_ok();
    let arrays = data::read_npz(path).ok()?;
    Some(Box::new(move || {
        arrays.values().for_each(|array| drop(array.to_tensor::<f64>()));
        if loaded {
            train(&net, &mut AdamW::new(0.1));
        }
    }))
}

/// A model with codes, one without, one whose codes have zero points, and one whose codes have offsets.
pub fn graphs() -> Vec<Vec<u8>> {
    let (plain, coded, held) = (net(), net(), net());
    quantize::Quantizer::new(4).channels().attach(&coded, matrices).unwrap();
    quantize::WeightOnly::new(4).apply(&held, matrices).unwrap();
    let x = Tensor::from_fn([2, 6], |i| (i as f32 * 0.37).sin());
    let bytes =
        |net: &Net| Export::new().to_bytes(net, &[&x], &[], |_, x, _| vec![net.forward(&x[0])]).unwrap();
    let file = data::Gguf::open(stored_at("gguf/types.gguf")).unwrap();
    let offsets = nn::Param::new(file.packed_tensor::<f32>("q4_1.weight").unwrap());
    let x = Tensor::ones([1, offsets.shape()[1]]);
    let offsets = Export::new()
        .to_bytes(&offsets, &[&x], &[], |tape, x, _| vec![x[0].linear(&tape.param(&offsets), None)])
        .unwrap();
    [plain, coded, held].iter().map(bytes).chain([offsets]).collect()
}

pub fn read_graph(path: &Path) -> Option<Use> {
    let model = Model::load(path).ok()?;
    Some(Box::new(move || {
        let _ = (format!("{model:?}"), nn::named_params::<f32>(&model).len(), model.input_names());
    }))
}
