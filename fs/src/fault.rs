//! Stores that fail on command, for tests.

mod folders;
mod plan;
mod store;

pub use plan::FaultPlan;
pub use store::Faulty;
