use super::{Geometry, forward, input_gradient, weight_gradient};
use rand::RngExt;

/// The matrix of windows by its definition: where each element lies in the sample, or `None` outside it.
fn places(g: &Geometry, from: usize, len: usize) -> Vec<Option<usize>> {
    let mut all = Vec::new();
    let [kd, kh, kw] = g.kernel;
    for row in 0..g.inputs / g.groups * kd * kh * kw {
        let (channel, k) = (row / (kd * kh * kw), [row / (kh * kw) % kd, row / kw % kh, row % kw]);
        for p in from..from + len {
            let o = [p / g.output[2] / g.output[1], p / g.output[2] % g.output[1], p % g.output[2]];
            let at = |axis: usize| {
                let place = o[axis] * g.stride[axis] + k[axis] * g.dilation[axis];
                place.checked_sub(g.padding[axis]).filter(|&at| at < g.input[axis])
            };
            all.push((|| {
                Some(((channel * g.input[0] + at(0)?) * g.input[1] + at(1)?) * g.input[2] + at(2)?)
            })());
        }
    }
    all
}

#[test]
fn windows_are_laid_out_and_put_back_by_their_definition() {
    let rng = &mut crate::Random::new(3);
    for case in 0..400 {
        let mut pick = |list: &[usize]| list[rng.random_range(0..list.len())];
        let input = [pick(&[1, 1, 3]), pick(&[1, 4, 9, 12]), pick(&[3, 7, 8, 9, 12, 16, 28, 33])];
        let kernel = [pick(&[1, 1, 2]), pick(&[1, 2, 3, 5]), pick(&[1, 2, 3, 5])];
        let all = |pick: &mut dyn FnMut(&[usize]) -> usize, list: &[usize]| [(); 3].map(|()| pick(list));
        let mut stride = all(&mut pick, &[1, 1, 2, 3]);
        if case % 2 == 0 {
            stride[2] = 1;
        }
        let (padding, dilation) = (all(&mut pick, &[0, 1, 2, 4]), all(&mut pick, &[1, 1, 2]));
        let size = |i: usize| {
            let room = input[i] + 2 * padding[i];
            room.checked_sub(dilation[i] * (kernel[i] - 1) + 1).map(|room| room / stride[i] + 1)
        };
        let [Some(d), Some(h), Some(w)] = [size(0), size(1), size(2)] else { continue };
        let output = [d, h, w];
        let g = Geometry {
            n: 1,
            groups: 1,
            inputs: 2,
            outputs: 1,
            input,
            kernel,
            output,
            stride,
            padding,
            dilation,
        };
        let lines = d * h;
        for (from, len) in [(0, lines * w), (lines / 2 * w, w), (w / 2, (lines * w - w / 2).div_ceil(2))] {
            let places = places(&g, from, len);
            let x: Vec<f64> = (1..=2 * input.iter().product::<usize>()).map(|v| v as f64).collect();
            let mut columns = vec![f64::NAN; places.len()];
            g.lay_out(&x, from, len, &mut columns);
            let expected: Vec<f64> = places.iter().map(|at| at.map_or(0.0, |at| x[at])).collect();
            assert_eq!(columns, expected, "{g:?}, {len} windows from {from}");
            let columns: Vec<f64> = (0..places.len()).map(|i| (i % 97) as f64).collect();
            let mut back = vec![1.0; x.len()];
            g.put_back(&columns, from, len, &mut back);
            let mut sums = vec![1.0; x.len()];
            places.iter().zip(&columns).for_each(|(at, v)| at.iter().for_each(|&at| sums[at] += v));
            assert_eq!(back, sums, "{g:?}, {len} windows from {from}");
        }
    }
}

