use super::Geometry;
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
