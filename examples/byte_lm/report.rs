//! What came of it: a table, `report.json`, and a plot.
use crate::{Result, model::ByteLm};
use kolmo::{data::write_file, plot::Plot};
use serde::Serialize;
use std::{
    fmt, fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// All networks.
#[derive(Default, Serialize)]
pub struct Report {
    pub points: Vec<Point>,
}

/// One network.
#[derive(Serialize)]
pub struct Point {
    width: usize,
    weights: usize,
    /// Of the `.kolmo` file.
    file: u64,
    /// Of the network printed as a program of its own, in Rust and with its constants, under `xz -9e`; none
    /// where there is no `xz`.
    program: Option<usize>,
    /// Bits a byte of the text, and its length.
    bits: f64,
    text: usize,
    /// Of training.
    seconds: f64,
}

impl Point {
    pub const HEAD: &str = "   width   weights      file   program bits a byte   seconds";

    /// Measures the network that a file has.
    pub fn of(path: &Path, text: &[u8], trained: Duration) -> Result<Point> {
        let net = ByteLm::load(path)?;
        let source = net.program()?.rust();
        let program = xz(source.as_bytes());
        write_file(source, path.with_extension("rs"))?;
        Ok(Point {
            width: net.width(),
            weights: ByteLm::weights(net.width()),
            file: fs::metadata(path)?.len(),
            program,
            bits: net.bits(text)? / text.len() as f64,
            text: text.len(),
            seconds: trained.as_secs_f64(),
        })
    }

    /// The bytes of all that is needed, as far as they are known.
    fn bytes(&self) -> f64 {
        self.program.map_or(self.file as f64, |bytes| bytes as f64)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Point { width, weights, file, program, bits, seconds, .. } = self;
        let program = program.map_or("no xz".into(), |bytes| bytes.to_string());
        write!(f, "{width:>8}{weights:>10}{file:>10}{program:>10}{bits:>12.4}{seconds:>10.0}")
    }
}

impl Report {
    /// Writes `report.json`, and draws bytes against bits; beside them the text as `squeeze` made it, if its file
    /// is there.
    pub fn finish(&self, folder: &Path) -> Result<()> {
        write_file(serde_json::to_string_pretty(self)? + "\n", folder.join("report.json"))?;
        let points = || self.points.iter().map(|point| (point.bytes(), point.bits));
        let (least, most) =
            points().fold((f64::INFINITY, 0.0f64), |(low, high), (x, _)| (low.min(x), high.max(x)));
        let mut plot = Plot::new("A text foretold by bytes")
            .axes("bytes of the network and its program", "bits a byte")
            .log_x(true)
            .line("networks", points())
            .points("networks", points());
        if let Ok(file) = fs::metadata(folder.join("rest.sqz")) {
            let bits = 8.0 * file.len() as f64 / self.points.first().map_or(1, |point| point.text) as f64;
            plot =
                plot.dashed("squeeze after the text before", [(least, bits), (most.max(2.0 * least), bits)]);
        }
        plot.save(folder.join("plot.svg"))?;
        println!("files, report.json and plot.svg are in {}", folder.display());
        Ok(())
    }
}

/// What `xz -9e` makes of bytes.
fn xz(bytes: &[u8]) -> Option<usize> {
    let mut command = Command::new("xz");
    command.args(["-9e", "--check=none", "--stdout"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let (stdin, input) = (child.stdin.take(), bytes.to_vec());
    let writer = std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
    let output = child.wait_with_output().ok()?;
    writer.join().ok()??.ok()?;
    output.status.success().then_some(output.stdout.len())
}
