//! One number on a tape. Each operation computes its value and its partial derivatives at once and leaves one
//! statement; nothing is kept but numbers.
use super::{
    ids::StatementId,
    no_tensors::NoTensors,
    parts::{Gradients, Tape, TapeNumber, TensorPart as _, sealed::Sealed},
    statements::Told,
};
use crate::{
    error::{Error, Result},
    real::{
        Arithmetic,
        number::value,
        slopes::{slope, slope_a, slope_b},
        table::elementary,
    },
};
use smallvec::SmallVec;
use std::{
    array,
    cmp::Ordering,
    fmt,
    ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign},
    panic::Location,
};

/// One number on a [`Tape`]: `Copy`, with its value inline.
///
/// ```
/// let tape = kolmo::Tape::<f64>::new();
/// let (x, y) = (tape.scalar(0.5), tape.scalar(3.0));
/// let z = (x * y).sin() + 2.0 * x;
/// let grads = z.backward()?;
/// assert_eq!(grads.scalar(x), (1.5f64).cos() * 3.0 + 2.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy)]
#[must_use = "an operation on a tape has no effect but its result"]
pub struct Scalar<'t, T: TapeNumber = f64> {
    tape: Option<&'t Tape<T>>,
    value: T,
    id: StatementId,
}

impl<T: TapeNumber> Sealed for Scalar<'_, T> {}
impl<T: TapeNumber> TapeNumber for Scalar<'_, T> {
    type Tensors = NoTensors;
}

impl<'t, T: TapeNumber> Scalar<'t, T> {
    /// A number that no tape records.
    #[inline(always)]
    pub fn constant(value: T) -> Self {
        Scalar { tape: None, value, id: StatementId::CONSTANT }
    }

    #[inline(always)]
    pub(crate) fn recorded(tape: &'t Tape<T>, value: T, id: StatementId) -> Self {
        Scalar { tape: Some(tape), value, id }
    }

    /// The value.
    #[inline(always)]
    pub fn value(self) -> T {
        self.value
    }

    /// The position on the tape; 0 for constants.
    #[inline(always)]
    pub fn id(self) -> u32 {
        self.id.0
    }

    pub(crate) fn statement_id(self) -> StatementId {
        self.id
    }

