//! Models printed as programs of their own, compiled by other compilers and run: they give what the
//! model gives.
use crate::Folder;
use kolmo::{
    Random, Tape, Tensor, Var,
    compress::{
        Standalone, all_params, matrices,
        prune::{self, Amount},
        quantize,
    },
    data,
    nn::*,
    ops::{AttentionOptions, ConvOptions, PoolOptions},
    optim::{Adam, Optimizer},
};
use serde::Serialize;
use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Inputs on each line as bits in hexadecimal, answers the same way.
const RUST_MAIN: &str = r#"
use std::io::BufRead;
fn main() {
    let (mut w, mut s) = ([0.0; model::WEIGHTS], [0.0; model::SCRATCH]);
    model::decode(&mut w);
    for line in std::io::stdin().lock().lines() {
        let (mut x, mut y) = ([0.0; model::INPUT], [0.0; model::OUTPUT]);
        for (x, word) in x.iter_mut().zip(line.unwrap().split(' ')) {
            *x = f32::from_bits(u32::from_str_radix(word, 16).unwrap());
        }
        model::run(&w, &mut s, &x, &mut y);
        println!("{}", y.map(|y| format!("{:x}", y.to_bits())).join(" "));
    }
}
"#;
const C_MAIN: &str = r#"
#include <stdio.h>
#include <string.h>
static float w[WEIGHTS + 1], s[SCRATCH + 1], x[INPUT], y[OUTPUT];
int main(void) {
    unsigned bits;
    int i = 0;
    decode(w);
    while (scanf("%x", &bits) == 1) {
        memcpy(&x[i++], &bits, 4);
        if (i < INPUT) continue;
        run(w, s, x, y);
        for (i = 0; i < OUTPUT; i++) {
            memcpy(&bits, &y[i], 4);
            printf(i ? " %x" : "%x", bits);
        }
        printf("\n");
        i = 0;
    }
    return 0;
}
"#;

/// What stands beside cargo, or what the variable says.
fn rustc() -> PathBuf {
    let beside = || Path::new(env!("CARGO")).with_file_name("rustc");
    env::var_os("RUSTC").map_or_else(beside, PathBuf::from)
}

/// Compiles; `None` without such a compiler.
fn compiled(compiler: &Path, folder: &Path, args: &[&str]) -> Option<()> {
    let Ok(output) = Command::new(compiler).current_dir(folder).args(args).output() else {
        println!("skipped: there is no {}", compiler.display());
        return None;
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.is_empty(), "{} {args:?}:\n{text}", compiler.display());
    Some(())
}

/// What a program answers to some inputs.
fn answers(program: &Path, inputs: &[Vec<f32>]) -> Vec<Vec<u32>> {
    let word = |v: &f32| format!("{:x}", v.to_bits());
    let text: String =
        inputs.iter().map(|x| x.iter().map(word).collect::<Vec<_>>().join(" ") + "\n").collect();
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let line = |line: &str| line.split(' ').map(|w| u32::from_str_radix(w, 16).unwrap()).collect();
    String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
}

/// Both sources compile without a warning and give the same bits as the run without a compiler, which
/// are near the model's; so do the compact ones, of whose names compilers may warn.
fn check<M: Serialize>(name: &str, net: &M, inputs: &[Tensor], f: impl for<'t> Fn(&M, &Var<'t>) -> Var<'t>) {
    let program = Standalone::new(&inputs[0], |x| f(net, x)).unwrap();
    let values: Vec<Vec<f32>> = inputs.iter().map(Tensor::to_vec).collect();
    let own: Vec<Vec<f32>> = values.iter().map(|x| program.run(x).unwrap()).collect();
    for (x, own) in inputs.iter().zip(&own) {
        let tape = Tape::inference();
        let y = f(net, &tape.constant(x)).to_vec().unwrap();
        assert!(own.iter().zip(&y).all(|(a, b)| (a - b).abs() < 1e-4), "{name}: {own:?}, not {y:?}");
        let best = |y: &[f32]| (0..y.len()).max_by(|&a, &b| y[a].total_cmp(&y[b]));
        assert_eq!(best(own), best(&y), "{name}");
    }
    sources(name, program, &values);
}

