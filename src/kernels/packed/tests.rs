use super::{
    super::{
        FloatElement,
        matmul::{Mat, MatMut, matmul},
    },
    few::FEW,
    *,
};
use crate::{
    real::half::{bf16_bits_to_f32, f16_bits_to_f32, f32_to_bf16_bits, f32_to_f16_bits},
    tensor::{Shape, Tensor},
};

fn noise(i: usize) -> f32 {
    ((i.wrapping_mul(2_654_435_761) >> 7) % 2001) as f32 / 1000.0 - 1.0
}

fn code(bits: u32, i: usize) -> u8 {
    ((i.wrapping_mul(2_654_435_761) >> 9) & ((1 << bits) - 1)) as u8
}

/// Every form of a matrix, and its elements.
fn forms<T: FloatElement>(rows: usize, cols: usize) -> Vec<(Packed<T>, Vec<T>)> {
    let shape = Shape::from([rows, cols]);
    let float = |v: f32| T::from_f32(v);
    let mut all = Vec::new();
    let plain = Tensor::<T>::build(shape.clone(), |out| {
        out.iter_mut().enumerate().for_each(|(i, o)| *o = float(noise(i)));
    });
    for kind in [HalfFloat::F16, HalfFloat::Bf16] {
        let packed = Packed::half(&plain, kind).unwrap();
        let values = (0..rows * cols).map(|i| match kind {
            HalfFloat::F16 => f16_bits_to_f32(f32_to_f16_bits(noise(i))),
            HalfFloat::Bf16 => bf16_bits_to_f32(f32_to_bf16_bits(noise(i))),
        });
        all.push((packed, values.map(float).collect()));
    }
    for bits in 1..=8 {
        for (group, kind) in [(0, 0), (32, 1), (7, 2), (24, 2), (64, 2), (16, 3), (32, 4)] {
            let groups = if group == 0 { 0 } else { cols.div_ceil(group) };
            let place = |row: usize, col: usize| col.checked_div(group).map_or(0, |at| row * groups + at);
            let codes = |i: usize| code(bits, i);
            let table: [T; 256] = std::array::from_fn(|i| float(noise(i + 77)));
            let count = if group == 0 { 1 } else { rows * groups };
            let scales: Vec<T> = (0..count).map(|i| float(noise(i + 5).abs() + 0.01)).collect();
            let offsets: Vec<T> =
                (0..count).map(|i| float(f16_bits_to_f32(f32_to_f16_bits(noise(i + 31))))).collect();
            let zeros: Vec<u8> = (0..count).map(|i| code(bits, i + 3)).collect();
            let low = if kind == 4 { 0 } else { -(1 << (bits - 1)) };
            let parts = Parts {
                bits,
                codes: &codes,
                values: if kind == 3 { Values::Table(Box::new(table)) } else { Values::From(low) },
                pruned: None,
                group,
                scales: (kind != 3).then_some(&scales[..]),
                zeros: (kind == 4).then_some(&zeros[..]),
                offsets: (kind == 2).then_some(&offsets[..]),
            };
            let packed = Packed::of_codes(&shape, &parts).unwrap();
            let held = packed.codes().unwrap();
            assert_eq!(held.to_vec(), (0..rows * cols).map(codes).collect::<Vec<u8>>());
            assert_eq!(held.scales(), (kind != 3).then(|| scales.clone()));
            assert_eq!(held.zero_points(), (kind == 4).then(|| zeros.clone()));
            assert_eq!(held.offsets(), (kind == 2).then(|| offsets.clone()));
            let of = |i: usize| {
                let place = place(i / cols, i % cols);
                let whole = T::constant(f64::from(i32::from(codes(i)) + low));
                match kind {
                    3 => table[usize::from(codes(i))],
                    4 => (whole - T::from_small(zeros[place])) * scales[place],
                    2 => whole.mul_add(scales[place], offsets[place]),
                    _ => whole * scales[place],
                }
            };
            let values = (0..rows * cols).map(of).collect();
            all.push((packed, values));
        }
    }
    all
}

fn bits<T: FloatElement>(values: &[T]) -> Vec<u64> {
    values.iter().map(|v| v.to_f64().to_bits()).collect()
}

