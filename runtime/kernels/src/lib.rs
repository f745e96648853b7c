//! CPU micro-kernels behind one table picked once at load.
