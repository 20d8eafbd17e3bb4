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

/// Prints one pair.
pub(crate) fn pair(number: usize, names: [&str; 2], pair: &(Figures, Figures), bytes: u64) {
    line(&format!("  pair {number}: ratio of rows per CPU second {:.3}", per_cpu(&pair.1) / per_cpu(&pair.0)));
    row(names[0], &pair.0, bytes);
    row(names[1], &pair.1, bytes);
}

fn row(name: &str, figures: &Figures, bytes: u64) {
    let seconds = figures.wall.as_secs_f64().max(0.001);
    line(&format!(
        "    {name:<8} {:>9.0} rows/s  {:>9.0} rows/CPU s  {:>6.1} MB/s  {:>6.1} MB/CPU s  peak {:>4} MB  {:>4} files  {:>6.1} B/row",
        figures.rows as f64 / seconds,
        per_cpu(figures),
        bytes as f64 / 1e6 / seconds,
        bytes as f64 / 1e6 / figures.cpu.as_secs_f64().max(0.001),
        figures.peak / 1_000_000,
        figures.files,
        figures.written as f64 / figures.rows.max(1) as f64,
    ));
}

/// Prints the medians of all pairs and the spread of their ratios (second over first).
pub(crate) fn summary(names: [&str; 2], pairs: &[(Figures, Figures)], bytes: u64) {
    let ratios = sorted(pairs.iter().map(|(first, second)| per_cpu(second) / per_cpu(first)));
    let (Some(least), Some(most)) = (ratios.first(), ratios.last()) else { return };
    line(&format!(
        "  {} / {}: rows per CPU second, median of {} ratios {:.3} (from {least:.3} to {most:.3})",
        names[1],
        names[0],
        ratios.len(),
        median(&ratios)
    ));
    let first: Vec<&Figures> = pairs.iter().map(|pair| &pair.0).collect();
    let second: Vec<&Figures> = pairs.iter().map(|pair| &pair.1).collect();
    for (name, figures) in names.into_iter().zip([first, second]) {
        let of = |value: &dyn Fn(&Figures) -> f64| median(&sorted(figures.iter().map(|figures| value(figures))));
        line(&format!(
            "    {name:<8} median {:>9.0} rows/CPU s  {:>9.0} rows/s  {:>6.1} MB/CPU s  peak {:>4.0} MB",
            of(&per_cpu),
            of(&|figures| figures.rows as f64 / figures.wall.as_secs_f64().max(0.001)),
            of(&|figures| bytes as f64 / 1e6 / figures.cpu.as_secs_f64().max(0.001)),
            of(&|figures| figures.peak as f64 / 1e6),
        ));
    }
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
