//! One network as a program of its own, counted in each way: what a compressor makes of its sources with their
//! constants in them, an executable and a module of WebAssembly without libraries, and the flash, memory and
//! instructions that a Cortex-M4 takes. What was built is run on the test images.
use crate::{Result, assemble, images::Set, reader::Reader};
use kolmo::{compress::Standalone, data::write_file};
use serde::Serialize;
use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Images that the emulator of a Cortex-M4 answers to.
const EMULATED: usize = 100;
/// Its instructions in a tick of its clock: one takes a nanosecond, and the clock has 25 MHz.
const IN_A_TICK: usize = 40;

/// Settings of `xz`, tried in turn; the shortest counts.
const XZ: [&str; 3] = ["preset=9e", "preset=9e,pb=0", "preset=9e,pb=0,lc=4"];
const RUSTC: [&str; 9] = [
    "--edition=2021",
    "-Awarnings",
    "-Copt-level=z",
    "-Clto=fat",
    "-Ccodegen-units=1",
    "-Cpanic=abort",
    "-Cforce-unwind-tables=no",
    "-Cstrip=symbols",
    "-Crelocation-model=static",
];
const LINK: [&str; 4] = [
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
    "-Clink-arg=-Wl,-N,--build-id=none,--gc-sections",
];
const GCC: [&str; 10] = [
    "-std=c99",
    "-Os",
    "-mcpu=cortex-m4",
    "-mthumb",
    "-mfloat-abi=hard",
    "-mfpu=fpv4-sp-d16",
    "-ffreestanding",
    "-nostdlib",
    "-Tcortex.ld",
    "cortex.c",
];
const QEMU: [&str; 13] = [
    "-machine",
    "mps2-an386",
    "-display",
    "none",
    "-serial",
    "none",
    "-monitor",
    "none",
    "-semihosting-config",
    "enable=on,target=native",
    "-icount",
    "shift=0",
    "-kernel",
];
const CARGO: &str = r#"
[package]
name = "digits"
version = "0.0.0"
edition = "2021"
[lib]
path = "wasm.rs"
crate-type = ["cdylib"]
[features]
bits = []
[profile.release]
opt-level = "z"
lto = "fat"
codegen-units = 1
panic = "abort"
strip = true
[workspace]
"#;

/// The module, in the folder.
const MODULE: &str = "module/target/wasm32-unknown-unknown/release/digits.wasm";

/// Where the programs are made, and what they are held to.
pub struct Sizes<'a> {
    pub folder: PathBuf,
    pub test: &'a Set,
    /// What makes a module of WebAssembly, if it isn't the compiler that `rustc` is.
    pub wasm_compiler: Option<&'a Path>,
}

/// A line of the table, or what is missing for it.
type Row = std::result::Result<String, String>;
/// What a command wrote, or what is missing.
type Run = std::result::Result<Vec<u8>, String>;

