//! Weights held in few bits: a model runs on them as on the floats that they stand for, and they come back
//! from files.
use kolmo::{
    Program, Random, Result, Tape, Tensor, Var,
    compress::{
        Artifact, HalfFloat, MappedModel, all_params, matrices, pack,
        prune::{self, Amount},
        quantize::{self, Quantizer, WeightOnly, store_half},
        save_mapped, unpack,
    },
    nn::{
        Conv2d, Embedding, KvCache, Layer, Linear, MultiheadAttention, Param, RmsNorm, deep_copy, init,
        visit_params,
    },
    ops::AttentionOptions,
    optim::{AdamW, Optimizer},
    train::{load_checkpoint, save_checkpoint},
};
use serde::{Deserialize, Serialize};

/// A language model of Llama's kind, of a thousand weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Llama {
    tokens: Embedding,
    blocks: Vec<Block>,
    norm: RmsNorm,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    gate: Linear,
    up: Linear,
    down: Linear,
}

const WIDTH: usize = 24;

impl Llama {
    fn new(seed: u64) -> Llama {
        let rng = &mut Random::new(seed);
        let mut linear = |inputs, outputs| Linear::new(inputs, outputs, rng).bias(false);
        let blocks = (0..2).map(|_| Block {
            query: linear(WIDTH, WIDTH),
            key: linear(WIDTH, 12),
            value: linear(WIDTH, 12),
            output: linear(WIDTH, WIDTH),
            gate: linear(WIDTH, 40),
            up: linear(WIDTH, 40),
            down: linear(40, WIDTH),
        });
        let blocks = blocks.collect();
        Llama { tokens: Embedding::new(50, WIDTH, rng), blocks, norm: RmsNorm::new([WIDTH]) }
    }

    fn embedded<'t>(&self, x: &Var<'t>, caches: &mut [KvCache]) -> Var<'t> {
        let (n, mut x) = (x.dim(0) as isize, x.clone());
        for (block, cache) in self.blocks.iter().zip(caches) {
            let heads = |y: Var<'t>| y.reshape([n, -1, 6]).transpose(0, 1);
            let start = cache.len();
            let q = heads(block.query.forward(&x)).rotary_interleaved(start, 1e4);
            let k = heads(block.key.forward(&x)).rotary_interleaved(start, 1e4);
            let v = heads(block.value.forward(&x));
            let (k, v) = if x.tape().is_recording() { (k, v) } else { cache.append(&k, &v) };
            let options = AttentionOptions::new().causal_lower_right(true);
            let seen = q.scaled_dot_product_attention(&k, &v, &options).transpose(0, 1).reshape([n, -1]);
            x = &x + block.output.forward(&seen);
            x = &x + block.down.forward(&(block.gate.forward(&x).silu() * block.up.forward(&x)));
        }
        self.norm.forward(&x).linear(&x.tape().param(&self.tokens.weight), None)
    }

    fn forward<'t>(&self, tokens: &[u32], tape: &'t Tape, caches: &mut [KvCache]) -> Var<'t> {
        self.embedded(&self.tokens.forward(&Tensor::from(tokens), tape), caches)
    }

    fn caches(&self) -> Vec<KvCache> {
        self.blocks.iter().map(|_| KvCache::new()).collect()
    }
}

