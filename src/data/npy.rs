//! One array as a file of NumPy's (`.npy`), as its format documentation (NEP 1) says. Several with names are
//! in `npz`.
use crate::{
    error::{Error, Result},
    files::{self, write_readable},
    tensor::{Element, Shape, Tensor},
};
use std::{io::Read, path::Path};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header that is read; NumPy's own have about a hundred bytes.
const HEADER: usize = 1 << 16;

/// An array as it stands in a file: its numbers as `f64`, or whole numbers as `i64`.
///
/// ```
/// use kolmo::{Tensor, data::NpyArray};
/// let array = NpyArray::from(Tensor::<f32>::from([[1.0, 2.0], [3.0, 4.0]]));
/// let again = NpyArray::parse(&array.to_bytes())?;
/// assert_eq!(again.to_tensor::<f32>().to_vec(), [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct NpyArray {
    values: Values,
    dtype: &'static str,
}

#[derive(Clone, Debug)]
enum Values {
    Floats(Tensor<f64>),
    Integers(Tensor<i64>),
}

/// Element types that can be written, and their names there.
macro_rules! written {
    ($($t:ty, $dtype:literal, $kind:ident;)*) => {$(
        impl From<Tensor<$t>> for NpyArray {
            fn from(t: Tensor<$t>) -> NpyArray {
                NpyArray { values: Values::$kind(t.cast()), dtype: $dtype }
            }
        }
    )*};
}
written! {
    f32, "<f4", Floats;
    f64, "<f8", Floats;
    i64, "<i8", Integers;
    u32, "<u4", Integers;
    u8, "|u1", Integers;
    bool, "|b1", Integers;
}

/// One element of a dtype from its bytes, the least significant first.
macro_rules! read {
    ($bytes:expr, $t:ty) => {
        <$t>::from_le_bytes($bytes.try_into().ok()?)
    };
}

impl NpyArray {
    /// The sizes of the axes.
    pub fn shape(&self) -> &Shape {
        match &self.values {
            Values::Floats(t) => t.shape(),
            Values::Integers(t) => t.shape(),
        }
    }

    /// NumPy's name of the element type, such as `<f4`.
    pub fn dtype(&self) -> &str {
        self.dtype
    }

    /// The elements as this type; what it can't hold becomes what `as` makes of it.
    pub fn to_tensor<E: Element>(&self) -> Tensor<E> {
        match &self.values {
            Values::Floats(t) => t.cast(),
            Values::Integers(t) => t.cast(),
        }
    }

    /// Reads the bytes of an `.npy` file: floats of 16, 32 and 64 bits, integers of 8 to 64 bits, bool;
    /// either order of bytes and of axes.
    ///
    /// # Errors
    /// No such file, a type that isn't read, more or fewer bytes than the shape needs.
    pub fn parse(bytes: &[u8]) -> Result<NpyArray> {
        NpyArray::read("npy", bytes)
    }

    /// Parses what a reader gives, as many bytes as the header says; `what` is named in errors.
    pub(super) fn read(what: &str, from: impl Read) -> Result<NpyArray> {
        read(from).map_err(|(at, message)| Error::format(what, format!("byte {at}"), message))
    }

    /// The bytes of an `.npy` file of version 1.0.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let sizes: Vec<String> = self.shape().iter().map(usize::to_string).collect();
        let comma = if sizes.len() == 1 { "," } else { "" };
        let dict = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
            self.dtype,
            sizes.join(", ")
        );
        // Data begin at a multiple of 64, and a line end stands before them.
        let width = (dict.len() + 11).next_multiple_of(64) - 11;
        let header = format!("{dict:<width$}\n");
        let mut out = [MAGIC, &[1, 0][..], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
        match (&self.values, self.dtype) {
            (Values::Floats(t), "<f4") => {
                out.extend(t.to_vec().iter().flat_map(|&v| (v as f32).to_le_bytes()))
            }
            (Values::Floats(t), _) => out.extend(t.to_vec().iter().flat_map(|v| v.to_le_bytes())),
            (Values::Integers(t), dtype) => {
                let size = dtype.as_bytes().last().map_or(8, |digit| (digit - b'0') as usize);
                t.to_vec().iter().for_each(|v| out.extend(&v.to_le_bytes()[..size]));
            }
        }
        out
    }
}

type At<V> = std::result::Result<V, (usize, String)>;

