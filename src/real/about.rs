//! What is known of an operation beside its value and its derivative.
use super::table::elementary;

/// Whether options and arguments lie on a kink.
pub(crate) type IsKink = fn(&[f64], [f64; 2]) -> bool;

/// What a reader of a tape is told of an operation: its formula, and where its numbers are more or less than
/// they seem. In formulas `a`, `b`, `c` are the operands, `y` is the result and `ȳ` its adjoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    /// The value; empty if there is no short formula.
    pub value: &'static str,
    /// What is added to the adjoint of each operand; the last one stands for all that follow.
    pub gradients: &'static [&'static str],
    /// A remark on what is kept or how it is done.
    pub note: &'static str,
    /// Whether the value is computed without rounding: elements are moved or chosen, signs change.
    pub exact: bool,
    /// Whether these options and arguments (NaN where there is no second) have several possible derivatives,
    /// of which the rule gives one.
    pub is_kink: Option<IsKink>,
    /// Where such arguments lie: `at 0`, `at a tie`.
    pub kinks: &'static str,
    /// The derivatives as the table of elementary functions writes them, in `x`, `y`, `g` or in `a`, `b`,
    /// `y`, `g`: one for each argument.
    pub written: &'static [&'static str],
}

impl About {
    /// Nothing but that it rounds.
    pub const NOTHING: About = About {
        value: "",
        gradients: &[],
        note: "",
        exact: false,
        is_kink: None,
        kinks: "at a kink",
        written: &[],
    };

    /// A formula.
    pub const fn formula(
        value: &'static str,
        gradients: &'static [&'static str],
        note: &'static str,
    ) -> About {
        About { value, gradients, note, ..About::NOTHING }
    }

    /// What moves or chooses elements.
    pub const fn exact(self) -> About {
        About { exact: true, ..self }
    }
}

macro_rules! about {
    ([$($written:expr),*]) => {
        About { written: &[$($written),*], ..About::NOTHING }
    };
    ([$($written:expr),*] { $($facts:tt)* }) => {
        About { $($facts)*, written: &[$($written),*], ..About::NOTHING }
    };
}

macro_rules! facts {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident [$($oka:ident)*] [$($okb:ident)*] |$ova:ident, $ovb:ident| $oe:expr, |$oa:ident, $ob:ident, $oy:ident, $og:ident| $oda:expr, $odb:expr $(, $oi:tt)?; )* }
    ) => {
        /// What the table says of an elementary function.
        #[allow(clippy::needless_update)] // Some rows say everything.
        pub(crate) fn elementary(name: &str) -> Option<&'static About> {
            match name {
                "neg" => Some(const { &About::formula("−a", &["−ȳ"], "").exact() }),
                $( stringify!($bn) => Some(const { &about!([stringify!($bd)] $($bi)?) }), )*
                $( stringify!($mn) => Some(const { &about!([stringify!($md)] $($mi)?) }), )*
                $( stringify!($pn) => Some(const { &about!([stringify!($pda), stringify!($pdb)] $($pi)?) }), )*
                $( stringify!($on) => Some(const { &about!([stringify!($oda), stringify!($odb)] $($oi)?) }), )*
                _ => None,
            }
        }
    };
}
elementary!(facts);