type Way = (&'static str, fn(&Llama) -> Result<()>);

/// Every way to store a model's weights.
fn ways() -> Vec<Way> {
    vec![
        ("f16", |net| store_half(net, HalfFloat::F16, matrices)),
        ("bf16", |net| store_half(net, HalfFloat::Bf16, matrices)),
        ("8 bits, channels", |net| WeightOnly::new(8).apply(net, matrices)),
        ("7 bits", |net| WeightOnly::new(7).groups(8).apply(net, matrices)),
        ("6 bits", |net| WeightOnly::new(6).groups(5).apply(net, matrices)),
        ("5 bits", |net| WeightOnly::new(5).groups(32).apply(net, matrices)),
        ("4 bits", |net| WeightOnly::new(4).groups(8).apply(net, matrices)),
        ("4 bits, symmetric", |net| WeightOnly::new(4).groups(8).symmetric(true).apply(net, matrices)),
        ("3 bits", |net| WeightOnly::new(3).groups(8).apply(net, matrices)),
        ("2 bits", |net| WeightOnly::new(2).groups(4).apply(net, matrices)),
        ("1 bit", |net| WeightOnly::new(1).groups(4).apply(net, matrices)),
        ("steps", |net| {
            Quantizer::new(4).groups(8).attach(net, matrices)?;
            quantize::freeze(net)
        }),
        ("one step", |net| {
            Quantizer::new(3).attach(net, matrices)?;
            quantize::freeze(net)
        }),
        ("masked steps", |net| {
            prune::global(net, Amount::Density(0.4), matrices)?;
            Quantizer::new(3).channels().attach(net, matrices)?;
            quantize::freeze(net)
        }),
        ("codebook", |net| {
            quantize::codebooks(net, 11, matrices)?;
            quantize::freeze(net)
        }),
        ("masked codebook", |net| {
            prune::global(net, Amount::Density(0.3), matrices)?;
            quantize::codebooks(net, 4, matrices)?;
            quantize::freeze(net)
        }),
    ]
}

/// The model with the floats that its weights stand for.
fn plain(net: &Llama) -> Result<Llama> {
    let plain = deep_copy(net)?;
    visit_params(&plain, |_, p: &Param| p.set(Tensor::new(p.shape(), p.value().to_vec()).unwrap()));
    Ok(plain)
}

fn held(net: &Llama) -> Vec<bool> {
    let mut all = Vec::new();
    visit_params(net, |_, p: &Param| all.push(p.value().packed().is_some()));
    all
}

const TEXT: [u32; 19] = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 38, 46];

#[test]
fn a_model_runs_on_stored_weights_as_on_their_floats() -> Result<()> {
    for (name, store) in ways() {
        let net = Llama::new(0);
        store(&net)?;
        let floats = plain(&net)?;
        assert!(held(&net).iter().filter(|packed| **packed).count() == 15, "{name}: {net:?}");
        assert!(held(&floats).iter().all(|packed| !packed));
        let tape = Tape::inference();
        let [a, b] =
            [&net, &floats].map(|net| net.forward(&TEXT, &tape, &mut net.caches()).to_vec().unwrap());
        assert_eq!(a, b, "{name}");

        // Gradients pass through stored weights to what comes before, once and twice.
        let slopes = [&net, &floats].map(|net| {
            let tape = Tape::new();
            let x = tape.input(net.tokens.weight.value().rows(&[1, 7, 7, 2]).unwrap());
            let y = net.embedded(&x, &mut net.caches()).square().mean();
            let slope = y.grad(&[&x]).unwrap().remove(0);
            let grads = slope.square().sum().backward().unwrap();
            (slope.to_vec().unwrap(), grads.get(&x).unwrap().to_vec())
        });
        let near = |a: &[f32], b: &[f32]| {
            let most = b.iter().fold(0f32, |m, v| m.max(v.abs()));
            a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 2e-4 * most)
        };
        assert!(near(&slopes[0].0, &slopes[1].0) && near(&slopes[0].1, &slopes[1].1), "{name}");
    }
    Ok(())
}

#[test]
fn token_by_token_a_linear_layer_gives_what_it_gives_a_whole_text() -> Result<()> {
    let x: Tensor = init::normal([40, 300], 0.0, 1.0, &mut Random::new(1));
    for bits in [2, 4, 5, 8] {
        let layer = Linear::new(300, 70, &mut Random::new(2));
        WeightOnly::new(bits).groups(32).apply(&layer, matrices)?;
        let tape = Tape::inference();
        let all = layer.forward(&tape.constant(&x)).to_vec()?;
        for (row, y) in all.chunks(70).enumerate() {
            let one = layer.forward(&tape.constant(x.narrow(0, row, 1)?)).to_vec()?;
            assert_eq!(one, y, "{bits} bits, row {row}");
        }
        for first in [0, 5, 17] {
            let some = layer.forward(&tape.constant(x.narrow(0, first, 7)?)).to_vec()?;
            assert_eq!(some, all[first * 70..][..7 * 70], "{bits} bits, from {first}");
        }
    }
    Ok(())
}

