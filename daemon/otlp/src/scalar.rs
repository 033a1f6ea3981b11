//! Scalars out of whatever JSON has for them: numbers as strings, strings as numbers, truth as either.
//!
//! Lenient about the type, never about the value: what cannot be said in the field's type is an error that names what was
//! expected and nothing of what was there.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserializer, Visitor};

/// Something with words for what it expects, and a way from each of JSON's scalars.
pub(crate) trait Scalar: Sized {
    const EXPECTED: &'static str;
    fn null() -> Self;
    fn of_bool(_: bool) -> Option<Self> {
        None
    }
    fn of_int(value: i128) -> Option<Self>;
    fn of_float(value: f64) -> Option<Self>;
    fn of_str(text: &str) -> Option<Self>;
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<T: Scalar> ScalarVisitor<T> {
    fn some<E: de::Error>(value: Option<T>) -> Result<T, E> {
        value.ok_or_else(|| E::custom(format_args!("expected {}", T::EXPECTED)))
    }
}

impl<T: Scalar> Visitor<'_> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_unit<E: de::Error>(self) -> Result<T, E> {
        Ok(T::null())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        Self::some(T::of_bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        Self::some(T::of_int(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        Self::some(T::of_int(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        Self::some(T::of_float(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Self::some(T::of_str(text))
    }
}

/// Reads one.
pub(crate) fn scalar<'de, T: Scalar, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_any(ScalarVisitor(PhantomData))
}

/// A whole number in a fraction's clothes, such as `1.7e18`.
fn whole(value: f64) -> Option<i128> {
    // All floats below this size can be told as integers of 128 bits.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the size is checked, and a fraction is dropped on purpose"
    )]
    (value.is_finite() && value.abs() < 1e30).then_some(value as i128)
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Scalar for $int {
            const EXPECTED: &'static str = concat!("a number (", stringify!($int), ")");
            fn null() -> Self {
                0
            }
            fn of_int(value: i128) -> Option<Self> {
                Self::try_from(value).ok()
            }
            fn of_float(value: f64) -> Option<Self> {
                whole(value).and_then(Self::of_int)
            }
            fn of_str(text: &str) -> Option<Self> {
                let text = text.trim();
                text.parse().ok().or_else(|| Self::of_float(text.parse().ok()?))
            }
        }
    )*};
}

integers!(u32, i32, u64, i64);

impl Scalar for f64 {
    const EXPECTED: &'static str = "a number";

    fn null() -> Self {
        0.0
    }

    fn of_int(value: i128) -> Option<Self> {
        #[expect(clippy::cast_precision_loss, reason = "the nearest float is what is asked for")]
        Some(value as f64)
    }

    fn of_float(value: f64) -> Option<Self> {
        Some(value)
    }

    fn of_str(text: &str) -> Option<Self> {
        // Reads `NaN`, `Infinity` and `-Infinity` too, as protobuf's JSON writes them.
        text.trim().parse().ok()
    }
}

impl Scalar for bool {
    const EXPECTED: &'static str = "true or false";

    fn null() -> Self {
        false
    }

    fn of_bool(value: bool) -> Option<Self> {
        Some(value)
    }

    fn of_int(value: i128) -> Option<Self> {
        matches!(value, 0 | 1).then_some(value == 1)
    }

    fn of_float(_: f64) -> Option<Self> {
        None
    }

    fn of_str(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Scalar for String {
    const EXPECTED: &'static str = "a string";

    fn null() -> Self {
        String::new()
    }

    fn of_bool(value: bool) -> Option<Self> {
        Some(value.to_string())
    }

    fn of_int(value: i128) -> Option<Self> {
        Some(value.to_string())
    }

    fn of_float(value: f64) -> Option<Self> {
        Some(value.to_string())
    }

    fn of_str(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}
