//! A process that runs one query whenever it is asked to, measured from outside.
//!
//! A line with a number asks it to run the query so many times; it answers with a line that holds the rows of the last time. Linux only:
//! all figures come from `/proc`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// Runs in a round at most.
const MOST: u32 = 500;

/// What one run of a query used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Rows of the result.
    pub(crate) rows: u64,
    pub(crate) wall: Duration,
    /// User and system time of all threads.
    pub(crate) cpu: Duration,
    /// Bytes that were read by system calls.
    pub(crate) read: u64,
    /// Peak resident memory of the process so far.
    pub(crate) peak: u64,
}

/// A running process. It ends with this.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Runs in a round.
    times: u32,
}

impl Process {
    /// Starts the process and lets it run its query a few times; later rounds last for `at_least`.
    pub(crate) fn start(mut command: Command, at_least: Duration) -> Outcome<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (ask, answers) = (child.stdin.take().ok_or("no input")?, BufReader::new(child.stdout.take().ok_or("no output")?));
        let mut process = Self { child, ask, answers, times: 1 };
        process.run(2)?;
        let start = Instant::now();
        process.run(1)?;
        let once = start.elapsed().as_secs_f64().max(1e-6);
        process.times = (at_least.as_secs_f64() / once).ceil().min(f64::from(MOST)) as u32;
        Ok(process)
    }

    /// Runs the query and says what it used, on average if it was run several times.
    pub(crate) fn measure(&mut self) -> Outcome<Figures> {
        let (cpu, read, start) = (self.cpu()?, self.read()?, Instant::now());
        let rows = self.run(self.times)?;
        let wall = start.elapsed() / self.times;
        let (cpu, read) = ((self.cpu()? - cpu) / self.times, (self.read()? - read) / u64::from(self.times));
        Ok(Figures { rows, wall, cpu, read, peak: self.number("status", "VmHWM:")? * 1024 })
    }

    fn run(&mut self, times: u32) -> Outcome<u64> {
        writeln!(self.ask, "{times}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().map_err(|error| format!("an engine gives no number of rows ({error}): {answer}").into())
    }

    fn cpu(&self) -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).ok_or("no fields in stat")?;
        let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        // USER_HZ is 100 on every Linux that Rust runs on.
        Ok(Duration::from_millis(ticks * 10))
    }

    fn read(&self) -> Outcome<u64> {
        self.number("io", "rchar:")
    }

    fn number(&self, file: &str, key: &str) -> Outcome<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)).ok_or_else(|| format!("no {key} in {file}"))?;
        Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