impl Sizes<'_> {
    /// Runs a program in the folder; its standard output, followed by errors if it succeeds.
    fn run(&self, program: impl AsRef<Path>, args: &[&str], input: &[u8]) -> Run {
        let program = program.as_ref();
        let name = program.file_name().unwrap_or_default().display();
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.folder).env("RUSTC_BOOTSTRAP", "1");
        if let (Some(compiler), true) = (self.wasm_compiler, program.ends_with("cargo")) {
            command.env("RUSTC", compiler);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{name}: {e}"))?;
        let (stdin, input) = (child.stdin.take(), input.to_vec());
        let writer = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        let output = child.wait_with_output().map_err(|e| format!("{name}: {e}"))?;
        drop(writer.join());
        if output.status.success() {
            return Ok([output.stdout, output.stderr].concat());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let reason = text.lines().find(|line| line.contains("error")).or(text.lines().last());
        Err(format!("{name}: {}", reason.unwrap_or("failed")))
    }

    fn size(&self, name: &str) -> std::result::Result<usize, String> {
        let path = self.folder.join(name);
        fs::metadata(&path).map(|m| m.len() as usize).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The shortest that `xz` makes of a file.
    fn xz(&self, name: &str) -> std::result::Result<String, String> {
        let mut sizes = Vec::new();
        for settings in XZ {
            let lzma = format!("--lzma2={settings}");
            sizes.push(self.run("xz", &["--check=none", &lzma, "--keep", "--stdout", name], &[])?.len());
        }
        let best = sizes.iter().min().copied().unwrap_or_default();
        Ok(format!("{best} under xz, {} plain", self.size(name)?))
    }

    /// How many checksums of scores are there, and whether they are those of other programs.
    fn same_bits(&self, all: [(&str, Run); 3]) -> Row {
        let mut lines: Vec<(&str, Vec<u8>)> = Vec::new();
        let mut text = String::new();
        for (name, run) in all {
            match run {
                Ok(answers) => {
                    let digits = String::from_utf8_lossy(&answers).into_owned();
                    let digits = digits.lines().filter(|line| line.len() == 1).collect::<String>();
                    lines.push((name, digits.into_bytes()));
                }
                Err(missing) => text += &format!("{name} skipped: {missing}; "),
            }
        }
        let [(_, first), others @ ..] = &lines[..] else { return Err("nothing ran".into()) };
        for (name, own) in others {
            let differ = own.iter().zip(first).filter(|(a, b)| a != b).count();
            text += &format!("of {} images {differ} have other scores on {name}; ", own.len());
        }
        Ok(format!("{text}beside {} on {}", first.len(), lines[0].0))
    }

    /// How many of the answers are wrong, and how many aren't the network's.
    fn compared(&self, answers: &[u8], own: &[u32]) -> String {
        let text = String::from_utf8_lossy(answers);
        let answers: Vec<u32> = text.lines().map_while(|line| line.trim().parse().ok()).collect();
        let labels = self.test.labels.to_vec();
        let differ = |other: &[u32]| answers.iter().zip(other).filter(|(a, b)| a != b).count();
        let (wrong, other) = (differ(&labels), differ(own));
        format!("of {} images {wrong} wrong, {other} not as the network says", answers.len())
    }

    /// An executable for x86-64 Linux: its classes, or checksums of its scores.
    fn executable(&self, bits: bool, pixels: &[u8]) -> Run {
        let more = if bits { &["--cfg=feature=\"bits\""][..] } else { &[] };
        self.run(rustc(), &[&RUSTC[..], &LINK, more, &["-omodel", "module/x86_64.rs"]].concat(), &[])?;
        let path = self.folder.join("model");
        let whole = fs::read(&path).map_err(|e| e.to_string())?;
        fs::write(&path, loaded(&whole)).map_err(|e| e.to_string())?;
        self.run(&path, &[], pixels)
    }

    /// A module of WebAssembly, which Node.js runs: the same.
    fn module(&self, bits: bool) -> Run {
        let build = ["build", "--release", "--target=wasm32-unknown-unknown", "--target-dir=module/target"];
        let core = if self.wasm_compiler.is_some() { &["-Zbuild-std=core"][..] } else { &[] };
        let more = if bits { &["--features=bits"][..] } else { &[] };
        let manifest = ["--manifest-path=module/Cargo.toml"];
        self.run(Path::new(env!("CARGO")), &[&build[..], &manifest, core, more].concat(), &[])?;
        let size = (self.test.images.dim(1)).to_string();
        self.run("node", &["run.mjs", MODULE, "images", &size], &[])
    }

    /// A program for a Cortex-M4, which an emulator runs: the same of some images, then two figures.
    fn cortex(&self, bits: bool, pixels: &[u8]) -> Run {
        let more = if bits { &["-DBITS"][..] } else { &[] };
        self.run("arm-none-eabi-gcc", &[&GCC[..], more, &["-ocortex.elf", "-lgcc"]].concat(), &[])?;
        let some = &pixels[..pixels.len().min(self.test.images.dim(1) * EMULATED)];
        self.run("qemu-system-arm", &[&QEMU[..], &["cortex.elf"]].concat(), some)
    }

    /// Writes sources, images, and what programs are built of.
    fn write(&self, program: &Standalone) -> Result<Vec<u8>> {
        fs::create_dir_all(self.folder.join("module"))?;
        let write = |name: &str, text: &str| write_file(text, self.folder.join(name));
        let (rust, c) = (program.rust(), program.c());
        write("model.c", &c)?;
        write("model.rs", &rust)?;
        write("module/model.rs", &rust.replace("#![no_std]", ""))?;
        write("module/x86_64.rs", include_str!("targets/x86_64.rs"))?;
        write("module/wasm.rs", include_str!("targets/wasm.rs"))?;
        write("module/Cargo.toml", CARGO)?;
        write("cortex.c", &(c + "\n" + include_str!("targets/cortex.c")))?;
        write("cortex.ld", include_str!("targets/cortex.ld"))?;
        write("run.mjs", include_str!("targets/run.mjs"))?;
        let pixels: Vec<u8> = self.test.images.to_vec().iter().map(|v| (v * 255.0).round() as u8).collect();
        write_file(&pixels, self.folder.join("images"))?;
        Ok(pixels)
    }

    /// A line for each way of counting.
    pub fn table(&self, net: &Reader) -> Result<String> {
        let program = Standalone::new(&self.test.images.narrow(0, 0, 1)?, |x| net.forward(x))?.compact(true);
        let pixels = self.write(&program)?;
        let own = net.scores(&self.test.images)?.argmax(1, false)?.to_vec();
        let executable = || -> Row {
            let answers = self.executable(false, &pixels)?;
            Ok(format!("{}; {}", self.size("model")?, self.compared(&answers, &own)))
        };
        let module = || -> Row {
            let answers = self.module(false)?;
            Ok(format!("{}; {}", self.size(MODULE)?, self.compared(&answers, &own)))
        };
        let cortex = || -> Row {
            let answers = self.cortex(false, &pixels)?;
            let sizes = self.run("arm-none-eabi-size", &["cortex.elf"], &[])?;
            let sizes = String::from_utf8_lossy(&sizes);
            let sizes = sizes.lines().nth(1).into_iter().flat_map(|line| line.split_whitespace());
            let sizes: Vec<usize> = sizes.map_while(|word| word.parse().ok()).collect();
            let [flash, data, bss, ..] = sizes[..] else { return Err("arm-none-eabi-size: no sizes".into()) };
            let text = String::from_utf8_lossy(&answers);
            let last = text.lines().last().unwrap_or_default().split_whitespace();
            let last: Vec<usize> = last.map_while(|word| word.parse().ok()).collect();
            let [ticks, stack] = last[..] else { return Err(format!("qemu-system-arm: {text}")) };
            let lines: Vec<&str> = text.lines().collect();
            let answers = lines[..lines.len() - 1].join("\n");
            Ok(format!(
                "flash {}, memory {} and {stack} of stack, {} instructions an answer; {}",
                flash + data,
                data + bss,
                ticks * IN_A_TICK,
                self.compared(answers.as_bytes(), &own)
            ))
        };
        let rows: [(&str, Row); 7] = [
            ("data", Ok(format!("{}", program.data().len()))),
            ("Rust source with its data", self.xz("model.rs")),
            ("C source with its data", self.xz("model.c")),
            ("executable, x86-64 Linux", executable()),
            ("module of WebAssembly", module()),
            ("Cortex-M4", cortex()),
            ("bits of scores", {
                let (x86, cortex) = (self.executable(true, &pixels), self.cortex(true, &pixels));
                self.same_bits([("x86-64", x86), ("WebAssembly", self.module(true)), ("Cortex-M4", cortex)])
            }),
        ];
        let line = |(name, row): (&str, Row)| match row {
            Ok(text) => format!("{name:<28}{text}\n"),
            Err(missing) => format!("{name:<28}skipped: {missing}\n"),
        };
        Ok(rows.into_iter().map(line).collect())
    }
}

/// What a page tells of a network that it holds.
#[derive(Serialize)]
struct Facts {
    data: usize,
    weights: usize,
    images: usize,
    wrong: usize,
}

impl Sizes<'_> {
    /// The page that holds the module of a network.
    pub fn page(&self, net: &Reader) -> Result<String> {
        let program = Standalone::new(&self.test.images.narrow(0, 0, 1)?, |x| net.forward(x))?.compact(true);
        self.write(&program)?;
        let answers = self.module(false)?;
        let labels = self.test.labels.to_vec();
        let text = String::from_utf8_lossy(&answers);
        let right =
            text.lines().zip(&labels).filter(|(line, label)| line.trim() == label.to_string()).count();
        let facts = Facts {
            data: program.data().len(),
            weights: net.count()?[0],
            images: labels.len(),
            wrong: labels.len() - right,
        };
        let module = fs::read(self.folder.join(MODULE))?;
        Ok(assemble::assemble(&assemble::base64(&module), &serde_json::to_string(&facts)?))
    }
}

