//! A matrix in fewer bits than floats: what it holds, and how it becomes floats again.
use super::{
    super::{FloatElement, vectorised::vectorised},
    codes::{Codes, Parts},
    form::{Coded, Form},
    list::{List, Piece},
    panels::{LANES, ask, panels},
};
use crate::{
    error::Checked,
    files::Map,
    real::half::{bf16_bits_to_f32, f16_bits_to_f32, f32_to_bf16_bits, f32_to_f16_bits},
    tensor::{Shape, Tensor, room::filled, shape::addressable},
    threads::for_chunks,
};
use std::{
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

/// A tensor's elements in fewer bits than floats have. The first axis are the rows of a matrix, all others
/// its columns.
pub struct Packed<T> {
    shape: Shape,
    rows: usize,
    cols: usize,
    pub(super) numbers: Arc<Numbers<T>>,
    /// Of a mapped file.
    seal: Option<Arc<Sealed>>,
    activations: Activations,
}

/// How products with packed weights take their inputs. The weights' own form and what files hold don't depend on
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activations {
    /// As they are: the result is that of the floats that the codes stand for.
    #[default]
    Float,
    /// Rounded to bytes from -127 to 127, with a step for each 32 neighbours of a row, the largest of them being
    /// 127 of these: products are those of integers. Derivatives are as if nothing had been rounded.
    Int8,
}

/// What is to be seen before the numbers are used, and whether it was.
struct Sealed {
    look: Box<Seal>,
    seen: OnceLock<Checked<()>>,
}

/// Looks whether what is mapped is what was written.
type Seal = dyn Fn() -> Checked<()> + Send + Sync;

/// How they are held; 16 rows of each column side by side.
pub(super) enum Numbers<T> {
    /// IEEE half precision.
    F16(List<u16>),
    /// The upper half of a float of 32 bits.
    Bf16(List<u16>),
    Codes(Codes<T>),
}

/// Two kinds of floats in 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HalfFloat {
    /// IEEE 754's binary16: 11 digits, up to 65,504.
    F16,
    /// The upper half of an `f32`: 8 digits, the same range.
    Bf16,
}

/// Rows and columns of a tensor taken as a matrix.
pub(super) fn matrix(shape: &Shape) -> Checked<(usize, usize)> {
    let [rows, rest @ ..] = &shape[..] else { return Err("a tensor of rank 0 has no rows".into()) };
    if rest.is_empty() || shape.numel() == 0 {
        return Err(format!("{shape}: takes two axes or more, and elements"));
    }
    addressable(shape)?;
    Ok((*rows, rest.iter().product()))
}

impl<T: FloatElement> Packed<T> {
    /// The elements rounded to floats of 16 bits.
    pub(crate) fn half(x: &Tensor<T>, kind: HalfFloat) -> Checked<Packed<T>> {
        let (rows, cols) = matrix(x.shape())?;
        let source = x.contiguous().made()?;
        let values = source.as_slice().unwrap_or_default();
        let at = |row: usize, col: usize| values.get(row * cols + col).map_or(0.0, |v| v.to_f64() as f32);
        let numbers = match kind {
            HalfFloat::F16 => Numbers::F16(panels(rows, cols, |i, j| f32_to_f16_bits(at(i, j)))?.into()),
            HalfFloat::Bf16 => Numbers::Bf16(panels(rows, cols, |i, j| f32_to_bf16_bits(at(i, j)))?.into()),
        };
        Packed::of_numbers(x.shape(), numbers)
    }

    /// Codes of a tensor of this shape.
    pub(crate) fn of_codes(shape: &Shape, parts: &Parts<'_, T>) -> Checked<Packed<T>> {
        let (rows, cols) = matrix(shape)?;
        Packed::of_numbers(shape, Numbers::Codes(Codes::new((rows, cols), parts)?))
    }

    /// Numbers of a tensor of this shape, which fit it.
    pub(super) fn of_numbers(shape: &Shape, numbers: Numbers<T>) -> Checked<Packed<T>> {
        let (rows, cols) = matrix(shape)?;
        let (shape, numbers) = (shape.clone(), Arc::new(numbers));
        Ok(Packed { shape, rows, cols, numbers, seal: None, activations: Activations::Float })
    }

