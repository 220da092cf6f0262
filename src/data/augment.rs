//! Images as nobody has seen them: moved, turned, scaled, mirrored, noisy, with a hole.
use crate::{
    checked::{Check, checked},
    error::{Checked, Error, Result},
    options::options,
    real::Arithmetic,
    tape::Random,
    tensor::Tensor,
    threads::for_chunks,
};
use rand::Rng;
use serde::Serialize;

options! {
    /// What may happen to an image; as it is, nothing. Each image draws its own random numbers, uniform within
    /// these bounds, by its position alone: the result doesn't depend on threads. What comes in at the edges is
    /// 0, as in the blank border of a digit.
    ///
    /// ```
    /// use kolmo::{Random, Tensor, data::Augment};
    /// let digits = Tensor::<f32>::zeros([8, 1, 28, 28]);
    /// let augment = Augment::new().translate(2.0).degrees(10.0).noise(0.1);
    /// assert_eq!(augment.apply(&digits, &mut Random::new(0))?.shape(), &[8, 1, 28, 28]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[derive(Serialize)]
    #[doc(alias = "transforms")]
    Augment {
        /// Most pixels that an image is moved by, down or up and to either side (default 0).
        translate(f64): f64 = 0.0,
        /// Most degrees that it is turned by, either way (default 0).
        degrees(f64): f64 = 0.0,
        /// It becomes at most `1 + scale` times as large, or as much smaller (default 0).
        scale(f64): f64 = 0.0,
        /// Probability that left and right are exchanged (default 0).
        horizontal_flip(f64): f64 = 0.0,
        /// Probability that top and bottom are exchanged (default 0).
        vertical_flip(f64): f64 = 0.0,
        /// Moved by a whole number of pixels up to this: a random crop of the image with so wide a border
        /// (default 0).
        crop(usize): usize = 0,
        /// Side of a square that is set to 0 (DeVries and Taylor, 2017); its centre is anywhere in the image
        /// (default 0).
        cutout(usize): usize = 0,
        /// Standard deviation of normal noise on every pixel (default 0).
        noise(f64): f64 = 0.0,
    }
}

// What isn't said is 0.
checked!(Augment {
    #[serde(default)]
    translate: f64,
    #[serde(default)]
    degrees: f64,
    #[serde(default)]
    scale: f64,
    #[serde(default)]
    horizontal_flip: f64,
    #[serde(default)]
    vertical_flip: f64,
    #[serde(default)]
    crop: usize,
    #[serde(default)]
    cutout: usize,
    #[serde(default)]
    noise: f64,
});

impl Check for Augment {
    fn check(&self) -> Checked<()> {
        let options = [
            ("translate", self.translate, f64::MAX),
            ("degrees", self.degrees, f64::MAX),
            ("scale", self.scale, 0.999),
            ("horizontal_flip", self.horizontal_flip, 1.0),
            ("vertical_flip", self.vertical_flip, 1.0),
            ("noise", self.noise, f64::MAX),
        ];
        if let Some((name, value, most)) = options.iter().find(|(_, v, most)| !(0.0..=*most).contains(v)) {
            return Err(format!("{name} {value} is not between 0 and {most}"));
        }
        if self.crop.max(self.cutout) > 1 << 16 {
            return Err(format!("crop {} and cutout {} are pixels, at most 65536", self.crop, self.cutout));
        }
        Ok(())
    }
}

/// Random numbers that an image takes for itself, before those of its noise.
const NUMBERS: usize = 10;

impl Augment {
    /// New images of the same shape, `[n, channels, height, width]`; pixels between those of the image are
    /// interpolated.
    ///
    /// # Errors
    /// Another rank; an option that is negative or not finite, a scale of 1 or more, a probability above 1.
    pub fn apply(&self, images: &Tensor<f32>, rng: &mut Random) -> Result<Tensor<f32>> {
        let [n, channels, height, width] = images.shape()[..] else {
            let message = format!("takes [n, channels, height, width], not {}", images.shape());
            return Err(Error::invalid("Augment", message));
        };
        self.check().map_err(|message| Error::invalid("Augment", message))?;
        let size = channels * height * width;
        let mut streams: Vec<Random> = Vec::new();
        streams.resize_with(n, || rng.reserve(NUMBERS + 2 * size));
        let source = images.to_vec();
        let mut out = vec![0.0f32; n * size];
        for_chunks(&mut out, size.max(1), |start, out| {
            let Some(mut stream) = streams.get(start / size.max(1)).copied() else { return };
            let from = &source[start..start + out.len()];
            self.one(from, out, [height, width], &mut stream);
        });
        Tensor::new(images.shape(), out)
    }

