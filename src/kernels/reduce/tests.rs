use super::*;

#[test]
fn axes_in_another_order_make_no_difference() {
    let number = |i: usize| match i % 211 {
        7 => f32::NAN,
        9 => -0.0,
        _ => (i as f32 * 0.37).sin(),
    };
    let bits = |x: &Tensor<f32>| {
        x.to_vec().iter().map(|v| if v.is_nan() { 0 } else { v.to_bits() }).collect::<Vec<_>>()
    };
    fn same<F: Fold>(f: F, x: &Tensor<f32>, lines: &Tensor<f32>, axes: &[usize]) -> [Tensor<f32>; 2] {
        [x, lines].map(|x| fold(f, x, axes, true))
    }
    for sizes in [[3, 40, 33], [70, 5, 40], [2, 1, 90], [33, 64, 1]] {
        let x = Tensor::from_fn(sizes, number);
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let turned = x.permute(order).unwrap();
            // The folded axis last: its lines are folded as such.
            for axis in 0..3 {
                let last = turned.view(turned.layout().transpose(axis as isize, -1).unwrap());
                let copy = last.contiguous();
                let sums = fold(Sum, &copy, &[2], true);
                let sums = sums.view(sums.layout().transpose(axis as isize, -1).unwrap());
                if !turned.is_contiguous() {
                    assert_eq!(
                        bits(&fold(Sum, &turned, &[axis], true)),
                        bits(&sums),
                        "{sizes:?} {order:?} {axis}"
                    );
                }
            }
            for axes in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2], &[0, 1, 2]] {
                let copy = turned.contiguous();
                for [a, b] in [same(Largest, &turned, &copy, axes), same(Smallest, &turned, &copy, axes)] {
                    assert_eq!(bits(&a), bits(&b), "{sizes:?} {order:?} {axes:?}");
                }
            }
        }
    }
}

#[test]
fn folding_down_has_the_bits_of_folding_rows() {
    for n in [1, 5, 31, 32, 33, 100, 1024, 1030, 2100] {
        for inner in [1, 7, 64, 70] {
            let x = Tensor::from_fn(&Shape::new(&[2, n, inner]), |i| (i as f32 * 0.37).sin());
            let turned = x.view(x.layout().transpose(1, 2).unwrap()).contiguous();
            let expected: Vec<u32> =
                turned.as_slice().unwrap().chunks(n).map(|r| row(Sum, r).to_bits()).collect();
            let sums = down(Sum, &x, 1);
            let sums: Vec<u32> = sums.as_slice().unwrap().iter().map(|s| s.to_bits()).collect();
            assert_eq!(sums, expected, "{n} x {inner}");
        }
    }
}

#[test]
fn several_rows_have_the_bits_of_each_alone() {
    for n in [31, 32, 49, 64, 100, 1000, 1024, 1030] {
        for rows in [2, 15, 16, 17, 40] {
            let x = Tensor::from_fn([rows, n], |i| 1.0 + 0.01 * (i as f32 * 0.37).sin());
            let bits = |y: Vec<f32>| y.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let alone = |f: fn(&[f32]) -> f32| x.as_slice().unwrap().chunks(n).map(f).collect();
            assert_eq!(bits(fold(Sum, &x, &[1], false).to_vec()), bits(alone(|r| row(Sum, r))), "{rows} {n}");
            let products = fold(Product, &x, &[1], false).to_vec();
            assert_eq!(bits(products), bits(alone(|r| row(Product, r))), "{rows} {n}");
        }
    }
}
