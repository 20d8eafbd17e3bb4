//! The tables that the benchmark prints.

use std::io::Write;

use crate::measure::Figures;

/// Prints a line.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn per_cpu(figures: &Figures) -> f64 {
    figures.rows as f64 / figures.cpu.as_secs_f64().max(0.001)
}

fn per_second(figures: &Figures) -> f64 {
    figures.rows as f64 / figures.wall.as_secs_f64().max(0.001)
}

/// Prints one pair.
pub(crate) fn pair(number: usize, names: [&str; 2], pair: &(Figures, Figures), bytes: u64) {
    line(&format!("  pair {number}: ratio of rows per CPU second {:.3}", per_cpu(&pair.1) / per_cpu(&pair.0)));
    row(names[0], &pair.0, bytes);
    row(names[1], &pair.1, bytes);
}

fn row(name: &str, figures: &Figures, bytes: u64) {
    let seconds = figures.wall.as_secs_f64().max(0.001);
    line(&format!(
        "    {name:<11} {:>9.0} rows/s  {:>9.0} rows/CPU s  {:>6.1} MB/s  {:>6.1} MB/CPU s  peak {:>4} MB  {:>4} files  {:>6.1} B/row",
        per_second(figures),
        per_cpu(figures),
        bytes as f64 / 1e6 / seconds,
        bytes as f64 / 1e6 / figures.cpu.as_secs_f64().max(0.001),
        figures.peak / 1_000_000,
        figures.files,
        figures.written as f64 / figures.rows.max(1) as f64,
    ));
}

/// Prints medians, with the least and the most in brackets: of the pairs' ratios (second over first), and of each road's figures.
pub(crate) fn summary(names: [&str; 2], pairs: &[(Figures, Figures)], bytes: u64) {
    let ratio = |of: fn(&Figures) -> f64| spread(pairs.iter().map(|(first, second)| of(second) / of(first)), 3);
    line(&format!(
        "  {} / {}, median of {}: rows per CPU second {}, rows per second {}",
        names[1],
        names[0],
        pairs.len(),
        ratio(per_cpu),
        ratio(per_second)
    ));
    let roads: [Vec<&Figures>; 2] = [pairs.iter().map(|pair| &pair.0).collect(), pairs.iter().map(|pair| &pair.1).collect()];
    for (name, figures) in names.into_iter().zip(roads) {
        let of = |value: &dyn Fn(&Figures) -> f64, digits| spread(figures.iter().map(|figures| value(figures)), digits);
        line(&format!(
            "    {name:<11} {} rows/CPU s   {} rows/s   {} MB/CPU s   peak {} MB",
            of(&per_cpu, 0),
            of(&per_second, 0),
            of(&|figures| bytes as f64 / 1e6 / figures.cpu.as_secs_f64().max(0.001), 1),
            of(&|figures| figures.peak as f64 / 1e6, 0),
        ));
    }
}

/// `median (least to most)`.
fn spread(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let values = sorted(values);
    let (Some(least), Some(most)) = (values.first(), values.last()) else { return "nothing".to_owned() };
    format!("{:.digits$} ({least:.digits$} to {most:.digits$})", median(&values))
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2, middle.checked_sub(1).and_then(|below| sorted.get(below))) {
        (Some(upper), 0, Some(lower)) => f64::midpoint(*upper, *lower),
        (Some(value), _, _) => *value,
        (None, _, _) => f64::NAN,
    }
}
