//! What stands under a key of a GGUF file's metadata, and how it becomes a value of Rust.

/// A value of a GGUF file's metadata. [`Gguf::value`](super::Gguf::value) gives it as a type of Rust.
#[derive(Clone, Debug, PartialEq)]
pub enum GgufValue {
    /// A whole number without sign, of 8 to 64 bits.
    Unsigned(u64),
    /// A whole number with sign, of 8 to 64 bits.
    Signed(i64),
    /// A number of 32 or 64 bits.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// A text.
    Text(String),
    /// Values of one type.
    List(Vec<GgufValue>),
}

impl GgufValue {
    /// The value, short enough for a message.
    pub(super) fn told(&self) -> String {
        match self {
            GgufValue::Unsigned(v) => v.to_string(),
            GgufValue::Signed(v) => v.to_string(),
            GgufValue::Float(v) => format!("{v:?}"),
            GgufValue::Bool(v) => v.to_string(),
            GgufValue::Text(v) if v.chars().count() > 40 => format!("a text of {} bytes", v.len()),
            GgufValue::Text(v) => format!("{v:?}"),
            GgufValue::List(v) => format!("a list of {}", v.len()),
        }
    }
}

/// What a value of the metadata can be taken for: whole numbers as any type that holds them, all numbers as
/// `f32` and `f64`, `bool`, `&str`, a list as a `Vec` of these or a slice of [`GgufValue`]s.
pub trait GgufField<'a>: Sized {
    #[doc(hidden)]
    fn wanted() -> String;
    #[doc(hidden)]
    fn of(value: &'a GgufValue) -> Option<Self>;
}

/// The patterns that become a type, and what others are told to be instead.
macro_rules! fields {
    ($($t:ty, $wanted:expr => $($pattern:pat => $value:expr),+;)*) => {$(
        impl<'a> GgufField<'a> for $t {
            fn wanted() -> String {
                $wanted.into()
            }
            fn of(value: &'a GgufValue) -> Option<$t> {
                match value {
                    $($pattern => $value,)+
                    _ => None,
                }
            }
        }
    )*};
}
macro_rules! whole {
    ($($t:ident)*) => {
        fields! {$(
            $t, concat!("a whole number that fits ", stringify!($t)) =>
                GgufValue::Unsigned(v) => (*v).try_into().ok(),
                GgufValue::Signed(v) => (*v).try_into().ok();
        )*}
    };
}
whole!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);
fields! {
    f64, "a number" =>
        GgufValue::Float(v) => Some(*v),
        GgufValue::Unsigned(v) => Some(*v as f64),
        GgufValue::Signed(v) => Some(*v as f64);
    bool, "true or false" => GgufValue::Bool(v) => Some(*v);
    &'a str, "a text" => GgufValue::Text(v) => Some(v);
    &'a [GgufValue], "a list" => GgufValue::List(v) => Some(v);
}

impl<'a> GgufField<'a> for f32 {
    fn wanted() -> String {
        f64::wanted()
    }
    fn of(value: &'a GgufValue) -> Option<f32> {
        f64::of(value).map(|v| v as f32)
    }
}

impl<'a, V: GgufField<'a>> GgufField<'a> for Vec<V> {
    fn wanted() -> String {
        format!("a list, and in it {}", V::wanted())
    }
    fn of(value: &'a GgufValue) -> Option<Vec<V>> {
        <&[GgufValue]>::of(value)?.iter().map(V::of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_what_holds_them_and_nothing_else() {
        let list = GgufValue::List(vec![GgufValue::Signed(3), GgufValue::Signed(-1)]);
        assert_eq!(Vec::<i8>::of(&list), Some(vec![3, -1]));
        assert_eq!((Vec::<u8>::of(&list), bool::of(&list), list.told()), (None, None, "a list of 2".into()));
        assert_eq!(u8::of(&GgufValue::Unsigned(256)), None);
        assert_eq!(f32::of(&GgufValue::Signed(-2)), Some(-2.0));
        assert_eq!(u32::of(&GgufValue::Float(1.0)), None);
        assert_eq!(<&str>::of(&GgufValue::Text("a".into())), Some("a"));
        assert_eq!(Vec::<u8>::wanted(), "a list, and in it a whole number that fits u8");
    }
}
