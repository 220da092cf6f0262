//! Event files are read again by a reader of their own here: records, checksums, messages.
use super::Folder;
use kolmo::{
    Random, Tape, Tensor,
    data::DataLoader,
    nn::{Layer, Linear, Param},
    optim::Sgd,
    train::{SummaryWriter, Trainer},
};
use std::{fs, path::Path};

/// CRC-32C bit by bit, masked as in TFRecord files.
fn masked(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (if crc & 1 == 1 { 0x82f6_3b78 } else { 0 });
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[derive(Clone, Debug)]
enum Value {
    Int(u64),
    Double(f64),
    Float(f32),
    Bytes(Vec<u8>),
}
use Value::*;

/// A message: numbers of fields with their values.
#[derive(Clone, Debug)]
struct Message(Vec<(u64, Value)>);

impl Message {
    fn read(mut rest: &[u8]) -> Message {
        let mut fields = Vec::new();
        fn varint(rest: &mut &[u8]) -> u64 {
            let n = rest.iter().position(|b| *b < 0x80).unwrap() + 1;
            let v = rest[..n].iter().rev().fold(0, |v, b| v << 7 | u64::from(b & 0x7f));
            *rest = &rest[n..];
            v
        }
        fn take<'a>(rest: &mut &'a [u8], n: usize) -> &'a [u8] {
            let (taken, left) = rest.split_at(n);
            *rest = left;
            taken
        }
        while !rest.is_empty() {
            let key = varint(&mut rest);
            let value = match key & 7 {
                0 => Int(varint(&mut rest)),
                1 => Double(f64::from_le_bytes(take(&mut rest, 8).try_into().unwrap())),
                5 => Float(f32::from_le_bytes(take(&mut rest, 4).try_into().unwrap())),
                2 => {
                    let n = varint(&mut rest) as usize;
                    Bytes(take(&mut rest, n).to_vec())
                }
                wire => panic!("wire type {wire}"),
            };
            fields.push((key >> 3, value));
        }
        Message(fields)
    }

    fn all(&self, field: u64) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |(f, _)| *f == field).map(|(_, v)| v)
    }

    fn bytes(&self, field: u64) -> Option<&[u8]> {
        self.all(field).find_map(|v| if let Bytes(v) = v { Some(v.as_slice()) } else { None })
    }

    fn text(&self, field: u64) -> String {
        String::from_utf8(self.bytes(field).unwrap_or_default().to_vec()).unwrap()
    }

    fn inner(&self, field: u64) -> Option<Message> {
        self.bytes(field).map(Message::read)
    }

    fn int(&self, field: u64) -> u64 {
        self.all(field).find_map(|v| if let Int(v) = v { Some(*v) } else { None }).unwrap_or(0)
    }

    fn double(&self, field: u64) -> f64 {
        self.all(field).find_map(|v| if let Double(v) = v { Some(*v) } else { None }).unwrap_or(0.0)
    }

    fn doubles(&self, field: u64) -> Vec<f64> {
        let bytes = self.bytes(field).unwrap_or_default();
        bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

/// The events of a file, every checksum compared.
fn events(path: &Path) -> Vec<Message> {
    let bytes = fs::read(path).unwrap();
    let (mut rest, mut events) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let len = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let data = &rest[12..12 + len];
        assert_eq!((word(8), word(12 + len)), (masked(&rest[..8]), masked(data)));
        events.push(Message::read(data));
        rest = &rest[16 + len..];
    }
    assert_eq!(events[0].text(3), "brain.Event:2");
    events
}

/// Tag, step and value of what was added.
fn added(path: &Path) -> Vec<(String, u64, Message)> {
    let values = events(path).into_iter().filter_map(|event| {
        let value = event.inner(5)?.inner(1)?;
        assert!(event.double(1) > 1e9, "a time");
        Some((value.text(1), event.int(2), value))
    });
    values.collect()
}

