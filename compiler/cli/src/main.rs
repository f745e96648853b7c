//! The mlp compiler's command line.

fn main() {}
