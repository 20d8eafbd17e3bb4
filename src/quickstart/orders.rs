//! The orders that the quick start sends: each a pure function of its number, so that the sender knows what must arrive.

/// Event types, and so table partitions a day.
const EVENTS: [&str; 4] = ["view", "click", "cart", "buy"];
const CATEGORIES: [&str; 6] = ["books", "garden", "kitchen", "music", "sport", "toys"];

/// 2026-01-01T00:00:00Z in milliseconds.
const START: i64 = 1_767_225_600_000;

/// Cents of order `id`.
pub(crate) fn cents(id: u64) -> u64 {
    id.wrapping_mul(7_919) % 99_999 + 1
}

/// Writes order `id` as JSON into `out`, which is cleared first.
pub(crate) fn write_json(id: u64, out: &mut String) {
    use std::fmt::Write;
    let mixed = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 17;
    let time = chrono::DateTime::from_timestamp_millis(START + i64::try_from(id % 172_800_000).unwrap_or(0)).unwrap_or_default();
    let cents = cents(id);
    out.clear();
    let written = write!(
        out,
        r#"{{"id":{id},"user_id":{},"item_id":{},"category":"{}","event_type":"{}","amount":{}.{:02},"ts":"{}","props":{{"ip":"10.{}.{}.{}","ua":"weir/{}","ref":{{"site":"s{}.example","pos":{}}}}}}}"#,
        mixed % 100_000,
        mixed % 5_000,
        pick(&CATEGORIES, mixed),
        pick(&EVENTS, mixed / 7),
        cents / 100,
        cents % 100,
        time.format("%Y-%m-%d %H:%M:%S%.3f"),
        mixed % 250,
        mixed / 3 % 250,
        mixed / 5 % 250,
        mixed % 30,
        mixed % 40,
        mixed % 10,
    );
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
}

fn pick(names: &[&'static str], number: u64) -> &'static str {
    usize::try_from(number).ok().and_then(|number| names.get(number % names.len())).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_json_with_its_amount() {
        let mut text = String::new();
        for id in [0, 1, 599_999] {
            write_json(id, &mut text);
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(value["id"], id);
            let amount = value["amount"].as_f64().expect("number");
            assert!((amount * 100.0 - cents(id) as f64).abs() < 0.01, "{text}");
        }
    }
}