    /// What a file has of a tensor of this shape; `seal` is asked once, before the numbers are first used.
    pub(crate) fn of_pieces(
        shape: &Shape,
        form: &Form,
        pieces: &[Piece],
        seal: impl Fn() -> Checked<()> + Send + Sync + 'static,
    ) -> Checked<Packed<T>> {
        let (rows, cols) = matrix(shape)?;
        let halves = |list: fn(List<u16>) -> Numbers<T>| match pieces {
            [piece] => Ok(list(List::mapped(piece, rows.div_ceil(LANES).saturating_mul(cols))?)),
            _ => Err(format!("{} pieces, expected one", pieces.len())),
        };
        let numbers = match form {
            Form::F16 => halves(Numbers::F16)?,
            Form::Bf16 => halves(Numbers::Bf16)?,
            Form::Codes(coded) => Numbers::Codes(coded.of_pieces((rows, cols), pieces)?),
        };
        let seal = Sealed { look: Box::new(seal), seen: OnceLock::new() };
        Ok(Packed { seal: Some(Arc::new(seal)), ..Packed::of_numbers(shape, numbers)? })
    }

    /// The same of pieces that lie somewhere in memory, which are copied.
    pub(crate) fn of_bytes(shape: &Shape, form: &Form, pieces: &[&[u8]]) -> Checked<Packed<T>> {
        const LINE: usize = 64;
        let padded = |piece: &[u8]| piece.len().next_multiple_of(LINE);
        let mut all = filled(pieces.iter().map(|piece| padded(piece)).sum::<usize>() + LINE, 0u8)?;
        let mut at = all.as_ptr().align_offset(LINE).min(LINE);
        let mut places = Vec::new();
        for piece in pieces {
            all[at..at + piece.len()].copy_from_slice(piece);
            places.push((at, piece.len()));
            at += padded(piece);
        }
        let map = Arc::new(Map::of_bytes(all));
        let piece = |(at, len)| Piece { map: map.clone(), at, len };
        let pieces: Vec<Piece> = places.into_iter().map(piece).collect();
        Packed::of_pieces(shape, form, &pieces, || Ok(()))
    }

    /// What it is, and its bytes piece by piece, for a file.
    pub(crate) fn pieces(&self) -> (Form, Vec<&[u8]>) {
        match &*self.numbers {
            Numbers::F16(all) => (Form::F16, vec![all.bytes()]),
            Numbers::Bf16(all) => (Form::Bf16, vec![all.bytes()]),
            Numbers::Codes(codes) => {
                let (form, pieces) = Coded::of(codes);
                (Form::Codes(form), pieces)
            }
        }
    }

    /// Whether the numbers are what was written: asked before they are used.
    pub(crate) fn sound(&self) -> Checked<()> {
        self.seal.as_deref().map_or(Ok(()), |seal| seal.seen.get_or_init(&seal.look).clone())
    }

    /// How products take their inputs.
    pub fn activations(&self) -> Activations {
        self.activations
    }

    /// The same numbers, with products that take their inputs so.
    pub(crate) fn with_activations(&self, activations: Activations) -> Checked<Packed<T>> {
        match (activations, self.codes()) {
            (Activations::Float, _) => {}
            (_, Some(codes)) => codes.takes_bytes()?,
            (_, None) => return Err("floats of 16 bits: takes integers with scales".into()),
        }
        let Packed { shape, rows, cols, numbers, seal, .. } = self;
        let (shape, numbers, seal) = (shape.clone(), numbers.clone(), seal.clone());
        Ok(Packed { shape, rows: *rows, cols: *cols, numbers, seal, activations })
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        match &*self.numbers {
            Numbers::F16(all) | Numbers::Bf16(all) => size_of_val(&all[..]),
            Numbers::Codes(codes) => codes.bytes(),
        }
    }

    /// The codes, unless they are floats of 16 bits.
    pub fn codes(&self) -> Option<&Codes<T>> {
        match &*self.numbers {
            Numbers::Codes(codes) => Some(codes),
            _ => None,
        }
    }

