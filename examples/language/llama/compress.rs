//! A model in fewer bits.
use crate::{
    folder::{Fails, busy},
    model::Llama,
};
use kolmo::compress::{matrices, quantize::WeightOnly};
use std::str::FromStr;

/// How small a model is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Bits of each weight of a matrix.
    Bits(u32),
    /// Bytes of the file.
    Bytes(u64),
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

/// Rounds a model's matrices, adapters included, to the goal; `group` neighbours have a scale and a zero
/// point.
pub fn compress(model: &Llama, goal: Goal, group: usize) -> Fails<()> {
    match goal {
        Goal::Bits(bits) => {
            Ok(busy("rounding", || WeightOnly::new(bits).groups(group).apply(model, matrices))?)
        }
        // The place for what finds the best bits of each weight for a file of this size.
        Goal::Bytes(bytes) => {
            Err(format!("{bytes} bytes: a size can't be aimed at yet, only 1 to 8 bits").into())
        }
    }
}