/// Both sources, and the compact ones, give the bits of the run without a compiler.
fn sources(name: &str, program: Standalone, values: &[Vec<f32>]) {
    let bits = |x: &Vec<f32>| program.run(x).unwrap().iter().map(|v| v.to_bits()).collect();
    let bits: Vec<Vec<u32>> = values.iter().map(bits).collect();
    let long = [program.rust(), program.c()].map(|text| text.len());
    let folder = Folder::new(&format!("standalone-{name}"));
    compile(name, &program, &folder, "-Dwarnings", values, &bits);
    let program = program.compact(true);
    assert!(program.rust().len() < long[0] && program.c().len() < long[1]);
    compile(&format!("{name}, compact"), &program, &folder, "-Awarnings", values, &bits);
}

fn compile(
    name: &str,
    program: &Standalone,
    folder: &Path,
    warnings: &str,
    inputs: &[Vec<f32>],
    bits: &[Vec<u32>],
) {
    fs::write(folder.join("model.rs"), program.rust()).unwrap();
    fs::write(folder.join("main.rs"), RUST_MAIN).unwrap();
    fs::write(folder.join("main.c"), program.c() + C_MAIN).unwrap();
    let (rustc, edition) = (rustc(), ["--edition", "2021", "-O", warnings]);
    let library = [&edition[..], &["--crate-type", "lib", "model.rs"]].concat();
    let main =
        [&edition[..], &["-L", ".", "--extern", "model=libmodel.rlib", "-o", "by_rust", "main.rs"]].concat();
    if compiled(&rustc, folder, &library).and_then(|()| compiled(&rustc, folder, &main)).is_some() {
        assert_eq!(answers(&folder.join("by_rust"), inputs), bits, "{name} in Rust");
    }
    let flags =
        ["-std=c99", "-O1", "-Wall", "-Wextra", "-fsanitize=address,undefined", "-fno-sanitize-recover"];
    let main = [&flags[..], &["-o", "by_c", "main.c"]].concat();
    if compiled(Path::new("cc"), folder, &main).is_some() {
        assert_eq!(answers(&folder.join("by_c"), inputs), bits, "{name} in C");
    }
}

/// Inputs of noise.
fn noise(sizes: &[usize]) -> Vec<Tensor> {
    let rng = &mut Random::new(17);
    (0..20).map(|_| Tensor::randn(sizes, rng)).collect()
}

#[test]
fn a_pruned_network_with_codebooks_is_compiled_and_answers_as_it_does() {
    let rng = &mut Random::new(5);
    let net =
        Sequential((Linear::new(20, 30, rng), Relu, Linear::new(30, 12, rng), Gelu, Linear::new(12, 5, rng)));
    prune::global(&net, Amount::Density(0.3), matrices).unwrap();
    quantize::codebooks(&net, 8, all_params).unwrap();
    check("mlp", &net, &noise(&[1, 20]), |net, x| net.forward(x).log_softmax(1));
}

#[derive(Serialize)]
struct Cnn {
    first: Conv2d,
    norm: BatchNorm2d,
    second: Conv2d,
    last: Linear,
}

#[test]
fn a_convolutional_network_is_compiled_and_answers_as_it_does() {
    let rng = &mut Random::new(6);
    let net = Cnn {
        first: Conv2d::with_options(2, 6, 3, ConvOptions::new().stride(2).padding(1), rng),
        norm: BatchNorm2d::new(6),
        second: Conv2d::with_options(6, 8, 3, ConvOptions::new().padding(1).groups(2), rng),
        last: Linear::new(8, 4, rng),
    };
    net.norm.running_mean.set(Tensor::randn([6], rng));
    net.norm.running_var.set(Tensor::from([0.5, 1.0, 2.0, 0.7, 1.5, 3.0]));
    quantize::share_values(&net.second.weight, 8).unwrap();
    prune::layerwise(&net, Amount::Density(0.4), |name, _| name == "first.weight").unwrap();
    check("cnn", &net, &noise(&[1, 2, 12, 12]), |net, x| {
        let x = net.norm.forward(&net.first.forward(x)).relu().max_pool2d(&PoolOptions::new(2).stride(2));
        let x = net.second.forward(&x).sigmoid() + 0.5;
        net.last.forward(&x.mean_dim([2, 3], false)).tanh()
    });
}

