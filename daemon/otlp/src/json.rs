//! How fields stand in OTLP's JSON.
//!
//! A [`Form`] writes and reads one kind of field. All read `null` as "not there". Reading takes what the protocol's own
//! JSON has, and what clients are known to send instead; what is of no use (a list where a number belongs) is an error.
//! Written is only what is no default, but for [`Always`] and the members of a `oneof`, which are there or not.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::scalar::{Scalar, scalar};
use crate::{Message, text};

/// How a field of type `T` stands in JSON.
pub(crate) trait Form<T> {
    /// Whether it need not be written.
    fn is_default(value: &T) -> bool;
    /// Writes it.
    fn write<S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error>;
    /// Reads it.
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<T, D::Error>;
    /// Messages below each other in it.
    fn depth(_: &T) -> u32 {
        0
    }
}

/// A field that is about to be written.
pub(crate) struct Out<'a, F, T>(pub &'a T, pub PhantomData<F>);

impl<F: Form<T>, T> Serialize for Out<'_, F, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        F::write(self.0, to)
    }
}

/// A field that is about to be read.
pub(crate) struct In<F, T>(pub PhantomData<(F, T)>);

impl<'de, F: Form<T>, T> DeserializeSeed<'de> for In<F, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        F::read(from)
    }
}

/// Reads the next value of an object.
pub(crate) fn next<'de, F: Form<T>, T, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    map.next_value_seed(In::<F, T>(PhantomData))
}

/// As it is: strings, truth, numbers of 32 bits.
pub(crate) struct Plain;

impl<T: Scalar + Serialize + Default + PartialEq> Form<T> for Plain {
    fn is_default(value: &T) -> bool {
        *value == T::default()
    }

    fn write<S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        value.serialize(to)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        scalar(from)
    }
}

/// A number of 64 bits, as a string.
pub(crate) struct Long;

impl<T: Scalar + fmt::Display + Default + PartialEq> Form<T> for Long {
    fn is_default(value: &T) -> bool {
        *value == T::default()
    }

    fn write<S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        scalar(from)
    }
}

/// A float: a number, or a string where JSON has no number for it.
pub(crate) struct Double;

impl Form<f64> for Double {
    fn is_default(value: &f64) -> bool {
        value.to_bits() == 0
    }

    fn write<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        match value {
            v if v.is_nan() => to.serialize_str("NaN"),
            v if v.is_infinite() => to.serialize_str(if *v > 0.0 { "Infinity" } else { "-Infinity" }),
            v => to.serialize_f64(*v),
        }
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        scalar(from)
    }
}

/// An enumeration's number; its names are read too.
pub(crate) struct Enumerated<E>(PhantomData<E>);

/// An enumeration with names.
pub(crate) trait Named {
    /// The number that a name stands for.
    fn number(name: &str) -> Option<i32>;
}

struct Number<E>(i32, PhantomData<E>);

impl<E: Named> Scalar for Number<E> {
    const EXPECTED: &'static str = "a number or a name of an enumeration";

    fn null() -> Self {
        Number(0, PhantomData)
    }

    fn of_int(value: i128) -> Option<Self> {
        Some(Number(i32::of_int(value)?, PhantomData))
    }

    fn of_float(value: f64) -> Option<Self> {
        Some(Number(i32::of_float(value)?, PhantomData))
    }

    fn of_str(text: &str) -> Option<Self> {
        // A name that this version does not know says nothing: it is no reason to refuse what stands around it.
        Some(Number(i32::of_str(text).or_else(|| E::number(text)).unwrap_or(0), PhantomData))
    }
}

impl<E: Named> Form<i32> for Enumerated<E> {
    fn is_default(value: &i32) -> bool {
        *value == 0
    }

    fn write<S: Serializer>(value: &i32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i32(*value)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
        Ok(scalar::<Number<E>, D>(from)?.0)
    }
}

/// An id's bytes, in hexadecimal.
pub(crate) struct Id;

struct IdBytes(Vec<u8>);

impl Scalar for IdBytes {
    const EXPECTED: &'static str = "an id in hexadecimal";

    fn null() -> Self {
        IdBytes(Vec::new())
    }

