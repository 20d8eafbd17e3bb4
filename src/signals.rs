//! Stop signals: SIGINT and SIGTERM, the first of which ends in good order, and the second at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use weir_base::task::{Task, spawn};

use crate::failure::Failure;
use crate::status_line;

/// Exit code of a process that was interrupted: 128 and the number of SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Cancels `stop` at the first signal and exits with [`INTERRUPTED`] at the second; before that, `first` and `second` may tell the user.
///
/// # Errors
/// Signals cannot be received.
pub(crate) fn stop_on_signals(stop: CancellationToken, first: fn(), second: fn()) -> Result<Task<()>, Failure> {
    let failed = |error: std::io::Error| Failure::internal(format!("signals cannot be received: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(spawn("stop signals", async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.is_cancelled() {
                status_line::clear();
                second();
                std::process::exit(i32::from(INTERRUPTED));
            }
            first();
            stop.cancel();
        }
    }))
}