#[test]
fn stored_weights_come_back_from_files_as_they_were() -> Result<()> {
    for (name, store) in ways() {
        let net = Llama::new(3);
        store(&net)?;
        let bytes = pack(&net, &[])?.to_bytes()?;
        let other = Llama::new(4);
        unpack(&Artifact::from_bytes(&bytes)?, &other)?;
        assert_eq!(held(&net), held(&other), "{name}");
        let mut values = Vec::new();
        visit_params(&net, |_, p: &Param| values.push((p.value(), p.value().packed())));
        let mut at = values.iter();
        visit_params(&other, |path, p: &Param| {
            let (value, packed) = at.next().unwrap();
            assert_eq!((p.value(), p.is_trainable()), (value.clone(), packed.is_none()), "{name}: {path}");
            let bytes = [packed.clone(), p.value().packed()].map(|p| p.map(|p| p.bytes()));
            // A value that no weight has isn't in the file, and may be one that a table was there for.
            assert!(bytes[1] <= bytes[0], "{name}: {path}: {bytes:?}");
        });
        assert_eq!(pack(&other, &[])?.to_bytes()?, bytes, "{name}");
    }
    Ok(())
}

#[test]
fn what_is_stored_is_trained_only_when_it_is_taken_apart() -> Result<()> {
    let net = Llama::new(5);
    quantize::codebooks(&net, 8, all_params)?;
    quantize::freeze(&net)?;
    let weight = &net.blocks[0].up.weight;
    let before = weight.value();
    let tape = Tape::new();
    let loss = net.forward(&TEXT, &tape, &mut net.caches()).square().mean();
    assert!(loss.backward().is_err(), "nothing is trained");
    let why = weight.set_mask(Some(&Tensor::from_fn([40, WIDTH], |_| true))).unwrap_err().to_string();
    assert!(why.contains("the tensor is packed"), "{why}");
    weight.set_trainable(true);
    let (codes, centroids) = weight.codebook().unwrap();
    assert_eq!((codes.shape(), centroids.shape()[0]), (&[40, WIDTH][..].into(), 8));
    assert_eq!(weight.effective()?, before);
    let tape = Tape::new();
    let loss = net.forward(&TEXT, &tape, &mut net.caches()).square().mean();
    assert!(loss.backward()?.param(&centroids).is_some());
    // What has an offset becomes plain numbers.
    WeightOnly::new(4).groups(8).apply(&net.blocks[1], matrices)?;
    let weight = &net.blocks[1].up.weight;
    let before = weight.value();
    weight.set_trainable(true);
    assert!(weight.value().packed().is_none() && weight.is_trainable());
    assert_eq!(weight.value(), before);
    Ok(())
}

#[test]
fn other_layers_take_stored_weights_too() -> Result<()> {
    let rng = &mut Random::new(6);
    let conv = Conv2d::new(3, 20, 3, rng);
    let attention = MultiheadAttention::new(16, 4, rng)?;
    let [image, words] =
        [&[2usize, 3, 9, 9][..], &[2, 5, 16]].map(|shape| init::normal(shape, 0.0, 1.0, rng));
    let all = || -> Result<[Vec<f32>; 2]> {
        let tape = Tape::inference();
        let x = tape.constant(&words);
        let masks = Default::default();
        let y = attention.forward(&x, &x, &x, &masks);
        Ok([conv.forward(&tape.constant(&image)).to_vec()?, y.to_vec()?])
    };
    let before = all()?;
    WeightOnly::new(8).apply(&conv, matrices)?;
    WeightOnly::new(8).apply(&attention, matrices)?;
    let after = all()?;
    for (a, b) in before.iter().flatten().zip(after.iter().flatten()) {
        assert!((a - b).abs() < 0.05, "{a} {b}");
    }
    // A recorded program runs on them as well.
    let layer = Linear::new(12, 30, rng);
    WeightOnly::new(6).apply(&layer, matrices)?;
    let x: Tensor = init::normal([10, 12], 0.0, 1.0, rng);
    let mut program = Program::new(&[&x], &[], |_, x, _| vec![layer.forward(&x[0]).tanh()])?;
    let tape = Tape::inference();
    let expected = layer.forward(&tape.constant(&x)).tanh().to_vec()?;
    assert_eq!(program.run(&[&x], &[])?[0].to_vec(), expected);
    Ok(())
}