/// What stands beside cargo, or what the variable says.
fn rustc() -> PathBuf {
    let beside = || Path::new(env!("CARGO")).with_file_name("rustc");
    env::var_os("RUSTC").map_or_else(beside, PathBuf::from)
}

/// An executable without what nothing loads: the sections' names and headers.
fn loaded(file: &[u8]) -> Vec<u8> {
    let number = |at: usize, len: usize| -> usize {
        file.iter().skip(at).take(len).rev().fold(0, |n, &byte| n << 8 | byte as usize)
    };
    let (first, each, count) = (number(32, 8), number(54, 2), number(56, 2));
    // Offset and length of each part that is loaded.
    let parts = (0..count).map(|i| first + i * each).filter(|&at| number(at, 4) == 1);
    let end = parts.map(|at| number(at + 8, 8) + number(at + 32, 8)).max().unwrap_or(file.len());
    let mut short = file[..end.min(file.len())].to_vec();
    for (at, byte) in short.iter_mut().enumerate() {
        if (40..48).contains(&at) || (58..64).contains(&at) {
            *byte = 0;
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::loaded;

    #[test]
    fn what_no_segment_loads_is_cut_off() {
        // A header, one segment of 16 bytes behind it, and 30 bytes of names and headers of sections.
        let mut file = vec![0u8; 64 + 56 + 16 + 30];
        (file[32], file[54], file[56], file[58], file[60]) = (64, 56, 1, 64, 7);
        (file[64], file[72], file[96]) = (1, 120, 16);
        file[135] = 9;
        let short = loaded(&file);
        assert_eq!((short.len(), short[135]), (136, 9));
        assert!(short[40..48].iter().chain(&short[58..64]).all(|byte| *byte == 0));
        assert_eq!(loaded(&file[..20]).len(), 20);
    }
}
