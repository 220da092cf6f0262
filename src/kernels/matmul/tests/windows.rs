//! Products with windows that are read where they lie, against their matrix.
use super::*;

/// Windows of 3 × 2 at a stride of 2 in images of `channels` × `height` × 2 `width`, whose lines are in two phases.
fn windows<T: Test>(data: &[T], [channels, height, width]: [usize; 3]) -> Windows<'_, T> {
    let line = 2 * width;
    Windows {
        data,
        rows: Grid { sizes: [channels, 1, 3, 2], steps: [height * line, 0, line, 1], phases: [2, width] },
        columns: Grid { sizes: [1, 1, height - 2, width], steps: [0, 0, line, 1], phases: [1, 0] },
    }
}

fn windows_are_those_of_a_matrix<T: Test + std::fmt::Debug>() {
    let (mut values, one) = (Values(5), T::constant(1.0));
    // The last ones are shared out among threads, and need more than one block along k.
    for [m, channels, height, width] in [[1, 1, 3, 1], [2, 1, 9, 7], [9, 3, 12, 5], [40, 60, 22, 31]] {
        let data: Vec<T> =
            (0..channels * height * 2 * width + SLACK).map(|_| T::constant(values.next())).collect();
        let (k, n) = (6 * channels, (height - 2) * width);
        let b = windows(&data, [channels, height, width]);
        let laid_out: Vec<T> = (0..k * n)
            .map(|i| {
                let (row, column) = (i / n, i % n);
                let line = row / 6 * height + row / 2 % 3 + column / width;
                data[line * 2 * width + row % 2 * width + column % width]
            })
            .collect();
        let a = Owned::<T>::new(Rows, m, k, &mut values);
        let mut expected = vec![one; m * n];
        // In tiles, as windows always are.
        let matrix = Mat { data: &laid_out, rows: k, cols: n, row_stride: n as isize, col_stride: 1 };
        let product =
            Product::checked(one, a.view(), matrix, one, MatMut::dense(&mut expected, m, n)).unwrap();
        unsafe { T::compute(Kernel::Tiles, &product) };
        for (threads, alone) in [(1, true), (1, false), (3, false), (7, false)] {
            threads::set_num_threads(threads);
            let mut c = vec![one; m * n];
            matmul_windows(a.view(), &b, one, MatMut::dense(&mut c, m, n), alone).unwrap();
            assert!(c == expected, "{m} x {k} x {n} on {threads} threads");
        }
        let mut c = vec![one; m * n];
        let short = Windows { data: &data[..data.len() - 1], ..b };
        assert_eq!(matmul_windows(a.view(), &short, one, MatMut::dense(&mut c, m, n), true), Err(Misfit));
        assert!(c.iter().all(|&c| c == one), "nothing is written");
    }
}

#[test]
fn products_with_windows_have_the_bits_of_those_with_their_matrix() {
    windows_are_those_of_a_matrix::<f32>();
    windows_are_those_of_a_matrix::<f64>();
}