#[test]
fn what_cannot_be_stored_is_refused_and_nothing_has_changed() -> Result<()> {
    let net = Llama::new(7);
    let told = |result: Result<()>, part: &str| {
        let why = result.unwrap_err().to_string();
        assert!(why.contains(part), "{why}: expected {part}");
        assert!(held(&net).iter().all(|packed| !packed));
    };
    told(WeightOnly::new(9).apply(&net, matrices), "9 bits: takes 1 to 8");
    told(WeightOnly::new(1).symmetric(true).apply(&net, matrices), "takes 2 to 8");
    told(WeightOnly::new(4).groups(0).apply(&net, matrices), "groups of 0");
    told(WeightOnly::new(4).apply(&net, |name, _| name == "x"), "picks");
    told(WeightOnly::new(4).apply(&net, all_params), "norm.weight");
    told(store_half(&net, HalfFloat::F16, all_params), "two axes or more");
    let weight = &net.blocks[1].down.weight;
    let good = weight.value();
    weight.update(|w| w.as_mut_slice()[5] = f32::NAN);
    told(WeightOnly::new(4).apply(&net, matrices), "blocks.1.down.weight: a weight is NaN");
    weight.set(good);
    quantize::codebooks(&net, 256, |name, _| name == "tokens.weight")?;
    net.tokens.weight.set_mask(Some(&Tensor::from_fn([50, WIDTH], |i| i > 0)))?;
    told(quantize::freeze(&net), "257 values");
    Ok(())
}

#[test]
fn a_model_runs_from_a_mapped_file() -> Result<()> {
    let folder = crate::Folder::new("mapped");
    let path = folder.join("model.kolmo");
    for (name, store) in ways() {
        let net = Llama::new(8);
        store(&net)?;
        save_mapped(&net, &[("way", name)], &path)?;
        let (file, other) = (MappedModel::open(&path)?, Llama::new(9));
        file.load(&other)?;
        // What is mapped stays, whatever takes its name.
        std::fs::remove_file(&path).unwrap();
        assert_eq!((&*file.meta()["way"], file.tensors().count()), (name, 16));
        assert_eq!(held(&net), held(&other), "{name}");
        let tape = Tape::inference();
        let [a, b] = [&net, &other].map(|net| net.forward(&TEXT, &tape, &mut net.caches()).to_vec().unwrap());
        assert_eq!(a, b, "{name}");
        assert_eq!(pack(&other, &[])?.to_bytes()?, pack(&net, &[])?.to_bytes()?, "{name}");
        // And once more from what was mapped.
        save_mapped(&other, &[("way", name)], &path)?;
        let again = Llama::new(10);
        MappedModel::open(&path)?.load(&again)?;
        assert_eq!(again.forward(&TEXT, &tape, &mut again.caches()).to_vec()?, a, "{name}");
    }
    Ok(())
}

