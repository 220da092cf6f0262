//! Numbers of 8, 16 or 32 bits: floats, step sizes, offsets, zero points. Floats have their sign at the low
//! end here; four bits at a time are predicted, left as they are, or nothing.
use super::{
    BAND, Tracker,
    stream::{Coder, Contexts, Reader, Unsound, Writer},
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
const SAMPLE: usize = 1 << 13;

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
    let length = |ways: &[Way], numbers: &mut [u32]| {
        let mut writer = Writer::default();
        code(&mut writer, place, ways, &mut numbers[..sample]);
        writer.finish().len()
    };
    let mut ways: Vec<Way> = (0..places).map(|_| Way::Raw).collect();
    for i in 0..places as usize {
        let shift = width - 4 - 4 * i as u32;
        if i > 0 && used >> shift & 15 == 0 {
            ways[i] = Way::Zero;
            continue;
        }
        let tried = [Way::Raw, Way::Alone, Way::Above].map(|way| {
            ways[i] = way;
            (length(&ways[..=i], numbers), way)
        });
        // The first is always predicted: so no stream holds more numbers than its bytes allow.
        let tried = if i == 0 { &tried[1..] } else { &tried[..] };
        ways[i] = tried.iter().min_by_key(|(length, _)| *length).map_or(Way::Alone, |(_, way)| *way);
    }
    let code_of = |way: Way| way as u32;
    let told = ways.iter().enumerate().fold(0, |told, (i, &way)| told | code_of(way) << (2 * i));
    let mut bytes = told.to_le_bytes()[..places.div_ceil(4) as usize].to_vec();
    let mut writer = Writer::default();
    code(&mut writer, place, &ways, numbers);
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
    code(&mut reader, Place { width, columns, beside, mask }, &ways, numbers);
    reader.end()
}

/// Levels of what is expected, in quarters of four bits: from one symbol below the least to one above the
/// most, and then some.
const LEVELS: i64 = 96;

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

/// The first `ways.len()` four bits of each number; those of the others are given, or zero.
fn code<C: Coder>(coder: &mut C, place: Place, ways: &[Way], numbers: &mut [u32]) {
    let Place { width, columns, beside, mask } = place;
    let columns = columns.max(1);
    let mut above = vec![Contexts::<256>::NEW; ways.len()];
    let mut near = vec![Contexts::<128>::NEW; ways.len()];
    let steps = steps(ways);
    let mut tracker = Tracker::new(columns);
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
                        Way::Zero => 0,
                        Way::Raw => coder.raw(bits, given),
                        Way::Above | Way::Alone => {
                            // Where the guess lies among what these four bits can be.
                            let quarters = guess[row] << 2 >> shift;
                            let level = (quarters - (i64::from(*value) << 6)).clamp(-16, LEVELS - 17);
                            let before = if way == Way::Above { *value as usize & 255 } else { 0 };
                            let contexts = (before, (level + 16) as usize);
                            u32::from(coder.symbol((&mut above[i], &mut near[i]), contexts, given as u8))
                        }
                    };
                    *value = *value << bits | some;
                }
            }
            for (row, &value) in value.iter().enumerate().take(rows) {
                let Some(number) = lines.get_mut(row * columns + column).filter(|_| there[row]) else {
                    continue;
                };
                let whole = (u64::from(value) << (width - 4 * ways.len() as u32)) as u32;
                tracker.learn(row, column, expected[row], (whole >> coarse) as i32 - companion[row]);
                // What was only tried stays as it is.
                if ways.len() as u32 * 4 == width {
                    *number = turned_back(value, width);
                }
            }
        }
        tracker.next(rows);
    }
}
