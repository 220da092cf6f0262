//! Shapes, broadcasting and views at random, against a model that keeps for every element the index where it
//! came from.
use kolmo::{Tape, Tensor, Var};
use proptest::prelude::*;

/// A tensor as its sizes and, in row-major order, which elements of the original it shows.
#[derive(Clone, Debug)]
struct Model {
    sizes: Vec<usize>,
    from: Vec<usize>,
}

impl Model {
    fn new(sizes: &[usize]) -> Model {
        Model { sizes: sizes.to_vec(), from: (0..sizes.iter().product()).collect() }
    }

    fn at(&self, index: &[usize]) -> usize {
        self.from[index.iter().zip(&self.sizes).fold(0, |at, (i, n)| at * n + i)]
    }

    /// A new model whose element at an index is the old one at `f(index)`.
    fn remade(&self, sizes: Vec<usize>, f: impl Fn(&[usize]) -> Vec<usize>) -> Model {
        let n: usize = sizes.iter().product();
        let index = |mut at: usize| {
            let mut index = vec![0; sizes.len()];
            for (i, &size) in index.iter_mut().zip(&sizes).rev() {
                (*i, at) = (at % size, at / size);
            }
            index
        };
        let from = (0..n).map(|at| self.at(&f(&index(at)))).collect();
        Model { sizes, from }
    }
}

/// A step of a chain; its numbers are fitted to the shape that it meets.
#[derive(Clone, Copy, Debug)]
enum View {
    Transpose(usize, usize),
    Narrow(usize, usize, usize),
    Flip(usize),
    TensorIndex(usize, usize),
    Unsqueeze(usize),
    Flatten,
    Repeat(usize, usize),
    Unfold(usize, usize, usize),
    Roll(usize, usize),
}

fn view() -> impl Strategy<Value = View> {
    let n = 0..6usize;
    prop_oneof![
        (n.clone(), n.clone()).prop_map(|(a, b)| View::Transpose(a, b)),
        (n.clone(), n.clone(), n.clone()).prop_map(|(a, b, c)| View::Narrow(a, b, c)),
        n.clone().prop_map(View::Flip),
        (n.clone(), n.clone()).prop_map(|(a, b)| View::TensorIndex(a, b)),
        n.clone().prop_map(View::Unsqueeze),
        Just(View::Flatten),
        (n.clone(), 0..3usize).prop_map(|(a, b)| View::Repeat(a, b)),
        (n.clone(), n.clone(), 1..3usize).prop_map(|(a, b, c)| View::Unfold(a, b, c)),
        (n.clone(), n).prop_map(|(a, b)| View::Roll(a, b)),
    ]
}

/// One step on the tape and on the model; left out where the shape has no room for it.
fn apply<'t>(v: View, x: &Var<'t, f64>, m: &Model) -> Option<(Var<'t, f64>, Model)> {
    let (rank, sizes) = (m.sizes.len(), &m.sizes);
    let axis = |a: usize| (rank > 0).then(|| a % rank);
    Some(match v {
        View::Transpose(a, b) => {
            let (a, b) = (axis(a)?, axis(b)?);
            let swapped = |list: &[usize]| {
                let mut list = list.to_vec();
                list.swap(a, b);
                list
            };
            (x.transpose(a as isize, b as isize), m.remade(swapped(sizes), swapped))
        }
        View::Narrow(a, start, len) => {
            let a = axis(a)?;
            let start = start % (sizes[a] + 1);
            let len = len % (sizes[a] - start + 1);
            let mut cut = sizes.clone();
            cut[a] = len;
            let model = m.remade(cut, |i| {
                let mut i = i.to_vec();
                i[a] += start;
                i
            });
            (x.narrow(a as isize, start, len), model)
        }
        View::Flip(a) => {
            let a = axis(a)?;
            let model = m.remade(sizes.clone(), |i| {
                let mut i = i.to_vec();
                i[a] = sizes[a] - 1 - i[a];
                i
            });
            (x.flip([a as isize]), model)
        }
        View::TensorIndex(a, at) => {
            let a = axis(a).filter(|&a| sizes[a] > 0)?;
            let at = at % sizes[a];
            let mut left = sizes.clone();
            left.remove(a);
            let model = m.remade(left, |i| {
                let mut i = i.to_vec();
                i.insert(a, at);
                i
            });
            (x.select(a as isize, at as isize), model)
        }
        View::Unsqueeze(a) => {
            let a = a % (rank + 1);
            let mut more = sizes.clone();
            more.insert(a, 1);
            (x.unsqueeze(a as isize), Model { sizes: more, from: m.from.clone() })
        }
        View::Flatten => (x.flatten(0, -1), Model { sizes: vec![m.from.len()], from: m.from.clone() }),
        View::Repeat(a, n) => {
            let a = axis(a).filter(|_| m.from.len() < 200)?;
            let mut times = vec![1; rank];
            times[a] = n;
            let mut more = sizes.clone();
            more[a] *= n;
            let model = m.remade(more, |i| {
                let mut i = i.to_vec();
                i[a] %= sizes[a];
                i
            });
            (x.repeat(&times), model)
        }
        View::Unfold(a, size, step) => {
            let a = axis(a).filter(|_| m.from.len() < 200)?;
            let size = size % (sizes[a] + 1);
            let mut more = sizes.clone();
            more[a] = (sizes[a] - size) / step + 1;
            more.push(size);
            let model = m.remade(more, |i| {
                let mut i = i.to_vec();
                let place = i.pop().unwrap_or(0);
                i[a] = i[a] * step + place;
                i
            });
            (x.unfold(a as isize, size, step), model)
        }
        View::Roll(a, by) => {
            let a = axis(a)?;
            let model = m.remade(sizes.clone(), |i| {
                let mut i = i.to_vec();
                i[a] = (i[a] + sizes[a] * 6 - by) % sizes[a];
                i
            });
            (x.roll([by as isize], [a as isize]), model)
        }
    })
}

