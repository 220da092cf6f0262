//! Steps and coded constants as a source: one way of printing, in the words of two languages.
use super::{
    compact::compacted,
    decoder::CONTEXTS,
    steps::{At, Buffer, Expr, Guard, How, Step},
    store::{Call, Stored},
};
use std::{collections::BTreeSet, ops::Range};

/// The words of a language.
pub(super) struct Language {
    /// A file's parts that are printed where they are used: functions, and what decodes.
    parts: [&'static str; 2],
    /// Behind a number.
    suffix: &'static str,
    top: fn(&Sizes) -> String,
    data: fn(&str) -> String,
    decode: [&'static str; 2],
    call: fn(&Range<usize>, &Call) -> String,
    run: fn(&Sizes) -> String,
    turn: fn(&str, usize) -> String,
    /// What stands before statements that are done on a condition, and behind them a brace.
    only: fn(&str) -> String,
    /// A new variable.
    variable: fn(&str, &str) -> String,
    /// The turn of a loop as a number.
    turned: fn(&str) -> String,
}

/// How many numbers there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    pub input: usize,
    pub output: usize,
    pub weights: usize,
    pub scratch: usize,
}

pub(super) const RUST: Language = Language {
    parts: [include_str!("decoder.rs"), include_str!("functions.rs")],
    suffix: "",
    top: |n| {
        format!(
            "//! A model as a program of its own, printed by kolmo: `decode` once, then `run`.\n#![no_std]\n\
             #![forbid(unsafe_code)]\n\npub const INPUT: usize = {};\npub const OUTPUT: usize = {};\n\
             pub const WEIGHTS: usize = {};\npub const SCRATCH: usize = {};\n\n",
            n.input, n.output, n.weights, n.scratch
        )
    },
    data: |letters| format!("static DATA: &[u8] = br#\"{letters}\"#;\n\n"),
    decode: [
        "pub fn decode(w: &mut [f32; WEIGHTS]) {\n    let d = &mut decoder(DATA);\n",
        "pub fn decode(_: &mut [f32; WEIGHTS]) {\n",
    ],
    call: |at, call| {
        let w = format!("d, &mut w[{}..{}]", at.start, at.end);
        match call {
            Call::Numbers => format!("numbers({w});"),
            Call::Steps { bits, zero, step, row } => {
                format!("steps({w}, {bits}, {zero:?}, {step:?}, {row});")
            }
            Call::Codes { bits, back } => format!("codes({w}, {bits}, {back});"),
            Call::LookedUp { k } => format!("looked_up({w}, {k});"),
            Call::Stepped { group, zero } => format!("stepped({w}, {group}, {zero:?});"),
            Call::Unpruned => format!("unpruned({w});"),
        }
    },
    run: |n| {
        let [w, s] =
            [(n.weights, "w", "_"), (n.scratch, "s", "_")].map(|(n, a, b)| if n > 0 { a } else { b });
        format!(
            "pub fn run({w}: &[f32; WEIGHTS], {s}: &mut [f32; SCRATCH], x: &[f32; INPUT], \
             y: &mut [f32; OUTPUT]) {{\n"
        )
    },
    turn: |i, n| format!("for {i} in 0..{n} {{"),
    only: |condition| format!("if {condition} {{ "),
    variable: |name, value| format!("let mut {name} = {value};"),
    turned: |i| format!("{i} as f32"),
};

pub(super) const C: Language = Language {
    parts: [include_str!("decoder.c"), include_str!("functions.c")],
    suffix: "f",
    top: |n| {
        format!(
            "/* A model as a program of its own, printed by kolmo: decode() once, then run(). */\n\
             #include <stdint.h>\n\
             #ifdef __clang__\n#pragma STDC FP_CONTRACT OFF\n#endif\n\n\
             enum {{ INPUT = {}, OUTPUT = {}, WEIGHTS = {}, \
             SCRATCH = {} }};\n\n",
            n.input, n.output, n.weights, n.scratch
        )
    },
    data: |letters| {
        // Two question marks could begin a trigraph.
        let escaped = letters.replace('\\', "\\\\").replace('?', "\\?");
        format!("static const uint8_t data[] = \"{escaped}\";\n\n")
    },
    decode: [
        "void decode(float *w) {\n    Decoder d = { 0, 0, 1, { { 0, 0 } } };\n",
        "void decode(float *w) {\n    (void)w;\n",
    ],
    call: |at, call| {
        let w = format!("&d, w + {}, {}", at.start, at.len());
        match call {
            Call::Numbers => format!("numbers({w});"),
            Call::Steps { bits, zero, step, row } => {
                format!("steps({w}, {bits}, {zero:?}f, {step:?}f, {row});")
            }
            Call::Codes { bits, back } => format!("codes({w}, {bits}, {back});"),
            Call::LookedUp { k } => format!("looked_up({w}, {k});"),
            Call::Stepped { group, zero } => format!("stepped({w}, {group}, {zero:?}f);"),
            Call::Unpruned => format!("unpruned({w});"),
        }
    },
    run: |_| "void run(const float *w, float *s, const float *x, float *y) {\n    (void)w, (void)s;\n".into(),
    turn: |i, n| format!("for (int32_t {i} = 0; {i} < {n}; {i}++) {{"),
    only: |condition| format!("if ({condition}) {{ "),
    variable: |name, value| format!("float {name} = {value};"),
    turned: |i| format!("(float){i}"),
};

/// The names of loops.
fn turn(i: usize) -> String {
    "ijklmnopqr".get(i..=i).map_or_else(|| format!("i{i}"), String::from)
}

/// A place without its buffer: what is added, and what is taken off.
fn place(at: &At) -> [String; 2] {
    let term = |(i, &by): (usize, &isize)| match by.unsigned_abs() {
        1 => turn(i),
        by => format!("{by} * {}", turn(i)),
    };
    let part = |sign: isize| {
        let by = at.by.iter().enumerate().filter(|(_, by)| **by * sign > 0).map(term);
        let start = (at.start * sign > 0).then(|| at.start.unsigned_abs().to_string());
        start.into_iter().chain(by).collect::<Vec<_>>()
    };
    let [more, less] = [1, -1].map(part);
    [if more.is_empty() { "0".into() } else { more.join(" + ") }, less.join(" - ")]
}

fn read(at: &At, row: &str) -> String {
    let name = match at.buffer {
        Buffer::Input => 'x',
        Buffer::Output => 'y',
        Buffer::Weights | Buffer::Constant(_) => 'w',
        Buffer::Scratch | Buffer::Result(_) => 's',
    };
    let [more, less] = place(at);
    if less.is_empty() { format!("{name}[{row}{more}]") } else { format!("{name}[{row}{more} - {less}]") }
}

/// The conditions for a term to take part.
fn inside(guard: &Guard) -> Vec<String> {
    let [more, less] = place(&guard.at);
    let least = (!less.is_empty()).then(|| format!("{more} >= {less}"));
    least.into_iter().chain([format!("{more} < {}", guard.size as isize - guard.at.start.min(0))]).collect()
}

/// The parts of a language's files that a text uses, and those that they use.
fn parts(language: &Language, text: &str) -> String {
    let blocks: Vec<&str> =
        language.parts.iter().flat_map(|file| file.split("\n\n")).filter(|b| !b.starts_with("//!")).collect();
    let code = |block: &str| -> String {
        block.lines().filter(|l| !l.starts_with("//") && !l.starts_with("/*")).collect::<Vec<_>>().join(" ")
    };
    let words = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !c.is_alphanumeric() && c != '_').map(String::from).collect()
    };
    // The name is the last word before what is in brackets.
    let name = |block: &str| {
        let code = code(block);
        let code = code.replace("pub(super) ", "");
        let defined = match code.split_once("typedef") {
            Some(_) => "Decoder",
            None => code.split(['(', ':', '<', '=']).next().unwrap_or_default(),
        };
        defined
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .rfind(|w| !w.is_empty())
            .unwrap_or_default()
            .to_string()
    };
    let (mut used, mut more) = (words(text), true);
    while more {
        more = false;
        for block in
            blocks.iter().filter(|b| used.contains(&name(b))).map(|b| words(&code(b))).collect::<Vec<_>>()
        {
            more |= !block.is_subset(&used);
            used.extend(block);
        }
    }
    let used = blocks.into_iter().filter(|b| used.contains(&name(b)));
    used.map(|b| b.replace("pub(super) ", "").trim_end().to_string() + "\n\n").collect()
}