fn near<T: FloatElement>(a: &[T], b: &[T], by: f64) -> bool {
    a.iter().zip(b).all(|(a, b)| (a.to_f64() - b.to_f64()).abs() <= by)
}

fn every_form<T: FloatElement>() {
    let exact = !matches!(crate::isa::isa(), crate::isa::Isa::Portable);
    for (rows, cols) in [(5, 3), (40, 100), (70, 601), (34, 648)] {
        for (packed, values) in forms::<T>(rows, cols) {
            let mut found = vec![T::default(); rows * cols];
            packed.write_all(&mut found);
            assert!(
                if exact { bits(&found) == bits(&values) } else { near(&found, &values, 3e-5) },
                "{packed:?}"
            );
            let mut row = vec![T::default(); cols];
            packed.row(rows - 1, &mut row);
            assert_eq!(bits(&row), bits(&found[(rows - 1) * cols..]), "{packed:?}");

            let n = 21;
            let x: Vec<T> = (0..n * cols).map(|i| T::from_f32(noise(i + 3))).collect();
            let bias: Vec<T> = (0..rows).map(|i| T::from_f32(noise(i + 9))).collect();
            for bias in [None, Some(&bias[..])] {
                let mut y = vec![T::default(); n * rows];
                products(&x, &packed, bias, &mut y).unwrap();
                // Any number of rows gives each the same bits.
                for some in [1, 2, 3, 5, 7, FEW, FEW + 1] {
                    let mut part = vec![T::default(); some * rows];
                    products(&x[cols..][..some * cols], &packed, bias, &mut part).unwrap();
                    assert_eq!(bits(&part), bits(&y[rows..][..some * rows]), "{packed:?}, {some} rows");
                }
                // As many rows of floats have them, too, where there are more than few of both.
                let mut plain = vec![T::default(); n * rows];
                if let Some(bias) = bias {
                    plain.chunks_exact_mut(rows).for_each(|row| row.copy_from_slice(bias));
                }
                let a = Mat { data: &x, rows: n, cols, row_stride: cols as isize, col_stride: 1 };
                let b =
                    Mat { data: &found, rows: cols, cols: rows, row_stride: 1, col_stride: cols as isize };
                let start = T::constant(if bias.is_some() { 1.0 } else { 0.0 });
                matmul(T::constant(1.0), a, b, start, MatMut::dense(&mut plain, n, rows)).unwrap();
                if rows > 8 {
                    assert_eq!(bits(&y), bits(&plain), "{packed:?}");
                } else {
                    assert!(near(&y, &plain, 1e-4));
                }
            }
            let g: Vec<T> = (0..n * rows).map(|i| T::from_f32(noise(i + 1))).collect();
            let (mut slope, mut plain) = (vec![T::default(); n * cols], vec![T::default(); n * cols]);
            back(&g, &packed, &mut slope).unwrap();
            let a = Mat { data: &g, rows: n, cols: rows, row_stride: rows as isize, col_stride: 1 };
            let b = Mat { data: &found, rows, cols, row_stride: cols as isize, col_stride: 1 };
            matmul(T::constant(1.0), a, b, T::constant(0.0), MatMut::dense(&mut plain, n, cols)).unwrap();
            assert!(near(&slope, &plain, 1e-3), "{packed:?}");
        }
    }
}

#[test]
fn every_form_is_its_floats_and_multiplies_as_they_do() {
    every_form::<f32>();
    every_form::<f64>();
}

