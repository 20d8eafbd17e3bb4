//! A week of a table with a commit each second, hour by hour: files, debt, and what compaction does for them.
//!
//! `cargo run --release -p weir-compaction --example week [hours]`

use std::io::{self, Write};
use std::time::Duration;

use weir_compaction::policy::Options;
use weir_compaction::simulation::{HEADER, Scenario, run};

fn main() -> io::Result<()> {
    let hours = std::env::args().nth(1).and_then(|hours| hours.parse().ok()).unwrap_or(7 * 24);
    let scenario = Scenario {
        options: Options::default(),
        hours,
        commit_every: Duration::from_secs(1),
        delta_commits: 10,
        partitions: 8,
        file_bytes: 750 << 10,
        late_one_of: 1_000,
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{HEADER}")?;
    let mut failed = Ok(());
    let end = run(&scenario, |hour| {
        if failed.is_ok() {
            failed = writeln!(out, "{hour}");
        }
    });
    failed?;
    writeln!(out, "no byte was copied more than {} times, or decoded more than {} times", end.most_copies, end.most_decodes)
}