#[test]
fn checkpoints_hold_weights_as_they_are_stored() -> Result<()> {
    let folder = crate::Folder::new("packed-checkpoint");
    let (path, plain) = (folder.join("packed"), folder.join("plain"));
    let stepped = |net: &Llama| -> Result<AdamW> {
        let mut adam = AdamW::new(0.01);
        let tape = Tape::new();
        let x = tape.input(Tensor::ones([3, WIDTH]));
        adam.step(net, &net.embedded(&x, &mut net.caches()).square().sum().backward()?)?;
        Ok(adam)
    };
    save_checkpoint(&Llama::new(8), &AdamW::<f32>::new(0.01), &(), &plain)?;
    for (name, store) in ways() {
        let net = Llama::new(8);
        store(&net)?;
        let adam = stepped(&net)?;
        save_checkpoint(&net, &adam, &(), &path)?;
        let (other, mut back) = (Llama::new(9), AdamW::<f32>::new(0.5));
        load_checkpoint::<_, _, _, ()>(&other, &mut back, &path)?;
        assert_eq!(held(&net), held(&other), "{name}");
        let tape = Tape::inference();
        let [a, b] = [&net, &other].map(|net| net.forward(&TEXT, &tape, &mut net.caches()).to_vec().unwrap());
        assert_eq!(a, b, "{name}");
        assert_eq!(pack(&other, &[])?.to_bytes()?, pack(&net, &[])?.to_bytes()?, "{name}");
        if name == "4 bits" {
            let [small, large] = [&path, &plain].map(|path| std::fs::metadata(path).unwrap().len());
            assert!(2 * small < large, "{small} {large}");
        }
    }
    // Another model refuses the pieces, and nothing of it has changed.
    let small = Linear::new(4, 4, &mut Random::new(0));
    let before = small.weight.value();
    assert!(load_checkpoint::<_, _, _, ()>(&small, &mut AdamW::<f32>::new(0.1), &path).is_err());
    assert_eq!(small.weight.value(), before);
    Ok(())
}

#[test]
fn damage_of_a_mapped_file_is_told_where_it_is_met() -> Result<()> {
    let folder = crate::Folder::new("mapped-damage");
    let path = folder.join("model.kolmo");
    let layer = Linear::new(40, 20, &mut Random::new(0));
    WeightOnly::new(5).groups(8).apply(&layer, matrices)?;
    save_mapped(&layer, &[], &path)?;
    let good = std::fs::read(&path).unwrap();
    let header = 20 + u64::from_le_bytes(good[8..16].try_into().unwrap()) as usize;
    let write = |bytes: &[u8]| {
        // A new file: what is mapped isn't changed.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    };
    for at in 0..header {
        for flip in [1, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            write(&bad);
            assert!(MappedModel::open(&path).is_err(), "byte {at}");
        }
    }
    for cut in (0..good.len()).step_by(13) {
        write(&good[..cut]);
        assert!(MappedModel::open(&path).is_err(), "cut at {cut}");
    }
    // A damaged weight is met when it is used, a vector when it is loaded.
    let (mut met, mut refused) = (0, 0);
    for at in (header.next_multiple_of(64)..good.len()).step_by(31) {
        let mut bad = good.clone();
        bad[at] ^= 4;
        write(&bad);
        let other = Linear::new(40, 20, &mut Random::new(1));
        let loaded = MappedModel::open(&path)?.load(&other);
        let tape = Tape::inference();
        let told = match loaded {
            Err(why) => {
                refused += 1;
                why.to_string()
            }
            Ok(()) => match other.forward(&tape.constant(Tensor::ones([2, 40]))).to_vec() {
                Err(why) => {
                    met += 1;
                    assert!(other.weight.value().ok().is_ok() && other.weight.value().to_vec().is_empty());
                    assert!(
                        pack(&other, &[]).is_err() && save_mapped(&other, &[], folder.join("x")).is_err()
                    );
                    why.to_string()
                }
                // Between two pieces nothing is read.
                Ok(y) => {
                    assert_eq!(y, layer.forward(&tape.constant(Tensor::ones([2, 40]))).to_vec()?);
                    continue;
                }
            },
        };
        assert!(told.contains("model.kolmo: the ") && told.contains("are damaged"), "{told}");
    }
    assert!(met > 10 && refused > 1, "{met} {refused}");
    write(&pack(&layer, &[])?.to_bytes()?);
    let told = MappedModel::open(&path).unwrap_err().to_string();
    assert!(told.contains("Artifact::load reads"), "{told}");
    write(&good);
    let told = Artifact::load(&path).unwrap_err().to_string();
    assert!(told.contains("MappedModel::open reads"), "{told}");
    let told =
        MappedModel::open(&path)?.load(&Linear::new(41, 20, &mut Random::new(1))).unwrap_err().to_string();
    assert!(told.contains("weight [20, 40] in the artifact, [20, 41] in the model"), "{told}");
    Ok(())
}
