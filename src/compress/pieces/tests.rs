use super::{codes::Low, *};

const ALL: Way = Way { low: Low::All, weighed: true };

fn noise(i: usize) -> u64 {
    (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17
}

/// Codes around the middle, smaller in some rows and columns.
fn codes(rows: usize, columns: usize, count: usize) -> Vec<u8> {
    let of = |i: usize| {
        let spread = 1 + (i % columns % 3 + i / columns % 2) as u64;
        let sum = (0..4).map(|k| noise(4 * i + k) % (count as u64 * spread)).sum::<u64>();
        (sum / (4 * spread)).min(count as u64 - 1) as u8
    };
    (0..rows * columns).map(of).collect()
}

fn scheme(rows: usize, columns: usize, count: usize, group: usize, shifted: bool) -> Scheme<'static> {
    let groups = if group == 0 { 0 } else { rows * columns.div_ceil(group) };
    let scales = (0..groups).map(|i| (noise(i) % 300) as i32).collect();
    let zero = |i: usize| (noise(i) % (count as u64 + 1)) as u16;
    let zeros = if shifted { (0..groups).map(zero).collect() } else { vec![count as u16 / 2] };
    Scheme { columns, count, group, scales, zeros, shifted, mask: None }
}

fn written(scheme: &Scheme, way: Way, codes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    code_codes(&mut writer, scheme, way, &mut codes.to_vec());
    writer.finish()
}

fn read(scheme: &Scheme, way: Way, bytes: &[u8], len: usize) -> (Vec<u8>, Result<(), Unsound>) {
    let (mut codes, mut reader) = (vec![0; len], Reader::new(bytes));
    code_codes(&mut reader, scheme, way, &mut codes);
    (codes, reader.end())
}

#[test]
fn codes_of_every_kind_come_back() {
    for (rows, columns) in [(1, 1), (3, 7), (16, 33), (21, 64)] {
        for count in [1, 2, 3, 5, 16, 17, 31, 100, 256] {
            for (group, shifted) in [(0, false), (32, false), (5, true), (64, true)] {
                let (codes, mut scheme) =
                    (codes(rows, columns, count), scheme(rows, columns, count, group, shifted));
                let mask: Vec<u8> = (0..codes.len()).map(|i| u8::from(!noise(i).is_multiple_of(3))).collect();
                for masked in [false, true] {
                    scheme.mask = masked.then_some(&mask);
                    for way in (0..6).filter_map(Way::of) {
                        let bytes = written(&scheme, way, &codes);
                        let (found, end) = read(&scheme, way, &bytes, codes.len());
                        let kept = |i: usize| !masked || mask[i] == 1;
                        let expected = codes.iter().enumerate().map(|(i, &c)| if kept(i) { c } else { 0 });
                        assert!(
                            end.is_ok() && expected.eq(found),
                            "{rows}x{columns} {count} {group} {way:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn numbers_and_masks_come_back() {
    for (rows, columns) in [(1, 1), (5, 3), (18, 130)] {
        let len = rows * columns;
        let mut mask: Vec<u8> = (0..len).map(|i| u8::from(noise(i) % 5 > 1)).collect();
        let mut writer = Writer::default();
        code_mask(&mut writer, columns, &mut mask.clone());
        let (mut found, bytes) = (vec![0; len], writer.finish());
        let mut reader = Reader::new(&bytes);
        code_mask(&mut reader, columns, &mut found);
        assert!(reader.end().is_ok() && found == mask);
        for width in [8, 16, 32] {
            for coarse in [0, 5, 12] {
                let number = |i: usize| (noise(i) as u32 >> (32 - width)) >> coarse << coarse;
                let beside: Vec<u32> = (0..len).map(|i| number(i) ^ 1).collect();
                for (beside, mask) in [
                    (None, None),
                    (Some(&beside[..]), None),
                    (None, Some(&mask[..])),
                    (Some(&beside), Some(&mask)),
                ] {
                    let kept = |i: usize| mask.is_none_or(|mask| mask[i] == 1);
                    let mut numbers: Vec<u32> =
                        (0..len).map(|i| if kept(i) { number(i) } else { 0 }).collect();
                    let bytes = write_numbers(width, columns, beside, mask, &mut numbers);
                    let mut found = vec![0; len];
                    assert_eq!(read_numbers(&bytes, width, columns, beside, mask, &mut found), Ok(()));
                    assert_eq!(found, numbers, "{width} bits, {rows} x {columns}");
                }
            }
        }
        mask.fill(1);
    }
}

#[test]
fn no_other_bytes_are_taken_for_what_was_written() {
    let (rows, columns, count) = (16, 40, 50);
    let (codes, scheme) = (codes(rows, columns, count), scheme(rows, columns, count, 8, true));
    let bytes = written(&scheme, ALL, &codes);
    let sound = |bytes: &[u8]| {
        let (found, end) = read(&scheme, ALL, bytes, codes.len());
        end.is_ok() && found != codes
    };
    for end in 0..bytes.len() {
        assert!(read(&scheme, ALL, &bytes[..end], codes.len()).1.is_err(), "cut at {end}");
    }
    for more in 1..9 {
        assert!(read(&scheme, ALL, &[&bytes[..], &vec![0; more]].concat(), codes.len()).1.is_err());
    }
    // A state has 31 bits that say where it began: a change isn't seen once in so many times.
    for i in 0..8 * bytes.len() {
        let mut changed = bytes.clone();
        changed[i / 8] ^= 1 << (i % 8);
        assert!(!sound(&changed), "bit {i}");
    }
    for i in 0..200 {
        let any: Vec<u8> = (0..4 * i).map(|k| noise(k + 1000 * i) as u8).collect();
        let _ = (read(&scheme, ALL, &any, codes.len()), read_numbers(&any, 32, 8, None, None, &mut [0; 100]));
        code_mask(&mut Reader::new(&any), 7, &mut [0; 100]);
    }
}

#[test]
fn ways_have_numbers_and_what_counts_is_worth_learning() {
    for number in 0..=u8::MAX {
        assert_eq!(Way::of(number).map(Way::number), (number < 6).then_some(number));
    }
    // Neighbours of a row are alike, which one of the two contexts knows nothing of.
    let (rows, columns) = (64, 256);
    let codes: Vec<u8> = (0..rows * columns).map(|i| (8 + noise(i) % (1 + i as u64 % 8)) as u8).collect();
    let scheme = scheme(rows, columns, 16, 32, false);
    let [alike, weighed] = [0, 3].map(|number| written(&scheme, Way::of(number).unwrap(), &codes).len());
    assert!(weighed < alike, "{weighed} bytes, {alike} where both count alike");
}

#[test]
fn what_is_the_same_everywhere_takes_next_to_nothing() {
    let scheme = scheme(64, 256, 16, 0, false);
    assert!(written(&scheme, Way { low: Low::None, weighed: false }, &vec![8; 64 * 256]).len() < 150);
    assert!(write_numbers(32, 256, None, None, &mut vec![0x3f80_0000; 64 * 256]).len() < 300);
}