/// A small language model: a block with attention, whose table of words also gives the scores.
#[derive(Serialize)]
struct Words {
    words: Embedding,
    places: Param,
    norm: LayerNorm,
    inner: Linear,
}

#[test]
fn a_language_model_is_compiled_and_says_which_word_it_takes_for_the_next() {
    let rng = &mut Random::new(7);
    let net = Words {
        words: Embedding::new(17, 8, rng),
        places: Param::new(Tensor::randn([6, 8], rng)),
        norm: LayerNorm::new([8]),
        inner: Linear::new(8, 8, rng),
    };
    quantize::share_values(&net.words.weight, 16).unwrap();
    let causal = AttentionOptions::new().is_causal(true);
    let program = |example: &Tensor<u32>| {
        let made = Standalone::of_indices(example, |tape, index| {
            let x = net.words.forward(index, tape) + tape.param(&net.places);
            let q = net.norm.forward(&x);
            let x = x + net.inner.forward(&q.scaled_dot_product_attention(&q, &q, &causal)).gelu();
            x.linear(&tape.param(&net.words.weight), None)
        });
        made.unwrap()
    };
    let rng = &mut Random::new(18);
    let mut text = || -> Vec<u32> { (0..6).map(|_| rng.randint(0..17).unwrap() as u32).collect() };
    let example = Tensor::new([1, 6], text()).unwrap();
    let mut values: Vec<Vec<f32>> =
        (0..20).map(|_| text().into_iter().map(|word| word as f32).collect()).collect();
    // What no row of the table is, and nothing that reading it outside would be.
    values.push(vec![-1.0, 17.0, 1e9, f32::INFINITY, f32::NAN, 3.7]);
    sources("words", program(&example), &values);
    let program = program(&example).argmax();
    let answer = program.run(&values[0]).unwrap();
    assert!(answer.len() == 6 && answer.iter().all(|word| (0.0..17.0).contains(word)), "{answer:?}");
    sources("next", program, &values);
}

/// A network of whole numbers of four bits, which has learnt the digits, and the images that it hasn't seen.
fn reader() -> (impl Layer + Serialize, Vec<Tensor>) {
    let (images, labels) = data::digits();
    let pixels = images.to_vec();
    let images = Tensor::from_fn([labels.numel(), 1, 8, 8], |i| pixels[i] / 16.0);
    let (train, test) = data::train_test_split(labels.numel(), 0.25, &mut Random::new(0)).unwrap();
    let rng = &mut Random::new(4);
    let net = Sequential((
        Conv2d::new(1, 6, 3, rng),
        Relu,
        MaxPool2d::new(2),
        Conv2d::new(6, 8, 3, rng),
        Relu,
        Flatten,
        Linear::new(8, 10, rng),
    ));
    let mut adam = Adam::new(1e-2);
    for epoch in 0..6 {
        if epoch == 3 {
            quantize::Quantizer::new(4).attach(&net, all_params).unwrap();
        }
        for batch in data::batches(train.len(), 64, rng) {
            let rows: Vec<usize> = batch.iter().map(|&i| train[i]).collect();
            let tape = Tape::new();
            let scores = net.forward(&tape.constant(images.rows(&rows).unwrap()));
            let loss = scores.cross_entropy(&labels.rows(&rows).unwrap());
            adam.step(&net, &loss.backward().unwrap()).unwrap();
        }
    }
    quantize::convert(&net).unwrap();
    let test = test.iter().map(|&i| images.rows(&[i]).unwrap()).collect();
    (net, test)
}

#[test]
fn a_reader_of_digits_answers_as_a_program_to_all_test_images_as_it_does() {
    let (net, test) = reader();
    assert_eq!(test.len(), 450);
    check("digits", &net, &test, |net, x| net.forward(x));
}

