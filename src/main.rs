//! The `holdline` program: one call into the command line, its exit code out.

fn main() {}
