//! CPU time: on a shared machine, wall time says little.

use std::time::Duration;

/// CPU time of the calling thread, as Linux accounts it (nanoseconds in `schedstat`, else ticks of 10 ms in `stat`).
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub(crate) fn of_thread() -> Duration {
    // Linux adds up what a thread has used when its clock ticks, every few milliseconds, and when it gives way.
    std::thread::yield_now();
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    match statistics.split_whitespace().next().and_then(|nanos| nanos.parse().ok()) {
        Some(nanos) if nanos > 0 => Duration::from_nanos(nanos),
        _ => ticks(),
    }
}

fn ticks() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux");
    // The second field is a name in brackets that may hold blanks; user and system ticks are the fourteenth and fifteenth.
    let fields = statistics.rsplit(')').next().expect("fields");
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}