    fn one(&self, from: &[f32], out: &mut [f32], [height, width]: [usize; 2], stream: &mut Random) {
        let numbers = stream.reserve(NUMBERS);
        let within = |i: u64, bound: f64| (2.0 * numbers.uniform_at(i) - 1.0) * bound;
        let whole = |i: u64| ((2 * self.crop + 1) as f64 * numbers.uniform_at(i)).floor() - self.crop as f64;
        let angle = within(0, self.degrees).to_radians();
        let zoom = Arithmetic::pow(1.0 + self.scale, within(1, 1.0));
        let (down, right) = (within(2, self.translate) + whole(4), within(3, self.translate) + whole(5));
        let flip_x = if numbers.uniform_at(6) < self.horizontal_flip { -1.0 } else { 1.0 };
        let flip_y = if numbers.uniform_at(7) < self.vertical_flip { -1.0 } else { 1.0 };
        let (middle_y, middle_x) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
        let (sin, cos) = (Arithmetic::sin(angle) / zoom, Arithmetic::cos(angle) / zoom);
        let hole = |i: u64, size: usize| {
            let centre = (size as f64 * numbers.uniform_at(i)) as isize - self.cutout as isize / 2;
            centre..centre + self.cutout as isize
        };
        let (rows, columns) = (hole(8, height), hole(9, width));
        let plane = height * width;
        for (i, pixel) in out.iter_mut().enumerate() {
            let (y, x) = (i % plane / width, i % width);
            let image = &from[i / plane * plane..i / plane * plane + plane];
            // Where the pixel comes from: turned and scaled about the middle.
            let (dy, dx) = (y as f64 - middle_y - down, x as f64 - middle_x - right);
            let from_y = (cos * dy - sin * dx) * flip_y + middle_y;
            let from_x = (sin * dy + cos * dx) * flip_x + middle_x;
            *pixel = if rows.contains(&(y as isize)) && columns.contains(&(x as isize)) {
                0.0
            } else {
                between(image, [height, width], from_y, from_x)
            };
        }
        if self.noise > 0.0 {
            for pixel in out {
                *pixel += stream.normal(0.0, self.noise) as f32;
            }
        }
    }
}

/// The image at a point between its pixels, by linear interpolation; 0 outside.
fn between(image: &[f32], [height, width]: [usize; 2], y: f64, x: f64) -> f32 {
    let (top, left) = (y.floor(), x.floor());
    let (down, right) = ((y - top) as f32, (x - left) as f32);
    let at = |y: f64, x: f64| {
        let inside = y >= 0.0 && x >= 0.0 && y < height as f64 && x < width as f64;
        if inside { image[y as usize * width + x as usize] } else { 0.0 }
    };
    let upper = at(top, left) * (1.0 - right) + at(top, left + 1.0) * right;
    if down == 0.0 {
        return upper;
    }
    let lower = at(top + 1.0, left) * (1.0 - right) + at(top + 1.0, left + 1.0) * right;
    upper * (1.0 - down) + lower * down
}

/// Mixes each example with another of the batch: `λ·x + (1 - λ)·x'`, and targets alike, with λ from Beta(α,
/// α) (Zhang et al., 2018). `x` is `[n, …]`, `targets` are probabilities `[n, classes]`.
///
/// # Errors
/// Different numbers of examples; an α that is not positive.
pub fn mixup(
    x: &Tensor<f32>,
    targets: &Tensor<f32>,
    alpha: f64,
    rng: &mut Random,
) -> Result<(Tensor<f32>, Tensor<f32>)> {
    let n = x.dim(0);
    if x.rank() == 0 || targets.rank() != 2 || targets.dim(0) != n {
        let message =
            format!("takes x [n, …] and targets [n, classes], not {} and {}", x.shape(), targets.shape());
        return Err(Error::invalid("mixup", message));
    }
    if !(alpha > 0.0 && alpha < f64::INFINITY) {
        return Err(Error::invalid("mixup", format!("alpha {alpha} is not positive and finite")));
    }
    // A stream of its own: how many numbers the distribution takes is not known beforehand.
    let mut stream = rng.fork();
    let weights: Vec<f32> = (0..n).map(|_| beta(alpha, &mut stream) as f32).collect();
    let others: Vec<usize> = (0..n).map(|_| stream.next_u64() as usize % n).collect();
    let mix = |t: &Tensor<f32>| {
        let (own, size) = (t.to_vec(), t.numel() / n.max(1));
        Tensor::from_fn(t.shape(), |i| {
            let (row, column) = (i / size.max(1), i % size.max(1));
            weights[row] * own[i] + (1.0 - weights[row]) * own[others[row] * size + column]
        })
    };
    Ok((mix(x), mix(targets)))
}

/// A number from Beta(α, α): the share that one of two numbers from Gamma(α) has in their sum.
fn beta(alpha: f64, rng: &mut Random) -> f64 {
    // Gamma(α) is Gamma(α + 1) · u^(1/α), which may be too small for a float where its logarithm isn't.
    let [one, other] = [(); 2].map(|_| [ln_gamma(alpha + 1.0, rng), Arithmetic::log(1.0 - rng.uniform())]);
    let ratio = other[0] - one[0] + (other[1] - one[1]) / alpha;
    1.0 / (1.0 + Arithmetic::exp(ratio))
}

