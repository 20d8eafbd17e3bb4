//! What every crate of Weir stands on and that knows nothing of streams or lakes: error kinds, option declarations and
//! the bag they are pulled from, secrets, the memory budget, the allocator's setting, task spawning, safe names, fail points and metric helpers.

pub mod allocator;
pub mod compute;
pub mod cpu;
pub mod error;
pub mod failpoint;
pub mod memory;
pub mod metrics;
pub mod options;
pub mod safe_name;
pub mod secret;
pub mod task;

pub use error::{Classified, ErrorKind};
pub use secret::Secret;
