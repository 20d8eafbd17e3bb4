//! The `wasm` format: a module that a company writes for its own format, with the interface of `docs/src/format-wasm.md`.
//!
//! `module` compiles it once for a table and says what its interface lacks; `schema` is the text that tells it the columns; `instance` is one
//! life of it, with its memory, and hands it messages; `answer` reads what it gives back into columns, after `shape`; `decoder` makes a new
//! instance where one has failed. Nothing is imported by a module: it sees the message and its own memory, and nothing else.

mod answer;
mod decoder;
mod instance;
mod module;
mod options;
mod schema;
mod shape;

#[cfg(test)]
mod tests;

pub use options::{WasmFactory, WasmFormat};
