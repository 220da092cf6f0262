//! Products of all kinds against the definition, and the same bits on any number of threads.
use super::*;

mod windows;

/// A small generator of values in [-1, 1), the same on every run.
struct Values(u64);

impl Values {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f64 / (1 << 23) as f64 - 1.0
    }

    fn size(&mut self, max: usize) -> usize {
        ((self.next() + 1.0) / 2.0 * (max + 1) as f64) as usize
    }
}

trait Test: MatmulElement + std::fmt::Debug {
    const EPSILON: f64;
    fn constant(v: f64) -> Self;
    fn get(self) -> f64;
    fn bits(self) -> u64;
}

impl Test for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
    fn constant(v: f64) -> f32 {
        v as f32
    }
    fn get(self) -> f64 {
        self as f64
    }
    fn bits(self) -> u64 {
        self.to_bits() as u64
    }
}

impl Test for f64 {
    const EPSILON: f64 = f64::EPSILON;
    fn constant(v: f64) -> f64 {
        v
    }
    fn get(self) -> f64 {
        self
    }
    fn bits(self) -> u64 {
        self.to_bits()
    }
}

/// How a matrix lies in memory.
#[derive(Clone, Copy, Debug)]
enum Order {
    Rows,
    Columns,
    /// Rows that are part of longer ones.
    Window,
    /// Columns that are part of longer ones.
    ColumnWindow,
    /// Neither axis side by side.
    Apart,
}
use Order::*;

const ORDERS: [Order; 5] = [Rows, Columns, Window, ColumnWindow, Apart];

/// Strides, and how long the data must be; windows are as short as they may be, so that reading on is caught.
fn lay_out(order: Order, rows: usize, cols: usize) -> (isize, isize, usize) {
    let (r, c) = match order {
        Rows => (cols, 1),
        Columns => (1, rows),
        Window => (cols + 3, 1),
        ColumnWindow => (1, rows + 5),
        Apart => (3 * cols + 1, 3),
    };
    let len = if rows * cols == 0 { 0 } else { (rows - 1) * r + (cols - 1) * c + 1 };
    (r as isize, c as isize, len)
}

struct Owned<T> {
    data: Vec<T>,
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
}

impl<T: Test> Owned<T> {
    fn new(order: Order, rows: usize, cols: usize, values: &mut Values) -> Owned<T> {
        let (row_stride, col_stride, len) = lay_out(order, rows, cols);
        let data = (0..len).map(|_| T::constant(values.next())).collect();
        Owned { data, rows, cols, row_stride, col_stride }
    }

    fn view(&self) -> Mat<'_, T> {
        let Owned { rows, cols, row_stride, col_stride, .. } = *self;
        Mat { data: &self.data, rows, cols, row_stride, col_stride }
    }

    fn view_mut(&mut self) -> MatMut<'_, T> {
        let Owned { rows, cols, row_stride, col_stride, .. } = *self;
        MatMut { data: &mut self.data, rows, cols, row_stride, col_stride }
    }

    fn place(&self, i: usize, j: usize) -> usize {
        i * self.row_stride as usize + j * self.col_stride as usize
    }

    fn get(&self, i: usize, j: usize) -> f64 {
        self.data[self.place(i, j)].get()
    }
}

fn check<T: Test>([m, k, n]: [usize; 3], orders: [Order; 3], alpha: f64, beta: f64) {
    let mut values = Values((m * 31 + k * 7 + n) as u64);
    let a = Owned::<T>::new(orders[0], m, k, &mut values);
    let b = Owned::<T>::new(orders[1], k, n, &mut values);
    let mut c = Owned::<T>::new(orders[2], m, n, &mut values);
    if beta == 0.0 {
        c.data.fill(T::constant(f64::NAN));
    }
    let before = c.data.clone();
    matmul(T::constant(alpha), a.view(), b.view(), T::constant(beta), c.view_mut()).unwrap();
    let mut written = vec![false; c.data.len()];
    for i in 0..m {
        for j in 0..n {
            let terms = || (0..k).map(|p| a.get(i, p) * b.get(p, j));
            let place = c.place(i, j);
            let old = if beta == 0.0 { 0.0 } else { beta * before[place].get() };
            let expected = alpha * terms().sum::<f64>() + old;
            // Each of k additions rounds once.
            let size = alpha.abs() * terms().map(f64::abs).sum::<f64>() + old.abs();
            let tolerance = (k + 3) as f64 * T::EPSILON * size;
            let error = (c.get(i, j) - expected).abs();
            assert!(
                error <= tolerance,
                "[{m}, {k}] x [{k}, {n}] {orders:?} alpha {alpha} beta {beta}: ({i}, {j}) is {} instead of {expected}",
                c.get(i, j)
            );
            written[place] = true;
        }
    }
    for (place, (x, y)) in before.iter().zip(&c.data).enumerate() {
        assert!(written[place] || x.bits() == y.bits(), "{place} isn't part of C {orders:?}");
    }
}

