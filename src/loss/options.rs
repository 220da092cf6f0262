//! How a loss's options are declared: once, for the type, its defaults and its builder.

/// The type of a loss with PyTorch's options: `name: type = default;`, with `as` the type that is given where it is
/// an `Option` of it. Every loss has a `reduction`.
macro_rules! options {
    ($(#[$m:meta])* $name:ident { $($fields:tt)* }) => {
        options! { @ [] [] $(#[$m])* #[derive(PartialEq)] $name { $($fields)* } }
    };
    ($(#[$m:meta])* $name:ident<'a, 't, T> { $($fields:tt)* }) => {
        options! { @ ['a, 't, T: Float] ['a, 't, T] $(#[$m])* $name { $($fields)* } }
    };
    (@ [$($declared:tt)*] [$($used:tt)*]
        $(#[$m:meta])* $name:ident { $($(#[$fm:meta])* $f:ident: $t:ty $(as $given:ty)? = $default:expr;)* }
    ) => {
        $(#[$m])*
        #[derive(Clone, Debug)]
        #[must_use = "a loss does nothing until it is given what it compares"]
        pub struct $name<$($declared)*> {
            $($f: $t,)*
            reduction: Reduction,
        }

        impl<$($declared)*> Default for $name<$($used)*> {
            /// PyTorch's defaults.
            fn default() -> Self {
                $name { $($f: $default,)* reduction: Reduction::Mean }
            }
        }

        impl<$($declared)*> $name<$($used)*> {
            /// PyTorch's defaults.
            pub fn new() -> Self {
                Self::default()
            }

            $(options! { set $(#[$fm])* $f: $t $(as $given)? })*

            /// How the losses of single elements become one; the mean by default.
            pub fn reduction(mut self, reduction: Reduction) -> Self {
                self.reduction = reduction;
                self
            }
        }
    };
    (set $(#[$m:meta])* $f:ident: $t:ty as $given:ty) => {
        $(#[$m])*
        pub fn $f(mut self, $f: impl Into<$given>) -> Self {
            self.$f = Some($f.into());
            self
        }
    };
    (set $(#[$m:meta])* $f:ident: $t:ty) => {
        $(#[$m])*
        pub fn $f(mut self, $f: $t) -> Self {
            self.$f = $f;
            self
        }
    };
}

/// Losses of an answer and one target, which a private `of` computes: their `apply`, and the method of `Var` with
/// the defaults. Behind `like` a number is as many as the answer has.
macro_rules! of_target {
    ($($(#[$m:meta])* $name:ident($target:ident: $how:ident) $loss:ident $(<$a:lifetime, $t:lifetime, $T:ident>)?;)*) => {
        $(of_target! { apply $loss $(<$a, $t, $T>)? ($target: $how) })*

        /// # Losses: of a target
        impl<'t, T: Float> Var<'t, T> {
            $(
                $(#[$m])*
                #[track_caller]
                pub fn $name<'b>(&self, $target: impl Into<Operand<'b, 't, T>>) -> Var<'t, T>
                where
                    't: 'b,
                {
                    $loss::new().of(self, &$target.into().$how(self))
                }
            )*
        }
    };
    (apply $loss:ident ($target:ident: $how:ident)) => {
        impl $loss {
            /// The loss of an answer and a target: a tensor, a value of the tape or a number.
            #[track_caller]
            pub fn apply<'b, 't: 'b, T: Float>(
                &self,
                input: &Var<'t, T>,
                $target: impl Into<Operand<'b, 't, T>>,
            ) -> Var<'t, T> {
                self.of(input, &$target.into().$how(input))
            }
        }
    };
    (apply $loss:ident<$a:lifetime, $t:lifetime, $T:ident> ($target:ident: $how:ident)) => {
        impl<$t, $T: Float> $loss<'_, $t, $T> {
            /// The loss of an answer and a target: a tensor, a value of the tape or a number.
            #[track_caller]
            pub fn apply<'b>(
                &self,
                input: &Var<$t, $T>,
                $target: impl Into<Operand<'b, $t, $T>>,
            ) -> Var<$t, $T>
            where
                $t: 'b,
            {
                self.of(input, &$target.into().$how(input))
            }
        }
    };
}

pub(super) use {of_target, options};
