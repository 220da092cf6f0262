//! The elementary functions by their names, for programs that come from a file.
use super::{Arithmetic, number::value, table::elementary};

macro_rules! named {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident [$($oka:ident)*] [$($okb:ident)*] |$ova:ident, $ovb:ident| $oe:expr, |$oa:ident, $ob:ident, $oy:ident, $og:ident| $oda:expr, $odb:expr $(, $oi:tt)?; )* }
    ) => {
        /// A function of these arguments and options; `None` if there is none of this name with as many.
        pub(crate) fn apply<R: Arithmetic>(name: &str, x: &[R], options: &[f64]) -> Option<R> {
            let mut options = options.iter().copied();
            let y = match (name, x) {
                ("neg", &[x]) => -x,
                $( (stringify!($bn), &[x]) => { $(let $bp = options.next()?;)* Arithmetic::$bn(x $(, $bp)*) } )*
                $( (stringify!($mn), &[x]) => { $(let $mp = options.next()?;)* Arithmetic::$mn(x $(, $mp)*) } )*
                $( (stringify!($pn), &[a, b]) => value::$pn(a, b), )*
                $( (stringify!($on), &[a, b]) => value::$on(a, b), )*
                _ => return None,
            };
            options.next().is_none().then_some(y)
        }
    };
}
elementary!(named);

#[cfg(test)]
mod tests {
    use super::apply;

    #[test]
    fn functions_are_found_by_name_arguments_and_options() {
        assert_eq!(apply("sin", &[0.5], &[]), Some(0.5f64.sin()));
        assert_eq!(apply("leaky_relu", &[-2.0], &[0.25]), Some(-0.5));
        assert_eq!(apply("mul", &[2.0, 3.0], &[]), Some(6.0));
        let none: [(&str, &[f64], &[f64]); 4] = [
            ("sin", &[1.0, 2.0], &[]),
            ("sin", &[1.0], &[2.0]),
            ("leaky_relu", &[1.0], &[]),
            ("none", &[1.0], &[]),
        ];
        assert!(none.iter().all(|(name, x, options)| apply(name, x, options).is_none()));
    }
}