fn read(mut from: impl Read) -> At<NpyArray> {
    // Grows with what is really there, so that a false size can't ask for memory.
    let mut next = |len: usize, at: usize| -> At<Vec<u8>> {
        let mut bytes = Vec::new();
        from.by_ref()
            .take(len as u64)
            .read_to_end(&mut bytes)
            .map_err(|e| (at + bytes.len(), e.to_string()))?;
        Ok(bytes)
    };
    let first = next(10, 0)?;
    if first.get(..6) != Some(MAGIC) {
        return Err((0, "this is no file of NumPy: it should begin with \\x93NUMPY".into()));
    }
    let (start, len) = match first.get(6..) {
        Some(&[1, _, a, b]) => (10, u16::from_le_bytes([a, b]) as usize),
        Some(&[2 | 3, _, a, b]) => match next(2, 10)?[..] {
            [c, d] => (12, u32::from_le_bytes([a, b, c, d]) as usize),
            _ => return Err((10, "the file ends before its header does".into())),
        },
        other => return Err((6, format!("version {other:?} is not 1, 2 or 3"))),
    };
    if len > HEADER {
        return Err((start, format!("a header of {len} bytes is longer than {HEADER}, which are read")));
    }
    let header = next(len, start)?;
    if header.len() != len {
        return Err((start, format!("the header has {} bytes, not {len} as is said", header.len())));
    }
    let header = String::from_utf8(header).map_err(|e| (start, format!("the header is no text: {e}")))?;
    let field = |name: &str, open: &str, close: char| {
        let after = header.split_once(&format!("'{name}':")).map(|(_, rest)| rest.trim_start());
        let inner = after.and_then(|rest| rest.strip_prefix(open)?.split_once(close));
        inner.map(|(inner, _)| inner).ok_or_else(|| (start, format!("the header {header:?} has no {name}")))
    };
    let (descr, order, sizes) =
        (field("descr", "'", '\'')?, field("fortran_order", "", ',')?, field("shape", "(", ')')?);
    let mut shape = Shape::default();
    for size in sizes.split(',').map(str::trim).filter(|s| !s.is_empty()) {
        shape.push(size.parse().map_err(|_| (start, format!("{size:?} in the shape is no size")))?);
    }
    let (big, dtype) = match descr.as_bytes().first() {
        Some(b'>') => (true, &descr[1..]),
        Some(b'<' | b'|' | b'=') => (false, &descr[1..]),
        _ => (false, descr),
    };
    let size: usize =
        dtype.get(1..).and_then(|s| s.parse().ok()).filter(|s| [1, 2, 4, 8].contains(s)).unwrap_or(0);
    if size == 0 {
        return Err((
            start,
            format!("elements of type {descr:?} are not read; f2 to f8, i1 to i8, u1 to u8, b1 are"),
        ));
    }
    let needed = shape.iter().try_fold(size, |n, &d| n.checked_mul(d)).filter(|&n| n < usize::MAX);
    let needed = needed.ok_or_else(|| (start, format!("shape {shape} of {descr} fits into no memory")))?;
    let data = next(needed + 1, start + len)?;
    if needed != data.len() {
        let found = if data.len() > needed { "more".to_string() } else { data.len().to_string() };
        let message = format!("shape {shape} of {descr} needs {needed} bytes, found {found}");
        return Err((start + len, message));
    }
    let values = elements(&data, size, big, dtype.as_bytes()[0])
        .ok_or_else(|| (start, format!("elements of type {descr:?} are not read")))?;
    drop(data);
    let turned = order.trim() == "True";
    Ok(match values {
        Elements::Floats(v) => {
            let dtype = if size == 8 { "<f8" } else { "<f4" };
            NpyArray { values: Values::Floats(shaped(v, shape, turned)?), dtype }
        }
        Elements::Integers(v) => {
            NpyArray { values: Values::Integers(shaped(v, shape, turned)?), dtype: "<i8" }
        }
    })
}

enum Elements {
    Floats(Vec<f64>),
    Integers(Vec<i64>),
}