/// Step by step what products of rounded inputs are: in this order, and without fused steps.
fn by_integers<T: FloatElement>(x: &[T], w: &Packed<T>, bias: Option<&[T]>) -> Vec<T> {
    let (codes, rows, cols) = (w.codes().unwrap(), w.rows(), w.cols());
    let (list, scales, zeros, offsets) =
        (codes.to_vec(), codes.scales(), codes.zero_points(), codes.offsets());
    let place = |row: usize, col: usize| match codes.group() {
        0 => 0,
        group => row * cols.div_ceil(group) + col / group,
    };
    let int = |v: i64| T::constant(v as f64);
    let mut out = Vec::new();
    for x in x.chunks(cols) {
        for row in 0..rows {
            let mut y = bias.map_or(T::constant(0.0), |bias| bias[row]);
            for (block, x) in x.chunks(32).enumerate() {
                let x: Vec<f32> = x.iter().map(|v| v.to_f64() as f32).collect();
                let most = x.iter().fold(0f32, |most, v| most.max(v.abs()));
                let step = if most == 0.0 { 1.0 } else { most / 127.0 };
                let bytes: Vec<i64> = x.iter().map(|v| (v / step).round_ties_even() as i64).collect();
                let at = place(row, block * 32);
                let low = codes.value(0).to_f64() as i64 - zeros.as_ref().map_or(0, |zeros| zeros[at].into());
                let codes = list[row * cols + block * 32..].iter().zip(&bytes);
                let whole = int(codes.map(|(&code, byte)| (i64::from(code) + low) * byte).sum());
                let of = |list: &Option<Vec<T>>, default| list.as_ref().map_or(default, |list| list[at]);
                let offset = of(&offsets, T::constant(0.0)) * int(bytes.iter().sum());
                y = y + T::from_f32(step) * (whole * of(&scales, T::constant(1.0)) + offset);
            }
            out.push(y);
        }
    }
    out
}

fn rounded_inputs<T: FloatElement>() {
    for (rows, cols) in [(5, 3), (40, 100), (70, 601), (34, 648)] {
        let (mut taken, n) = (0, 11);
        let mut x: Vec<T> = (0..n * cols).map(|i| T::from_f32(noise(i + 3))).collect();
        // A block without anything, and one with a number that rules all others.
        x[..cols.min(32)].fill(T::constant(0.0));
        x[cols * 2] = T::constant(1e9);
        let bias: Vec<T> = (0..rows).map(|i| T::from_f32(noise(i + 9))).collect();
        for (packed, _) in forms::<T>(rows, cols) {
            let Ok(packed) = packed.with_activations(Activations::Int8) else { continue };
            taken += 1;
            for bias in [None, Some(&bias[..])] {
                let mut y = vec![T::default(); n * rows];
                products(&x, &packed, bias, &mut y).unwrap();
                assert_eq!(bits(&y), bits(&by_integers(&x, &packed, bias)), "{packed:?}");
                for some in [1, 3, 4, 6] {
                    let mut part = vec![T::default(); some * rows];
                    products(&x[cols..][..some * cols], &packed, bias, &mut part).unwrap();
                    assert_eq!(bits(&part), bits(&y[rows..][..some * rows]), "{packed:?}, {some} rows");
                }
            }
        }
        // Of seven forms of each number of bits those without a table, in groups that are rows or of 32 and 64.
        assert_eq!(taken, 8 * if cols <= 7 { 6 } else { 4 }, "{rows} {cols}");
    }
}

#[test]
fn products_of_rounded_inputs_are_those_of_integers_on_every_machine() {
    rounded_inputs::<f32>();
    rounded_inputs::<f64>();
}

#[test]
fn an_input_that_is_no_number_gives_none() {
    let (packed, _) = forms::<f32>(5, 100).pop().unwrap();
    let packed = packed.with_activations(Activations::Int8).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = vec![0.5; 200];
        x[70] = bad;
        let mut y = [0.0; 10];
        products(&x, &packed, None, &mut y).unwrap();
        assert!(y[..5].iter().all(|v| v.is_nan()) && y[5..].iter().all(|v| v.is_finite()), "{bad}: {y:?}");
    }
}

#[test]
fn what_is_no_matrix_is_refused() {
    for shape in [&[][..], &[4], &[0, 3]] {
        assert!(Packed::half(&Tensor::<f32>::zeros(shape), HalfFloat::Bf16).is_err(), "{shape:?}");
    }
    let packed = Packed::half(&Tensor::<f32>::zeros([3, 2]), HalfFloat::F16).unwrap();
    assert!(products(&[0.0; 5], &packed, None, &mut [0.0; 6]).is_err());
    assert!(back(&[0.0; 5], &packed, &mut [0.0; 6]).is_err());
}
