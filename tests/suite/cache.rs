//! Attention by a cache: places one by one, some at a time and all at once have the same results.
use kolmo::{Random, Result, Tape, Tensor, Var, nn::KvCache, nn::init, ops::AttentionOptions};

fn causal<'t>() -> AttentionOptions<'t, f32> {
    AttentionOptions::new().causal_lower_right(true)
}

/// Results of all places, appended `step` at a time.
fn attended([q, k, v]: &[Tensor; 3], step: usize) -> Result<Vec<Vec<f32>>> {
    let (mut tape, mut cache, places) = (Tape::inference(), KvCache::new(), q.dim(-2));
    let mut results = Vec::new();
    for first in (0..places).step_by(step) {
        tape.reset();
        let n = step.min(places - first);
        let [q, k, v] = [q, k, v].map(|x| tape.constant(x.narrow(-2, first, n).unwrap()));
        let (keys, values) = cache.append(&k, &v);
        let y = q.scaled_dot_product_attention(&keys, &values, &causal());
        for i in 0..n {
            results.push(y.narrow(-2, i, 1).to_vec()?);
        }
    }
    assert_eq!(cache.len(), places);
    Ok(results)
}

#[test]
fn places_have_the_same_results_however_many_come_at_once() -> Result<()> {
    for (lead, places, width) in [(&[2, 3][..], 150, 64), (&[1], 37, 5), (&[], 70, 16)] {
        let rng = &mut Random::new(places as u64);
        let x = [width, width, width + 3]
            .map(|width| init::normal(&[lead, &[places, width]].concat()[..], 0.0, 1.0, rng));
        let whole = attended(&x, places)?;
        for step in [1, 3, 64] {
            // Products of few rows add in another order.
            for (a, b) in attended(&x, step)?.iter().flatten().zip(whole.iter().flatten()) {
                assert!((a - b).abs() < 2e-6 * (1.0 + b.abs()), "{places} places, {step} at a time: {a} {b}");
            }
        }
        let tape = Tape::inference();
        let [q, k, v] = x.each_ref().map(|x| tape.constant(x));
        let y = q.scaled_dot_product_attention(&k, &v, &AttentionOptions::new().is_causal(true));
        assert_eq!(y.narrow(-2, places - 1, 1).to_vec()?, whole[places - 1]);
    }
    Ok(())
}

#[test]
fn heads_share_keys_with_copies_or_without() -> Result<()> {
    let rng = &mut Random::new(5);
    for (heads, shared) in [(6, 2), (4, 1), (3, 3)] {
        let x = [(heads, 5, 8), (shared, 7, 8), (shared, 7, 4)]
            .map(|(heads, places, width)| init::normal([2, heads, places, width], 0.0, 1.0, rng));
        let keep = Tensor::from_fn([2, 1, 1, 7], |i| i % 5 != 2);
        for options in [AttentionOptions::new(), causal(), AttentionOptions::new().attn_mask(keep)] {
            let (without, with) = (Tape::inference(), Tape::new());
            let [q, k, v] = x.each_ref().map(|x| without.constant(x));
            let y = q.scaled_dot_product_attention(&k, &v, &options);
            let [q, k, v] = x.each_ref().map(|x| with.input(x));
            assert_eq!(y.to_vec()?, q.scaled_dot_product_attention(&k, &v, &options).to_vec()?);
        }
    }
    Ok(())
}

#[test]
fn a_mask_of_queries_hides_all_keys_however_many() -> Result<()> {
    let tape = Tape::inference();
    let [q, k] = [2, 300].map(|n| tape.constant(Tensor::<f32>::from_fn([n, 4], |i| (i as f32).sin())));
    let options = AttentionOptions::new().attn_mask(Tensor::from([[true], [false]]));
    let y = q.scaled_dot_product_attention(&k, &k, &options).to_vec()?;
    assert!(y[..4] != [0.0; 4] && y[4..] == [0.0; 4], "{y:?}");
    Ok(())
}

#[test]
fn a_cache_goes_back_forks_and_is_reordered() -> Result<()> {
    let x: Tensor = init::normal([3, 9, 4], 0.0, 1.0, &mut Random::new(1));
    let tape = Tape::inference();
    let at = |first, n| tape.constant(x.narrow(1, first, n).unwrap());
    let mut cache = KvCache::new();
    let _ = cache.append(&at(0, 5), &at(0, 5));
    let mut other = cache.clone();
    other.truncate(2);
    let (keys, _) = other.append(&at(7, 2), &at(7, 2));
    assert_eq!(keys.to_vec()?, tape.cat(&[&at(0, 2), &at(7, 2)], 1).to_vec()?);
    let (keys, values) = cache.append(&at(5, 4), &at(5, 4));
    assert_eq!([keys.to_vec()?, values.to_vec()?], [x.to_vec(), x.to_vec()], "the clone wrote elsewhere");
    cache.index_select(&Tensor::from([2u32, 0, 0, 1]))?;
    cache.truncate(8);
    let last = x.index_select(0, &Tensor::from([2u32, 0, 0, 1]))?.narrow(1, 8, 1)?;
    let (keys, _) = cache.append(&tape.constant(&last), &tape.constant(&last));
    assert_eq!(keys.to_vec()?, x.index_select(0, &Tensor::from([2u32, 0, 0, 1]))?.to_vec());
    cache.truncate(0);
    assert!(cache.is_empty() && cache.index_select(&Tensor::from([0u32])).is_err());
    Ok(())
}

#[test]
fn what_cannot_be_appended_is_told_and_loses_nothing() {
    let tape = Tape::new();
    let of = |sizes: &[usize]| tape.constant(Tensor::<f32>::ones(sizes));
    let mut cache = KvCache::new();
    let mut told = |keys: &Var<'_>, values: &Var<'_>| {
        cache.append(keys, values).1.ok().map_or_else(|e| e.to_string(), |()| String::new())
    };
    assert!(told(&of(&[2, 3, 4]), &of(&[2, 2, 4])).contains("not [2, 3, 4] and [2, 2, 4]"));
    assert!(told(&of(&[4]), &of(&[4])).contains("takes keys […, n, d]"));
    assert!(told(&of(&[2, 3, 4]), &of(&[2, 3, 6])).is_empty());
    let why = told(&of(&[2, 1, 4]), &of(&[2, 1, 4]));
    assert!(why.contains("keys [2, 3, 4] and values [2, 3, 6], to which [2, 1, 4] and [2, 1, 4]"), "{why}");
    let recorded = tape.input(Tensor::ones([2, 1, 4]));
    assert!(told(&recorded, &of(&[2, 1, 6])).contains("for inference"));
    assert!(told(&of(&[2, 1, 4]), &of(&[2, 1, 6])).is_empty());
    assert_eq!(cache.len(), 4);
}