/// The elements of a type that is known; numbers above those of `i64` are none.
fn elements(data: &[u8], size: usize, big: bool, kind: u8) -> Option<Elements> {
    /// Not collected as an `Option`, which would grow to twice the size.
    fn all<E>(data: &[u8], size: usize, big: bool, one: impl Fn([u8; 8]) -> Option<E>) -> Option<Vec<E>> {
        let mut list = Vec::with_capacity(data.len() / size);
        for word in data.chunks_exact(size) {
            let mut bytes = [0u8; 8];
            bytes[..size].copy_from_slice(word);
            if big {
                bytes[..size].reverse();
            }
            list.push(one(bytes)?);
        }
        Some(list)
    }
    Some(match (kind, size) {
        (b'f', 2) => Elements::Floats(all(data, size, big, |b| {
            Some(crate::real::half::f16_bits_to_f32(read!(b[..2], u16)).into())
        })?),
        (b'f', 4) => Elements::Floats(all(data, size, big, |b| Some(read!(b[..4], f32).into()))?),
        (b'f', 8) => Elements::Floats(all(data, size, big, |b| Some(f64::from_le_bytes(b)))?),
        (b'i', _) => {
            // The sign goes on to the left.
            let shift = 64 - 8 * size as u32;
            Elements::Integers(all(data, size, big, |b| Some(i64::from_le_bytes(b) << shift >> shift))?)
        }
        (b'u' | b'b', _) => {
            Elements::Integers(all(data, size, big, |b| i64::try_from(u64::from_le_bytes(b)).ok())?)
        }
        _ => return None,
    })
}

/// In row-major order, from a list that may have the first axis fastest.
fn shaped<E: Element>(values: Vec<E>, shape: Shape, turned: bool) -> At<Tensor<E>> {
    let wrong = |e: Error| (0, e.to_string());
    if !turned || shape.rank() < 2 {
        return Tensor::new(shape, values).map_err(wrong);
    }
    let back: Shape = shape.iter().rev().copied().collect();
    let axes: Vec<isize> = (0..shape.rank() as isize).rev().collect();
    Tensor::new(back, values).and_then(|t| t.permute(&axes)).map(|t| t.contiguous()).map_err(wrong)
}

/// The array of an `.npy` file. Errors are those of [`NpyArray::parse`], and of the file.
///
/// ```
/// use kolmo::{Tensor, data::{read_npy, write_npy}};
/// let path = std::env::temp_dir().join(format!("kolmo_array_{}.npy", std::process::id()));
/// write_npy(Tensor::<f32>::from([[1.0, 2.0]]), &path)?;
/// assert_eq!(read_npy(&path)?.to_tensor::<f32>().to_vec(), [1.0, 2.0]);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), kolmo::Error>(())
/// ```
#[doc(alias("np.load", "load"))]
pub fn read_npy(path: impl AsRef<Path>) -> Result<NpyArray> {
    read_npy_at(path.as_ref())
}

fn read_npy_at(path: &Path) -> Result<NpyArray> {
    NpyArray::read(&path.display().to_string(), files::open(path)?)
}

/// Writes an `.npy` file, whole or not at all.
pub fn write_npy(array: impl Into<NpyArray>, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    write_readable(path, &array.into().to_bytes(), NpyArray::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let bits = |a: NpyArray| NpyArray::parse(&a.to_bytes()).unwrap();
        let back = bits(Tensor::from([f64::NAN, -0.0, 1e300]).into());
        assert!(back.to_tensor::<f64>().to_vec()[0].is_nan() && back.dtype() == "<f8");
        assert_eq!(
            bits(Tensor::from([i64::MIN, i64::MAX]).into()).to_tensor::<i64>().to_vec(),
            [i64::MIN, i64::MAX]
        );
        assert_eq!(bits(Tensor::from([true, false]).into()).to_tensor::<bool>().to_vec(), [true, false]);
        assert_eq!(bits(Tensor::<f32>::zeros([0, 3]).into()).shape(), &[0, 3]);
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        let good = NpyArray::from(Tensor::from([[1.0f32, 2.0], [3.0, 4.0]])).to_bytes();
        for cut in 0..good.len() {
            assert!(NpyArray::parse(&good[..cut]).is_err(), "{cut}");
        }
        for at in 0..good.len() - 16 {
            for flip in [1u8, 0x10, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                // Some changes say another thing that makes sense; none may panic or ask for memory.
                let _ = NpyArray::parse(&bad);
            }
        }
        let huge = b"\x93NUMPY\x01\x00\x46\x00{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999,)}";
        let error = NpyArray::parse(&[&huge[..], &[b' '; 8]].concat()).unwrap_err().to_string();
        assert!(error.contains("npy: at byte"), "{error}");
    }
}
