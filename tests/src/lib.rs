//! What the end-to-end tests and the fuzz targets share; the tests themselves are in `tests/`.

pub mod hostile;
pub mod language;
