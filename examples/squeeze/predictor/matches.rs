//! The longest earlier stretch that ends as the text does: what followed it then is expected again.
use super::{maps::Situations, numbers::Stretch};

pub struct Match {
    /// Bytes that must agree before a stretch is taken up.
    least: usize,
    places: Vec<u32>,
    place: usize,
    pub length: usize,
    pub missed: usize,
    expected: u8,
    situations: Situations,
}

impl Match {
    pub fn new(least: usize, log2: u32) -> Match {
        let situations = Situations::new(64 * 4 * 2);
        Match { least, places: vec![0; 1 << log2], place: 0, length: 0, missed: 8, expected: 0, situations }
    }

    /// After a byte: follows the stretch, or looks for another.
    pub fn push(&mut self, bytes: &[u8]) {
        let n = bytes.len();
        if self.length > 0 && self.expected == bytes[n - 1] {
            self.length += 1;
            self.place += 1;
            if self.length > 16 {
                self.missed = 0;
            }
        } else {
            if self.length > 0 {
                self.missed = (self.missed + 1).min(8);
            }
            self.length = 0;
        }
        if n >= self.least {
            let hash = bytes[n - self.least..]
                .iter()
                .fold(0u32, |h, &b| (h ^ u32::from(b)).wrapping_mul(0x2f0b_4c47));
            let slot = (hash ^ hash >> 15) as usize & (self.places.len() - 1);
            if self.length == 0 {
                let from = self.places[slot] as usize;
                let same = |k: &usize| bytes[from - 1 - k] == bytes[n - 1 - k];
                self.length = (0..from.min(400)).take_while(same).count();
                self.place = from;
                if self.length < self.least {
                    self.length = 0;
                }
            }
            self.places[slot] = n as u32;
        }
        self.expected = if self.length > 0 { bytes[self.place] } else { 0 };
    }

    /// The length in 16 steps.
    pub fn step(&self) -> usize {
        match self.length {
            0..=7 => self.length,
            8..=11 => 8,
            12..=15 => 9,
            16..=19 => 10,
            20..=23 => 11,
            24..=31 => 12,
            32..=47 => 13,
            48..=99 => 14,
            _ => 15,
        }
    }

    /// The expected byte, or none.
    pub fn foretold(&self) -> Option<u8> {
        (self.length > 0).then_some(self.expected)
    }

    /// The bit that is expected after the bits of this byte so far, or none.
    pub fn bit(&self, node: usize, bits: usize) -> Option<bool> {
        let expected = usize::from(self.expected) | 256;
        (self.length > 0 && expected >> (8 - bits) == node).then_some(expected >> (7 - bits) & 1 == 1)
    }

    /// Two inputs of the mixer.
    pub fn inputs(&mut self, stretch: &Stretch, node: usize, bits: usize) -> [f32; 2] {
        match self.bit(node, bits) {
            Some(bit) => {
                let at = (self.length.min(63) * 4 + self.missed.min(3)) * 2 + usize::from(bit);
                let (odds, p) = self.situations.predict(stretch, at);
                [odds, p * 4.0]
            }
            None => {
                self.situations.predict(stretch, 0);
                [0.0; 2]
            }
        }
    }

    pub fn update(&mut self, bit: bool) {
        self.situations.update(bit, 1023);
    }
}
