//! End-to-end tests of the whole tree live in `tests/`; this library is what they share.