    pub(crate) fn tape(self) -> Option<&'t Tape<T>> {
        self.tape
    }

    /// Gradients of this number with respect to everything before it on the tape.
    pub fn backward(self) -> Result<Gradients<T>> {
        match self.tape {
            Some(tape) => tape.backward_scalar(self.id),
            None => Err(Error::op("backward", "a constant has no gradients: nothing recorded it", None)),
        }
    }

    /// An operation with N arguments whose value and partial derivatives are known: one statement.
    #[inline(always)]
    #[track_caller]
    pub fn statement<const N: usize>(value: T, arguments: [(Self, T); N]) -> Self {
        Self::named("statement", value, arguments)
    }

    /// A statement with the name that an [`Observation`](crate::inspect::Observation) shows.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn named<const N: usize>(name: &'static str, value: T, arguments: [(Self, T); N]) -> Self {
        if N > LONGEST {
            return Self::chained(name, value, &arguments);
        }
        let site = Location::caller();
        let tape = arguments.iter().fold(None, |tape, (a, _)| tape.or(a.tape));
        match tape {
            Some(tape) => {
                if arguments.iter().any(|(a, _)| a.tape.is_some_and(|t| !std::ptr::eq(t, tape))) {
                    return tape.two_tapes();
                }
                let told = Told::new(name, value.primal(), site);
                let id = tape.statements.push(arguments.map(|(a, d)| (a.id, d)), told);
                if tape.settings.observed.get() {
                    let operands = arguments.map(|(a, _)| (a.id, a.value.primal()));
                    tape.statements.note_constants(id, operands);
                }
                Scalar::recorded(tape, value, id)
            }
            None => Scalar::constant(value),
        }
    }

    /// The same of arguments and slopes apart, by loops: of many arguments the functions of arrays are calls.
    #[inline(always)]
    #[track_caller]
    pub(super) fn with_slopes<const N: usize>(
        name: &'static str,
        value: T,
        x: &[Self; N],
        slopes: &[T; N],
    ) -> Self {
        let Some(tape) = x.iter().find_map(|x| x.tape).filter(|_| N <= LONGEST) else {
            return Self::named::<N>(name, value, array::from_fn(|i| (x[i], slopes[i])));
        };
        let (told, mut foreign) = (Told::new(name, value.primal(), Location::caller()), false);
        let mut arguments = [(StatementId::CONSTANT, T::constant(0.0)); N];
        for (k, argument) in arguments.iter_mut().enumerate() {
            foreign |= x[k].tape.is_some_and(|t| !std::ptr::eq(t, tape));
            *argument = (x[k].id, slopes[k]);
        }
        if foreign {
            return tape.two_tapes();
        }
        let id = tape.statements.push(arguments, told);
        if tape.settings.observed.get() {
            tape.statements.note_constants(id, x.map(|x| (x.id, x.value.primal())));
        }
        Scalar::recorded(tape, value, id)
    }

    /// More arguments than one statement has: a chain of statements, each with the one before it as its first
    /// argument.
    #[cold]
    #[track_caller]
    fn chained(name: &'static str, value: T, arguments: &[(Self, T)]) -> Self {
        let (x, partials): (Vec<Self>, Vec<T>) = arguments.iter().copied().unzip();
        let partials: Vec<Self> = partials.into_iter().map(Scalar::constant).collect();
        let mut last = Scalar::constant(value);
        for (x, partials) in x.chunks(LONGEST - 1).zip(partials.chunks(LONGEST - 1)) {
            last = Scalar::linear(name, value, Some(last), [(x, partials)], |x, d| (x.id, d.value));
        }
        last
    }

    /// An operation with one argument on the tape.
    #[inline(always)]
    fn unary(self, value: T, slope: T, told: Told<'_>) -> Self {
        match self.tape {
            Some(tape) => Scalar::recorded(tape, value, tape.statements.push([(self.id, slope)], told)),
            None => Scalar::constant(value),
        }
    }

    #[inline(always)]
    #[track_caller]
    fn binary(self, other: Self, name: &'static str, value: T, a: T, b: T) -> Self {
        let told = Told::new(name, value.primal(), Location::caller());
        let tape = match (self.tape, other.tape) {
            (Some(s), Some(o)) if !std::ptr::eq(s, o) => {
                return s.two_tapes();
            }
            (Some(tape), Some(_)) => tape,
            (Some(_), None) => return self.unary(value, a, Told { constant: (1, other.primal()), ..told }),
            (None, _) => return other.unary(value, b, Told { constant: (0, self.primal()), ..told }),
        };
        Scalar::recorded(tape, value, tape.statements.push([(self.id, a), (other.id, b)], told))
    }
}

