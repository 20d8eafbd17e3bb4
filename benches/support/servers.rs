//! Real servers for a benchmark, started by `scripts/servers` and stopped when it is over.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/servers");

/// Servers in a folder of the benchmark; they end with this.
#[derive(Debug)]
pub(crate) struct Servers {
    folder: PathBuf,
}

impl Servers {
    /// Starts the servers of these names in `folder`.
    pub(crate) fn start(names: &[&str], folder: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let folder = folder.join("servers");
        let parent = std::process::id().to_string();
        let started = Command::new(SCRIPT).arg("start").args(names).args(["--parent", &parent, "--dir"]).arg(&folder).output()?;
        if !started.status.success() {
            return Err(format!("scripts/servers start {}: {}", names.join(" "), String::from_utf8_lossy(&started.stderr)).into());
        }
        Ok(Self { folder })
    }

    /// What clients of the server `name` need to know.
    pub(crate) fn addresses(&self, name: &str) -> Result<Value, Box<dyn std::error::Error>> {
        let status = Command::new(SCRIPT).args(["status", "--json", "--dir"]).arg(&self.folder).output()?;
        let record: Value = serde_json::from_slice(&status.stdout)?;
        Ok(record["servers"][name]["addresses"].clone())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // What could not be stopped ends with this process, whose guard it has.
        _ = Command::new(SCRIPT).args(["stop", "--kill", "--dir"]).arg(&self.folder).output();
    }
}
