//! The elementary functions of plain numbers, found by name: to run again what a tape wrote down.
use super::{
    Number,
    table::{elementary, value},
};

macro_rules! by_name {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident [$($oka:ident)*] [$($okb:ident)*] |$ova:ident, $ovb:ident| $oe:expr, |$oa:ident, $ob:ident, $oy:ident, $og:ident| $oda:expr, $odb:expr; )* }
    ) => {
        /// The value of a function of the table; `None` if there is none of this name with so many arguments and options.
        pub(crate) fn by_name(name: &str, options: &[f64], x: &[f64]) -> Option<f64> {
            let mut _options = options.iter().copied();
            match (name, x) {
                ("neg", [x]) => Some(-x),
                ("sum", x) => Some(x.iter().sum()),
                ("sum_of_squares", x) => Some(x.iter().map(|v| v * v).sum()),
                ("dot", x) => {
                    let (a, b) = x.split_at(x.len() / 2);
                    Some(a.iter().zip(b).map(|(a, b)| a * b).sum())
                }
                $( (stringify!($bn), [x]) => { $( let $bp = _options.next()?; )* Some(Number::$bn(*x $(, $bp)*)) } )*
                $( (stringify!($mn), [x]) => { $( let $mp = _options.next()?; )* Some(value::$mn(*x $(, $mp)*)) } )*
                $( (stringify!($pn), [a, b]) => Some(value::$pn(*a, *b)), )*
                $( (stringify!($on), [a, b]) => Some(value::$on(*a, *b)), )*
                _ => None,
            }
        }

        /// The derivatives as the table writes them, in `x`, `y`, `g` or in `a`, `b`, `y`, `g`: one for each argument.
        pub(crate) fn derivatives(name: &str) -> Option<&'static [&'static str]> {
            match name {
                $( stringify!($bn) => Some(&[stringify!($bd)]), )*
                $( stringify!($mn) => Some(&[stringify!($md)]), )*
                $( stringify!($pn) => Some(&[stringify!($pda), stringify!($pdb)]), )*
                $( stringify!($on) => Some(&[stringify!($oda), stringify!($odb)]), )*
                _ => None,
            }
        }
    };
}
elementary!(by_name);
