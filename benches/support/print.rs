//! Lines on standard output, and figures with their spread.

use std::io::Write;

/// Prints a line.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

/// `median (least to most)`.
pub(crate) fn spread(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first(), values.last()) else { return "nothing".to_owned() };
    format!("{:.digits$} ({least:.digits$} to {most:.digits$})", median(&values))
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2, middle.checked_sub(1).and_then(|below| sorted.get(below))) {
        (Some(upper), 0, Some(lower)) => f64::midpoint(*upper, *lower),
        (Some(value), _, _) => *value,
        (None, _, _) => f64::NAN,
    }
}
