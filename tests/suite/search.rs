//! Searches: the same seed makes the same trials, however they are run; a broken search goes on; what has been
//! learnt pays.
use kolmo::{
    Error, Result,
    distributed::Local,
    runtime,
    search::{Finished, Method, Report, Search, Space, Trial},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

fn space() -> Space {
    Space::new()
        .log_float("lr", 1e-5, 1.0)
        .float("x", -2.0, 3.0)
        .integer("depth", 1, 9)
        .log_integer("width", 1, 256)
        .choice("kind", ["a", "b", "c"])
}

/// A valley: 0 at lr = 1e-3, x = 1, depth 4, width 16, kind "b".
fn valley(trial: &Trial) -> Result<f64> {
    let s = &trial.settings;
    let kind = if s.text("kind")? == "b" { 0.0 } else { 1.0 };
    let (depth, width) = (s.integer("depth")? as f64, s.size("width")? as f64);
    let terms = [s.float("lr")?.log10() + 3.0, s.float("x")? - 1.0, depth - 4.0, width.log2() - 4.0];
    Ok(terms.iter().map(|t| t * t).sum::<f64>() + kind)
}

fn measured(trial: &Trial) -> Result<[(&'static str, f64); 2]> {
    Ok([("loss", valley(trial)?), ("bytes", trial.settings.float("width")? * trial.settings.float("depth")?)])
}

/// A file of a test that is gone when it ends.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> File {
        File(std::env::temp_dir().join(format!("kolmo-search-{name}-{}.jsonl", std::process::id())))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const METHODS: [Method; 3] = [Method::Random, Method::Grid(3), Method::Tpe];

fn search(method: Method) -> Search {
    Search::new(space(), ["loss", "bytes"]).method(method).trials(30).seed(5)
}

#[test]
fn the_same_seed_makes_the_same_trials_on_any_number_of_threads() -> Result<()> {
    let threads = runtime::num_threads();
    for method in METHODS {
        let reports: Vec<Report> = [1, 2, 5]
            .into_iter()
            .map(|threads| {
                runtime::set_num_threads(threads);
                search(method).run(measured)
            })
            .collect::<Result<_>>()?;
        runtime::set_num_threads(threads);
        assert_eq!(reports[0].trials.len(), 30);
        assert!(reports.iter().all(|report| *report == reports[0]), "{method:?}");
        let other = search(method).seed(6).run(measured)?;
        assert_eq!(other.trials == reports[0].trials, matches!(method, Method::Grid(_)));
    }
    Ok(())
}

#[test]
fn processes_make_the_trials_of_one() -> Result<()> {
    for method in METHODS {
        let expected = search(method).run(measured)?;
        let file = File::new(&format!("ranks-{}", expected.trials[7].measured["loss"]));
        let path = file.path().to_path_buf();
        let reports = Local::run(3, move |world| search(method).file(&path).run_by(&world, measured))?;
        assert!(reports.iter().all(|report| *report == expected), "{method:?}");
        let alone =
            search(method).file(file.path()).run(|_| -> Result<[(&str, f64); 0]> { unreachable!() })?;
        assert_eq!(alone, expected);
    }
    let failed = Local::run(2, |world| {
        let broken =
            |trial: &Trial| if trial.index == 5 { Err(Error::custom("dust")) } else { measured(trial) };
        search(Method::Random).run_by(&world, broken)
    });
    assert!(failed.unwrap_err().to_string().contains("dust"));
    Ok(())
}

#[test]
fn a_broken_search_goes_on_to_what_an_unbroken_one_finds() -> Result<()> {
    for method in METHODS {
        let expected = search(method).run(measured)?;
        let file = File::new(&format!("broken-{}", expected.trials[3].measured["loss"]));
        let ran = Mutex::new(BTreeSet::new());
        for most in [1, 7, 13, 22, 1000] {
            let runs = AtomicUsize::new(0);
            let found = search(method).file(file.path()).run(|trial| {
                if runs.fetch_add(1, Relaxed) >= most {
                    return Err(Error::custom("the lights went out"));
                }
                assert!(ran.lock().unwrap().insert(trial.index), "trial {} was run again", trial.index);
                measured(trial)
            });
            match found {
                Err(e) => assert_eq!(e.to_string(), "the lights went out"),
                Ok(found) => assert_eq!(found, expected, "{method:?}"),
            }
        }
        assert_eq!(ran.into_inner().unwrap().len(), 30);
        // As from another search, and with more trials.
        let error = search(method).seed(6).file(file.path()).run(measured).unwrap_err();
        assert!(error.to_string().contains("another search"), "{error}");
        let more = search(method).trials(35).file(file.path()).run(measured)?;
        assert_eq!(more.trials[..30], expected.trials[..]);
        assert_eq!(more, search(method).trials(35).run(measured)?);
    }
    Ok(())
}

#[test]
fn a_damaged_file_is_refused() -> Result<()> {
    let file = File::new("damaged");
    let found = search(Method::Tpe).trials(12).file(file.path()).run(measured)?;
    let text = fs::read_to_string(file.path()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 13);
    let bad = [
        lines[1..].join("\n"),
        [lines[0], lines[2], lines[1]].join("\n"),
        [lines[0], lines[1], lines[1]].join("\n"),
        text[..text.len() - 5].to_string(),
        // Another trial's settings.
        [lines[0], &lines[1].replace("\"trial\":0", "\"trial\":1")].join("\n"),
    ];
    for text in bad {
        fs::write(file.path(), &text).unwrap();
        let error = search(Method::Tpe).trials(12).file(file.path()).run(measured);
        assert!(error.is_err(), "{text}");
    }
    // Without some lines, these trials are run again.
    fs::write(file.path(), [lines[0], lines[2], lines[12]].join("\n")).unwrap();
    assert_eq!(search(Method::Tpe).trials(12).file(file.path()).run(measured)?, found);
    assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
    Ok(())
}

#[test]
fn what_was_learnt_beats_chance() -> Result<()> {
    let least = |method, seed| -> Result<f64> {
        let search = Search::new(space(), ["loss"]).method(method).trials(80).seed(seed);
        let found = search.run(|trial| Ok([("loss", valley(trial)?)]))?;
        Ok(found.best().unwrap().measured["loss"])
    };
    let mut won = 0;
    for seed in 0..10 {
        won += usize::from(least(Method::Tpe, seed)? < least(Method::Random, seed)?);
    }
    assert!(won >= 9, "{won} of 10");
    Ok(())
}

#[test]
fn values_lie_in_their_ranges_and_a_grid_has_them_all() -> Result<()> {
    for method in METHODS {
        let found = search(method).trials(300).run(measured)?;
        for Finished { settings, .. } in &found.trials {
            assert!(
                (1e-5..=1.0).contains(&settings.float("lr")?) && (-2.0..=3.0).contains(&settings.float("x")?)
            );
            assert!(
                (1..=9).contains(&settings.integer("depth")?) && (1..=256).contains(&settings.size("width")?)
            );
            assert!(["a", "b", "c"].contains(&settings.text("kind")?));
        }
        let kinds: BTreeSet<&str> = found.trials.iter().map(|t| t.settings.text("kind").unwrap()).collect();
        assert_eq!(kinds.len(), 3, "{method:?}");
    }
    let small = Space::new().log_float("lr", 0.01, 1.0).integer("n", 1, 2).choice("flag", [true, false]);
    let grid = Search::new(small, ["n"]).method(Method::Grid(3));
    let found = grid.run(|trial| Ok([("n", trial.settings.float("n")?)]))?;
    assert_eq!(found.trials.len(), 3 * 2 * 2);
    let lrs: Vec<f64> = found.trials.iter().step_by(4).map(|t| t.settings.float("lr").unwrap()).collect();
    assert!(lrs[0] == 0.01 && (lrs[1] - 0.1).abs() < 1e-12 && lrs[2] == 1.0, "{lrs:?}");
    let last = &found.trials[11].settings;
    assert_eq!((last.integer("n")?, last.get("flag")), (2, Some(&false.into())));
    Ok(())
}

#[test]
fn nothing_on_the_front_is_beaten_and_all_else_is() -> Result<()> {
    // Trials that are no number are nowhere on it.
    let found = search(Method::Random).trials(60).run(|trial| {
        let [loss, bytes] = measured(trial)?;
        Ok([if trial.index % 7 == 0 { ("loss", f64::NAN) } else { loss }, bytes, ("beside", 1.0)])
    })?;
    let goals = |t: &Finished| (t.measured["loss"], t.measured["bytes"]);
    let beaten = |one: &Finished| {
        let (loss, bytes) = goals(one);
        found.trials.iter().any(|t| {
            let other = goals(t);
            other.0 <= loss && other.1 <= bytes && other != (loss, bytes) || loss.is_nan() && other.1 <= bytes
        })
    };
    let front = found.front();
    assert!(front.len() > 1 && front.is_sorted_by(|a, b| goals(a).0 <= goals(b).0));
    for trial in &found.trials {
        let on = front.iter().any(|t| t.trial == trial.trial);
        assert!(on != beaten(trial) || trial.measured["loss"].is_nan(), "trial {}", trial.trial);
    }
    assert_eq!(found.best().unwrap().trial, front[0].trial);
    Ok(())
}

#[test]
fn what_cannot_be_searched_is_told() {
    let run = |space: Space, objectives: &[&str]| {
        Search::new(space, objectives.iter().copied()).trials(3).run(|_| Ok([("loss", 1.0)])).err()
    };
    let told = |error: Option<Error>| error.map(|e| e.to_string()).unwrap_or_default();
    assert!(told(run(Space::new(), &["loss"])).is_empty());
    assert!(told(run(Space::new(), &[])).contains("no objective"));
    assert!(told(run(Space::new(), &["loss", "bytes"])).contains("bytes"));
    for bad in [
        Space::new().float("x", 1.0, 1.0),
        Space::new().float("x", 0.0, f64::INFINITY),
        Space::new().float("x", f64::NAN, 1.0),
        Space::new().log_float("x", 0.0, 1.0),
        Space::new().integer("x", 2, 1),
        Space::new().integer("x", i64::MIN, i64::MAX),
        Space::new().log_integer("x", 0, 1),
        Space::new().choice("x", Vec::<bool>::new()),
        Space::new().choice("x", [1]).float("x", 0.0, 1.0),
    ] {
        assert!(told(run(bad.clone(), &["loss"])).contains("\"x\""), "{bad:?}");
    }
    let error = Search::new(space(), ["loss"]).trials(1).run(|t| Ok([("loss", t.settings.float("kind")?)]));
    assert!(error.unwrap_err().to_string().contains("\"kind\" is \""));
    let error = Search::new(space(), ["loss"]).trials(1).run(|t| {
        t.settings.fill(r#"{"a": "$b"}"#)?;
        Ok([("loss", 0.0)])
    });
    assert!(error.unwrap_err().to_string().contains("\"b\" isn't there"));
}
