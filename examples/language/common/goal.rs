//! How small a model is to be.
use std::{fmt, str::FromStr};

/// What a command line says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Bits of each weight of a matrix.
    Bits(u32),
    /// Bytes of the file.
    Bytes(u64),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::Bits(bits) => write!(f, "{bits} bits"),
            Goal::Bytes(bytes) => write!(f, "{:.1} MB", *bytes as f64 / 1e6),
        }
    }
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Goal, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number = digits.parse::<u64>().ok();
        let unit = match &text[digits.len()..] {
            "" => Some(1),
            "kB" => Some(1_000),
            "MB" => Some(1_000_000),
            "GB" => Some(1_000_000_000),
            _ => None,
        };
        match (number, unit) {
            (Some(bits @ 1..=8), Some(1)) => Ok(Goal::Bits(bits as u32)),
            (Some(number), Some(unit)) if number > 0 => number
                .checked_mul(unit)
                .map(Goal::Bytes)
                .ok_or(format!("{text} are more bytes than there can be")),
            _ => Err("takes 1 to 8 (bits), or bytes: 60MB".into()),
        }
    }
}