impl Language {
    /// The whole source; compact, without what only a reader needs.
    pub fn source(&self, sizes: &Sizes, stored: &Stored, steps: &[Step], compact: bool) -> String {
        let mut text = self.decode[stored.calls.is_empty() as usize].to_string();
        for (at, call) in &stored.calls {
            text += &format!("    {}\n", (self.call)(at, call));
        }
        text += &format!("}}\n\n{}", (self.run)(sizes));
        for step in steps {
            self.step(&mut text, step);
        }
        text += "}\n";
        let contexts = |n: usize| format!(" = {n}");
        let parts = parts(self, &text).replace(&contexts(CONTEXTS), &contexts(stored.contexts));
        let mut all = [(self.top)(sizes), parts + &text];
        if compact {
            all = all.map(|text| compacted(&text));
        }
        let letters = String::from_utf8_lossy(&stored.letters);
        let data = if stored.calls.is_empty() { String::new() } else { (self.data)(&letters) };
        all.join(&data)
    }

    fn number(&self, value: f32, inside: bool) -> String {
        let text = match value {
            v if v.is_nan() => format!("0.0{0} / 0.0{0}", self.suffix),
            v => format!("{:?}{}", v.clamp(f32::MIN, f32::MAX), self.suffix),
        };
        if inside && (value < 0.0 || value.is_nan()) { format!("({text})") } else { text }
    }

