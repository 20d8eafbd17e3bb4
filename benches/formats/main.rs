//! Megabytes per CPU second of each decoder beside a baseline on the same messages, in turn; what bad messages cost; and how near the decoders
//! are to a limit.
//!
//! 1. Each format with all columns (40, or 8 of the small messages) and with 3 of them. A baseline takes every message apart into values with
//!    the usual library for its format; it knows no projection.
//! 2. The same good messages with 1 % and 10 % of bad ones among them.
//! 3. The least that any decoder of the same messages must do: a walk that finds every value's place, and the writing of the columns.
//!
//! `cargo bench --bench formats` builds with optimisation everywhere. `--only bad` or another word leaves out what has not the word in its name.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its table and stops at the first surprise")]

mod bad;
mod baselines;
mod cases;
mod company;
mod layouts;
mod limit;
mod messages;
mod registry;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with other benchmarks")]
mod support;
mod wide;

use std::time::Duration;

use arrow_schema::SchemaRef;
use cases::Case;
use support::cpu;
use support::datasets::Dataset;
use weir_connectors::format::{Decoded, Format};

const MESSAGES: u64 = 40_000;
const BATCH: usize = 8_192;
const ROUNDS: usize = 7;

fn main() {
    let only = std::env::args().skip_while(|argument| argument != "--only").nth(1).unwrap_or_default();
    let chosen = |name: &str| name.contains(&only);
    let json = Dataset::Wide.messages(MESSAGES);
    beside_baselines(cases::ALL.iter().filter(|(name, _)| chosen(name)).map(|(_, make)| make(&json)));
    if chosen("bad") {
        bad::report(&json);
    }
    if chosen("limit") {
        limit::report(&json);
    }
}

fn beside_baselines(cases: impl Iterator<Item = Case>) {
    println!(
        "{:<24}{:>10}{:>12}{:>14}{:>13}{:>16}{:>10}{:>10}",
        "format", "bytes/row", "all MB/s", "3 only MB/s", "baseline", "baseline MB/s", "all", "3 only"
    );
    for case in cases {
        let bytes: usize = case.messages.iter().map(|message| message.len()).sum();
        let rate = |spent: Duration| bytes as f64 / 1e6 / spent.max(Duration::from_millis(1)).as_secs_f64();
        let mut rounds: Vec<[f64; 3]> = (0..ROUNDS)
            .map(|_| {
                let few = case.few.as_ref().map(|few| rate(cpu_of(|| decode(&*case.format, few, &case.messages))));
                [
                    rate(cpu_of(|| decode(&*case.format, &case.wanted, &case.messages))),
                    few.unwrap_or(f64::NAN),
                    rate(cpu_of(|| (case.theirs)(&case.messages))),
                ]
            })
            .collect();
        rounds.sort_by(|a, b| (a[0] / a[2]).total_cmp(&(b[0] / b[2])));
        let [all, some, theirs] = rounds[ROUNDS / 2];
        let shown = |figure: f64, digits: usize| if figure.is_nan() { "-".to_owned() } else { format!("{figure:.digits$}") };
        println!(
            "{:<24}{:>10}{all:>12.0}{:>14}{:>13}{theirs:>16.0}{:>10.1}{:>10}",
            case.name,
            bytes / case.messages.len(),
            shown(some, 0),
            case.baseline,
            all / theirs,
            shown(some / theirs, 1),
        );
    }
}

fn cpu_of(work: impl FnOnce()) -> Duration {
    let before = cpu::of_thread();
    work();
    cpu::of_thread().saturating_sub(before)
}

/// Decodes good messages, each of them one row, in batches that are dropped.
fn decode(format: &dyn Format, wanted: &SchemaRef, messages: &[&[u8]]) {
    let mut decoder = format.decoder(wanted);
    for batch in messages.chunks(BATCH) {
        for message in batch {
            assert!(decoder.push(message) == Decoded::Row);
        }
        assert_eq!(decoder.take().expect("batch").num_rows(), batch.len());
    }
}

/// The middle one.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