/// The logarithm of a number from Gamma(α) for α of 1 or more (Marsaglia and Tsang, ACM Transactions on
/// Mathematical Software 26, 2000).
fn ln_gamma(alpha: f64, rng: &mut Random) -> f64 {
    let d = alpha - 1.0 / 3.0;
    loop {
        let z = rng.normal(0.0, 1.0);
        let root = 1.0 + z / (9.0 * d).sqrt();
        let (cube, ln) = (root * root * root, 3.0 * Arithmetic::log(root));
        if root > 0.0 && Arithmetic::log(1.0 - rng.uniform()) < 0.5 * z * z + d * (1.0 - cube + ln) {
            return Arithmetic::log(d) + ln;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Tensor<f32> {
        Tensor::from_fn([2, 2, 3, 4], |i| i as f32 + 1.0)
    }

    #[test]
    fn without_options_nothing_happens_and_flips_are_exact() {
        let same = Augment::default().apply(&image(), &mut Random::new(1)).unwrap();
        assert_eq!(same, image());
        let flip = Augment::new().horizontal_flip(1.0);
        let flipped = flip.apply(&image(), &mut Random::new(1)).unwrap().to_vec();
        assert_eq!(flipped[..8], [4.0, 3.0, 2.0, 1.0, 8.0, 7.0, 6.0, 5.0]);
        let flip = Augment::new().vertical_flip(1.0);
        let flipped = flip.apply(&image(), &mut Random::new(1)).unwrap().to_vec();
        assert_eq!(flipped[..8], [9.0, 10.0, 11.0, 12.0, 5.0, 6.0, 7.0, 8.0]);
    }

    #[test]
    fn a_crop_moves_by_whole_pixels_and_a_hole_is_zero() {
        let ones = Tensor::<f32>::ones([50, 1, 6, 6]);
        let moved = Augment::new().crop(1).apply(&ones, &mut Random::new(3)).unwrap();
        let sums: Vec<f32> = moved.to_vec().chunks(36).map(|i| i.iter().sum()).collect();
        assert!(sums.iter().all(|s| [36.0, 30.0, 25.0].contains(s)), "{sums:?}");
        assert!(sums.contains(&25.0) && sums.contains(&36.0));
        let holed = Augment::new().cutout(3).apply(&ones, &mut Random::new(3)).unwrap();
        assert!(holed.to_vec().chunks(36).all(|i| (27.0..36.0).contains(&i.iter().sum::<f32>())));
    }

    #[test]
    fn the_same_seed_gives_the_same_images_on_any_number_of_threads() {
        let images = Tensor::<f32>::from_fn([40, 1, 9, 9], |i| (i % 17) as f32);
        let all = Augment::new().translate(2.0).degrees(30.0).scale(0.2).noise(0.1);
        let run = |threads: usize| {
            crate::threads::set_num_threads(threads);
            let mut rng = Random::new(5);
            let a = all.apply(&images, &mut rng).unwrap().to_vec();
            (a, all.apply(&images, &mut rng).unwrap().to_vec())
        };
        let (first, second) = run(1);
        assert_ne!(first, second);
        assert!(run(3) == (first, second));
        assert!(all.scale(1.0).apply(&images, &mut Random::new(0)).is_err());
        assert!(all.apply(&Tensor::zeros([3, 9]), &mut Random::new(0)).is_err());
    }

    #[test]
    fn mixed_targets_stay_probabilities() {
        let x = Tensor::<f32>::from_fn([6, 2], |i| i as f32);
        let y = Tensor::<f32>::from_fn([6, 3], |i| if i % 3 == i / 3 % 3 { 1.0 } else { 0.0 });
        let (mixed, targets) = mixup(&x, &y, 0.4, &mut Random::new(0)).unwrap();
        assert_ne!(mixed, x);
        assert!(targets.to_vec().chunks(3).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
        for alpha in [0.0, f64::INFINITY, f64::NAN] {
            assert!(mixup(&x, &y, alpha, &mut Random::new(0)).is_err());
        }
    }

    /// The moments of Beta(α, α): mean ½, variance 1 / (8α + 4), kurtosis 3 - 6 / (2α + 3).
    #[test]
    fn shares_are_distributed_as_they_should_be() {
        for alpha in [0.01, 0.3, 1.0, 2.5, 40.0] {
            let rng = &mut Random::new(8);
            let apart: Vec<f64> = (0..40000).map(|_| beta(alpha, rng) - 0.5).collect();
            let moment = |k: i32| apart.iter().map(|v| v.powi(k)).sum::<f64>() / 40000.0;
            let (mean, variance) = (moment(1), moment(2));
            let expected = 1.0 / (8.0 * alpha + 4.0);
            assert!(mean.abs() < 4.0 * (expected / 40000.0).sqrt(), "{alpha}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.03, "{alpha}: variance {variance}");
            let kurtosis = moment(4) / (variance * variance);
            assert!((kurtosis - 3.0 + 6.0 / (2.0 * alpha + 3.0)).abs() < 0.1, "{alpha}: kurtosis {kurtosis}");
        }
        for alpha in [f64::MIN_POSITIVE, 1e-320, 1e300] {
            let rng = &mut Random::new(8);
            assert!((0..100).all(|_| (0.0..=1.0).contains(&beta(alpha, rng))), "{alpha}");
        }
    }
}
