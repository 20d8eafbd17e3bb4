//! The front end: dialect, statements, session, validation and EXPLAIN. It gives DataFusion logical plans with their sinks, and executes
//! nothing itself.

pub mod plan;
