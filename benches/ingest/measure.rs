//! What a child process used: wall time, CPU time of all its threads, peak resident memory.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// What one run used and made.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    /// Rows that went through.
    pub(crate) rows: u64,
    /// From the start of the process to its end.
    pub(crate) wall: Duration,
    /// User and system time of the process.
    pub(crate) cpu: Duration,
    /// Peak resident memory in bytes.
    pub(crate) peak: u64,
    /// Files written.
    pub(crate) files: u64,
    /// Bytes written.
    pub(crate) written: u64,
}

/// Waits for a child and says what it used. Linux only: the figures come from `/proc`, CPU time from the zombie before it is reaped.
pub(crate) fn watch(mut child: Child, deadline: Duration) -> Result<(Duration, Duration, u64), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let folder = format!("/proc/{}", child.id());
    let mut peak = 0;
    loop {
        let stat = std::fs::read_to_string(format!("{folder}/stat"))?;
        let fields: Vec<&str> = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        if let Ok(status) = std::fs::read_to_string(format!("{folder}/status")) {
            peak = peak.max(high_water(&status));
        }
        if fields.first() == Some(&"Z") {
            let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
            let wall = start.elapsed();
            let status = child.wait()?;
            if !status.success() {
                return Err(format!("the measured process ended with {status}").into());
            }
            // USER_HZ is 100 on every Linux that Rust runs on.
            return Ok((wall, Duration::from_millis(ticks * 10), peak));
        }
        if start.elapsed() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(format!("the measured process did not end within {} s", deadline.as_secs()).into());
        }
        #[expect(clippy::disallowed_methods, reason = "a process can only be polled for its memory")]
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn high_water(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Number and total size of the Parquet files below `folder`.
pub(crate) fn parquet_files(folder: &Path) -> std::io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let (more_files, more_bytes) = parquet_files(&entry.path())?;
            files += more_files;
            bytes += more_bytes;
        } else if entry.path().extension().is_some_and(|extension| extension == "parquet") {
            files += 1;
            bytes += entry.metadata()?.len();
        }
    }
    Ok((files, bytes))
}