    fn expr(&self, e: &Expr, inside: bool) -> String {
        match e {
            Expr::Folded => "a".into(),
            Expr::Number(value) => self.number(*value, inside),
            Expr::Read(at) => read(at, ""),
            Expr::Row { at, number, rows, length } => {
                read(at, &format!("{length} * row_of({}, {rows}) + ", read(number, "")))
            }
            Expr::Call(name, x) => {
                format!("{name}({})", x.iter().map(|x| self.expr(x, false)).collect::<Vec<_>>().join(", "))
            }
            Expr::Binary(op, a, b) => {
                let text = format!("{} {op} {}", self.expr(a, true), self.expr(b, true));
                if inside { format!("({text})") } else { text }
            }
        }
    }

    fn step(&self, text: &mut String, step: &Step) {
        let mut depth = 1;
        let line = |text: &mut String, depth: usize, words: &str| {
            text.push_str(&"    ".repeat(depth));
            text.push_str(words);
            text.push('\n');
        };
        for (i, &n) in step.sizes.iter().enumerate() {
            line(text, depth, &(self.turn)(&turn(i), n));
            depth += 1;
        }
        if let Some(fold) = &step.fold {
            // A block of its own, for the name.
            if step.sizes.is_empty() {
                line(text, depth, "{");
                depth += 1;
            }
            line(text, depth, &(self.variable)("a", &self.expr(&fold.first, false)));
            if fold.how == How::Place {
                line(text, depth, &(self.variable)("b", &self.number(f32::MIN, false)));
            }
            for (i, &n) in fold.sizes.iter().enumerate() {
                line(text, depth, &(self.turn)(&turn(step.sizes.len() + i), n));
                depth += 1;
            }
            let term = self.expr(&fold.term, false);
            let add = match fold.how {
                How::Sum => format!("a += {term};"),
                How::Largest => format!("a = max_of(a, {term});"),
                How::Place => {
                    let place = (self.turned)(&turn(step.sizes.len() + fold.sizes.len().saturating_sub(1)));
                    format!("{}b = {term}; a = {place}; }}", (self.only)(&format!("{term} > b")))
                }
            };
            let inside: Vec<String> = fold.guards.iter().flat_map(inside).collect();
            let only = (self.only)(&inside.join(" && "));
            line(text, depth, &if inside.is_empty() { add } else { format!("{only}{add} }}") });
            for _ in &fold.sizes {
                depth -= 1;
                line(text, depth, "}");
            }
        }
        line(text, depth, &format!("{} = {};", read(&step.to, ""), self.expr(&step.value, false)));
        while depth > 1 {
            depth -= 1;
            line(text, depth, "}");
        }
    }
}
