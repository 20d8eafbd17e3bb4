//! What bad messages cost: the same good ones with none, one in a hundred, and one in ten beside them.

use weir_connectors::format::Decoded;

use crate::cases::{self, Case};
use crate::messages::Messages;
use crate::support::datasets::{Dataset, packed};
use crate::{BATCH, ROUNDS, cpu_of, median};

/// Good messages for each bad one; none at all first.
const SHARES: [Option<usize>; 3] = [None, Some(99), Some(9)];

/// Prints a line for each of four formats.
pub(crate) fn report(json: &[&[u8]]) {
    println!("\nCPU time a message, with so many bad ones of which every other is cut off and the rest have a value that is none");
    println!("{:<14}{:>10}{:>10}{:>8}{:>10}{:>8}{:>22}", "format", "none, ns", "1 %, ns", "ratio", "10 %, ns", "ratio", "a bad one, to a good");
    let objects = cases::json(Dataset::Wide, "json, wide");
    line(&objects, |message| replaced(message, br#""count_20":"#, br#""count_20":"x","was":"#));
    line(&cases::csv(json), |message| {
        let fields: Vec<&[u8]> = message.split(|byte| *byte == b',').collect();
        fields.iter().enumerate().map(|(place, field)| if place == 20 { b"x" } else { *field }).collect::<Vec<_>>().join(&b',')
    });
    line(&cases::avro(json), |message| [message, &[0]].concat());
    // The first field again, as four bytes.
    line(&cases::protobuf(json), |message| [message, &[1 << 3 | 5, 0, 0, 0, 0]].concat());
}

fn replaced(message: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let place = message.windows(what.len()).position(|window| window == what).expect("found");
    [&message[..place], with, &message[place + what.len()..]].concat()
}

fn line(case: &Case, spoilt: impl Fn(&[u8]) -> Vec<u8>) {
    let mixed = SHARES.map(|share| mixed(case, share, &spoilt));
    let rounds: Vec<[f64; 3]> =
        (0..ROUNDS).map(|_| mixed.each_ref().map(|(messages, bad)| cpu_of(|| decode(case, messages, *bad)).as_nanos() as f64)).collect();
    let each = |place: usize| mixed[place].0.len() as f64;
    let of = |figure: &dyn Fn(&[f64; 3]) -> f64| median(rounds.iter().map(figure).collect());
    println!(
        "{:<14}{:>10.0}{:>10.0}{:>8.2}{:>10.0}{:>8.2}{:>22.2}",
        case.name,
        of(&|round| round[0] / each(0)),
        of(&|round| round[1] / each(1)),
        of(&|round| round[1] / each(1) / (round[0] / each(0))),
        of(&|round| round[2] / each(2)),
        of(&|round| round[2] / each(2) / (round[0] / each(0))),
        of(&|round| (round[2] - round[0]) / mixed[2].1 as f64 / (round[0] / each(0))),
    );
}

/// The good messages with a bad one after each so many of them, and how many are bad.
fn mixed(case: &Case, share: Option<usize>, spoilt: &impl Fn(&[u8]) -> Vec<u8>) -> (Messages, usize) {
    let mut decoder = case.format.decoder(&case.wanted);
    // Some formats have shorter messages that are good.
    let mut cut = |message: &[u8]| {
        let mut shorter = (message.len() / 2..message.len()).map(|end| message[..end].to_vec());
        shorter.find(|cut| matches!(decoder.push(cut), Decoded::Failed(_))).expect("a bad one")
    };
    let mut messages = Vec::new();
    let mut bad = 0;
    for (number, message) in case.messages.iter().enumerate() {
        messages.push(message.to_vec());
        if share.is_some_and(|share| number % share == share - 1) {
            messages.push(if bad % 2 == 0 { cut(message) } else { spoilt(message) });
            bad += 1;
        }
    }
    (packed(messages.into_iter()), bad)
}

fn decode(case: &Case, messages: &[&[u8]], bad: usize) {
    let mut decoder = case.format.decoder(&case.wanted);
    let (mut rows, mut failed) = (0, 0);
    for batch in messages.chunks(BATCH) {
        for message in batch {
            match decoder.push(message) {
                Decoded::Row => {}
                Decoded::Failed(_) => failed += 1,
                other => unreachable!("{other:?}"),
            }
        }
        rows += decoder.take().expect("batch").num_rows();
    }
    assert_eq!((rows, failed), (messages.len() - bad, bad), "{}", case.name);
}
