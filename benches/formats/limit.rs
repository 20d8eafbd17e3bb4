//! How near the decoders are to a limit: what any decoder of the same messages must do.
//!
//! The limit is the time of a walk over the bytes that finds the place of each value, and of writing the values into columns, by code that has
//! the columns for granted and trusts the messages: it knows no NULL, no option and no error. Where texts can be checked for their UTF-8
//! together, they are. It goes over 64 messages at a time, column by column, so that it finds them in the processor's cache. For change logs
//! the limit is what our own decoder takes for the rows alone, without what is around them.

use std::hint::black_box;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_buffer::{Buffer, OffsetBuffer};

use crate::cases::{self, Case};
use crate::layouts::{Avro, Csv, Dates, Kind, Layout, Protobuf};
use crate::support::datasets::Dataset;
use crate::{BATCH, ROUNDS, cpu_of, decode, median};

/// Messages that are walked over before their values are written.
const BLOCK: usize = 64;

/// Prints a line for each of four formats.
pub(crate) fn report(json: &[&[u8]]) {
    println!("\nCPU time a message beside the least that must be done");
    println!("{:<16}{:>10}{:>12}{:>11}{:>10}{:>12}{:>10}", "format", "walk, ns", "columns, ns", "limit, ns", "Weir, ns", "limit MB/s", "reached");
    line::<Csv>(&cases::csv(json));
    line::<Avro>(&cases::avro(json));
    line::<Protobuf>(&cases::protobuf(json));
    let rows = cases::json(Dataset::Wide, "json, wide");
    for (_, make) in cases::ALL.iter().skip(2).take(4) {
        let case = make(json);
        let rounds = (0..ROUNDS).map(|_| [0.0, time(&rows), time(&case)]).collect();
        print(&case, rounds);
    }
}

fn line<L: Layout>(case: &Case) {
    let kinds: Vec<Kind> = case.wanted.fields().iter().map(|field| Kind::of(field.data_type())).collect();
    check::<L>(&kinds, case);
    let rounds = (0..ROUNDS)
        .map(|_| {
            let walk = nanos(case, || walk::<L>(&kinds, &case.messages));
            let limit = nanos(case, || {
                case.messages.chunks(BATCH).for_each(|batch| drop(black_box(read::<L>(&kinds, batch))));
            });
            [walk, limit, time(case)]
        })
        .collect();
    print(case, rounds);
}

/// Prints the middle of the rounds: the walk, the limit, and our time.
fn print(case: &Case, rounds: Vec<[f64; 3]>) {
    let of = |figure: &dyn Fn(&[f64; 3]) -> f64| median(rounds.iter().map(figure).collect());
    let limit = of(&|round| round[1]);
    let shown = |figure: f64| if figure == 0.0 { "-".to_owned() } else { format!("{figure:.0}") };
    let walk = of(&|round| round[0]);
    let columns = if walk == 0.0 { 0.0 } else { of(&|round| round[1] - round[0]) };
    let bytes = case.messages.iter().map(|message| message.len()).sum::<usize>() as f64 / case.messages.len() as f64;
    println!(
        "{:<16}{:>10}{:>12}{limit:>11.0}{:>10.0}{:>12.0}{:>10.2}",
        case.name,
        shown(walk),
        shown(columns),
        of(&|round| round[2]),
        bytes / limit * 1e3,
        of(&|round| round[1] / round[2]),
    );
}

/// Nanoseconds a message.
fn nanos(case: &Case, work: impl FnOnce()) -> f64 {
    cpu_of(work).as_nanos() as f64 / case.messages.len() as f64
}

fn time(case: &Case) -> f64 {
    nanos(case, || decode(&*case.format, &case.wanted, &case.messages))
}

/// What is written must be what we read.
fn check<L: Layout>(kinds: &[Kind], case: &Case) {
    let mut decoder = case.format.decoder(&case.wanted);
    let batch = &case.messages[..BATCH];
    batch.iter().for_each(|message| drop(decoder.push(message)));
    let arrays = read::<L>(kinds, batch).into_iter().map(Column::array).collect();
    assert!(decoder.take().expect("batch") == RecordBatch::try_new(Arc::clone(&case.wanted), arrays).expect("columns"), "{}", case.name);
}

fn walk<L: Layout>(kinds: &[Kind], messages: &[&[u8]]) {
    let mut places = Vec::new();
    for block in messages.chunks(BLOCK) {
        places.clear();
        block.iter().for_each(|message| L::walk(kinds, message, &mut places));
        black_box(&places);
    }
}

/// The columns of a batch.
fn read<L: Layout>(kinds: &[Kind], batch: &[&[u8]]) -> Vec<Column> {
    let mut columns: Vec<Column> = kinds.iter().map(|kind| Column::new(*kind, batch.len())).collect();
    let (mut places, mut dates) = (Vec::new(), Dates::default());
    for block in batch.chunks(BLOCK) {
        places.clear();
        block.iter().for_each(|message| L::walk(kinds, message, &mut places));
        assert!(places.len() == block.len() * kinds.len());
        for (number, column) in columns.iter_mut().enumerate() {
            let places = places.iter().skip(number).step_by(kinds.len());
            column.extend::<L>(block.iter().zip(places).map(|(message, (start, end))| &message[*start as usize..*end as usize]), &mut dates);
        }
    }
    columns
}

enum Column {
    Long(Vec<i64>),
    Double(Vec<f64>),
    Text(Vec<i32>, Vec<u8>),
    Time(Vec<i64>),
}

impl Column {
    fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Long => Self::Long(Vec::with_capacity(rows)),
            Kind::Double => Self::Double(Vec::with_capacity(rows)),
            Kind::Text => {
                let mut ends = Vec::with_capacity(rows + 1);
                ends.push(0);
                Self::Text(ends, Vec::with_capacity(rows * 32))
            }
            Kind::Time => Self::Time(Vec::with_capacity(rows)),
        }
    }

    fn extend<'a, L: Layout>(&mut self, values: impl Iterator<Item = &'a [u8]>, dates: &mut Dates) {
        match self {
            Self::Long(longs) => longs.extend(values.map(L::long)),
            Self::Double(doubles) => doubles.extend(values.map(L::double)),
            Self::Time(times) => times.extend(values.map(|value| L::time(value, dates))),
            Self::Text(ends, texts) => {
                let before = texts.len();
                for value in values {
                    texts.extend_from_slice(value);
                    ends.push(texts.len() as i32);
                }
                assert!(L::CHECKED || texts[before..].is_ascii());
            }
        }
    }

    fn array(self) -> ArrayRef {
        match self {
            Self::Long(longs) => Arc::new(Int64Array::from(longs)),
            Self::Double(doubles) => Arc::new(Float64Array::from(doubles)),
            Self::Time(times) => Arc::new(TimestampMicrosecondArray::from(times)),
            Self::Text(ends, texts) => Arc::new(StringArray::new(OffsetBuffer::new(ends.into()), Buffer::from_vec(texts), None)),
        }
    }
}
