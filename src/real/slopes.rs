//! The derivatives of the table's functions.
use super::table::elementary;

macro_rules! slopes {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident [$($oka:ident)*] [$($okb:ident)*] |$ova:ident, $ovb:ident| $oe:expr, |$oa:ident, $ob:ident, $oy:ident, $og:ident| $oda:expr, $odb:expr $(, $oi:tt)?; )* }
    ) => {
        /// The derivatives: argument(s), result and gradient of the result to the gradient of the argument.
        #[allow(unused_variables)]
        pub(crate) mod slope {
            use crate::real::{
                number::{Arithmetic, SELU_ALPHA, SELU_SCALE, SQRT_2_OVER_PI, power, value},
                slopes::slope,
            };
            $( #[inline(always)] pub fn $bn<R: Arithmetic>($bx: R, $by: R, $bg: R $(, $bp: f64)*) -> R { $bd } )*
            $( #[inline(always)] pub fn $mn<R: Arithmetic>($mx: R, $my: R, $mg: R $(, $mp: f64)*) -> R { $md } )*
        }
        /// Derivatives of the functions of two arguments with respect to the first.
        #[allow(unused_variables)]
        pub(crate) mod slope_a {
            use crate::real::number::Arithmetic;
            $( #[inline(always)] pub fn $pn<R: Arithmetic>($pa: R, $pb: R, $py: R, $pg: R) -> R { $pda } )*
            $( #[inline(always)] pub fn $on<R: Arithmetic>($oa: R, $ob: R, $oy: R, $og: R) -> R { $oda } )*
        }
        /// Derivatives of the functions of two arguments with respect to the second.
        #[allow(unused_variables)]
        pub(crate) mod slope_b {
            use crate::real::number::{Arithmetic, value};
            $( #[inline(always)] pub fn $pn<R: Arithmetic>($pa: R, $pb: R, $py: R, $pg: R) -> R { $pdb } )*
            $( #[inline(always)] pub fn $on<R: Arithmetic>($oa: R, $ob: R, $oy: R, $og: R) -> R { $odb } )*
        }
    };
}
elementary!(slopes);
