//! Values, attributes, resources and scopes: what all three signals share.

use crate::json::{Always, Base64, Double, Inner, List, Long, Maybe, Plain};
use crate::message::message;

message! {
    /// A value of any kind; empty where none is set.
    pub struct AnyValue {
    }
    oneof {
        /// The value.
        #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5, 6, 7")]
        value: Value {
            String = "stringValue" / "string_value" Plain,
            Bool = "boolValue" / "bool_value" Plain,
            Int = "intValue" / "int_value" Long,
            Double = "doubleValue" / "double_value" Double,
            Array = "arrayValue" / "array_value" Inner,
            Kvlist = "kvlistValue" / "kvlist_value" Inner,
            Bytes = "bytesValue" / "bytes_value" Base64,
        }
    }
}

/// A value's kind and content.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Value {
    /// Text.
    #[prost(string, tag = "1")]
    String(String),
    /// Truth.
    #[prost(bool, tag = "2")]
    Bool(bool),
    /// A whole number.
    #[prost(int64, tag = "3")]
    Int(i64),
    /// A float.
    #[prost(double, tag = "4")]
    Double(f64),
    /// A list.
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    /// Names and values.
    #[prost(message, tag = "6")]
    Kvlist(KeyValueList),
    /// Bytes.
    #[prost(bytes, tag = "7")]
    Bytes(Vec<u8>),
}

message! {
    /// A list of values.
    pub struct ArrayValue {
        /// The values.
        #[prost(message, repeated, tag = "1")]
        values: Vec<AnyValue> = "values" Always<List<Inner>>,
    }
}

message! {
    /// Names and values, as a value.
    pub struct KeyValueList {
        /// The pairs.
        #[prost(message, repeated, tag = "1")]
        values: Vec<KeyValue> = "values" Always<List<Inner>>,
    }
}

message! {
    /// An attribute.
    pub struct KeyValue {
        /// Its name.
        #[prost(string, tag = "1")]
        key: String = "key" Always<Plain>,
        /// Its value.
        #[prost(message, optional, tag = "2")]
        value: Option<AnyValue> = "value" Maybe<Inner>,
    }
}

message! {
    /// The library that made what stands below it.
    pub struct InstrumentationScope {
        /// Its name.
        #[prost(string, tag = "1")]
        name: String = "name" Plain,
        /// Its version.
        #[prost(string, tag = "2")]
        version: String = "version" Plain,
        /// Its attributes.
        #[prost(message, repeated, tag = "3")]
        attributes: Vec<KeyValue> = "attributes" List<Inner>,
        /// Attributes that were left out.
        #[prost(uint32, tag = "4")]
        dropped_attributes_count: u32 = "droppedAttributesCount" Plain,
    }
}

message! {
    /// What tells of itself: a program on a machine.
    pub struct Resource {
        /// Its attributes.
        #[prost(message, repeated, tag = "1")]
        attributes: Vec<KeyValue> = "attributes" List<Inner>,
        /// Attributes that were left out.
        #[prost(uint32, tag = "2")]
        dropped_attributes_count: u32 = "droppedAttributesCount" Plain,
        /// The entities that it is made of.
        #[prost(message, repeated, tag = "3")]
        entity_refs: Vec<EntityRef> = "entityRefs" List<Inner>,
    }
}

message! {
    /// An entity, by the names of the resource's attributes that tell it.
    pub struct EntityRef {
        /// The schema of its attributes.
        #[prost(string, tag = "1")]
        schema_url: String = "schemaUrl" Always<Plain>,
        /// Its type.
        #[prost(string, tag = "2")]
        r#type: String = "type" Always<Plain>,
        /// Attributes that identify it.
        #[prost(string, repeated, tag = "3")]
        id_keys: Vec<String> = "idKeys" Always<List<Plain>>,
        /// Attributes that describe it.
        #[prost(string, repeated, tag = "4")]
        description_keys: Vec<String> = "descriptionKeys" Always<List<Plain>>,
    }
}

impl KeyValue {
    /// An attribute.
    pub fn new(key: impl Into<String>, value: impl Into<AnyValue>) -> Self {
        KeyValue { key: key.into(), value: Some(value.into()) }
    }
}

/// The value of an attribute of a list, if it is there and is set. The first where a name stands twice.
#[must_use]
pub fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()
}

impl Value {
    /// Its text, where it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Its number, where it is a whole number, or a text or float that is one: clients differ.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        use crate::scalar::Scalar as _;
        match self {
            Value::Int(number) => Some(*number),
            Value::Double(number) => i64::of_float(*number),
            Value::String(text) => i64::of_str(text),
            _ => None,
        }
    }

    /// Its number as a float, where it is a number or a text that is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "the nearest float is what is asked for")]
            Value::Int(number) => Some(*number as f64),
            Value::Double(number) => Some(*number),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Its truth, where it is one, or the word for one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

macro_rules! values {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for AnyValue {
            fn from(value: $from) -> Self {
                AnyValue { value: Some(Value::$variant(value.into())) }
            }
        }
    )*};
}

values!(String => String, &str => String, bool => Bool, i64 => Int, u32 => Int, i32 => Int, f64 => Double, Vec<u8> => Bytes);

/// Counts above what the protocol has a number for are told as its largest.
impl From<u64> for AnyValue {
    fn from(value: u64) -> Self {
        i64::try_from(value).unwrap_or(i64::MAX).into()
    }
}

impl From<Vec<String>> for AnyValue {
    fn from(values: Vec<String>) -> Self {
        let values = values.into_iter().map(AnyValue::from).collect();
        AnyValue { value: Some(Value::Array(ArrayValue { values })) }
    }
}
