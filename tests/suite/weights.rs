//! Weights from and to safetensors files, one and several, and NumPy's, with PyTorch's names; from GGUF
//! files; to torchao's.
use kolmo::{
    Random, Result, Tape, Tensor,
    compress::{
        HalfFloat,
        quantize::{self, Quantizer, WeightOnly},
    },
    data::{Gguf, Safetensors},
    nn::{Layer, Linear, Param, Sequential, Tanh, named_params},
    tensor::Shape,
    train::{
        LoadOptions, load_gguf, load_safetensors, load_safetensors_with, save_safetensors, save_torchao,
    },
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

type Mlp = Sequential<(Linear, Tanh, Linear)>;

fn mlp(seed: u64) -> Mlp {
    let rng = &mut Random::new(seed);
    Sequential((Linear::new(4, 8, rng), Tanh, Linear::new(8, 3, rng)))
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/interchange").join(name)
}

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The inputs and outputs that PyTorch computed, as two parameters.
#[derive(serde::Serialize)]
struct Recorded {
    x: Param,
    y: Param,
}

fn bits(net: &Mlp) -> Vec<(String, Vec<u32>)> {
    let named = named_params::<f32>(net).into_iter();
    named.map(|(name, p)| (name, p.value().to_vec().iter().map(|v| v.to_bits()).collect())).collect()
}

#[test]
fn a_file_of_pytorch_gives_pytorchs_outputs_and_goes_back_unchanged() -> Result<()> {
    let recorded = Recorded { x: Param::new(Tensor::zeros([5, 4])), y: Param::new(Tensor::zeros([5, 3])) };
    load_safetensors(&recorded, data("mlp_io.safetensors"))?;
    let net = mlp(0);
    load_safetensors(&net, data("mlp.safetensors"))?;
    let tape = Tape::inference();
    let y = net.forward(&tape.constant(recorded.x.value())).value()?.to_vec();
    for (i, (found, expected)) in y.iter().zip(recorded.y.value().to_vec()).enumerate() {
        assert!((found - expected).abs() < 1e-6, "output {i}: {found}, expected {expected}");
    }
    // `torch_mlp.py check` reads this one.
    let path = temporary("mlp_of_kolmo.safetensors");
    save_safetensors(&net, &path)?;
    let copy = mlp(1);
    load_safetensors(&copy, &path)?;
    assert_eq!(bits(&copy), bits(&net));
    Ok(())
}

#[test]
fn what_does_not_fit_is_told_by_name_and_changes_nothing() -> Result<()> {
    let other = temporary("other.safetensors");
    let rng = &mut Random::new(0);
    save_safetensors(&Sequential((Linear::new(4, 9, rng), Linear::new(8, 3, rng))), &other)?;
    let net = mlp(2);
    let before = bits(&net);
    let error = load_safetensors(&net, &other).unwrap_err().to_string();
    for part in [
        "missing from the file: 2.weight, 2.bias",
        "not in the model: 1.bias, 1.weight",
        "0.weight is [9, 4] in the file, [8, 4] in the model",
    ] {
        assert!(error.contains(part), "{error}: expected to read {part}");
    }
    let torn = temporary("torn.safetensors");
    let bytes = std::fs::read(data("mlp.safetensors")).unwrap();
    for len in [0, 4, 8, 40, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&torn, &bytes[..len]).unwrap();
        assert!(load_safetensors(&net, &torn).is_err(), "{len} bytes of {}", bytes.len());
    }
    assert!(load_safetensors(&net, temporary("none.safetensors")).is_err());
    assert_eq!(bits(&net), before);
    Ok(())
}

#[test]
fn what_a_model_uses_is_saved() -> Result<()> {
    let p = Param::new(Tensor::from([1.0f32, 2.0, 3.0]));
    p.set_codebook(Tensor::from([0u32, 1, 0]), Tensor::from([0.5f32, -2.0]))?;
    p.set_mask(Some(&Tensor::from([true, true, false])))?;
    let path = temporary("tied.safetensors");
    save_safetensors(&vec![p.clone()], &path)?;
    let copy = vec![Param::new(Tensor::<f64>::zeros([3]))];
    load_safetensors(&copy, &path)?;
    assert_eq!(copy[0].value().to_vec(), [0.5, -2.0, 0.0]);
    Ok(())
}

