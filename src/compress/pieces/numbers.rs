//! Numbers of 8, 16 or 32 bits: floats, step sizes, offsets, zero points. Floats have their sign at the low
//! end here; four bits at a time are predicted, left as they are, or nothing.
use super::{
    stream::{Coder, Contexts, Reader, Unsound, Writer},
    tracker::{BAND, Tracker},
};

/// How four bits of each number are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// They are all zero.
    Zero,
    Raw,
    /// Predicted from the bits above them and from other numbers, or from these alone.
    Above,
    Alone,
}

impl Way {
    fn of(code: u32) -> Way {
        [Way::Zero, Way::Raw, Way::Above, Way::Alone][code as usize & 3]
    }
}

/// So many numbers are tried to see how they are best written.
const SAMPLE: usize = 1 << 12;

/// The columns of the numbers, which lie row by row, and companions of theirs that they depend on.
#[derive(Clone, Copy)]
struct Place<'a> {
    width: u32,
    columns: usize,
    beside: Option<&'a [u32]>,
    mask: Option<&'a [u8]>,
}

/// Floats with their sign at the low end.
fn turned(value: u32, width: u32) -> u32 {
    match width {
        32 => value.rotate_left(1),
        16 => u32::from((value as u16).rotate_left(1)),
        _ => value,
    }
}

fn turned_back(value: u32, width: u32) -> u32 {
    match width {
        32 => value.rotate_right(1),
        16 => u32::from((value as u16).rotate_right(1)),
        _ => value,
    }
}

/// Numbers in rows as bytes: how each four bits are written, then the stream.
/// Without a one in the mask a number is 0 and takes nothing.
pub(crate) fn write_numbers(
    width: u32,
    columns: usize,
    beside: Option<&[u32]>,
    mask: Option<&[u8]>,
    numbers: &mut [u32],
) -> Vec<u8> {
    let place = Place { width, columns, beside, mask };
    let places = width / 4;
    let used = numbers.iter().fold(0, |all, &number| all | turned(number, width));
    let sample = numbers.len().min(SAMPLE);
    // Each four bits alone, for the first few numbers.
    let length = |ways: &[Way], only: usize, numbers: &mut [u32]| {
        let mut writer = Writer::default();
        code(&mut writer, place, ways, Some(only), &mut numbers[..sample]);
        writer.finish().len()
    };
    let kept = mask.map_or(sample, |mask| mask.iter().take(sample).filter(|&&keep| keep == 1).count());
    let raw = Writer::default().finish().len() + kept / 2;
    let mut ways = vec![Way::Alone; places as usize];
    for i in 0..places as usize {
        let shift = width - 4 - 4 * i as u32;
        if i > 0 && used >> shift & 15 == 0 {
            ways[i] = Way::Zero;
            continue;
        }
        let [alone, above] = [Way::Alone, Way::Above].map(|way| {
            ways[i] = way;
            length(&ways, i, numbers)
        });
        // The first is always predicted: so no stream holds more numbers than its bytes allow. Prediction
        // takes time, so that it has to save something.
        ways[i] = if i > 0 && raw <= alone.min(above) + raw / 128 {
            Way::Raw
        } else if above < alone {
            Way::Above
        } else {
            Way::Alone
        };
    }
    let code_of = |way: Way| way as u32;
    let told = ways.iter().enumerate().fold(0, |told, (i, &way)| told | code_of(way) << (2 * i));
    let mut bytes = told.to_le_bytes()[..places.div_ceil(4) as usize].to_vec();
    let mut writer = Writer::default();
    code(&mut writer, place, &ways, None, numbers);
    bytes.extend(writer.finish());
    bytes
}

/// Reads what [`write_numbers`] wrote.
pub(crate) fn read_numbers(
    bytes: &[u8],
    width: u32,
    columns: usize,
    beside: Option<&[u32]>,
    mask: Option<&[u8]>,
    numbers: &mut [u32],
) -> Result<(), Unsound> {
    let places = width / 4;
    let (told, stream) = bytes.split_at_checked(places.div_ceil(4) as usize).ok_or(Unsound)?;
    let told = told.iter().rev().fold(0, |all, &byte| all << 8 | u32::from(byte));
    let ways: Vec<Way> = (0..places).map(|i| Way::of(told >> (2 * i))).collect();
    if matches!(ways.first(), Some(Way::Zero | Way::Raw)) || u64::from(told) >> (2 * places) != 0 {
        return Err(Unsound);
    }
    let mut reader = Reader::new(stream);
    code(&mut reader, Place { width, columns, beside, mask }, &ways, None, numbers);
    reader.end()
}

