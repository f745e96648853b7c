//! Lowers plans to machine code with Cranelift and runs them.
