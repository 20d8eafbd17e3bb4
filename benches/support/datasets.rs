//! The two data sets of the benchmarks: JSON messages of about 210 bytes with 8 columns, and of about 1,100 bytes with 40.
//!
//! A message is a pure function of its number, so a producer and a check of what was written need no common state.

use std::fmt::Write;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

const CATEGORIES: [&str; 12] = ["books", "garden", "toys", "music", "kitchen", "sports", "shoes", "phones", "travel", "games", "health", "office"];
const EVENTS: [&str; 4] = ["view", "cart", "order", "return"];
const AGENTS: [&str; 5] = ["Mozilla/5.0 (X11)", "curl/8.5", "okhttp/4.12", "Safari/17.4", "Edge/124.0"];
const SITES: [&str; 6] = ["search", "mail", "news", "social", "direct", "partner"];

/// A data set: messages and their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dataset {
    /// Orders: 8 columns, one of them a row in a row.
    Small,
    /// Readings of a machine: 40 columns.
    Wide,
}

impl Dataset {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Small, Self::Wide];

    /// The name in tables of results.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Wide => "wide",
        }
    }

    /// The columns.
    #[must_use]
    pub(crate) fn schema(self) -> SchemaRef {
        Arc::new(Schema::new(match self {
            Self::Small => small_fields(),
            Self::Wide => wide_fields(),
        }))
    }

    /// Appends message `number` to `out`.
    pub(crate) fn write(self, number: u64, out: &mut String) {
        match self {
            Self::Small => write_small(number, out),
            Self::Wide => write_wide(number, out),
        }
    }

    /// The first `count` messages.
    #[must_use]
    pub(crate) fn messages(self, count: u64) -> Vec<&'static [u8]> {
        let message = |number| {
            let mut text = String::new();
            self.write(number, &mut text);
            text.into_bytes()
        };
        packed((0..count).map(message))
    }
}

/// Messages one behind another in memory, as a Kafka client has them; there they stay. Scattered ones are as fast to read as chance has it.
#[must_use]
pub(crate) fn packed(messages: impl Iterator<Item = Vec<u8>>) -> Vec<&'static [u8]> {
    let mut ends = vec![0];
    let bytes = messages.fold(Vec::new(), |mut bytes, message| {
        bytes.extend(message);
        ends.push(bytes.len());
        bytes
    });
    let bytes: &'static [u8] = bytes.leak();
    ends.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
}

fn nullable(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn small_fields() -> Vec<Field> {
    let site = vec![nullable("site", DataType::Utf8), nullable("pos", DataType::Int32)];
    let props = vec![nullable("ip", DataType::Utf8), nullable("ua", DataType::Utf8), nullable("ref", DataType::Struct(Fields::from(site)))];
    vec![
        nullable("id", DataType::Int64),
        nullable("user_id", DataType::Int64),
        nullable("item_id", DataType::Int64),
        nullable("category", DataType::Utf8),
        nullable("event_type", DataType::Utf8),
        nullable("amount", DataType::Decimal128(10, 2)),
        nullable("ts", DataType::Timestamp(TimeUnit::Microsecond, None)),
        nullable("props", DataType::Struct(Fields::from(props))),
    ]
}

fn wide_fields() -> Vec<Field> {
    let columns = (0..40).map(|index| match index {
        0 => nullable("id", DataType::Int64),
        1 => nullable("ts", DataType::Timestamp(TimeUnit::Microsecond, None)),
        index if index % 4 == 0 => nullable(&format!("count_{index:02}"), DataType::Int64),
        index if index % 4 == 1 => nullable(&format!("value_{index:02}"), DataType::Float64),
        index if index % 4 == 2 => nullable(&format!("state_{index:02}"), DataType::Utf8),
        index => nullable(&format!("label_{index:02}"), DataType::Utf8),
    });
    columns.collect()
}

fn write_small(number: u64, out: &mut String) {
    let mut dice = Dice(number);
    let (user, item, cents) = (dice.below(5_000_000), dice.below(200_000), dice.below(1_000_000));
    let (category, event) = (dice.pick(&CATEGORIES), dice.pick(&EVENTS));
    let (second, ip) = (timestamp(number), dice.below(1 << 24));
    let (agent, site, place) = (dice.pick(&AGENTS), dice.pick(&SITES), dice.below(50));
    put(
        out,
        format_args!(
            r#"{{"id":{number},"user_id":{user},"item_id":{item},"category":"{category}","event_type":"{event}","amount":{}.{:02},"ts":"{second}","props":{{"ip":"10.{}.{}.{}","ua":"{agent}","ref":{{"site":"{site}","pos":{place}}}}}}}"#,
            cents / 100,
            cents % 100,
            ip >> 16,
            ip >> 8 & 255,
            ip & 255,
        ),
    );
}

fn write_wide(number: u64, out: &mut String) {
    let mut dice = Dice(number ^ 0x5bd1_e995);
    put(out, format_args!(r#"{{"id":{number},"ts":"{}""#, timestamp(number)));
    for index in 2..40 {
        match index % 4 {
            0 => put(out, format_args!(r#","count_{index:02}":{}"#, dice.below(1 << 40))),
            1 => put(out, format_args!(r#","value_{index:02}":{}.{:04}"#, dice.below(10_000), dice.below(10_000))),
            2 => put(out, format_args!(r#","state_{index:02}":"{}""#, dice.pick(&CATEGORIES))),
            _ => put(out, format_args!(r#","label_{index:02}":"{:016x}{:016x}""#, dice.roll(), dice.roll())),
        }
    }
    out.push('}');
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes everything");
}

/// A hundred messages a second, from a fixed day on.
fn timestamp(number: u64) -> String {
    let moment = chrono::DateTime::from_timestamp_millis(1_750_000_000_000 + i64::try_from(number).expect("small") * 10).expect("in range");
    moment.format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// Numbers that look random: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).expect("small")]
    }
}