#[cfg(feature = "formats")]
#[test]
fn arrays_of_numpy_go_there_and_back() -> Result<()> {
    let (net, copy, path) = (mlp(0), mlp(1), temporary("mlp.npz"));
    kolmo::train::save_npz(&net, &path)?;
    kolmo::train::load_npz(&copy, &path)?;
    assert_eq!(bits(&copy), bits(&net));
    let smaller = Sequential((Linear::new(4, 7, &mut Random::new(0)), Tanh));
    let error = kolmo::train::load_npz(&smaller, &path).unwrap_err().to_string();
    assert!(error.contains("not in the model: 2.bias, 2.weight"), "{error}");
    assert!(error.contains("0.weight is [8, 4] in the file, [7, 4] in the model"), "{error}");
    Ok(())
}

/// Two blocks of each type, whose values llama.cpp's own package computed.
#[test]
fn gguf_files_have_the_values_of_llama_cpp_to_the_bit() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/gguf");
    let file = Gguf::open(folder.join("types.gguf"))?;
    let zeros = || -> BTreeMap<String, Param> {
        let all = file.tensors().iter();
        all.map(|t| (t.dtype().to_string() + ".weight", Param::new(Tensor::zeros(t.shape().clone()))))
            .collect()
    };
    let (found, expected) = (zeros(), zeros());
    let upper = |name: &str| name.to_uppercase().replace("WEIGHT", "weight");
    let options = || LoadOptions::new().rename(upper);
    assert_eq!(load_gguf(&found, &file, &options())?.loaded.len(), 16);
    load_safetensors_with(&expected, folder.join("types.safetensors"), &options())?;
    for (name, p) in &found {
        let (found, expected) = (p.value().to_vec(), expected[name].value().to_vec());
        assert!(found.iter().all(|v| v.is_finite()) && found.iter().any(|v| *v != 0.0), "{name}");
        for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(a.to_bits(), b.to_bits(), "{name}, {i}: {a}, expected {b}");
        }
    }
    Ok(())
}

#[test]
fn what_of_a_gguf_file_does_not_fit_is_told_and_changes_nothing() -> Result<()> {
    let file = Gguf::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/gguf/types.gguf"))?;
    #[derive(serde::Serialize)]
    struct Layers {
        q4_0: Linear,
        q8_0: Linear,
    }
    let rng = &mut Random::new(0);
    let model =
        Layers { q4_0: Linear::new(32, 2, rng).bias(false), q8_0: Linear::new(32, 3, rng).bias(false) };
    let before = model.q4_0.weight.value();
    let error = load_gguf(&model, &file, &LoadOptions::new()).unwrap_err().to_string();
    assert!(error.starts_with("load_gguf: not in the model: bf16.weight, f16.weight"), "{error}");
    assert!(error.contains("unfit: q8_0.weight is [2, 32] in the file, [3, 32] in the model"), "{error}");
    assert_eq!(model.q4_0.weight.value(), before);
    let report = load_gguf(&model, &file, &LoadOptions::new().strict(false))?;
    assert_eq!((report.loaded, report.mismatched.len()), (vec!["q4_0.weight".to_string()], 1));
    assert_eq!(model.q4_0.weight.value(), file.tensor("q4_0.weight")?);
    Ok(())
}

/// A name that stands for two places, and a head.
#[derive(serde::Serialize)]
struct Head {
    tokens: Param,
    scores: Param,
    bias: Param,
}

#[test]
fn a_part_of_a_file_goes_into_a_part_of_a_model_and_the_rest_is_told() -> Result<()> {
    let folder = crate::Folder::new("partly");
    let path = folder.join("part.safetensors");
    let one = |v: f32| Param::new(Tensor::from([v, v]));
    // Tied weights come under the second of their names, with a prefix.
    let file = BTreeMap::from([("model.scores", one(1.0)), ("model.bias", Param::new(Tensor::ones([3])))]);
    save_safetensors(&file, &path)?;
    let tied = one(0.0);
    let head = Head { tokens: tied.clone(), scores: tied, bias: one(0.0) };
    let strict = LoadOptions::new().prefix("model.");
    let error = load_safetensors_with(&head, &path, &strict).unwrap_err().to_string();
    assert!(error.contains("unfit: bias is [3] in the file, [2] in the model"), "{error}");
    assert_eq!(head.tokens.value().to_vec(), [0.0, 0.0]);
    let report = load_safetensors_with(&head, &path, &strict.strict(false))?;
    assert_eq!((report.loaded, report.mismatched.len()), (vec!["tokens".to_string()], 1));
    assert_eq!((head.tokens.value().to_vec(), head.bias.value().to_vec()), (vec![1.0, 1.0], vec![0.0, 0.0]));
    let nothing = load_safetensors_with(&head, &path, &LoadOptions::new().strict(false));
    assert!(nothing.unwrap_err().to_string().contains("not in the model: model.bias, model.scores"));
    let same = LoadOptions::new().rename(|_| "tokens".into());
    let error = load_safetensors_with(&head, &path, &same).unwrap_err().to_string();
    assert!(error.contains("tokens is what two names become"), "{error}");
    Ok(())
}

