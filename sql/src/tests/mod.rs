//! Tests of the front end as a whole: golden scripts, round trips, arbitrary text.

mod arbitrary;
mod connectors;
mod file_filters;
mod golden;
mod init;
mod letters;
mod past_columns;
mod round_trip;

use crate::session::{Session, SessionOptions};
use weir_base::memory::MemoryBudget;
use weir_fs::FileSystems;

/// A session with fake connectors and the real catalogs.
fn session() -> Session {
    Session::new(SessionOptions {
        registry: connectors::registry(),
        file_systems: FileSystems::default(),
        job_file: Some("/jobs/orders.sql".into()),
        budget: MemoryBudget::new(1 << 30),
        cores: 2,
        before_create: None,
    })
}
