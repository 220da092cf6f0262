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
    ops::{ConvOptions, PoolOptions},
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
    let bits: Vec<Vec<u32>> = own.iter().map(|y| y.iter().map(|v| v.to_bits()).collect()).collect();
    let long = [program.rust(), program.c()].map(|text| text.len());
    let folder = Folder::new(&format!("standalone-{name}"));
    compile(name, &program, &folder, "-Dwarnings", &values, &bits);
    let program = program.compact(true);
    assert!(program.rust().len() < long[0] && program.c().len() < long[1]);
    compile(&format!("{name}, compact"), &program, &folder, "-Awarnings", &values, &bits);
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
    if compiled(&rustc(), &folder, &args).is_none() {
        return;
    }
    // Pixels from 0 to 16 are bytes from 0 to 255, or nearly.
    let bytes: Vec<Vec<u8>> =
        test.iter().map(|x| x.to_vec().iter().map(|v| (v * 255.0).round() as u8).collect()).collect();
    let mut child =
        Command::new(folder.join("main")).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&bytes.concat()).unwrap();
    let output = child.wait_with_output().unwrap();
    let best = |x: &Vec<u8>| {
        let x: Vec<f32> = x.iter().map(|v| *v as f32 / 255.0).collect();
        let y = program.run(&x).unwrap();
        (0..y.len()).rev().max_by(|&a, &b| y[a].total_cmp(&y[b])).unwrap().to_string()
    };
    let own: Vec<String> = bytes.iter().map(best).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), own);
}
