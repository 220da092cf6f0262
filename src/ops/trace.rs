//! Numbers of which only what is done with them is written down: formulas run on them to be recorded, as
//! operations on tensors or as programs of scalars.
use super::list::{Binary, Test, Unary};
use crate::real::{Arithmetic, number::value, table::elementary};
use smallvec::SmallVec;
use std::{
    fmt,
    iter::Sum,
    ops::{Add, BitAnd, BitOr, Div, Mul, Neg, Not, Sub},
    panic::Location,
    ptr,
};

/// Where operations are written down. A value is the place that it has there, a mask one of zeros and ones.
pub(crate) trait Record {
    fn constant(&self, value: f64) -> u32;
    /// A value, for the line that asks for it.
    fn primal(&self, x: u32, site: &'static Location<'static>) -> f64;
    /// The same value without derivatives.
    fn fixed(&self, x: u32) -> u32;
    fn unary(&self, f: Unary, x: u32) -> u32;
    fn binary(&self, f: Binary, x: [u32; 2]) -> u32;
    fn test(&self, test: Test, x: [u32; 2]) -> u32;
    /// Of a mask, what is taken at ones, and what at zeros.
    fn choose(&self, x: [u32; 3]) -> u32;
    /// From left to right; at least one term.
    fn sum(&self, x: &[u32]) -> u32 {
        let add = |sum, &x| self.binary(Binary::Add, [sum, x]);
        x.iter().skip(1).fold(x[0], add)
    }
    /// `Σ aᵢ·bᵢ` from left to right, of as many factors on both sides, at least one.
    fn dot(&self, a: &[u32], b: &[u32]) -> u32 {
        let product = |(&a, &b)| self.binary(Binary::Mul, [a, b]);
        let first = product((&a[0], &b[0]));
        let add = |sum, pair| self.binary(Binary::Add, [sum, product(pair)]);
        a.iter().zip(b).skip(1).fold(first, add)
    }
    /// That a value from elsewhere was used with those here.
    fn foreign(&self) {}
}

/// A number that isn't known yet: what a [`ScalarProgram`](crate::ScalarProgram) is recorded with. It has
/// [`Number`](crate::Number), so that formulas which are generic over that run on it; it compares by
/// [`less`](Arithmetic::less) and the like, and chooses by [`select`](Arithmetic::select).
///
/// Plain numbers that meet each other are computed at once, and stay plain numbers.
#[derive(Clone, Copy)]
#[must_use = "an operation that is written down has no effect but its result"]
pub struct Traced<'a>(Kind<'a, f64>);

/// The outcome of comparing [`Traced`] numbers.
#[derive(Clone, Copy)]
#[must_use = "a comparison has no effect but its outcome"]
pub struct TracedMask<'a>(Kind<'a, bool>);

#[derive(Clone, Copy)]
enum Kind<'a, V> {
    Known(V),
    At(&'a dyn Record, u32),
}
use Kind::{At, Known};

impl fmt::Debug for Traced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Known(v) => write!(f, "{v:?}"),
            At(_, i) => write!(f, "#{i}"),
        }
    }
}

impl fmt::Debug for TracedMask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Known(v) => write!(f, "{v:?}"),
            At(_, i) => write!(f, "#{i}"),
        }
    }
}

impl<'a> Traced<'a> {
    pub(crate) fn at(record: &'a dyn Record, place: u32) -> Self {
        Traced(At(record, place))
    }

    /// Its place in a record; a known number gets one.
    pub(crate) fn place_in(self, record: &dyn Record) -> u32 {
        match self.0 {
            Known(v) => record.constant(v),
            At(own, place) => {
                if !ptr::addr_eq(own, record) {
                    record.foreign();
                    return record.constant(f64::NAN);
                }
                place
            }
        }
    }

    fn map(self, number: impl Fn(f64) -> f64, f: Unary) -> Self {
        Traced(match self.0 {
            Known(v) => Known(number(v)),
            At(record, x) => At(record, record.unary(f, x)),
        })
    }

    fn zip(self, other: Self, number: impl Fn(f64, f64) -> f64, f: Binary) -> Self {
        Traced(match (self.0, other.0) {
            (Known(a), Known(b)) => Known(number(a, b)),
            (At(record, _), _) | (_, At(record, _)) => {
                At(record, record.binary(f, [self, other].map(|x| x.place_in(record))))
            }
        })
    }

    fn compare(self, other: Self, number: impl Fn(f64, f64) -> bool, test: Test) -> TracedMask<'a> {
        TracedMask(match (self.0, other.0) {
            (Known(a), Known(b)) => Known(number(a, b)),
            (At(record, _), _) | (_, At(record, _)) => {
                At(record, record.test(test, [self, other].map(|x| x.place_in(record))))
            }
        })
    }

    fn places(all: &[Self], record: &dyn Record) -> SmallVec<[u32; 16]> {
        all.iter().map(|x| x.place_in(record)).collect()
    }

    /// Where the first of these that isn't known is written down.
    fn record(all: &[Self]) -> Option<&'a dyn Record> {
        all.iter().find_map(|x| if let At(record, _) = x.0 { Some(record) } else { None })
    }
}

