//! Stores that fail on command, for tests.

mod plan;
mod store;

pub use plan::FaultPlan;
pub use store::Faulty;
