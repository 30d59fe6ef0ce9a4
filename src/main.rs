//! The `imgbake` program.

fn main() {}