#[test]
fn channels_are_convolved_by_the_definition() {
    let rng = &mut crate::Random::new(5);
    let mut done = 0;
    for case in 0..500 {
        let mut pick = |list: &[usize]| list[rng.random_range(0..list.len())];
        let input = [pick(&[1, 1, 3]), pick(&[1, 4, 9]), pick(&[1, 3, 7, 15, 16, 17, 33, 70])];
        let kernel = [pick(&[1, 1, 2]), pick(&[1, 2, 3, 5]), pick(&[1, 2, 3, 5, 7])];
        let (padding, dilation) =
            ([(); 3].map(|()| pick(&[0, 1, 2, 4])), [(); 3].map(|()| pick(&[1, 1, 2, 3])));
        let (n, groups) = (pick(&[1, 3]), pick(&[1, 2, 5]));
        let stride = if case % 2 == 0 { [1; 3] } else { [(); 3].map(|()| pick(&[1, 2, 3])) };
        // Each channel by itself, and not.
        let [channels, results] = [(); 2].map(|()| if case % 3 == 0 { 1 } else { pick(&[1, 2, 3, 9]) });
        let size = |i: usize| {
            let room = input[i] + 2 * padding[i] + case / 2 % 2;
            let room = room.checked_sub(dilation[i] * (kernel[i] - 1)).filter(|&size| size > 0);
            room.map(|room| (room - 1) / stride[i] + 1)
        };
        let [Some(d), Some(h), Some(w)] = [size(0), size(1), size(2)] else { continue };
        let output = [d, h, w];
        let (inputs, outputs) = (groups * channels, groups * results);
        let g = Geometry { n, groups, inputs, outputs, input, kernel, output, stride, padding, dilation };
        let (size, positions, window) =
            (input.iter().product::<usize>(), d * h * w, channels * kernel.iter().product::<usize>());
        let one = Geometry { groups: 1, inputs: channels, outputs: 1, ..g.clone() };
        let places = places(&one, 0, positions);
        let mut numbers =
            |n: usize| (0..n).map(|_| pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8]) as f64 - 4.0).collect::<Vec<_>>();
        let (x, w, b, dy) = (
            numbers(n * inputs * size),
            numbers(outputs * window),
            numbers(outputs),
            numbers(n * outputs * positions),
        );
        let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
        let [mut y_expected, mut dx_expected, mut dw_expected] =
            [vec![0.0; y.len()], vec![0.0; x.len()], vec![0.0; w.len()]];
        for at in 0..n * outputs {
            let c = at % outputs;
            let from = at / results * channels * size;
            y_expected[at * positions..][..positions].fill(b[c]);
            for (i, place) in places.iter().enumerate().filter_map(|(i, place)| Some((i, (*place)?))) {
                let (k, y, x_at) = (c * window + i / positions, at * positions + i % positions, from + place);
                y_expected[y] += w[k] * x[x_at];
                dx_expected[x_at] += w[k] * dy[y];
                dw_expected[k] += dy[y] * x[x_at];
            }
        }
        forward(&g, &x, &w, Some(&b), &mut y).unwrap();
        input_gradient(&g, &dy, &w, &mut dx).unwrap();
        weight_gradient(&g, &x, &dy, &mut dw).unwrap();
        // Whole numbers: sums are exact in any order.
        assert_eq!([y, dx, dw], [y_expected, dx_expected, dw_expected], "{g:?}");
        done += 1;
    }
    assert!(done > 250, "{done}");
}

#[test]
fn blocks_cover_all_positions_however_large_a_window_is() {
    let rng = &mut crate::Random::new(7);
    for _ in 0..500 {
        let mut pick = |list: &[usize]| list[rng.random_range(0..list.len())];
        let inputs = pick(&[1, 3, 64, 5_000, 140_000, 300_000]);
        let kernel = [1, pick(&[1, 2, 5]), pick(&[1, 3, 9])];
        let output = [pick(&[1, 2]), pick(&[1, 7, 90]), pick(&[1, 2, 14, 28, 33, 500])];
        let (one, none) = ([1; 3], [0; 3]);
        let g = Geometry {
            n: 1,
            groups: 1,
            inputs,
            outputs: 1,
            input: output,
            kernel,
            output,
            stride: one,
            padding: none,
            dilation: one,
        };
        let (blocks, most) = g.blocks();
        let mut next = 0;
        for (from, len) in blocks {
            assert!(from == next && (1..=most).contains(&len), "{g:?}: {len} from {from}, room for {most}");
            next = from + len;
        }
        assert_eq!(next, output.iter().product::<usize>(), "{g:?}");
    }
}
