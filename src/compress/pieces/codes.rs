//! Codes of weights, whose upper four bits are predicted from how large weights of the row and the column
//! are as a rule, next to the scale of their group, and from whether the group had its ends already.
use super::{
    stream::{Coder, Contexts, Writer},
    tracker::{BAND, Tracker},
};

/// What is known of a piece's codes before they are read.
pub(crate) struct Scheme<'a> {
    pub columns: usize,
    /// How many different codes there are.
    pub count: usize,
    /// Neighbours of a row with the same scale; 0 if there are none.
    pub group: usize,
    /// For each group, the size of its scale in 64ths of its binary logarithm, and how many codes are worth
    /// less than 0; a single one of these without groups.
    pub scales: Vec<i32>,
    pub zeros: Vec<u16>,
    /// Whether groups have zeros of their own.
    pub shifted: bool,
    /// 1 for the places that have a code.
    pub mask: Option<&'a [u8]>,
}

/// So many places are tried to see how low bits are best written.
const SAMPLE: usize = 1 << 14;

/// Bits of a code below the upper four.
pub(crate) fn low_bits(count: usize) -> u32 {
    (usize::BITS - count.saturating_sub(1).leading_zeros()).saturating_sub(4)
}

/// Whose low bits are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Low {
    None,
    /// Those of codes whose upper bits are the first or the last there are: groups end there.
    Ends,
    All,
}

/// How codes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub low: Low,
    /// Whether what counts of the two tables is learnt, which takes time; else both count alike, as in all older
    /// files.
    pub weighed: bool,
}

impl Way {
    /// Of its number in a file.
    pub(crate) fn of(number: u8) -> Option<Way> {
        let low = [Low::None, Low::Ends, Low::All][usize::from(number % 3)];
        (number < 6).then_some(Way { low, weighed: number > 2 })
    }

    pub(crate) fn number(self) -> u8 {
        self.low as u8 + 3 * u8::from(self.weighed)
    }
}

impl Scheme<'_> {
    /// How codes are told best, with what is learnt or without.
    pub(crate) fn way(&self, weighed: bool, codes: &mut [u8]) -> Way {
        Way { low: self.low(weighed, codes), weighed }
    }

    /// Whose low bits are worth predicting. All of them take time, so that they have to save more.
    fn low(&self, weighed: bool, codes: &mut [u8]) -> Low {
        if low_bits(self.count) == 0 {
            return Low::None;
        }
        let sample = codes.len().min((SAMPLE / self.columns.max(1)).max(1) * self.columns);
        let [none, ends, all] = [Low::None, Low::Ends, Low::All].map(|low| {
            let mut writer = Writer::default();
            code_codes(&mut writer, self, Way { low, weighed }, &mut codes[..sample]);
            writer.finish().len()
        });
        let (least, low) = if ends < none { (ends, Low::Ends) } else { (none, Low::None) };
        if all + all / 64 < least { Low::All } else { low }
    }
}

/// 64ths of a binary logarithm, linear between powers of two.
#[inline(always)]
fn log(x: u32) -> i32 {
    let whole = x.max(1).ilog2();
    (64 * whole + ((x << 6 >> whole) & 63)) as i32
}

/// Rows of codes, in place; where the mask has none they are left as they are.
pub(crate) fn code_codes<C: Coder>(coder: &mut C, scheme: &Scheme, way: Way, codes: &mut [u8]) {
    if way.weighed {
        code::<true, C>(coder, scheme, way.low, codes);
    } else {
        code::<false, C>(coder, scheme, way.low, codes);
    }
}

fn code<const LEARNT: bool, C: Coder>(coder: &mut C, scheme: &Scheme, predicted: Low, codes: &mut [u8]) {
    let Scheme { columns, count, group, shifted, .. } = *scheme;
    let low = low_bits(count);
    let (last, base) = (count.saturating_sub(1) as u8, 64 * (low as i32 + 1));
    let (mut one, mut other) = (Contexts::<1024>::NEW, Contexts::<512>::NEW);
    let (mut upper, mut ends) = (Contexts::<16>::NEW, Contexts::<64>::NEW);
    let mut tracker = Tracker::new(columns, 8);
    let length = if group == 0 { columns } else { group };
    let groups = columns.div_ceil(length.max(1));
    for (band, lines) in codes.chunks_mut(BAND * columns.max(1)).enumerate() {
        let rows = lines.len() / columns.max(1);
        for at in 0..groups {
            let (mut scale, mut zero, mut seen) = ([0; BAND], [0; BAND], [0; BAND]);
            for row in 0..rows {
                let place = (band * BAND + row) * groups + at;
                if group != 0 {
                    scale[row] = scheme.scales.get(place).copied().unwrap_or(0);
                }
                let zeros = scheme.zeros.get(if shifted { place } else { 0 });
                zero[row] = zeros.map_or(0, |&zero| u32::from(zero));
            }
            let end = columns.min((at + 1) * length);
            for column in at * length..end {
                let left = if group == 0 { 0 } else { LEFT[(end - column).min(17)] as usize };
                let expected = tracker.expected(column);
                for row in 0..rows.min(BAND) {
                    let i = row * columns + column;
                    if let Some(mask) = scheme.mask
                        && mask.get(band * BAND * columns + i) != Some(&1)
                    {
                        continue;
                    }
                    let spread = (expected[row] >> 6) - scale[row] - base;
                    let size = (spread >> 3).clamp(0, 23) as usize;
                    let state = seen[row] * 6 + left;
                    let contexts = if shifted {
                        let middle = (zero[row] >> low) as usize;
                        (24 * middle + state, 12 * middle + size / 2)
                    } else {
                        (24 * size + state, (spread >> 2).clamp(0, 47) as usize)
                    };
                    let code = &mut lines[i];
                    let high = coder.symbol::<LEARNT, _, _>((&mut one, &mut other), contexts, *code >> low);
                    let mut value = high << low;
                    if low > 0 {
                        let given = *code & ((1 << low) - 1);
                        let predict = match predicted {
                            Low::None => false,
                            Low::Ends => high == 0 || high == last >> low,
                            Low::All => true,
                        };
                        let high = usize::from(high);
                        value |= match predict {
                            true => coder.symbol::<LEARNT, _, _>(
                                (&mut upper, &mut ends),
                                (high, 4 * high + seen[row]),
                                given,
                            ),
                            false => coder.raw(low, given.into()) as u8,
                        };
                    }
                    *code = value;
                    if group != 0 {
                        seen[row] |= usize::from(value == 0) | usize::from(value == last) << 1;
                    }
                    let apart = (2 * u32::from(value) + 1).abs_diff(2 * zero[row]);
                    tracker.learn(row, column, expected[row], scale[row] + log(apart));
                }
            }
        }
        tracker.next(rows);
    }
}

/// How many places of a group are left, in classes: 17 and more, 9, 5, 3, 2, 1.
static LEFT: [u8; 18] = [0, 5, 4, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 0];
