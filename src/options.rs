//! Options by name: what isn't said is the default.

/// A struct of options with a method for each, which takes its value: `name(type of the value): type = default`.
macro_rules! options {
    ($(#[$m:meta])* $name:ident { $($(#[$fm:meta])* $field:ident($arg:ty): $t:ty = $default:expr,)* }) => {
        $(#[$m])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[must_use = "options do nothing until they are given to what they are for"]
        pub struct $name {
            $(pub(super) $field: $t,)*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default,)* }
            }
        }

        impl $name {
            /// The defaults.
            pub fn new() -> $name {
                $name::default()
            }

            $($(#[$fm])*
            pub fn $field(self, $field: $arg) -> $name {
                $name { $field: $field.into(), ..self }
            })*
        }
    };
}
pub(crate) use options;