/// The classes of images, or of their scores' bits a checksum, as programs of `examples/shortest` print them.
fn digits(program: &Standalone, bytes: &[Vec<u8>], bits: bool) -> Vec<String> {
    let answer = |x: &Vec<u8>| {
        let x: Vec<f32> = x.iter().map(|v| *v as f32 / 255.0).collect();
        let y = program.run(&x).unwrap();
        let sum = y.iter().fold(0u32, |sum, y| (sum ^ y.to_bits()).wrapping_mul(16777619));
        let best = (0..y.len()).rev().max_by(|&a, &b| y[a].total_cmp(&y[b])).unwrap();
        if bits { (sum % 10).to_string() } else { best.to_string() }
    };
    bytes.iter().map(answer).collect()
}

/// Pixels from 0 to 16 as bytes from 0 to 255, or nearly.
fn bytes_of(images: &[Tensor]) -> Vec<Vec<u8>> {
    images.iter().map(|x| x.to_vec().iter().map(|v| (v * 255.0).round() as u8).collect()).collect()
}

/// The lines that a command writes, to standard output or, as an emulator does, as errors.
fn told(command: &mut Command, input: &[Vec<u8>]) -> Vec<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.concat());
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    drop(writer.join());
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    text.lines().map(String::from).collect()
}

#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn an_executable_without_libraries_gives_the_classes_that_the_model_gives() {
    let (net, test) = reader();
    let program = Standalone::new(&test[0], |x| net.forward(x)).unwrap().compact(true);
    assert!(program.data().len() < 900, "{}", program.data().len());
    let folder = Folder::new("standalone-executable");
    fs::write(folder.join("model.rs"), program.rust().replace("#![no_std]", "")).unwrap();
    fs::write(folder.join("main.rs"), include_str!("../../examples/shortest/targets/x86_64.rs")).unwrap();
    let args = [
        "--edition=2021",
        "-Awarnings",
        "-Copt-level=z",
        "-Clto=fat",
        "-Cpanic=abort",
        "-Crelocation-model=static",
        "-Clink-args=-nostartfiles -nostdlib -static",
        "-omain",
        "main.rs",
    ];
    let bytes = bytes_of(&test);
    for bits in [false, true] {
        let more = if bits { &["--cfg=feature=\"bits\""][..] } else { &[] };
        if compiled(&rustc(), &folder, &[&args[..], more].concat()).is_none() {
            return;
        }
        let answers = told(&mut Command::new(folder.join("main")), &bytes);
        assert_eq!(answers, digits(&program, &bytes, bits));
    }
}

#[test]
fn a_cortex_m4_gives_the_same_bits() {
    let (net, test) = reader();
    let program = Standalone::new(&test[0], |x| net.forward(x)).unwrap();
    let folder = Folder::new("standalone-cortex");
    let main = include_str!("../../examples/shortest/targets/cortex.c");
    fs::write(folder.join("cortex.c"), program.c() + "\n" + main).unwrap();
    fs::write(folder.join("cortex.ld"), include_str!("../../examples/shortest/targets/cortex.ld")).unwrap();
    let args = "-std=c99 -Os -DBITS -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -ffreestanding \
                -nostdlib -Tcortex.ld cortex.c -ocortex.elf -lgcc";
    let args: Vec<&str> = args.split_whitespace().collect();
    if compiled(Path::new("arm-none-eabi-gcc"), &folder, &args).is_none() {
        return;
    }
    let mut emulator = Command::new("qemu-system-arm");
    if emulator.arg("--version").output().is_err() {
        println!("skipped: there is no qemu-system-arm");
        return;
    }
    let args = "-machine mps2-an386 -display none -serial none -monitor none -semihosting-config \
                enable=on,target=native -icount shift=0 -kernel";
    let mut emulator = Command::new("qemu-system-arm");
    emulator.args(args.split_whitespace()).arg(folder.join("cortex.elf"));
    let bytes = bytes_of(&test);
    let mut answers = told(&mut emulator, &bytes);
    // The last line has figures.
    answers.pop();
    assert_eq!(answers, digits(&program, &bytes, true));
}
