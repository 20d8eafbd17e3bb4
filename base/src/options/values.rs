//! Texts of option values to values: the grammar of Flink's `TimeUtils` and `MemorySize`.

use std::time::Duration;

/// `true` or `false` in any case; nothing else.
#[must_use]
pub fn parse_boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// `<number> <unit>`, the blank optional; without a unit the number counts milliseconds. The flag says that the unit was missing.
#[must_use]
pub fn parse_duration(text: &str) -> Option<(Duration, bool)> {
    let (number, unit) = split_number(text)?;
    let nanos: u128 = match unit.to_ascii_lowercase().as_str() {
        "d" | "day" | "days" => 86_400_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "min" | "m" | "minute" | "minutes" => 60_000_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000_000_000,
        "ms" | "milli" | "millis" | "millisecond" | "milliseconds" | "" => 1_000_000,
        "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => 1,
        _ => return None,
    };
    let total = u128::from(number).checked_mul(nanos)?;
    let duration = Duration::new(u64::try_from(total / 1_000_000_000).ok()?, u32::try_from(total % 1_000_000_000).ok()?);
    Some((duration, unit.is_empty()))
}

/// `<number> <unit>` with units b, k/kb, m/mb, g/gb, t/tb, all 1024-based; without a unit the number counts bytes.
#[must_use]
pub fn parse_memory_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 1,
        "k" | "kb" | "kib" | "kibibytes" => 1 << 10,
        "m" | "mb" | "mib" | "mebibytes" => 1 << 20,
        "g" | "gb" | "gib" | "gibibytes" => 1 << 30,
        "t" | "tb" | "tib" | "tebibytes" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Elements between `;`, blanks around them taken off, empty ones left out. An element may stand in quotes (`'` or `"`, doubled inside): then
/// a `;` in it does not separate.
#[must_use]
pub fn split_list(text: &str) -> Vec<String> {
    let mut elements = Vec::new();
    let mut rest = text;
    while !rest.trim_start().is_empty() {
        let (element, after) = next_element(rest.trim_start());
        if !element.is_empty() {
            elements.push(element);
        }
        rest = after;
    }
    elements
}

fn next_element(text: &str) -> (String, &str) {
    let quoted = text.chars().next().filter(|first| matches!(first, '\'' | '"')).and_then(|quote| {
        let mut element = String::new();
        let mut inside = text.get(1..)?;
        loop {
            let (part, after) = inside.split_once(quote)?;
            element.push_str(part);
            if let Some(more) = after.strip_prefix(quote) {
                element.push(quote);
                inside = more;
                continue;
            }
            let after = after.trim_start();
            return if after.is_empty() { Some((element, "")) } else { after.strip_prefix(';').map(|after| (element, after)) };
        }
    });
    quoted.unwrap_or_else(|| {
        let (element, after) = text.split_once(';').unwrap_or((text, ""));
        (element.trim().to_owned(), after)
    })
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    Some((digits.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_every_unit_and_say_when_it_is_missing() {
        assert_eq!(parse_duration("10 s"), Some((Duration::from_secs(10), false)));
        assert_eq!(parse_duration("5min"), Some((Duration::from_secs(300), false)));
        assert_eq!(parse_duration("7"), Some((Duration::from_millis(7), true)));
        assert_eq!(parse_duration("3 us"), Some((Duration::from_micros(3), false)));
        for bad in ["", "s", "5 mins ago", "-1 s", "1.5 s", "99999999999999999999 d"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn memory_sizes_are_1024_based() {
        assert_eq!(parse_memory_size("128 mb"), Some(134_217_728));
        assert_eq!(parse_memory_size("1k"), Some(1024));
        assert_eq!(parse_memory_size("42"), Some(42));
        assert_eq!(parse_memory_size("42 miles"), None);
        assert_eq!(parse_memory_size("99999999999 tb"), None);
    }

    #[test]
    fn booleans_are_never_false_by_parse() {
        assert_eq!(parse_boolean("TRUE"), Some(true));
        for bad in ["yes", "1", "on", "ture", ""] {
            assert_eq!(parse_boolean(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_quoted_element_keeps_its_semicolons() {
        assert_eq!(split_list("a; 'b;c' ;;\"d\""), ["a", "b;c", "d"]);
        assert_eq!(split_list("'it''s';x"), ["it's", "x"]);
        assert_eq!(split_list("it's;'open"), ["it's", "'open"]);
        assert!(split_list(" ; ").is_empty());
    }
}
