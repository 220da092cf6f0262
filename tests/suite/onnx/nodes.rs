//! Several operations that become one node, and sizes that are left open beside samples.
use super::near;
use kolmo::{
    onnx::{Export, Model},
    *,
};

fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|part| part == word.as_bytes())
}

#[test]
fn means_of_windows_and_resized_pictures_are_one_node() -> Result<()> {
    use ops::{InterpolateMode, InterpolateTo, PoolOptions};
    let (pool, linear) = (PoolOptions::new(3), |align_corners| InterpolateMode::Linear { align_corners });
    let scale = InterpolateTo::Scale;
    type Change<'f> = &'f dyn for<'t> Fn(&Var<'t>) -> Var<'t>;
    let padded = pool.clone().stride(2).padding(1);
    let uneven = PoolOptions::new([2, 3]).stride([1, 2]);
    let all: [(&str, &str, Change<'_>); 13] = [
        ("AveragePool", "plain", &|x| x.avg_pool2d(&pool)),
        ("AveragePool", "with padding", &|x| x.avg_pool2d(&padded)),
        ("AveragePool", "without it", &|x| x.avg_pool2d(&padded.clone().count_include_pad(false))),
        ("AveragePool", "uneven", &|x| x.avg_pool2d(&uneven)),
        ("AveragePool", "beyond the end", &|x| {
            x.avg_pool2d(&pool.clone().ceil_mode(true).count_include_pad(false))
        }),
        ("AveragePool", "shared out", &|x| x.adaptive_avg_pool2d(&[Some(3), Some(2)])),
        ("AveragePool", "a line", &|x| x.flatten(2, -1).avg_pool1d(&pool)),
        ("Resize", "nearest", &|x| x.interpolate(&scale(3.0), InterpolateMode::Nearest)),
        ("Resize", "linear", &|x| x.interpolate(&scale(2.0), linear(false))),
        ("Resize", "corners", &|x| x.interpolate(&InterpolateTo::Size([5, 11].into()), linear(true))),
        ("Resize", "smaller", &|x| x.interpolate(&InterpolateTo::Size([4, 5].into()), linear(false))),
        // Windows of different sizes, and places that hang on rounding, stay what they are.
        ("Gather", "unequal windows", &|x| x.adaptive_avg_pool2d(&[Some(4), Some(5)])),
        ("Gather", "nearest of a part", &|x| x.interpolate(&scale(1.5), InterpolateMode::Nearest)),
    ];
    let x = Tensor::randn([2, 3, 9, 8], &mut Random::new(0));
    let many = Tensor::randn([5, 3, 9, 8], &mut Random::new(1));
    for (operator, name, f) in all {
        let export = Export::new().dynamic_axes("batch", &[(0, 0)]);
        let bytes = export.to_bytes(&(), &[&x], &[], |_, x, _| vec![f(&x[0])])?;
        for wanted in ["AveragePool", "Resize"] {
            assert_eq!(has(&bytes, wanted), wanted == operator, "{name}");
        }
        assert!(has(&bytes, operator), "{name}");
        let model = Model::from_bytes(&bytes)?;
        let tape = Tape::inference();
        for x in [&x, &many] {
            let x = tape.constant(x);
            near(&model.forward(&tape, std::slice::from_ref(&x), &[]), &[f(&x)], name);
        }
    }
    Ok(())
}

#[test]
fn a_cache_of_any_length_goes_in_and_out() -> Result<()> {
    // The second query sees the places of the first; one query alone sees all.
    for queries in [1, 2] {
        let causal = ops::AttentionOptions::new().causal_lower_right(true);
        let f = |x: &[Var<'_>]| -> Vec<Tensor> {
            let keys = x[0].tape().cat(&[&x[0], &x[1]], 2);
            let y = x[2].scaled_dot_product_attention(&keys, &keys, &causal);
            [y, keys].iter().map(|v| v.value().unwrap().clone()).collect()
        };
        let rng = &mut Random::new(3);
        let (new, query) = (Tensor::randn([1, 2, queries, 4], rng), Tensor::randn([1, 2, queries, 4], rng));
        let past = |n| Tensor::randn([1, 2, n, 4], &mut Random::new(n as u64));
        let export = Export::new().dynamic_axes("past", &[(0, 2)]);
        let bytes = export.to_bytes(&(), &[&past(3), &new, &query], &[], |tape, x, _| {
            let keys = tape.cat(&[&x[0], &x[1]], 2);
            vec![x[2].scaled_dot_product_attention(&keys, &keys, &causal), keys]
        });
        let model = Model::from_bytes(&bytes?)?;
        for n in [1, 3, 8] {
            let tape = Tape::inference();
            let x = [&past(n), &new, &query].map(|x| tape.constant(x));
            let expected = f(&x);
            let expected: Vec<Var<'_>> = expected.iter().map(|t| tape.constant(t)).collect();
            near(&model.forward(&tape, &x, &[]), &expected, &format!("{n} places"));
        }
    }
    Ok(())
}
