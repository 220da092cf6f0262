//! Every file comes back, damage is an error, and the bytes are those of other machines.
use super::{
    file::{OVERHEAD, decode, encode},
    lines::Lines,
    predictor::{
        history::States,
        mixer::Layer,
        numbers::{LANES, Stretch, exp, squash},
    },
};
use flate2::Crc;
use kolmo::{Tape, Tensor};

/// Draws numbers below a bound.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Bytes of one of several kinds: even, of few values, repeated with errors, brackets and line ends,
    /// words.
    fn bytes(&mut self, longest: u64) -> Vec<u8> {
        let (length, kind, period) = (self.below(longest + 1), self.below(6), 1 + self.below(40));
        let mut bytes: Vec<u8> = Vec::new();
        for i in 0..length {
            let again = bytes.len().checked_sub(period as usize).map(|at| bytes[at]);
            let byte = match kind {
                0 => self.below(256) as u8,
                1 => b'a' + self.below(3) as u8,
                2 => again.filter(|_| self.below(50) > 0).unwrap_or(self.below(256) as u8),
                3 => b"([{<\"\n)]}> \0\xff.aZ9"[self.below(17) as usize],
                4 => (i / period) as u8,
                _ => *b"the cat, on The mat. ".iter().cycle().nth((i + self.below(2)) as usize).unwrap_or(&0),
            };
            bytes.push(byte);
        }
        bytes
    }
}