fn all_orders(f: impl Fn([Order; 3])) {
    // The interpreter is a thousand times slower.
    let orders = if cfg!(miri) { &ORDERS[..2] } else { &ORDERS[..] };
    for &a in orders {
        for &b in orders {
            for &c in orders {
                f([a, b, c]);
            }
        }
    }
}

#[test]
fn small_products_of_all_layouts() {
    let sizes: &[usize] = if cfg!(miri) { &[0, 1, 6] } else { &[0, 1, 2, 3, 5, 8, 17] };
    all_orders(|orders| {
        for &m in sizes {
            for &k in sizes {
                for &n in sizes {
                    check::<f32>([m, k, n], orders, 1.0, 0.0);
                    check::<f64>([m, k, n], orders, 1.0, 0.0);
                }
            }
        }
    });
}

#[test]
fn larger_products_of_all_layouts() {
    let shapes: &[[usize; 3]] = if cfg!(miri) {
        &[[9, 3, 19], [1, 5, 9]]
    } else {
        &[[130, 300, 49], [33, 257, 100], [1, 600, 70], [3, 100, 130], [70, 65, 1]]
    };
    all_orders(|orders| {
        for &shape in shapes {
            check::<f32>(shape, orders, 1.0, 0.0);
            check::<f64>(shape, orders, 1.0, 0.0);
        }
    });
}

#[test]
fn random_shapes_and_factors() {
    let mut values = Values(1);
    let (rounds, most) = if cfg!(miri) { (3, [6, 5, 9]) } else { (400, [70, 90, 110]) };
    for _ in 0..rounds {
        let shape = most.map(|most| values.size(most));
        let orders = [0; 3].map(|_| ORDERS[values.size(4).min(4)]);
        let factors = [0.0, 1.0, -0.5, 2.25];
        let (alpha, beta) = (factors[values.size(3).min(3)], factors[values.size(3).min(3)]);
        check::<f32>(shape, orders, alpha, beta);
        check::<f64>(shape, orders, alpha, beta);
    }
}

#[test]
fn broadcast_operands() {
    let row = [1.0_f32, 2.0, 3.0];
    let a = Mat { data: &row, rows: 5, cols: 3, row_stride: 0, col_stride: 1 };
    let b = Mat { data: &[2.0], rows: 3, cols: 4, row_stride: 0, col_stride: 0 };
    let mut c = [0.0; 20];
    let view = MatMut { data: &mut c, rows: 5, cols: 4, row_stride: 4, col_stride: 1 };
    matmul(1.0, a, b, 0.0, view).unwrap();
    assert_eq!(c, [12.0; 20]);
}

fn side_by_side(data: &mut [f32], rows: usize, cols: usize) -> MatMut<'_, f32> {
    MatMut { data, rows, cols, row_stride: cols as isize, col_stride: 1 }
}

