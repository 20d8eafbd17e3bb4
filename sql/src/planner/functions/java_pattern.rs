//! Patterns of Java's `DateTimeFormatter`, which Flink's functions take, as patterns of chrono.

/// The chrono pattern, or the letter that has none.
pub(super) fn to_chrono(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut rest = pattern.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter == '\'' {
            let mut text = String::new();
            let mut closed = false;
            for inner in rest.by_ref() {
                if inner == '\'' {
                    closed = true;
                    break;
                }
                text.push(inner);
            }
            if !closed {
                return Err("a quote that does not end".to_owned());
            }
            out.push_str(&if text.is_empty() { "'".to_owned() } else { text.replace('%', "%%") });
            continue;
        }
        if !letter.is_ascii_alphabetic() {
            if letter == '%' {
                out.push('%');
            }
            out.push(letter);
            continue;
        }
        let mut count = 1_usize;
        while rest.next_if_eq(&letter).is_some() {
            count += 1;
        }
        out.push_str(specifier(letter, count).ok_or_else(|| format!("'{}'", letter.to_string().repeat(count)))?);
    }
    Ok(out)
}

fn specifier(letter: char, count: usize) -> Option<&'static str> {
    Some(match (letter, count) {
        ('y' | 'u', 2) => "%y",
        ('y' | 'u', 1 | 3..) => "%Y",
        ('M' | 'L', 1) => "%-m",
        ('M' | 'L', 2) => "%m",
        ('M' | 'L', 3) => "%b",
        ('M' | 'L', _) => "%B",
        ('d', 1) => "%-d",
        ('d', 2) => "%d",
        ('D', _) => "%j",
        ('H', 1) => "%-H",
        ('H', 2) => "%H",
        ('h', 1) => "%-I",
        ('h', 2) => "%I",
        ('m', 1) => "%-M",
        ('m', 2) => "%M",
        ('s', 1) => "%-S",
        ('s', 2) => "%S",
        ('S', 1..=3) => "%3f",
        ('S', 4..=6) => "%6f",
        ('S', 7..=9) => "%9f",
        ('a', _) => "%p",
        ('E', 1..=3) => "%a",
        ('E', _) => "%A",
        ('X' | 'x', _) => "%:z",
        ('w', _) => "%V",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_java_become_patterns_of_chrono() {
        assert_eq!(to_chrono("yyyy-MM-dd HH:mm:ss.SSS").as_deref(), Ok("%Y-%m-%d %H:%M:%S.%3f"));
        assert_eq!(to_chrono("yyyyMMdd'T'HH").as_deref(), Ok("%Y%m%dT%H"));
        assert_eq!(to_chrono("d/M/yy 100%").as_deref(), Ok("%-d/%-m/%y 100%%"));
        assert_eq!(to_chrono("yyyy G"), Err("'G'".to_owned()));
        assert!(to_chrono("'open").is_err());
    }
}
