//! Programs run by a test, in a folder of its own, with what they print kept in files there. Every wait has a deadline, and a failed one
//! shows what the program printed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::until;

/// A folder that is deleted with the test.
#[derive(Debug)]
pub(crate) struct Workdir {
    folder: TempDir,
    launches: AtomicU32,
}

/// A program that is about to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    command: Command,
    name: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A program that was started; it is killed if it still runs when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// What a program that has ended left.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    name: String,
}

impl Workdir {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::with_prefix("weir-work-").unwrap(), launches: AtomicU32::new(0) }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path in the folder as a `file:` URI.
    pub(crate) fn uri(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    /// Writes a file, such as a job, and gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Fails the test if a file in the folder holds `secret`, unless it is SQL, where the test has written it.
    pub(crate) fn shows_nowhere(&self, secret: &str) {
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_none_or(|extension| extension != "sql") {
                    let bytes = std::fs::read(&path).unwrap();
                    assert!(!holds(&bytes, secret), "`{secret}` is in {}", path.display());
                }
            }
        }
    }

    /// The `weir` that was built with these tests.
    pub(crate) fn weir<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Launch {
        self.program(env!("CARGO_BIN_EXE_weir"), arguments)
    }

    /// Any program. The system kills it when the thread that starts it ends, so nothing is left of a test run that was itself killed.
    pub(crate) fn program<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Launch {
        let number = self.launches.fetch_add(1, Ordering::Relaxed);
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]).args(arguments).current_dir(self.folder.path());
        // On a busy machine a stop may take longer than jobs are given; tests that measure it set it anew.
        command.env_remove("WEIR_FAIL").env_remove("RUST_LOG").env("WEIR_STOP_TIMEOUT", "100 s").stdin(Stdio::null()).kill_on_drop(true);
        let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stdout = self.path(&format!("{number}.{name}.stdout"));
        let stderr = self.path(&format!("{number}.{name}.stderr"));
        Launch { command, name, stdout, stderr }
    }
}

impl Launch {
    /// Sets an environment variable, such as `WEIR_FAIL`.
    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// Starts the program.
    pub(crate) fn start(mut self) -> Running {
        self.command.stdout(std::fs::File::create(&self.stdout).unwrap()).stderr(std::fs::File::create(&self.stderr).unwrap());
        let child = self.command.spawn().unwrap();
        Running { child, name: self.name, stdout: self.stdout, stderr: self.stderr }
    }

    /// Starts the program and waits for its end.
    pub(crate) async fn output(self, limit: Duration) -> Output {
        self.start().wait(limit).await
    }
}

impl Running {
    /// Waits for the end; one that does not come within `limit` fails the test.
    pub(crate) async fn wait(mut self, limit: Duration) -> Output {
        let Ok(status) = tokio::time::timeout(limit, self.child.wait()).await else {
            panic!("`{}` did not end within {limit:?}", self.name);
        };
        let (stdout, stderr) = (text(&self.stdout), text(&self.stderr));
        Output { status: status.unwrap(), stdout, stderr, name: std::mem::take(&mut self.name) }
    }

    /// Kills the program, as `kill -9` does, and waits until it is gone.
    pub(crate) async fn kill(self) -> Output {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(120)).await
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Asks the program to stop (SIGTERM).
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until the program's standard error holds `wanted`; fails the test if it ends before, or after `limit`.
    pub(crate) async fn logged(&mut self, wanted: &str, limit: Duration) {
        let Self { child, name, stdout, stderr } = self;
        until(&format!("`{wanted}` in the log of `{name}`"), limit, async || {
            let ended = child.try_wait().unwrap();
            if text(stderr).contains(wanted) {
                return Some(());
            }
            assert!(ended.is_none(), "`{name}` ended ({ended:?}) and never logged `{wanted}`\n{}{}", text(stdout), text(stderr));
            None
        })
        .await;
    }

    /// The job's HTTP address, as soon as it is printed.
    pub(crate) async fn address(&mut self, limit: Duration) -> String {
        self.logged("/status", limit).await;
        let log = text(&self.stderr);
        let (_, rest) = log.split_once("http://").unwrap();
        format!("http://{}", rest.split_once("/status").unwrap().0)
    }

    /// What `/status` says; none while the endpoint is not up, or no more.
    pub(crate) async fn status(&self, address: &str) -> Option<Value> {
        reqwest::get(format!("{address}/status")).await.ok()?.json().await.ok()
    }

    /// The most memory the process ever held (VmHWM) in bytes; none once it has ended.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        // The test starts `setpriv`, which becomes the program: the pid stays.
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?.parse::<u64>().ok()?;
        Some(kilobytes << 10)
    }

    fn signal(&self, signal: Signal) {
        // No pid: it has ended and was waited for, and nobody is there to be signalled.
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            kill_process(pid, signal).unwrap();
        }
    }

    fn printed(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", text(&self.stdout), text(&self.stderr))
    }
}

/// A test that fails while a program runs shows what that has printed.
impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("`{}` was running, and has printed\n{}", self.name, self.printed());
        }
    }
}

impl Output {
    /// Fails the test unless the program ended with status 0; gives what it printed.
    pub(crate) fn succeeded(self) -> Self {
        assert!(self.status.success(), "`{}` failed: {}\nstdout:\n{}\nstderr:\n{}", self.name, self.status, self.stdout, self.stderr);
        self
    }

    /// Fails the test unless the program was killed, as by a fail point.
    pub(crate) fn killed(self) -> Self {
        let killed = std::os::unix::process::ExitStatusExt::signal(&self.status) == Some(9);
        assert!(killed, "`{}` was not killed: {}\nstdout:\n{}\nstderr:\n{}", self.name, self.status, self.stdout, self.stderr);
        self
    }

    /// Fails the test unless the program ended with this status.
    pub(crate) fn failed_with(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "`{}`\nstdout:\n{}\nstderr:\n{}", self.name, self.stdout, self.stderr);
        self
    }
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// Whether `text` is anywhere in `bytes`.
pub(crate) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