/// A model in two files and an index, and a folder to change it in.
fn shards(name: &str) -> Result<(crate::Folder, BTreeMap<&'static str, Param>)> {
    let folder = crate::Folder::new(name);
    let param = |n: usize| Param::new(Tensor::from_fn([n, 2], |i| (i as f32 * 1.7).sin()));
    let all = BTreeMap::from([("a", param(3)), ("b", param(1)), ("c", param(2))]);
    let part = |names: &[&'static str]| -> BTreeMap<_, _> {
        names.iter().map(|name| (*name, all[name].clone())).collect()
    };
    save_safetensors(&part(&["a", "c"]), folder.join("one.safetensors"))?;
    save_safetensors(&part(&["b"]), folder.join("two.safetensors"))?;
    Ok((folder, all))
}

const INDEX: &str = "model.safetensors.index.json";
const WHOLE: &str = r#"{"metadata": {"total_size": 48},
    "weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}}"#;

#[test]
fn files_that_an_index_names_are_one() -> Result<()> {
    let (folder, all) = shards("shards")?;
    std::fs::write(folder.join(INDEX), WHOLE).unwrap();
    let zeros = || -> BTreeMap<_, _> {
        all.iter().map(|(name, p)| (*name, Param::new(Tensor::zeros(p.shape())))).collect()
    };
    for path in [folder.to_path_buf(), folder.join(INDEX)] {
        let copy = zeros();
        load_safetensors(&copy, &path)?;
        assert!(copy.iter().all(|(name, p)| p.value() == all[name].value()));
    }
    // One file in a folder comes before an index.
    save_safetensors(&all["b"], folder.join("model.safetensors"))?;
    assert_eq!(Safetensors::open(&*folder)?.tensors().len(), 1);
    let file = Safetensors::open(folder.join(INDEX))?;
    assert_eq!(file.tensors().iter().map(|t| (t.name(), t.dtype())).nth(2), Some(("c", "F32".into())));
    assert_eq!(file.tensor::<f64>("c")?, all["c"].value().cast());
    let error = file.tensor::<f32>("d").unwrap_err().to_string();
    assert!(error.contains("at \"d\": there are 3 tensors, and none of this name"), "{error}");
    Ok(())
}

