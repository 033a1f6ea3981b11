//! Does nothing: what starting any program costs.
fn main() {}