    /// Which floats of 16 bits they are, unless they are codes.
    pub fn half_float(&self) -> Option<HalfFloat> {
        match &*self.numbers {
            Numbers::F16(_) => Some(HalfFloat::F16),
            Numbers::Bf16(_) => Some(HalfFloat::Bf16),
            Numbers::Codes(_) => None,
        }
    }

    /// The columns `from..to` of a panel of rows: `out[(k - from) * stride + lane]`; `from` is a multiple of
    /// 8.
    pub(super) fn unpack(&self, panel: usize, from: usize, to: usize, out: &mut [T], stride: usize) {
        let place = panel * self.cols;
        match &*self.numbers {
            Numbers::F16(all) => f16(&all[place + from..place + to], out, stride),
            Numbers::Bf16(all) => bf16(&all[place + from..place + to], out, stride),
            Numbers::Codes(codes) => codes.unpack(panel, from, to, out, stride),
        }
    }

    /// Asks for the columns `from..to` of a panel to be brought near, and of a panel behind the last one for
    /// nothing.
    pub(super) fn ask(&self, panel: usize, from: usize, to: usize) {
        let place = panel * self.cols;
        match &*self.numbers {
            Numbers::F16(all) | Numbers::Bf16(all) => ask(all, place + from, place + to),
            Numbers::Codes(codes) => codes.ask(panel, from, to),
        }
    }

    /// One row, in order.
    pub(crate) fn row(&self, row: usize, out: &mut [T]) {
        self.block(row..row + 1, 0..self.cols, out);
    }

    /// Some columns of some rows, row after row.
    pub(crate) fn block(&self, rows: Range<usize>, cols: Range<usize>, out: &mut [T]) {
        let (width, mut some) = (cols.len().max(1), [T::constant(0.0); 64 * LANES]);
        for panel in rows.start / LANES..rows.end.div_ceil(LANES) {
            let (first, last) = (rows.start.max(panel * LANES), rows.end.min((panel + 1) * LANES));
            // Codes of eight columns begin with a byte.
            for from in (cols.start / 8 * 8..cols.end).step_by(64) {
                let to = cols.end.min(from + 64);
                self.unpack(panel, from, to, &mut some, LANES);
                let begin = cols.start.max(from);
                let columns = &some.as_chunks::<LANES>().0[begin - from..to - from];
                let out = out[(first - rows.start) * width..(last - rows.start) * width].chunks_mut(width);
                for (lane, row) in (first % LANES..).zip(out) {
                    let row = &mut row[begin - cols.start..to - cols.start];
                    row.iter_mut().zip(columns).for_each(|(out, lanes)| *out = lanes[lane]);
                }
            }
        }
    }

    /// All elements, row after row.
    pub(super) fn write_all(&self, out: &mut [T]) {
        let panel = LANES * self.cols;
        for_chunks(out, panel * (1usize << 16).div_ceil(panel), |start, out| {
            let first = start / self.cols;
            self.block(first..first + out.len() / self.cols, 0..self.cols, out);
        });
    }
}

vectorised! {
    fn bf16(all: &[[u16; LANES]], out: &mut [T], stride: usize) {
        for (out, lanes) in out.chunks_mut(stride).zip(all) {
            for (out, &bits) in out[..LANES].iter_mut().zip(lanes) {
                *out = T::from_f32(bf16_bits_to_f32(bits));
            }
        }
    }
}

vectorised! {
    fn f16(all: &[[u16; LANES]], out: &mut [T], stride: usize) {
        for (out, lanes) in out.chunks_mut(stride).zip(all) {
            for (out, &bits) in out[..LANES].iter_mut().zip(lanes) {
                *out = T::from_f32(f16_bits_to_f32(bits));
            }
        }
    }
}

/// Whether they are held alike.
impl<T: FloatElement> PartialEq for Packed<T> {
    fn eq(&self, other: &Packed<T>) -> bool {
        self.shape == other.shape && self.pieces() == other.pieces()
    }
}

impl<T> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match &*self.numbers {
            Numbers::F16(_) => "f16".to_string(),
            Numbers::Bf16(_) => "bf16".to_string(),
            Numbers::Codes(codes) => format!("{codes:?}"),
        };
        write!(f, "Packed({}, {form})", self.shape)
    }
}
