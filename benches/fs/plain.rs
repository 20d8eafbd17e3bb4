//! The plain clients: what one would use without Weir.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::side::{Direction, Load};

/// A client that can put and get files.
pub(crate) trait Plain {
    /// The command that moves the load between the local folder `here` and `there`, a URI.
    fn command(&self, direction: Direction, load: &Load, here: &Path, there: &str) -> Outcome<Command>;
}

/// Hadoop's shell, as `hdfs dfs` starts it.
pub(crate) struct HadoopShell {
    pub(crate) classpath: String,
}

impl Plain for HadoopShell {
    fn command(&self, direction: Direction, load: &Load, here: &Path, there: &str) -> Outcome<Command> {
        let mut command = Command::new("java");
        command.args(["-cp", &self.classpath, "org.apache.hadoop.fs.FsShell"]);
        let threads = load.at_once.to_string();
        match direction {
            Direction::Put => {
                let script = ["-put", "-t", &threads];
                command.args(script).args(load.names().iter().map(|name| here.join(name))).arg(there);
            }
            Direction::Get => {
                command.args(["-get", "-t", &threads]).args(load.names().iter().map(|name| format!("{there}/{name}"))).arg(here);
            }
        }
        Ok(command)
    }
}

/// boto3, by a script beside this file.
pub(crate) struct Boto {
    python: PathBuf,
}

impl Boto {
    /// Makes its environment at the first use.
    pub(crate) fn try_new() -> Outcome<Self> {
        let ask = "import sys; sys.path.insert(0, sys.argv[1]); from weir_servers import python; print(python.interpreter('boto3'))";
        let answer = Command::new("python3").args(["-B", "-c", ask, concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")]).output()?;
        if !answer.status.success() {
            return Err(format!("no environment for boto3: {}", String::from_utf8_lossy(&answer.stderr)).into());
        }
        Ok(Self { python: String::from_utf8(answer.stdout)?.trim().into() })
    }
}

impl Plain for Boto {
    fn command(&self, direction: Direction, load: &Load, here: &Path, there: &str) -> Outcome<Command> {
        let (bucket, prefix) = there.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or("no bucket")?;
        let mut command = Command::new(&self.python);
        command.args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fs/plain_s3.py"), direction.as_str()]);
        command.arg(here).args([bucket, prefix, &load.at_once.to_string()]).args(load.names());
        Ok(command)
    }
}
