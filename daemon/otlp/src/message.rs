//! The macros that declare a message or an enumeration once for both encodings: protobuf by `prost`'s derive, JSON by the
//! field's [`crate::json::Form`]. They expand to nothing that can fail or recurse beyond the message itself.

/// Declares a message once: its fields with their place in protobuf, their name in JSON and their [`Form`] there. The last
/// part is for a message with a `oneof`, whose members stand in JSON beside the other fields.
macro_rules! message {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$field_meta:meta])* $field:ident : $ty:ty = $json:literal $form:ty, )*
        }
        $( oneof { $(#[$one_meta:meta])* $one:ident : $enum:ident {
            $( $variant:ident = $vjson:literal / $vsnake:literal $vform:ty, )*
        } } )?
    ) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $ty, )*
            $( $(#[$one_meta])* pub $one: Option<$enum>, )?
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                #[allow(unused_imports, reason = "a message may have nothing but a oneof")]
                use crate::json::{Form, Out};
                let mut map = to.serialize_map(None)?;
                $( if !<$form as Form<$ty>>::is_default(&self.$field) {
                    map.serialize_entry($json, &Out::<$form, $ty>(&self.$field, std::marker::PhantomData))?;
                } )*
                $( match &self.$one {
                    $( Some($enum::$variant(value)) => {
                        map.serialize_entry($vjson, &Out::<$vform, _>(value, std::marker::PhantomData))?;
                    } )*
                    None => {}
                } )?
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("an object (", stringify!($name), ")"))
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut all = $name::default();
                        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                            match &*key {
                                $( key if key == $json || key == stringify!($field) => {
                                    all.$field = crate::json::next::<$form, $ty, A>(&mut map)?;
                                } )*
                                $( $( key if key == $vjson || key == $vsnake => {
                                    if let Some(value) =
                                        crate::json::next::<crate::json::Maybe<$vform>, _, A>(&mut map)?
                                    {
                                        all.$one = Some($enum::$variant(value));
                                    }
                                } )* )?
                                _ => { map.next_value::<serde::de::IgnoredAny>()?; }
                            }
                        }
                        Ok(all)
                    }
                }
                from.deserialize_map(Fields)
            }
        }

        impl crate::Message for $name {
            fn depth(&self) -> u32 {
                use crate::json::Form;
                let mut below = 0;
                $( below = below.max(<$form as Form<$ty>>::depth(&self.$field)); )*
                $( match &self.$one {
                    $( Some($enum::$variant(value)) => { below = below.max(<$vform>::depth(value)); } )*
                    None => {}
                } )?
                1 + below
            }
        }
    };
}

/// Declares an enumeration with the names that protobuf has for its numbers.
macro_rules! enumeration {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $number:literal $text:literal, )* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
        #[repr(i32)]
        pub enum $name { $( $(#[$variant_meta])* $variant = $number, )* }

        impl crate::json::Named for $name {
            fn number(name: &str) -> Option<i32> {
                match name {
                    $( $text => Some($number), )*
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use {enumeration, message};
