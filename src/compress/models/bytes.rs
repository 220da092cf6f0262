//! Floating-point values, text and small whole numbers, as bytes and digits predicted from those before them.
use super::symbols::{Exhausted, code_each, code_path};
use crate::compress::coding::{BitCoder, Predictor};

/// Predicts bytes from four contexts that the caller chooses.
struct ByteModel(Predictor<4>);

impl ByteModel {
    /// Counters per context. Pairs of context and node are spread over them by multiplication.
    const SLOTS_LOG2: u32 = 16;

    fn new(sets: usize) -> ByteModel {
        ByteModel(Predictor::new([1 << Self::SLOTS_LOG2; 4], sets))
    }

    fn code<C: BitCoder>(&mut self, coder: &mut C, byte: u8, contexts: [u32; 4], set: usize) -> u8 {
        let code = code_path(256, usize::from(byte), |_, node, bit| {
            let slots = contexts.map(|context| {
                let key = context.wrapping_mul(256).wrapping_add(node as u32);
                (key.wrapping_mul(0x9e37_79b1) >> (32 - Self::SLOTS_LOG2)) as usize
            });
            self.0.code(coder, bit, slots, set)
        });
        code as u8
    }
}

/// Codes values of `width` bytes each, highest byte first: signs and exponents are worth predicting, and the
/// low bytes too if they are zero or repeat.
pub(crate) fn code_values<C: BitCoder>(
    coder: &mut C,
    count: usize,
    width: usize,
    flat: bool,
    mut source: impl FnMut(usize) -> u32,
) -> Result<Vec<u32>, Exhausted> {
    if flat || count == 0 {
        return code_each(coder, count, |coder, index| {
            coder.code_raw(u64::from(source(index)), 8 * width as u32) as u32
        });
    }
    let mut model = ByteModel::new(width);
    let mut previous = 0u32;
    code_each(coder, count, |coder, index| {
        let given = source(index);
        let mut value = 0u32;
        for plane in 0..width {
            let shift = 8 * (width - 1 - plane);
            // `value` has the bytes of this value so far, `same` is the previous one's byte in this place.
            let same = previous >> shift & 0xff;
            let contexts = [0, value & 0xff, same, value & 0xffff].map(|context| context << 2 | plane as u32);
            value = value << 8 | u32::from(model.code(coder, (given >> shift) as u8, contexts, plane));
        }
        previous = value;
        value
    })
}

/// What the text model has read before the first byte, so that the usual words cost little from the start.
/// Part of the format: it can't be changed within a version.
const PRIMER: &[u8] = b"\x02\x0carchitecture\x80\x01{\"layers\":[{\"type\":\"Linear\",\"in_features\":784,\
\"out_features\":300,\"bias\":true},{\"type\":\"Relu\"},{\"type\":\"Conv2d\",\"in_channels\":1,\"out_channels\":20,\
\"kernel_size\":[5,5],\"stride\":[1,1],\"padding\":[0,0]},{\"type\":\"MaxPool2d\"},{\"type\":\"Flatten\"}],\
\"dtype\":\"f32\"}\x07version\x010\x06conv1.weight\x00\x06conv1.bias\x00\x0bconv2.weight\x06\x04bias\
\x00\x0afc1.weight\x02\x04\x04bias\x01\x02\x0afc2.weight\x02\x04\x04bias\x01\x02\x0afc3.weight\x02\x04\x04bias\x01";

/// The text model: bytes predicted from the ones before them.
pub(crate) struct TextModel {
    model: ByteModel,
    history: u32,
}

/// Takes bits and keeps nothing: the model only learns.
struct Listener;

impl BitCoder for Listener {
    fn code(&mut self, bit: bool, _: u32) -> bool {
        bit
    }
}

impl TextModel {
    /// A model that has read the primer.
    pub(crate) fn new() -> TextModel {
        let mut text = TextModel { model: ByteModel::new(1), history: 0 };
        for &byte in PRIMER {
            text.code(&mut Listener, byte);
        }
        text
    }

    /// Codes one byte from the three before it.
    pub(crate) fn code<C: BitCoder>(&mut self, coder: &mut C, byte: u8) -> u8 {
        let h = self.history;
        let byte = self.model.code(coder, byte, [0, h & 0xff, h & 0xffff, h & 0xff_ffff], 0);
        self.history = h << 8 | u32::from(byte);
        byte
    }
}

/// Codes signed numbers that are mostly small: the number of binary digits by adaptive decisions, predicted
/// from the previous one, then the digits behind the first as they are, then the sign.
pub(crate) struct IntModel {
    predictor: Predictor<2>,
    previous: usize,
}

impl IntModel {
    /// Digits of the largest magnitude, `2^33 - 1`.
    const DIGITS: usize = 33;

    pub(crate) fn new() -> IntModel {
        IntModel { predictor: Predictor::new([128, 64 * 64], 1), previous: 0 }
    }

    pub(crate) fn code<C: BitCoder>(&mut self, coder: &mut C, value: i64) -> i64 {
        let magnitude = value.unsigned_abs();
        let digits = code_path(Self::DIGITS + 1, 64 - magnitude.leading_zeros() as usize, |_, node, bit| {
            self.predictor.code(coder, bit, [node, self.previous * 64 + node], 0)
        });
        self.previous = digits;
        if digits == 0 {
            return 0;
        }
        let below = digits as u32 - 1;
        let magnitude = 1 << below | coder.code_raw(magnitude, below) as i64;
        if self.predictor.code(coder, value < 0, [64, 0], 0) { -magnitude } else { magnitude }
    }
}
