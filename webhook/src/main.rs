//! The webhook's program.

fn main() {}
