//! What a child process used: wall time, CPU time of all its threads, peak resident memory.

use std::process::Child;
use std::time::{Duration, Instant};

/// What a process used from its start to its end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// By the clock.
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Peak resident memory in bytes.
    pub(crate) peak: u64,
}

/// Waits for a child and says what it used. Linux only: the figures come from `/proc`, CPU time from the zombie before it is reaped.
pub(crate) fn watch(mut child: Child, deadline: Duration) -> Result<Used, Box<dyn std::error::Error>> {
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
            return Ok(Used { wall, cpu: Duration::from_millis(ticks * 10), peak });
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
