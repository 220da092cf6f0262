//! A run that TensorBoard shows while it trains: losses, how weights and gradients are spread, pictures that
//! the network takes for others, the recorded step as a graph.
//!
//! `cargo run --release --example tensorboard`, and `tensorboard --logdir target/tensorboard`.
use kolmo::{
    Random, Result, Tape,
    data::{self, DataLoader},
    metrics::accuracy,
    nn::{Layer, Linear, Relu, Sequential},
    optim::Adam,
    train::{SummaryWriter, Trainer},
};

fn main() -> Result<()> {
    let folder = std::path::Path::new("target/tensorboard");
    let (x, y) = data::digits();
    let rng = &mut Random::new(0);
    let net = Sequential((Linear::new(64, 32, rng), Relu, Linear::new(32, 10, rng)));
    let test: Vec<usize> = (1500..y.numel()).collect();
    let (test_x, test_y) = (x.rows(&test)?, y.rows(&test)?);

    let mut writer = SummaryWriter::new(folder.join("gradients"))?;
    let history = Trainer::new(DataLoader::new(1500, 50), 10)
        .tensorboard(folder.join("run"))
        .on_gradients(|info, grads| match info.step % 50 {
            0 => writer.add_gradients(&net, grads, info.step),
            _ => Ok(()),
        })
        .fit(
            &net,
            &mut Adam::new(1e-3),
            {
                let (x, y) = (x.clone(), y.clone());
                move |rows, _rng| Ok((x.rows(rows)?, y.rows(rows)?))
            },
            |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
            || {
                let scores = net.forward(&Tape::inference().constant(&test_x)).value()?.clone();
                Ok(vec![("accuracy", accuracy(&scores, &test_y)?)])
            },
        )?;
    let last = history.last().map_or(0, |record| record.step);

    let mut writer = SummaryWriter::new(folder.join("run"))?;
    let tape = Tape::new();
    let scores = net.forward(&tape.input(&test_x));
    writer.add_graph(&tape.listing().with_names(&net))?;
    let told = scores.value()?.argmax(1, false)?;
    let pairs = told.to_vec().into_iter().zip(test_y.to_vec()).enumerate();
    let wrong: Vec<_> = pairs.filter(|(_, (told, is))| told != is).collect();
    for (i, (told, is)) in wrong.iter().take(4) {
        let picture = tape.constant(test_x.rows(&[*i])?.reshape([1, 8, 8])?) / 16.0;
        writer.add_image(&format!("wrong/{is}_for_{told}"), picture.value()?, last)?;
    }
    writer.add_text("wrong", &format!("{} of {} digits", wrong.len(), test.len()), last)?;
    writer.flush()?;
    println!("{}", history.to_csv());
    println!("tensorboard --logdir {}", folder.display());
    Ok(())
}
