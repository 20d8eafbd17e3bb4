//! What benchmarks share.

pub(crate) mod cpu;
pub(crate) mod datasets;