fn sizes(most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..4usize, 0..=most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chains_of_views_show_the_right_elements(sizes in sizes(4), chain in prop::collection::vec(view(), 0..6)) {
        let tape = Tape::<f64>::new();
        let x = tape.input(Tensor::from_fn(sizes.as_slice(), |i| i as f64));
        let (mut y, mut model) = (x.clone(), Model::new(&sizes));
        for &step in &chain {
            if let Some((next, m)) = apply(step, &y, &model) {
                (y, model) = (next, m);
            }
        }
        prop_assert_eq!(&y.shape()[..], &model.sizes[..], "{:?}", chain);
        let shown: Vec<f64> = model.from.iter().map(|&i| i as f64).collect();
        prop_assert_eq!(y.to_vec()?, shown, "{:?}", chain);
        // The gradient of an element is the sum of the weights of the places that show it.
        let weights: Vec<f64> = (0..model.from.len()).map(|i| (i * i % 7) as f64 + 0.5).collect();
        let mut expected = vec![0.0; sizes.iter().product()];
        for (&i, w) in model.from.iter().zip(&weights) {
            expected[i] += w;
        }
        let weights = tape.constant(Tensor::from_fn(y.shape(), |i| weights[i]));
        let grads = (&y * weights).sum().backward()?;
        let found = grads.get(&x).map_or(vec![0.0; expected.len()], Tensor::to_vec);
        prop_assert_eq!(found, expected, "{:?}", chain);
    }

    #[test]
    fn operands_broadcast_as_if_they_were_repeated(full in sizes(4), cut_a in 0..5usize, ones_a in 0..16usize, cut_b in 0..5usize, ones_b in 0..16usize) {
        // Two shapes that come from one by dropping leading axes and setting others to 1.
        let part = |cut: usize, ones: usize| -> Vec<usize> {
            let cut = cut % (full.len() + 1);
            full.iter().enumerate().skip(cut).map(|(i, &n)| if ones >> i & 1 == 1 { 1 } else { n }).collect()
        };
        let shapes = [part(cut_a, ones_a), part(cut_b, ones_b)];
        let rank = shapes[0].len().max(shapes[1].len());
        let size = |s: &[usize], a: usize| if a + s.len() < rank { 1 } else { s[a + s.len() - rank] };
        let result: Vec<usize> = (0..rank)
            .map(|a| {
                let (m, n) = (size(&shapes[0], a), size(&shapes[1], a));
                if m == 1 { n } else { m }
            })
            .collect();
        let tape = Tape::<f64>::new();
        let value = |s: &[usize], seed: f64| Tensor::from_fn(s, |i| i as f64 * 0.25 + seed);
        let (a, b) = (tape.input(value(&shapes[0], 3.0)), tape.input(value(&shapes[1], 5.0)));
        let y = &a * &b;
        prop_assert_eq!(&y.shape()[..], &result[..]);
        let place = |s: &[usize], mut at: usize| {
            let mut index = vec![0; rank];
            for (i, &n) in index.iter_mut().zip(&result).rev() {
                (*i, at) = (at % n, at / n);
            }
            (rank - s.len()..rank).fold(0, |p, a| {
                let n = size(s, a);
                p * n + if n == 1 { 0 } else { index[a] }
            })
        };
        let (va, vb) = (a.to_vec()?, b.to_vec()?);
        let n: usize = result.iter().product();
        let expected: Vec<f64> = (0..n).map(|i| va[place(&shapes[0], i)] * vb[place(&shapes[1], i)]).collect();
        prop_assert_eq!(y.to_vec()?, expected);
        let mut slope = vec![0.0; va.len()];
        (0..n).for_each(|i| slope[place(&shapes[0], i)] += vb[place(&shapes[1], i)]);
        let grads = y.sum().backward()?;
        prop_assert_eq!(grads.get(&a).map_or(vec![0.0; va.len()], Tensor::to_vec), slope);
    }

    #[test]
    fn shapes_that_do_not_broadcast_are_errors(a in 2..5usize, b in 2..5usize, lead in sizes(2)) {
        prop_assume!(a != b);
        let tape = Tape::<f64>::new();
        let shape = |n: usize| lead.iter().copied().chain([n]).collect::<Vec<_>>();
        let [x, y] = [a, b].map(|n| tape.input(Tensor::ones(shape(n).as_slice())));
        let message = (x + y).value().map(|_| ()).unwrap_err().to_string();
        prop_assert!(message.contains("don't broadcast"), "{}", message);
    }
}