    fn of_int(_: i128) -> Option<Self> {
        None
    }

    fn of_float(_: f64) -> Option<Self> {
        None
    }

    fn of_str(text: &str) -> Option<Self> {
        text::id(text).map(IdBytes)
    }
}

impl Form<Vec<u8>> for Id {
    fn is_default(value: &Vec<u8>) -> bool {
        value.is_empty()
    }

    fn write<S: Serializer>(value: &Vec<u8>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text::hex(value))
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Ok(scalar::<IdBytes, D>(from)?.0)
    }
}

/// Bytes, in base64.
pub(crate) struct Base64;

struct Blob(Vec<u8>);

impl Scalar for Blob {
    const EXPECTED: &'static str = "bytes in base64";

    fn null() -> Self {
        Blob(Vec::new())
    }

    fn of_int(_: i128) -> Option<Self> {
        None
    }

    fn of_float(_: f64) -> Option<Self> {
        None
    }

    fn of_str(text: &str) -> Option<Self> {
        text::unbase64(text).map(Blob)
    }
}

impl Form<Vec<u8>> for Base64 {
    fn is_default(value: &Vec<u8>) -> bool {
        value.is_empty()
    }

    fn write<S: Serializer>(value: &Vec<u8>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&text::base64(value))
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Ok(scalar::<Blob, D>(from)?.0)
    }
}

/// A message of its own.
pub(crate) struct Inner;

impl<T: Message> Form<T> for Inner {
    fn is_default(_: &T) -> bool {
        false
    }

    fn write<S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        value.serialize(to)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        // A list may have `null` in it where a message belongs.
        Ok(Option::deserialize(from)?.unwrap_or_default())
    }

    fn depth(value: &T) -> u32 {
        value.depth()
    }
}

/// Something that may not be there.
pub(crate) struct Maybe<F>(PhantomData<F>);

impl<T, F: Form<T>> Form<Option<T>> for Maybe<F> {
    fn is_default(value: &Option<T>) -> bool {
        value.is_none()
    }

    fn write<S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => F::write(value, to),
            None => to.serialize_unit(),
        }
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
        struct MaybeVisitor<F, T>(PhantomData<(F, T)>);

        impl<'de, F: Form<T>, T> Visitor<'de> for MaybeVisitor<F, T> {
            type Value = Option<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or null")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Option<T>, E> {
                Ok(None)
            }

            fn visit_none<E: de::Error>(self) -> Result<Option<T>, E> {
                Ok(None)
            }

            fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
                F::read(from).map(Some)
            }
        }

        from.deserialize_option(MaybeVisitor::<F, T>(PhantomData))
    }

    fn depth(value: &Option<T>) -> u32 {
        value.as_ref().map_or(0, F::depth)
    }
}

/// Written even where it is a default: there are readers that take its absence for an error.
pub(crate) struct Always<F>(PhantomData<F>);

impl<T, F: Form<T>> Form<T> for Always<F> {
    fn is_default(_: &T) -> bool {
        false
    }

    fn write<S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        F::write(value, to)
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        F::read(from)
    }

    fn depth(value: &T) -> u32 {
        F::depth(value)
    }
}

/// A list.
pub(crate) struct List<F>(PhantomData<F>);

impl<T, F: Form<T>> Form<Vec<T>> for List<F> {
    fn is_default(value: &Vec<T>) -> bool {
        value.is_empty()
    }

    fn write<S: Serializer>(value: &Vec<T>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(value.iter().map(|one| Out::<F, T>(one, PhantomData)))
    }

    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
        struct ListVisitor<F, T>(PhantomData<(F, T)>);

        impl<'de, F: Form<T>, T> Visitor<'de> for ListVisitor<F, T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Vec<T>, E> {
                Ok(Vec::new())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element_seed(In::<F, T>(PhantomData))? {
                    all.push(one);
                }
                Ok(all)
            }
        }

        from.deserialize_any(ListVisitor::<F, T>(PhantomData))
    }

    fn depth(value: &Vec<T>) -> u32 {
        value.iter().map(F::depth).max().unwrap_or(0)
    }
}
