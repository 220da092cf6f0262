//! Images to learn from, for several examples: the digits inside the crate, or MNIST or CIFAR-10 from a folder.
#![allow(dead_code)] // Not every example needs all of it.
use crate::Result;
use kolmo::{
    Random, Tensor,
    data::{self, Augment},
};
use std::{
    env,
    path::{Path, PathBuf},
};

/// Training and test images.
pub struct Images {
    pub name: String,
    pub train: Set,
    pub test: Set,
}

/// Square images with their classes.
pub struct Set {
    /// `[n, colours·side·side]`, from 0 to 1, one colour after the other: one, or three.
    pub images: Tensor,
    /// `[n]`, classes below 10.
    pub labels: Tensor<u32>,
}

impl Images {
    /// The digits inside the crate; a quarter of them for testing, the same for every seed.
    pub fn digits() -> Result<Images> {
        let (images, labels) = data::digits();
        let pixels = images.to_vec();
        let all = Set { images: Tensor::from_fn(images.shape(), |i| pixels[i] / 16.0), labels };
        let (train, test) = data::train_test_split(all.len(), 0.25, &mut Random::new(0))?;
        Ok(Images { name: "digits".into(), train: all.rows(&train)?, test: all.rows(&test)? })
    }

    /// MNIST or a set of the same form: from the folder, or from `mnist` in it. Without a folder, from
    /// `$KOLMO_DATA` or from `../shared/data`.
    pub fn mnist(folder: Option<&Path>) -> Result<Images> {
        const FILES: [&str; 4] = [
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        ];
        let folder = folder.map(PathBuf::from);
        let folder = folder
            .or_else(|| env::var_os("KOLMO_DATA").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("../shared/data"));
        let inner = folder.join("mnist");
        let folder = if inner.is_dir() { inner } else { folder };
        let there =
            |name: &str| [name.to_string(), format!("{name}.gz")].iter().any(|n| folder.join(n).is_file());
        let missing: Vec<&str> = FILES.into_iter().filter(|name| !there(name)).collect();
        if !missing.is_empty() {
            return Err(format!(
                "{} has no {}.\nMNIST is four files, {}, plain or with .gz; they can be downloaded from \
                 https://storage.googleapis.com/cvdf-datasets/mnist/. Say --data DIR or set $KOLMO_DATA; the files may \
                 also lie in mnist inside that folder.",
                folder.display(),
                missing.join(", "),
                FILES.join(", "),
            )
            .into());
        }
        let [train, test] = data::mnist(&folder)?.map(|(images, labels)| Set { images, labels });
        Ok(Images { name: folder.display().to_string(), train, test })
    }

    /// CIFAR-10, if its files are in the folder, else as [`mnist`](Images::mnist).
    pub fn any(folder: Option<&Path>) -> Result<Images> {
        let colour = |folder: &&Path| {
            ["", "cifar-10-batches-bin"]
                .iter()
                .any(|inner| folder.join(inner).join("test_batch.bin").is_file())
        };
        let Some(folder) = folder.filter(colour) else { return Images::mnist(folder) };
        let [train, test] = data::cifar10(folder)?.map(|(images, labels)| Set { images, labels });
        Ok(Images { name: folder.display().to_string(), train, test })
    }

    /// So many of the training images take the place of the test images.
    pub fn hold_out(self, n: usize) -> Result<Images> {
        let (train, held_out) = data::train_test_split(
            self.train.len(),
            n as f64 / self.train.len() as f64,
            &mut Random::new(1),
        )?;
        let (train, test) = (self.train.rows(&train)?, self.train.rows(&held_out)?);
        Ok(Images { name: format!("{}, measured on held-out training images", self.name), train, test })
    }
}

impl Set {
    pub fn len(&self) -> usize {
        self.labels.numel()
    }

    pub fn rows(&self, rows: &[usize]) -> Result<Set> {
        Ok(Set { images: self.images.rows(rows)?, labels: self.labels.rows(rows)? })
    }

    /// Colours and side of an image.
    pub fn form(&self) -> (usize, usize) {
        let pixels = self.images.dim(1);
        let side = pixels.isqrt();
        if side * side == pixels { (1, side) } else { (3, (pixels / 3).isqrt()) }
    }

    /// The images as nobody has seen them.
    pub fn varied(&self, augment: &Augment, rng: &mut Random) -> Result<Tensor> {
        let (pixels, (colours, side)) = (self.images.dim(1) as isize, self.form());
        let square = self.images.reshape([-1, colours as isize, side as isize, side as isize])?;
        Ok(augment.apply(&square, rng)?.reshape([-1, pixels])?)
    }
}