/// `SQUEEZE_INPUTS` says how many are tried.
fn inputs(default: u64) -> u64 {
    std::env::var("SQUEEZE_INPUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[test]
fn any_bytes_come_back_and_are_never_much_longer() {
    for seed in 0..inputs(25) {
        let bytes =
            if seed == 0 { Vec::new() } else { Draw(seed).bytes(if seed % 64 == 1 { 2000 } else { 60 }) };
        let file = encode(&bytes, &[], 1 << (seed % 3), |_| {});
        assert!(file.len() <= bytes.len() + OVERHEAD, "seed {seed}: {} bytes in {}", bytes.len(), file.len());
        assert!(decode(&file, &[], 4, |_, _| {}).unwrap() == bytes, "seed {seed}");
    }
}

#[test]
fn damaged_and_cut_files_are_errors() {
    let bytes = b"It was the best of times, it was the worst of times, it was the age of wisdom, it was ..."
        .repeat(2);
    let file = encode(&bytes, &[], 16, |_| {});
    assert!(file.len() < bytes.len());
    for seed in 0..inputs(15) {
        let (mut draw, mut damaged) = (Draw(seed), file.clone());
        match draw.below(4) {
            0 => damaged.truncate(draw.below(file.len() as u64) as usize),
            1 => damaged.push(draw.below(256) as u8),
            2 => damaged[..20].fill(draw.below(256) as u8),
            _ => damaged[draw.below(file.len() as u64) as usize] ^= 1 << draw.below(8),
        }
        if damaged != file {
            let result = decode(&damaged, &[], 16, |_, _| {});
            assert!(result.is_err() || result.unwrap() == bytes, "seed {seed}");
        }
    }
}

#[test]
fn what_follows_a_known_text_takes_less_and_needs_that_text() {
    let text = include_bytes!("../../LICENSE-APACHE");
    let (known, rest) = text[..4000].split_at(3000);
    let (alone, after) = (encode(rest, &[], 4, |_| {}), encode(rest, known, 4, |_| {}));
    assert!(5 * after.len() < 4 * alone.len(), "{} bytes, {} alone", after.len(), alone.len());
    assert!(decode(&after, known, 4, |_, _| {}).unwrap() == rest);
    assert!(decode(&alone, known, 4, |_, _| {}).unwrap() == rest);
    let why = |prime: &[u8]| decode(&after, prime, 4, |_, _| {}).unwrap_err().to_string();
    assert!(why(&[]).contains("--prime takes: none is given") && why(rest).contains("this one has"));
}

#[test]
fn a_file_takes_no_memory_on_its_word() {
    let said = |table: u8, length: &[u8]| {
        let file = [b"sqz\x12\0\0\0\0\0", &[table][..], length, &[1, 2, 3]].concat();
        decode(&file, &[], 1, |_, _| {}).unwrap_err().to_string()
    };
    assert!(said(10, &[0xff, 0xff, 0xff, 0x7f]).contains("3 bytes can't hold 268435455"));
    assert!(said(31, &[5]).contains("takes 65536 MiB for its table"));
    assert!(said(15, &[5]).contains("2^15 buckets for 5 bytes"));
    assert!(said(9, &[5]).contains("10..=31 are possible"));
    assert!(said(10, &[0xff; 12]).contains("more than nine digits"));
}

/// Words in lines of about `width` letters that begin with `spaces`.
fn wrapped(words: u64, width: usize, spaces: usize, end: &str) -> String {
    let (mut draw, mut text, mut column) = (Draw(words), String::new(), 0);
    for _ in 0..words {
        let word = &"impossibilities"[..1 + draw.below(9) as usize];
        if column > 0 && column + 1 + word.len() > width {
            text += end;
            text += &" ".repeat(spaces);
            column = spaces;
            if draw.below(30) == 0 {
                text += end;
            }
        } else if column > 0 {
            text += " ";
            column += 1;
        }
        text += word;
        column += word.len();
    }
    text
}

#[test]
fn line_ends_of_wrapped_paragraphs_cost_little_and_come_back() {
    for (width, spaces, end) in [(40, 0, "\n"), (66, 1, "\r\n"), (72, 4, "\n")] {
        let text = wrapped(2000, width, spaces, end);
        let (lines, plain) = Lines::take(text.as_bytes());
        let (told, coded) = lines.wrapped.clone().unwrap();
        let breaks = text.matches(end).count();
        assert!(usize::from(told) == spaces && lines.returns == (end.len() == 2));
        assert!(plain.iter().filter(|&&b| b == b'\n').count() < breaks / 10 && !plain.contains(&b'\r'));
        assert!(8 * coded.len() < breaks, "{} bytes for {breaks} breaks", coded.len());
        assert!(lines.put(plain.clone()).unwrap() == text.as_bytes());
        let cut = Lines { wrapped: Some((told, coded[..coded.len() / 4].to_vec())), ..lines };
        assert!(cut.put(plain).is_none_or(|bytes| bytes != text.as_bytes()));
    }
    for seed in 0..inputs(200) {
        let bytes = Draw(seed).bytes(3000);
        let (lines, plain) = Lines::take(&bytes);
        assert!(lines.put(plain).unwrap() == bytes, "seed {seed}");
    }
    // Where lines end at random, breaks stay where they are.
    let mut draw = Draw(1);
    let verse: String = (0..3000).map(|_| if draw.below(6) > 0 { "word " } else { "word\n" }).collect();
    assert_eq!(Lines::take(verse.as_bytes()).0, Lines::default());
}

#[test]
fn the_bytes_of_a_file_are_those_of_every_machine() {
    let text = include_bytes!("../../LICENSE-APACHE");
    let mut crc = Crc::new();
    crc.update(&encode(&text[..3000], &[], 16, |_| {}));
    assert_eq!((crc.amount(), crc.sum()), (986, 3_577_335_207));
}

/// The gradient of `-log p(bit)` by the tape is what a set of weights moves against.
#[test]
fn a_step_of_the_mixer_is_the_gradient_of_the_tape() {
    let x: Vec<f32> = (0..LANES).map(|i| (i as f32 * 0.7) % 3.0 - 1.0).collect();
    for bit in [false, true] {
        let mut layer = Layer::new(vec![0.1; LANES], &[2]);
        let (mut odds, mut moved) = ([0.0], [0.0]);
        layer.predict(&x, &[1], &mut odds);
        layer.update(&x, bit, 0.5);
        layer.predict(&x, &[1], &mut moved);

        let tape = Tape::<f32>::new();
        let w = tape.input(Tensor::from(vec![0.1f32; LANES]));
        let y = tape.constant(Tensor::from(x.clone()));
        let sum = (&w * &y).sum();
        let target = Tensor::scalar(f32::from(u8::from(bit)));
        let loss = sum.binary_cross_entropy_with_logits(&target);
        let slope = loss.grad(&[&w]).unwrap()[0].to_vec().unwrap();
        let expected: f32 = slope.iter().zip(&x).map(|(g, x)| (0.1 - 0.5 * g) * x).sum();
        assert!((odds[0] - sum.item().unwrap()).abs() < 1e-5);
        assert!((moved[0] - expected).abs() < 1e-4, "{} {expected}", moved[0]);
    }
}

#[test]
fn probabilities_and_log_odds_are_inverse() {
    let stretch = Stretch::new();
    for p in (8..65_536).step_by(16) {
        let back = squash(stretch.of(p)) * 65_536.0;
        assert!((back - p as f32).abs() < 0.5, "{p} {back}");
    }
    for i in -800..800 {
        let x = i as f32 / 10.0;
        assert!((f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs() < 1e-5, "{x}");
    }
}

#[test]
fn states_count_what_was_seen() {
    let states = States::new();
    let mut history = 0;
    for n in 1..=20 {
        history = states.after(history, true);
        assert_eq!(states.0[usize::from(history & 255)][2..], [0, n]);
    }
    assert_eq!(history >> 8, 255);
    history = states.after(history, false);
    let [_, _, zeros, ones] = states.0[usize::from(history & 255)];
    assert!(zeros == 1 && (3..12).contains(&ones), "{ones} ones after a zero");
}
