//! Stores that fail on command, for tests.

mod folders;
mod order;
mod plan;
mod store;

pub use plan::FaultPlan;
pub use store::Faulty;