#[test]
fn an_index_that_does_not_fit_its_files_is_told() -> Result<()> {
    let (folder, _) = shards("badshards")?;
    let path = folder.join(INDEX);
    let refused = |index: &str, part: &str| {
        std::fs::write(&path, index).unwrap();
        let error = Safetensors::open(&path).unwrap_err().to_string();
        assert!(error.contains(part), "{error}: expected {part}");
    };
    for elsewhere in ["../one.safetensors", "/etc/passwd", "x/one.safetensors", "..", "", "./one.safetensors"]
    {
        let index = WHOLE.replace("two.safetensors", elsewhere);
        refused(&index, &format!("\"b\" is to be in {elsewhere:?}: shards lie beside the index"));
    }
    refused(&WHOLE.replace("two", "three"), "there is no file \"three.safetensors\" beside the index");
    refused(&WHOLE.replace("\"b\"", "\"a\""), "the name \"a\" is there twice");
    refused(&WHOLE.replace("\"c\"", "\"d\""), "\"c\" is in \"one.safetensors\", and not in the index");
    let more = WHOLE.replace("{\"a\"", "{\"d\": \"two.safetensors\", \"a\"");
    refused(&more, "\"d\" is to be in \"two.safetensors\", and isn't");
    let other = WHOLE.replace("\"a\": \"one", "\"a\": \"two");
    refused(&other, "\"a\" is to be in \"two.safetensors\", and is in \"one.safetensors\"");
    refused(&WHOLE[..90], "no index: EOF");
    refused(r#"{"weight_map": ["a"]}"#, "no index: invalid type: sequence, expected an object");
    // The same tensor in both files, and a file that ends early.
    std::fs::copy(folder.join("one.safetensors"), folder.join("two.safetensors")).unwrap();
    refused(WHOLE, "\"a\" is to be in \"one.safetensors\", and is in \"two.safetensors\"");
    let bytes = std::fs::read(folder.join("two.safetensors")).unwrap();
    std::fs::write(folder.join("two.safetensors"), &bytes[..bytes.len() - 1]).unwrap();
    refused(WHOLE, "two.safetensors: at its header: no safetensors file: ");
    Ok(())
}

/// What torchao makes of a file: `(qdata - zero_point) · scale` by blocks.
#[test]
fn torchao_gets_the_whole_numbers_that_are_computed_with() -> Result<()> {
    let folder = crate::Folder::new("torchao");
    let path = folder.join("net.safetensors");
    let weight = || Linear::new(12, 5, &mut Random::new(3)).bias(false);
    let all = || -> BTreeMap<&'static str, Linear> {
        ["by_channel", "groups", "symmetric", "one_scale", "ragged", "codebook", "half", "floats"]
            .map(|name| (name, weight()))
            .into()
    };
    let net = all();
    let only = |name: &'static str| move |of: &str, _: &Shape| of.starts_with(name);
    WeightOnly::new(8).apply(&net, only("by_channel"))?;
    WeightOnly::new(4).groups(4).apply(&net, only("groups"))?;
    WeightOnly::new(3).groups(6).symmetric(true).apply(&net, only("symmetric"))?;
    WeightOnly::new(4).groups(5).apply(&net, only("ragged"))?;
    Quantizer::new(4).attach(&net, only("one_scale"))?;
    quantize::codebooks(&net, 7, only("codebook"))?;
    quantize::freeze(&net)?;
    quantize::store_half(&net, HalfFloat::Bf16, only("half"))?;
    save_torchao(&net, &path)?;
    let file = Safetensors::open(&path)?;
    let blocks = [("by_channel", [1, 12]), ("groups", [1, 4]), ("symmetric", [1, 6]), ("one_scale", [5, 12])];
    for (name, [rows, cols]) in blocks {
        let part = |part: &str| file.tensors().iter().find(|t| t.name() == format!("{name}._weight_{part}"));
        let types = ["qdata", "scale", "zero_point"].map(|name| part(name).map(|t| t.dtype()).unwrap());
        assert_eq!(types, ["I8", "F32", "I8"]);
        let [q, scale, zero] = ["qdata", "scale", "zero_point"]
            .map(|part| file.tensor::<f32>(&format!("{name}._weight_{part}")).unwrap());
        assert_eq!(
            (scale.shape(), zero.shape()),
            (&[5 / rows, 12 / cols].into(), &[5 / rows, 12 / cols].into())
        );
        let at = |i: usize| [i / 12 / rows, i % 12 / cols];
        let found = Tensor::from_fn([5, 12], |i| {
            let [q, zero, scale] = [(&q, [i / 12, i % 12]), (&zero, at(i)), (&scale, at(i))]
                .map(|(t, at)| t.get(&at[..]).unwrap());
            (q - zero) * scale
        });
        assert_eq!(found, net[name].weight.effective()?, "{name}");
    }
    for name in ["ragged", "codebook", "half", "floats"] {
        assert_eq!(file.tensor::<f32>(&format!("{name}.weight"))?, net[name].weight.effective()?, "{name}");
    }
    let bytes = std::fs::read(&path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let told = header.metadata().clone().unwrap();
    let told = |name: &str| serde_json::from_str::<serde_json::Value>(&told[name]).unwrap();
    assert_eq!(told("floats.weight"), serde_json::json!({"_type": "Tensor"}));
    assert_eq!(told("groups.weight")["_data"]["block_size"], serde_json::json!([1, 4]));
    assert_eq!(told("groups.weight")["_data"]["target_dtype"]["_data"], "int4");
    assert_eq!(told("tensor_names").as_array().map(Vec::len), Some(8));
    Ok(())
}
