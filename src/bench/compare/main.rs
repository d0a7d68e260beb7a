//! The comparison of two servers.

fn main() {}
