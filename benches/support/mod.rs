//! What benchmarks share.

pub mod cpu;
pub mod datasets;
