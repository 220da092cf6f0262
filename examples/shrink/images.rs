//! Images to learn from: the digits inside the crate, or MNIST from a folder.
use crate::Result;
use kolmo::{Random, Tensor, data, nn::init};
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
    /// `[n, side·side]`, from 0 to 1.
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
        let (train, test) = data::train_test_split(all.len(), 0.25, 0)?;
        Ok(Images { name: "digits".into(), train: all.rows(&train)?, test: all.rows(&test)? })
    }

    /// MNIST or a set of the same form: from the folder, or from `mnist` in it. Without a folder, from `$KOLMO_DATA` or from
    /// `../shared/data`.
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
                 also lie in mnist inside that folder. Without --data, digits that are part of the crate are used.",
                folder.display(),
                missing.join(", "),
                FILES.join(", "),
            )
            .into());
        }
        let [train, test] = data::mnist(&folder)?.map(|(images, labels)| Set { images, labels });
        Ok(Images { name: folder.display().to_string(), train, test })
    }

    /// A quarter of the training images takes the place of the test images.
    pub fn hold_out(self) -> Result<Images> {
        let (train, held_out) = data::train_test_split(self.train.len(), 0.25, 1)?;
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

    /// The images as nobody has seen them: each moved by up to `shift` pixels down and to the right, or up and to the left, by
    /// linear interpolation, with normal noise on every pixel.
    pub fn varied(&self, shift: f64, noise: f64, rng: &mut Random) -> Tensor {
        let [n, pixels] = [self.images.dim(0), self.images.dim(1)];
        let side = pixels.isqrt();
        let (images, noise) =
            (self.images.to_vec(), init::normal::<f32>([n, pixels], 0.0, noise, rng).to_vec());
        let moves = init::uniform::<f32>([n, 2], -shift, shift, rng).to_vec();
        Tensor::from_fn([n, pixels], |i| {
            let (image, row, column) = (i / pixels, i % pixels / side, i % side);
            let (y, x) = (row as f32 + moves[2 * image], column as f32 + moves[2 * image + 1]);
            let (top, left) = (y.floor(), x.floor());
            let (down, right) = (y - top, x - left);
            let pixel = |y: f32, x: f32| {
                let inside = y >= 0.0 && x >= 0.0 && y < side as f32 && x < side as f32;
                if inside { images[image * pixels + y as usize * side + x as usize] } else { 0.0 }
            };
            let upper = pixel(top, left) * (1.0 - right) + pixel(top, left + 1.0) * right;
            let lower = pixel(top + 1.0, left) * (1.0 - right) + pixel(top + 1.0, left + 1.0) * right;
            upper * (1.0 - down) + lower * down + noise[i]
        })
    }
}
