//! Where an axis is taken apart.

/// How [`Var::split`](crate::Var::split) takes an axis apart: a size for all parts, of which the last may be
/// smaller, or one for each, which add up to the axis.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SplitSizes {
    /// The size of all parts.
    Each(usize),
    /// The size of each part.
    List(Vec<usize>),
}

/// Where [`Var::tensor_split`](crate::Var::tensor_split) takes an axis apart: into so many parts whose sizes
/// differ by at most 1, or at indices, which are cut to the axis and may count from the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SplitAt {
    /// How many parts there are.
    Sections(usize),
    /// Where the parts but the first begin.
    Indices(Vec<isize>),
}

macro_rules! conversions {
    ($name:ident, $one:ident, $list:ident($t:ty)) => {
        impl From<usize> for $name {
            fn from(one: usize) -> $name {
                $name::$one(one)
            }
        }
        impl From<&[$t]> for $name {
            fn from(list: &[$t]) -> $name {
                $name::$list(list.to_vec())
            }
        }
        impl From<&Vec<$t>> for $name {
            fn from(list: &Vec<$t>) -> $name {
                $name::$list(list.clone())
            }
        }
        impl<const N: usize> From<[$t; N]> for $name {
            fn from(list: [$t; N]) -> $name {
                $name::$list(list.to_vec())
            }
        }
        impl<const N: usize> From<&[$t; N]> for $name {
            fn from(list: &[$t; N]) -> $name {
                $name::$list(list.to_vec())
            }
        }
    };
}
conversions!(SplitSizes, Each, List(usize));
conversions!(SplitAt, Sections, Indices(isize));