macro_rules! traced {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $($operators:tt)* }
    ) => {
        impl<'a> Arithmetic for Traced<'a> {
            type Mask = TracedMask<'a>;
            fn constant(value: f64) -> Self {
                Traced(Known(value))
            }
            #[track_caller]
            fn primal(self) -> f64 {
                match self.0 {
                    Known(v) => v,
                    At(record, x) => record.primal(x, Location::caller()),
                }
            }
            fn fixed(self) -> Self {
                Traced(match self.0 {
                    Known(v) => Known(v),
                    At(record, x) => At(record, record.fixed(x)),
                })
            }
            fn less(self, other: Self) -> Self::Mask {
                self.compare(other, |a, b| a < b, Test::Less)
            }
            fn less_equal(self, other: Self) -> Self::Mask {
                self.compare(other, |a, b| a <= b, Test::LessEqual)
            }
            fn equal(self, other: Self) -> Self::Mask {
                self.compare(other, |a, b| a == b, Test::Equal)
            }
            fn select(mask: Self::Mask, a: Self, b: Self) -> Self {
                match mask.0 {
                    Known(true) => a,
                    Known(false) => b,
                    At(record, _) => {
                        let x = [mask.place_in(record), a.place_in(record), b.place_in(record)];
                        Traced::at(record, record.choose(x))
                    }
                }
            }
            fn dot(a: &[Self], b: &[Self]) -> Self {
                let n = a.len().min(b.len());
                let (a, b) = (&a[..n], &b[..n]);
                let Some(record) = Self::record(a).or(Self::record(b)) else {
                    let products = a.iter().zip(b).map(|(&a, &b)| a * b);
                    return products.reduce(Add::add).unwrap_or(Self::constant(0.0));
                };
                let [a, b] = [a, b].map(|x| Self::places(x, record));
                Traced::at(record, record.dot(&a, &b))
            }
            fn is_zero(self) -> bool {
                matches!(self.0, Known(0.0))
            }
            fn is_nothing(self) -> bool {
                self.is_zero()
            }
            fn pow(self, other: Self) -> Self {
                self.zip(other, <f64 as Arithmetic>::pow, Binary::Pow)
            }
            fn atan2(self, other: Self) -> Self {
                self.zip(other, <f64 as Arithmetic>::atan2, Binary::Atan2)
            }
            fn fmod(self, other: Self) -> Self {
                self.zip(other, |a, b| a % b, Binary::Fmod)
            }
            $( fn $bn(self $(, $bp: f64)*) -> Self {
                self.map(|v| <f64 as Arithmetic>::$bn(v $(, $bp)*), Unary::$bv { $($bp),* })
            } )*
            $( fn $mn(self $(, $mp: f64)*) -> Self {
                self.map(|v| value::$mn(v $(, $mp)*), Unary::$mv { $($mp),* })
            } )*
            $( fn $pn(self, other: Self) -> Self {
                self.zip(other, |a, b| value::$pn(a, b), Binary::$pv)
            } )*
        }
    };
}
elementary!(traced);

macro_rules! operators {
    ($($trait:ident $f:ident)*) => {$(
        impl $trait for Traced<'_> {
            type Output = Self;
            fn $f(self, other: Self) -> Self { self.zip(other, |a, b| $trait::$f(a, b), Binary::$trait) }
        }
        impl $trait<f64> for Traced<'_> {
            type Output = Self;
            fn $f(self, other: f64) -> Self { $trait::$f(self, Self::constant(other)) }
        }
        impl<'a> $trait<Traced<'a>> for f64 {
            type Output = Traced<'a>;
            fn $f(self, other: Traced<'a>) -> Traced<'a> { $trait::$f(Traced::constant(self), other) }
        }
    )*};
}
operators!(Add add Sub sub Mul mul Div div);

impl Neg for Traced<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.map(|v| -v, Unary::Neg)
    }
}

/// From left to right.
impl Sum for Traced<'_> {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        let terms: SmallVec<[Self; 32]> = iter.collect();
        match Self::record(&terms) {
            Some(record) => Traced::at(record, record.sum(&Self::places(&terms, record))),
            None => terms.into_iter().reduce(Add::add).unwrap_or(Self::constant(0.0)),
        }
    }
}

impl<'a> TracedMask<'a> {
    fn place_in(self, record: &dyn Record) -> u32 {
        Traced(match self.0 {
            Known(v) => Known(f64::from(u8::from(v))),
            At(own, place) => At(own, place),
        })
        .place_in(record)
    }

    /// Combines masks; a known one decides or drops out.
    fn zip(self, other: Self, neutral: bool, f: Binary) -> Self {
        match (self.0, other.0) {
            (Known(k), rest) | (rest, Known(k)) => TracedMask(if k == neutral { rest } else { Known(k) }),
            (At(record, a), At(..)) => {
                let b = other.place_in(record);
                TracedMask(At(record, record.binary(f, [a, b])))
            }
        }
    }
}

impl BitAnd for TracedMask<'_> {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        self.zip(other, true, Binary::Mul)
    }
}

impl BitOr for TracedMask<'_> {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.zip(other, false, Binary::Maximum)
    }
}

impl Not for TracedMask<'_> {
    type Output = Self;
    fn not(self) -> Self {
        TracedMask(match self.0 {
            Known(k) => Known(!k),
            At(record, m) => At(record, record.unary(Unary::RsubNumber { number: 1.0 }, m)),
        })
    }
}
