//! The front end: dialect, statements, session, validation and EXPLAIN. It gives DataFusion logical plans with their sinks, and executes
//! nothing itself.
//!
//! A [`Script`] is parsed from SQL text; a [`Session`] runs it in a [`Mode`] and gives an [`Outcome`]: messages, tables of strings, queries
//! to run, and one [`plan::JobPlan`] for all INSERTs. What a session needs from outside comes with [`SessionOptions`]: the connectors,
//! file systems, and a hook that is asked before anything is created in a lake.

pub mod docs;
mod error;
mod explain;
mod lake;
pub mod lookup_join;
mod parse;
pub mod plan;
mod planner;
pub mod procedures;
mod session;
mod settings;
#[cfg(test)]
mod tests;

pub use error::SqlError;
pub use lake::BeforeCreate;
pub use parse::{Script, is_incomplete};
pub use session::{Mode, Outcome, Session, SessionOptions, StatementResult};
pub use settings::SETTINGS;
