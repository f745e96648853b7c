//! Sessions over the backends a bundle can run on.