fn number(value: &Message) -> f32 {
    value.all(2).find_map(|v| if let Float(v) = v { Some(*v) } else { None }).unwrap()
}

#[test]
fn what_was_added_is_in_the_file() {
    let folder = Folder::new("tensorboard");
    let mut writer = SummaryWriter::new(folder.join("runs/first")).unwrap();
    writer.add_scalar("loss", 0.25, 7).unwrap();
    writer.add_scalar("loss", f64::NAN, 300).unwrap();
    let spread = [-2.0, -0.0, 0.5, 0.5, 1e30, f64::NAN, f64::INFINITY];
    writer.add_histogram("spread", &Tensor::from(spread), 1).unwrap();
    writer.add_histogram("nothing", &Tensor::from([f32::NAN]), 1).unwrap();
    writer.add_text("note", "as **planned**", 2).unwrap();
    let grey = Tensor::from_fn([1, 3, 5], |i| i as f32 / 14.0);
    writer.add_image("grey", &grey, 3).unwrap();
    writer.add_image("colours", &Tensor::from_fn([3, 2, 2], |i| i as u8), 3).unwrap();
    let path = writer.path().to_path_buf();
    assert!(path.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
    writer.flush().unwrap();
    let all = added(&path);
    let tags: Vec<_> = all.iter().map(|(tag, step, _)| (tag.as_str(), *step)).collect();
    let expected = [
        ("loss", 7),
        ("loss", 300),
        ("spread", 1),
        ("nothing", 1),
        ("note/text_summary", 2),
        ("grey", 3),
        ("colours", 3),
    ];
    assert_eq!(tags, expected);
    assert!(number(&all[0].2) == 0.25 && number(&all[1].2).is_nan());

    let spread = all[2].2.inner(5).unwrap();
    assert_eq!([1, 2, 3].map(|field| spread.double(field)), [-2.0, 1e30, 5.0]);
    assert_eq!((spread.double(4), spread.double(5)), (1e30, 1e30 * 1e30));
    let (limits, counts) = (spread.doubles(6), spread.doubles(7));
    assert!(limits.len() == counts.len() && limits.is_sorted());
    // Each number is in the class whose upper end is the first above it.
    for (value, count) in [(-2.0, 1.0), (0.0, 1.0), (0.5, 2.0), (1e30, 1.0)] {
        assert_eq!(counts[limits.partition_point(|limit| *limit <= value)], count, "{value}");
    }
    assert_eq!(counts.iter().sum::<f64>(), 5.0);
    assert!(counts[0] == 0.0 && limits[0] <= -2.0 && limits[0] > -2.3);
    assert_eq!(all[3].2.inner(5).unwrap().doubles(7), [0.0]);

    let text = all[4].2.inner(8).unwrap();
    assert_eq!((text.int(1), text.text(8)), (7, "as **planned**".into()));
    assert_eq!(all[4].2.inner(9).unwrap().inner(1).unwrap().text(1), "text");
    for (at, (height, width, channels)) in [(5, (3, 5, 1)), (6, (2, 2, 3))] {
        let image = all[at].2.inner(4).unwrap();
        assert_eq!((image.int(1), image.int(2), image.int(3)), (height, width, channels));
        let png = image.bytes(4).unwrap();
        assert_eq!(png[16..24], [0, 0, 0, width as u8, 0, 0, 0, height as u8]);
    }
}

#[test]
fn what_is_no_picture_is_refused() {
    let folder = Folder::new("tensorboard-refused");
    let mut writer = SummaryWriter::new(&*folder).unwrap();
    for shape in [&[2, 2][..], &[2, 3, 3], &[1, 0, 3], &[1, 1, 3, 3]] {
        let error = writer.add_image("x", &Tensor::<f32>::zeros(shape), 0).unwrap_err().to_string();
        assert!(error.contains("[1 or 3, height, width]"), "{error}");
    }
    fs::write(folder.join("file"), "").unwrap();
    assert!(SummaryWriter::new(folder.join("file")).is_err());
}

#[test]
fn parameters_gradients_and_graphs_have_the_names_of_the_fields() {
    let folder = Folder::new("tensorboard-names");
    let (net, tape) = (Linear::new(3, 2, &mut Random::new(0)), Tape::new());
    let loss = net.forward(&tape.input([[1.0, 2.0, 3.0]])).square().sum();
    let mut writer = SummaryWriter::new(&*folder).unwrap();
    writer.add_graph(&tape.listing().with_names(&net)).unwrap();
    writer.add_parameters(&net, 1).unwrap();
    net.bias.as_ref().unwrap().set_trainable(false);
    writer.add_gradients(&net, &loss.backward().unwrap(), 1).unwrap();
    let path = writer.path().to_path_buf();
    drop(writer);
    let tags: Vec<_> = added(&path).into_iter().map(|(tag, ..)| tag).collect();
    assert_eq!(&tags[..3], ["weights/weight", "weights/bias", "gradients/weight"]);
    let graph = events(&path).iter().find_map(|event| event.inner(4)).unwrap();
    let nodes: Vec<Message> =
        graph.all(1).map(|v| if let Bytes(v) = v { Message::read(v) } else { panic!() }).collect();
    let inputs = |node: &Message| node.all(3).count();
    let named = |name: &str| nodes.iter().find(|node| node.text(1) == name).unwrap();
    assert!(inputs(named("weight")) == 0 && named("weight").text(2) == "param");
    let last = nodes.last().unwrap();
    assert_eq!((last.text(2), inputs(last)), ("sum".into(), 1));
    assert_eq!(last.text(3), nodes[nodes.len() - 2].text(1));
}

#[test]
fn a_run_that_is_taken_up_goes_on_where_its_checkpoint_is() {
    taken_up(None);
    taken_up(Some(2));
}

fn taken_up(slots: Option<usize>) {
    let folder = Folder::new("tensorboard-run");
    let run = |epochs| {
        let p = Param::new(Tensor::from([1.0f32, 2.0]));
        let trainer = Trainer::new(DataLoader::new(4, 2), epochs)
            .progress(false)
            .checkpoint(folder.join("checkpoint"), 0)
            .tensorboard(folder.join("run"));
        let mut trainer = slots.into_iter().fold(trainer, Trainer::slots);
        trainer
            .fit(
                &p,
                &mut Sgd::new(0.25),
                |rows, _| Ok(rows.len()),
                |tape, _| tape.param(&p).square().sum(),
                || Ok(vec![("size", 3.0)]),
            )
            .unwrap();
    };
    run(1);
    run(2);
    let mut paths: Vec<_> = fs::read_dir(folder.join("run")).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort_by_key(|path| path.extension().unwrap().to_str().unwrap().parse::<u32>().unwrap_or(0));
    assert_eq!(paths.len(), 2);
    let seen: Vec<Vec<(String, u64)>> =
        paths.iter().map(|p| added(p).into_iter().map(|(tag, step, _)| (tag, step)).collect()).collect();
    for (seen, steps) in seen.iter().zip([[1, 2], [3, 4]]) {
        let at = |tag: &str| seen.iter().filter(|(t, _)| t == tag).map(|(_, s)| *s).collect::<Vec<_>>();
        assert_eq!((at("step/loss"), at("step/lr")), (steps.to_vec(), steps.to_vec()));
        assert_eq!((at("epoch/loss"), at("epoch/size")), (vec![steps[1]], vec![steps[1]]));
        for kind in ["weights/", "gradients/"] {
            let spread: Vec<u64> =
                seen.iter().filter(|(t, _)| t.starts_with(kind)).map(|(_, s)| *s).collect();
            assert_eq!(spread, [steps[1]], "{kind}");
        }
    }
    let begun = |path: &Path| events(path).iter().find_map(|e| Some((e.int(2), e.inner(7)?.int(1))));
    assert_eq!((begun(&paths[0]), begun(&paths[1])), (Some((1, 1)), Some((3, 1))));
}