/// Levels of what is expected, in quarters of four bits: from one symbol below the least to one above the
/// most, and then some.
const LEVELS: i64 = 96;

/// How quickly what is expected follows a row: short ones have to be known soon.
fn quick(columns: usize) -> u32 {
    if columns < 128 { 3 } else { 7 }
}

/// The same with neighbouring bits that aren't predicted joined, up to 16: place, way, bits.
fn steps(ways: &[Way]) -> Vec<(usize, Way, u32)> {
    let mut steps: Vec<(usize, Way, u32)> = Vec::new();
    for (i, &way) in ways.iter().enumerate() {
        match steps.last_mut() {
            Some((_, last, bits)) if *last == way && matches!(way, Way::Raw | Way::Zero) && *bits < 16 => {
                *bits += 4;
            }
            _ => steps.push((i, way, 4)),
        }
    }
    steps
}

/// All bits of each number, or only those in one place, the others being known.
fn code<C: Coder>(coder: &mut C, place: Place, ways: &[Way], only: Option<usize>, numbers: &mut [u32]) {
    let Place { width, columns, beside, mask } = place;
    let columns = columns.max(1);
    let mut above = vec![Contexts::<256>::NEW; ways.len()];
    let mut near = vec![Contexts::<128>::NEW; ways.len()];
    let steps = steps(ways);
    let mut tracker = Tracker::new(columns, quick(columns));
    // What is expected is told in 16 bits at most, 22 with its fraction.
    let coarse = width.saturating_sub(16);
    for (band, lines) in numbers.chunks_mut(BAND * columns).enumerate() {
        let rows = lines.len().div_ceil(columns);
        for column in 0..columns {
            let expected = tracker.expected(column);
            let (mut companion, mut guess, mut value) = ([0; BAND], [0; BAND], [0u32; BAND]);
            let mut there = [true; BAND];
            for row in 0..rows {
                let place = (band * BAND + row) * columns + column;
                there[row] = mask.is_none_or(|mask| mask.get(place) == Some(&1));
                let beside = beside.and_then(|beside| beside.get(place));
                companion[row] = beside.map_or(0, |&beside| (turned(beside, width) >> coarse) as i32);
                guess[row] = i64::from((expected[row] >> 6) + companion[row]).max(0) << coarse;
            }
            for &(i, way, bits) in &steps {
                let shift = width - 4 * i as u32 - bits;
                for (row, value) in value.iter_mut().enumerate().take(rows) {
                    let Some(&number) = lines.get(row * columns + column).filter(|_| there[row]) else {
                        continue;
                    };
                    let given = turned(number, width) >> shift & ((1 << bits) - 1);
                    let some = match way {
                        _ if only.is_some_and(|only| only != i) => given,
                        Way::Zero => 0,
                        Way::Raw => coder.raw(bits, given),
                        Way::Above | Way::Alone => {
                            // Where the guess lies among what these four bits can be.
                            let quarters = guess[row] << 2 >> shift;
                            let level = (quarters - (i64::from(*value) << 6)).clamp(-16, LEVELS - 17);
                            let before = if way == Way::Above { *value as usize & 255 } else { 0 };
                            let contexts = (before, (level + 16) as usize);
                            u32::from(coder.symbol::<true, _, _>(
                                (&mut above[i], &mut near[i]),
                                contexts,
                                given as u8,
                            ))
                        }
                    };
                    *value = *value << bits | some;
                }
            }
            for (row, &value) in value.iter().enumerate().take(rows) {
                let Some(number) = lines.get_mut(row * columns + column).filter(|_| there[row]) else {
                    continue;
                };
                tracker.learn(row, column, expected[row], (value >> coarse) as i32 - companion[row]);
                *number = turned_back(value, width);
            }
        }
        tracker.next(rows);
    }
}