#[test]
fn a_bias_is_what_the_sums_begin_with() {
    let values = &mut Values(11);
    for [m, k, n] in [[1, 5, 40], [7, 0, 3], [3, 9, 1], [40, 30, 50], [64, 600, 300], [5, 700, 33]] {
        for orders in [[Rows, Rows], [Rows, Columns]] {
            let (a, b) =
                (Owned::<f32>::new(orders[0], m, k, values), Owned::<f32>::new(orders[1], k, n, values));
            let bias: Vec<f32> = (0..n).map(|_| values.next() as f32).collect();
            let mut filled = bias.repeat(m);
            let mut begun = vec![f32::NAN; m * n];
            matmul(1.0, a.view(), b.view(), 1.0, side_by_side(&mut filled, m, n)).unwrap();
            matmul_bias(a.view(), b.view(), &bias, side_by_side(&mut begun, m, n)).unwrap();
            assert_eq!(begun, filled, "{m} x {k} x {n}");
            assert_eq!(
                matmul_bias(a.view(), b.view(), &bias[1..], side_by_side(&mut begun, m, n)),
                Err(Misfit)
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_left_alone() {
    let data = [1.0_f32; 12];
    let good = Mat { data: &data, rows: 3, cols: 4, row_stride: 4, col_stride: 1 };
    let right = Mat { rows: 4, cols: 3, row_stride: 3, ..good };
    let mut c = [7.0_f32; 9];
    let mut refused = |a, b, rows, cols, row_stride, col_stride| {
        let view = MatMut { data: &mut c, rows, cols, row_stride, col_stride };
        assert_eq!(matmul(1.0, a, b, 0.0, view), Err(Misfit));
        assert_eq!(c, [7.0; 9]);
    };
    refused(good, good, 3, 4, 4, 1);
    refused(good, right, 2, 3, 3, 1);
    refused(good, right, 3, 3, 4, 1);
    refused(Mat { row_stride: 5, ..good }, right, 3, 3, 3, 1);
    refused(Mat { row_stride: -4, ..good }, right, 3, 3, 3, 1);
    refused(Mat { row_stride: isize::MAX, ..good }, right, 3, 3, 3, 1);
    refused(good, right, 3, 3, 0, 1);
    refused(good, right, 3, 3, 1, 1);
    refused(good, right, 3, 3, 2, 2);
}

fn bits_of<T: Test>(threads: usize, [m, k, n]: [usize; 3], orders: [Order; 3]) -> Vec<u64> {
    threads::set_num_threads(threads);
    let mut values = Values(3);
    let a = Owned::<T>::new(orders[0], m, k, &mut values);
    let b = Owned::<T>::new(orders[1], k, n, &mut values);
    let mut c = Owned::<T>::new(orders[2], m, n, &mut values);
    matmul(T::constant(0.3), a.view(), b.view(), T::constant(0.7), c.view_mut()).unwrap();
    c.data.into_iter().map(T::bits).collect()
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let shapes: &[[usize; 3]] = if cfg!(miri) {
        &[[2, 3, 4]]
    } else {
        &[[64, 784, 300], [1, 3000, 310], [150, 600, 3], [3, 600, 790], [310, 900, 1], [257, 300, 129]]
    };
    for &shape in shapes {
        for a in [Rows, Columns] {
            for b in [Rows, Columns] {
                for c in [Rows, Columns, Apart] {
                    let one = bits_of::<f32>(1, shape, [a, b, c]);
                    let wide = bits_of::<f64>(1, shape, [a, b, c]);
                    for threads in [2, 3, 7] {
                        assert!(
                            one == bits_of::<f32>(threads, shape, [a, b, c]),
                            "{shape:?} {a:?} {b:?} {c:?}"
                        );
                        assert!(
                            wide == bits_of::<f64>(threads, shape, [a, b, c]),
                            "{shape:?} {a:?} {b:?} {c:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn sums_of_blocks_have_the_bits_of_product_after_product() {
    // Blocks, rows of each, columns of A and of B; the last ones need two panels.
    for [count, k, m, n] in [
        [1, 1, 1, 1],
        [3, 1, 13, 40],
        [2, 16, 6, 32],
        [5, 7, 9, 47],
        [4, 288, 5, 9],
        [100, 288, 7, 3],
        [9, 20, 300, 70],
    ] {
        let number = |i: usize| ((i * 7919) as f32 * 0.618).fract() - 0.45;
        let [a, b]: [Vec<f32>; 2] = [m, n].map(|w| (0..count * k * w).map(|i| number(i + w)).collect());
        let start: Vec<f32> = (0..m * n).map(number).collect();
        for fresh in [true, false] {
            let mut expected = start.clone();
            // From the last block to the first.
            for t in (0..count).rev() {
                let left =
                    Mat { data: &a[t * k * m..], rows: m, cols: k, row_stride: 1, col_stride: m as isize };
                let right =
                    Mat { data: &b[t * k * n..], rows: k, cols: n, row_stride: n as isize, col_stride: 1 };
                let mut own = vec![0.0; m * n];
                matmul(1.0, left, right, 0.0, MatMut::dense(&mut own, m, n)).unwrap();
                let first = fresh && t + 1 == count;
                expected.iter_mut().zip(own).for_each(|(e, v)| *e = if first { v } else { *e + v });
            }
            let last = |data, size: usize| Blocks { data, start: (count - 1) * size, step: -(size as isize) };
            let mut found = start.clone();
            let c = MatMut::dense(&mut found, m, n);
            add_blocks(last(&a, k * m), last(&b, k * n), count, k, fresh, c).unwrap();
            assert!(
                found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()),
                "{count} {k} {m} {n}"
            );
        }
    }
}

#[test]
fn blocks_that_are_not_there_are_refused() {
    let (data, mut sum) = ([0.0f32; 24], [0.0; 6]);
    let blocks = |start, step| Blocks { data: &data, start, step };
    let mut try_with = |a, b| add_blocks(a, b, 3, 2, true, MatMut::dense(&mut sum, 2, 3));
    assert_eq!(try_with(blocks(16, -8), blocks(0, 9)), Ok(()));
    assert_eq!(try_with(blocks(15, -8), blocks(0, 9)), Err(Misfit), "before the beginning");
    assert_eq!(try_with(blocks(0, 8), blocks(0, 10)), Err(Misfit), "behind the end");
    assert_eq!(try_with(blocks(25, 0), blocks(0, 0)), Err(Misfit), "none at all");
    assert_eq!(try_with(blocks(0, isize::MAX), blocks(0, 0)), Err(Misfit), "too far");
}