macro_rules! scalar {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $($operators:tt)* }
    ) => {
        impl<'t, T: TapeNumber> Arithmetic for Scalar<'t, T> {
            type Mask = T::Mask;
            #[inline(always)]
            fn constant(value: f64) -> Self {
                Scalar::constant(T::constant(value))
            }
            #[inline(always)]
            fn primal(self) -> f64 {
                self.value.primal()
            }
            #[inline(always)]
            #[track_caller]
            fn dot(a: &[Self], b: &[Self]) -> Self {
                Scalar::products(a, b)
            }
            #[inline(always)]
            fn less(self, other: Self) -> T::Mask {
                self.value.less(other.value)
            }
            #[inline(always)]
            fn less_equal(self, other: Self) -> T::Mask {
                self.value.less_equal(other.value)
            }
            #[inline(always)]
            fn equal(self, other: Self) -> T::Mask {
                self.value.equal(other.value)
            }
            #[inline(always)]
            #[track_caller]
            fn select(mask: T::Mask, a: Self, b: Self) -> Self {
                let one = |m| T::select(m, T::constant(1.0), T::constant(0.0));
                a.binary(b, "select", T::select(mask, a.value, b.value), one(mask), one(!mask))
            }
            #[inline(always)]
            fn is_zero(self) -> bool {
                self.id == StatementId::CONSTANT && self.value.is_zero()
            }
            #[inline(always)]
            #[track_caller]
            fn sin_cos(self) -> (Self, Self) {
                let (sin, cos) = self.value.sin_cos();
                let told = |name, y: T| Told::new(name, y.primal(), Location::caller());
                (self.unary(sin, cos, told("sin", sin)), self.unary(cos, -sin, told("cos", cos)))
            }
            $( #[inline(always)] #[track_caller] fn $bn(self $(, $bp: f64)*) -> Self {
                let (y, slope) = scalar!(base $bn self.value $(, $bp)*);
                let told = Told::new(stringify!($bn), y.primal(), Location::caller());
                self.unary(y, slope, Told { options: &[$( (stringify!($bp), $bp) ),*], ..told })
            } )*
            $( #[inline(always)] #[track_caller] fn $mn(self $(, $mp: f64)*) -> Self {
                let y = value::$mn(self.value $(, $mp)*);
                let slope = slope::$mn(self.value, y, T::constant(1.0) $(, $mp)*);
                let told = Told::new(stringify!($mn), y.primal(), Location::caller());
                self.unary(y, slope, Told { options: &[$( (stringify!($mp), $mp) ),*], ..told })
            } )*
            $( #[inline(always)] #[track_caller] fn $pn(self, other: Self) -> Self {
                let y = value::$pn(self.value, other.value);
                scalar!(pair self other y $pn)
            } )*
            #[inline(always)]
            #[track_caller]
            fn pow(self, other: Self) -> Self {
                let y = self.value.pow(other.value);
                scalar!(pair self other y pow)
            }
            #[inline(always)]
            #[track_caller]
            fn atan2(self, other: Self) -> Self {
                let y = self.value.atan2(other.value);
                scalar!(pair self other y atan2)
            }
            #[inline(always)]
            #[track_caller]
            fn fmod(self, other: Self) -> Self {
                let y = self.value.fmod(other.value);
                scalar!(pair self other y fmod)
            }
        }
        /// The elementary functions, also without the trait [`Arithmetic`] in scope.
        impl<'t, T: TapeNumber> Scalar<'t, T> {
            $( $(#[$bm])* #[inline(always)] #[track_caller] pub fn $bn(self $(, $bp: f64)*) -> Self { <Self as Arithmetic>::$bn(self $(, $bp)*) } )*
            $( $(#[$mm])* #[inline(always)] #[track_caller] pub fn $mn(self $(, $mp: f64)*) -> Self { <Self as Arithmetic>::$mn(self $(, $mp)*) } )*
            $( $(#[$pm])* #[inline(always)] #[track_caller] pub fn $pn(self, other: Self) -> Self { <Self as Arithmetic>::$pn(self, other) } )*
            /// `self` to the power of `exponent`
            #[inline(always)]
            pub fn pow(self, exponent: Self) -> Self { <Self as Arithmetic>::pow(self, exponent) }
            /// Sine and cosine, for little more than one of them
            #[inline(always)]
            #[track_caller]
            pub fn sin_cos(self) -> (Self, Self) { <Self as Arithmetic>::sin_cos(self) }

            /// The angle of the point (`x`, `self`), in radians
            #[inline(always)]
            pub fn atan2(self, x: Self) -> Self { <Self as Arithmetic>::atan2(self, x) }
        }
    };
    // Both at once.
    (base sin $x:expr) => { $x.sin_cos() };
    (base cos $x:expr) => {{
        let (sin, cos) = $x.sin_cos();
        (cos, -sin)
    }};
    (base $name:ident $x:expr $(, $p:ident)*) => {{
        let y = $x.$name($($p),*);
        (y, slope::$name($x, y, T::constant(1.0) $(, $p)*))
    }};
    // A constant operand's derivative is neither computed nor able to spoil the other's with a NaN.
    (pair $self:ident $other:ident $y:ident $name:ident) => {{
        let one = T::constant(1.0);
        let a = if $self.id == StatementId::CONSTANT { one } else { slope_a::$name($self.value, $other.value, $y, one) };
        let b = if $other.id == StatementId::CONSTANT { one } else { slope_b::$name($self.value, $other.value, $y, one) };
        $self.binary($other, stringify!($name), $y, a, b)
    }};
}
elementary!(scalar);

// Not every derivative reads everything.
macro_rules! operators {
    ($($trait:ident $f:ident $assign:ident $g:ident |$a:ident, $b:ident, $y:ident| $da:expr, $db:expr;)*) => {$(
        impl<'t, T: TapeNumber> $trait for Scalar<'t, T> {
            type Output = Self;
            #[inline(always)]
            #[track_caller]
            fn $f(self, other: Self) -> Self {
                let ($a, $b) = (self.value, other.value);
                let $y = $trait::$f($a, $b);
                let _ = ($a, $b, $y);
                self.binary(other, stringify!($f), $y, $da, $db)
            }
        }
        impl<'t, T: TapeNumber> $trait<f64> for Scalar<'t, T> {
            type Output = Self;
            #[inline(always)]
            #[track_caller]
            fn $f(self, other: f64) -> Self {
                let ($a, $b) = (self.value, T::constant(other));
                let $y = $trait::$f($a, $b);
                let _ = ($a, $b, $y);
                let told = Told::new(stringify!($f), $y.primal(), Location::caller());
                self.unary($y, $da, Told { constant: (1, other), ..told })
            }
        }
        impl<'t, T: TapeNumber> $trait<Scalar<'t, T>> for f64 {
            type Output = Scalar<'t, T>;
            #[inline(always)]
            #[track_caller]
            fn $f(self, other: Scalar<'t, T>) -> Scalar<'t, T> {
                let ($a, $b) = (T::constant(self), other.value);
                let $y = $trait::$f($a, $b);
                let _ = ($a, $b, $y);
                let told = Told::new(stringify!($f), $y.primal(), Location::caller());
                other.unary($y, $db, Told { constant: (0, self), ..told })
            }
        }
        impl<'t, T: TapeNumber> $assign for Scalar<'t, T> {
            #[inline(always)]
            #[track_caller]
            fn $g(&mut self, other: Self) { *self = $trait::$f(*self, other); }
        }
        impl<'t, T: TapeNumber> $assign<f64> for Scalar<'t, T> {
            #[inline(always)]
            #[track_caller]
            fn $g(&mut self, other: f64) { *self = $trait::$f(*self, other); }
        }
    )*};
}

operators! {
    Add add AddAssign add_assign |a, b, y| T::constant(1.0), T::constant(1.0);
    Sub sub SubAssign sub_assign |a, b, y| T::constant(1.0), T::constant(-1.0);
    Mul mul MulAssign mul_assign |a, b, y| b, a;
    Div div DivAssign div_assign |a, b, y| T::constant(1.0) / b, -(y / b);
}

impl<T: TapeNumber> Neg for Scalar<'_, T> {
    type Output = Self;
    #[inline(always)]
    #[track_caller]
    fn neg(self) -> Self {
        let value = -self.value;
        self.unary(value, T::constant(-1.0), Told::new("neg", value.primal(), Location::caller()))
    }
}

/// One statement with as many arguments as there are terms, from left to right.
impl<T: TapeNumber> std::iter::Sum for Scalar<'_, T> {
    #[track_caller]
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        let mut terms: SmallVec<[Self; 32]> = iter.collect();
        while terms.len() > 1 {
            let most = terms.len().min(LONGEST);
            let value = terms[1..most].iter().fold(terms[0].value, |sum, x| sum + x.value);
            let part = &terms[..most];
            let sum = Scalar::linear("sum", value, None, [(part, part)], |x, _| (x.id, T::constant(1.0)));
            terms.drain(1..most);
            terms[0] = sum;
        }
        terms.first().copied().unwrap_or(Scalar::constant(T::constant(0.0)))
    }
}

/// The most arguments of one statement.
const LONGEST: usize = 254;

impl<'t, T: TapeNumber> Scalar<'t, T> {
    /// A statement whose arguments are one `before`, with slope 1, and the first slices of the parts.
    #[inline(always)]
    #[track_caller]
    fn linear<const P: usize>(
        name: &'static str,
        value: T,
        before: Option<Self>,
        parts: [(&[Self], &[Self]); P],
        argument: impl Fn(&Self, &Self) -> (StatementId, T),
    ) -> Self {
        let site = Location::caller();
        let all = || before.iter().chain(parts.iter().flat_map(|(x, _)| x.iter()));
        let Some(tape) = all().find_map(|x| x.tape) else { return Scalar::constant(value) };
        let told = Told::new(name, value.primal(), site);
        let (mark, mut foreign) = (tape.statements.len(), false);
        let mut looked_at = |x: &Self, partner: &Self| {
            foreign |= x.tape.is_some_and(|t| !std::ptr::eq(t, tape));
            argument(x, partner)
        };
        let first = before.map(|x| looked_at(&x, &x)).map(|(id, _)| (id, T::constant(1.0)));
        let id = tape.statements.push_slices(first, parts, looked_at, told);
        if foreign {
            if id != StatementId::CONSTANT {
                tape.statements.truncate(mark.0, mark.1, mark.2);
            }
            return tape.two_tapes();
        }
        if tape.settings.observed.get() {
            tape.statements.note_constants(id, all().map(|x| (x.id, x.value.primal())));
        }
        Scalar::recorded(tape, value, id)
    }

    #[inline(always)]
    #[track_caller]
    fn products(a: &[Self], b: &[Self]) -> Self {
        let n = a.len().min(b.len());
        let (a, b) = (&a[..n], &b[..n]);
        if n == 0 {
            return Scalar::constant(T::constant(0.0));
        }
        if n > LONGEST / 2 {
            let (value, id) = Scalar::many_products(a, b);
            let tape = a.iter().chain(b).find_map(|x| x.tape);
            return tape.map_or(Scalar::constant(value), |tape| Scalar::recorded(tape, value, id));
        }
        let mut value = a[0].value * b[0].value;
        for (x, y) in a[1..].iter().zip(&b[1..]) {
            value = value + x.value * y.value;
        }
        if std::ptr::eq(a, b) {
            return Scalar::linear("sum_of_squares", value, None, [(a, a)], |x, _| (x.id, x.value + x.value));
        }
        Scalar::linear("dot", value, None, [(a, b), (b, a)], |x, y| (x.id, y.value))
    }

    /// More than one statement has room for.
    #[cold]
    #[inline(never)]
    #[track_caller]
    fn many_products(a: &[Self], b: &[Self]) -> (T, StatementId) {
        let mut sum = Scalar::constant(T::constant(0.0));
        for (a, b) in a.chunks(LONGEST / 2).zip(b.chunks(LONGEST / 2)) {
            sum += Scalar::products(a, b);
        }
        (sum.value, sum.id)
    }
}

/// # Scalars onto the tape
impl<T: TapeNumber> Tape<T> {
    /// A number that gradients are taken with respect to.
    #[inline]
    #[track_caller]
    pub fn scalar(&self, value: T) -> Scalar<'_, T> {
        let site = Location::caller();
        if !self.is_recording() {
            return Scalar::constant(value);
        }
        let told = Told::new("input", value.primal(), site);
        Scalar::recorded(self, value, self.statements.push([(StatementId::CONSTANT, T::constant(0.0))], told))
    }

    /// Numbers that gradients are taken with respect to.
    #[track_caller]
    pub fn scalars(&self, values: &[T]) -> Vec<Scalar<'_, T>> {
        let mut scalars = Vec::with_capacity(values.len());
        for &value in values {
            scalars.push(self.scalar(value));
        }
        scalars
    }

    /// A number of operands that don't belong together.
    // Its call gives nothing back: a number that a call gives lies in memory, and then all that an operation
    // gives does, written in pieces and read as a whole, for which the processor waits.
    #[inline(always)]
    #[track_caller]
    fn two_tapes(&self) -> Scalar<'_, T> {
        self.note_two_tapes(Location::caller());
        Scalar::recorded(self, T::constant(f64::NAN), StatementId::CONSTANT)
    }

    #[cold]
    #[inline(never)]
    fn note_two_tapes(&self, site: &'static Location<'static>) {
        let message = "two tapes: the operands were recorded on different tapes";
        self.tensors.fail(Error::op("scalar", message, Some(site)));
    }

    /// A number that isn't one; `backward` of what is computed from it tells the error.
    #[cold]
    pub(crate) fn fail_scalar_with(&self, error: Error) -> Scalar<'_, T> {
        self.tensors.fail(error);
        Scalar::recorded(self, T::constant(f64::NAN), StatementId::CONSTANT)
    }

    pub(crate) fn recorded_failure(&self) -> Option<Error> {
        self.tensors.failure()
    }

    pub(crate) fn backward_scalar(&self, id: StatementId) -> Result<Gradients<T>> {
        if let Some(failure) = self.recorded_failure() {
            return Err(failure);
        }
        if self.statements.is_full() {
            return Err(Error::op(
                "backward",
                "the tape has more than 2³² arguments; reset it more often",
                None,
            ));
        }
        let mut adjoints = self.stash.scalars(self.statements.adjoints());
        match adjoints[..self.statements.len().0].get_mut(id.place()) {
            Some(seed) => *seed = T::constant(1.0),
            None => return Err(Error::op("backward", "the scalar is not on this tape any more", None)),
        }
        T::Tensors::backward(self, adjoints)
    }
}

impl<T: TapeNumber> Gradients<T> {
    /// The derivative with respect to a scalar; zero if it plays no part.
    #[must_use]
    pub fn scalar(&self, x: Scalar<'_, T>) -> T {
        let known = x.tape().is_some_and(|t| t.epoch() == self.epoch);
        self.scalars.get(x.id.place()).copied().filter(|_| known).unwrap_or(T::constant(0.0))
    }
}

/// Comparison by value, so that ordinary control flow works.
impl<T: TapeNumber> PartialEq for Scalar<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.primal() == other.primal()
    }
}

impl<T: TapeNumber> PartialOrd for Scalar<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.primal().partial_cmp(&other.primal())
    }
}

impl<T: TapeNumber> fmt::Debug for Scalar<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            StatementId::CONSTANT => write!(f, "{:?}", self.value),
            id => write!(f, "{id} = {:?}", self.value),
        }
    }
}
