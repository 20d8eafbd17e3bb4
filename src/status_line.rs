//! The status line of a running job on a terminal, and a log writer that steps around it.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

fn bar() -> &'static ProgressBar {
    static BAR: OnceLock<ProgressBar> = OnceLock::new();
    BAR.get_or_init(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()))
}

/// Shows the line from now on, if standard error is a terminal.
pub(crate) fn show() {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let bar = bar();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
    bar.enable_steady_tick(Duration::from_millis(200));
}

/// Replaces the line's text.
pub(crate) fn set(text: String) {
    bar().set_message(text);
}

/// Takes the line away.
pub(crate) fn clear() {
    bar().finish_and_clear();
}

/// Writes log lines to standard error without tearing the status line.
#[derive(Debug, Default)]
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        bar().suspend(|| std::io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
