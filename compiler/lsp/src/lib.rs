//! The language server.
//!
//! A [`Session`] knows the documents that an editor has open and answers questions about them; it does no I/O of its own and knows nothing of transports, so that
//! tests, [`serve`] and a page in a browser use the same one. Names are resolved on the syntax tree ([`names`]), which is there for every file, however broken;
//! types come from the checked program. `server.rs` alone knows of requests.

mod actions;
mod completion;
mod costs;
mod diagnostics;
mod hints;
mod hover;
mod mended;
mod names;
mod navigation;
mod rename;
mod semantic;
#[cfg(feature = "server")]
mod server;
mod session;
mod signature;
mod symbols;
mod text;
mod typed;

pub use costs::{Costing, Costs};
pub use ls_types as types;
pub use semantic::legend;
#[cfg(feature = "server")]
pub use server::{serve, serve_stdio};
pub use session::{Published, Session};
