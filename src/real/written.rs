//! The derivatives of the elementary functions as text: what a page shows as their rules.
use super::table::elementary;

macro_rules! written {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident [$($oka:ident)*] [$($okb:ident)*] |$ova:ident, $ovb:ident| $oe:expr, |$oa:ident, $ob:ident, $oy:ident, $og:ident| $oda:expr, $odb:expr; )* }
    ) => {
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
elementary!(written);
