//! What keeps the store in shape over the years.

pub mod retention;
