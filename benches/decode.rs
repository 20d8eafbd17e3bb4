//! Rows per CPU second of the `json` decoder and of arrow-json on the same messages, in turn, and their ratio.
//!
//! `cargo bench --bench decode` builds with optimisation everywhere, which is the fair comparison: in the lean profile arrow-json is not
//! optimised and our decoder is.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its table and stops at the first surprise")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_json::ReaderBuilder;
use support::cpu;
use support::datasets::Dataset;
use weir_base::options::OptionBag;
use weir_connectors::format::{Decoded, Decoder, Format, FormatFactory, json::JsonFactory};

const BATCH: usize = 8_192;
const PAIRS: usize = 7;

fn main() {
    println!("{:<7}{:>10}{:>16}{:>14}{:>16}{:>14}{:>8}", "data", "bytes/row", "weir rows/s", "MB/s", "arrow rows/s", "MB/s", "ratio");
    for dataset in Dataset::ALL {
        let messages = dataset.messages(if dataset == Dataset::Small { 200_000 } else { 40_000 });
        let format = format(dataset);
        check(dataset, &*format, &messages);
        let mut pairs: Vec<(f64, f64)> =
            (0..PAIRS).map(|_| (rate(&messages, || ours(dataset, &*format, &messages)), rate(&messages, || theirs(dataset, &messages)))).collect();
        pairs.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
        let (ours, theirs) = pairs[PAIRS / 2];
        let width = messages.iter().map(|message| message.len()).sum::<usize>() as f64 / messages.len() as f64;
        let megabytes = |rows: f64| rows * width / 1e6;
        println!(
            "{:<7}{width:>10.0}{ours:>16.0}{:>14.0}{theirs:>16.0}{:>14.0}{:>8.2}  ({:.2} to {:.2})",
            dataset.name(),
            megabytes(ours),
            megabytes(theirs),
            ours / theirs,
            pairs[0].0 / pairs[0].1,
            pairs[PAIRS - 1].0 / pairs[PAIRS - 1].1,
        );
    }
}

fn format(dataset: Dataset) -> Box<dyn Format> {
    JsonFactory.open("json.", &mut OptionBag::new("Table 'bench'"), &dataset.schema()).expect("format")
}

/// Both must read the same before their speed means anything.
fn check(dataset: Dataset, format: &dyn Format, messages: &[&[u8]]) {
    let few = &messages[..BATCH];
    let mut decoder = format.decoder(&dataset.schema());
    for message in few {
        assert_eq!(decoder.push(message), Decoded::Row);
    }
    let mut batches = Vec::new();
    read_with_arrow(dataset, few, |batch| batches.push(batch));
    assert_eq!(decoder.take().expect("batch"), batches[0], "{}", dataset.name());
}

/// Rows per CPU second.
fn rate(messages: &[&[u8]], work: impl FnOnce() -> usize) -> f64 {
    let before = cpu::of_thread();
    assert_eq!(work(), messages.len());
    let spent = cpu::of_thread().saturating_sub(before).max(Duration::from_millis(1));
    messages.len() as f64 / spent.as_secs_f64()
}

fn ours(dataset: Dataset, format: &dyn Format, messages: &[&[u8]]) -> usize {
    let mut decoder: Box<dyn Decoder> = format.decoder(&dataset.schema());
    let mut rows = 0;
    for batch in messages.chunks(BATCH) {
        for message in batch {
            assert!(decoder.push(message) == Decoded::Row);
        }
        rows += decoder.take().expect("batch").num_rows();
    }
    rows
}

fn theirs(dataset: Dataset, messages: &[&[u8]]) -> usize {
    let mut rows = 0;
    read_with_arrow(dataset, messages, |batch| rows += batch.num_rows());
    rows
}

fn read_with_arrow(dataset: Dataset, messages: &[&[u8]], mut batch: impl FnMut(RecordBatch)) {
    let mut decoder = ReaderBuilder::new(Arc::clone(&dataset.schema())).with_batch_size(BATCH).build_decoder().expect("decoder");
    for part in messages.chunks(BATCH) {
        for message in part {
            decoder.decode(message).expect("read");
        }
        batch(decoder.flush().expect("flush").expect("rows"));
    }
}
