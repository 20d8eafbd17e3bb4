//! The tables that the benchmark prints.

use crate::measure::Figures;
use crate::print::{line, spread};

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
