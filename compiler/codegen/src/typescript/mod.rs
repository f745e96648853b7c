//! Typed TypeScript around a bundle.
