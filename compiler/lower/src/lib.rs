//! Lowers checked programs with their imported models to one tensor graph a pipeline.
