//! The lines that the benchmark prints.

use crate::Outcome;
use crate::cases::Case;
use crate::engines::{Engine, REFERENCE};
use crate::print::{line, spread};
use crate::process::Figures;

/// Prints the medians of a case, with the least and the most of some in brackets. `rows` is how many the table has.
pub(crate) fn case(case: &Case, rows: u64, results: &[(&Engine, Vec<Figures>)]) -> Outcome<()> {
    line(&format!("\n{}: {}", case.name, case.sql));
    line(
        "  engine                 ms                      CPU ms                  M rows/CPU s   MB read   peak MB   CPU of DuckDB's        time of DuckDB's",
    );
    let (_, reference) = results.iter().find(|(engine, _)| engine.name == REFERENCE).ok_or("nothing to compare with")?;
    let given = reference.first().map(|figures| figures.rows);
    for (engine, rounds) in results {
        // Under EXPLAIN ANALYZE the rows are lines of the plan.
        let inside = engine.name == "DuckDB inside";
        if let Some(wrong) = rounds.iter().find(|figures| Some(figures.rows) != given && !inside) {
            return Err(format!("{} gives {} rows, {REFERENCE} {given:?}", engine.name, wrong.rows).into());
        }
        let of = |value: &dyn Fn(&Figures) -> f64, digits| spread(rounds.iter().map(value), digits);
        let median = |value: &dyn Fn(&Figures) -> f64, digits| of(value, digits).split(' ').next().unwrap_or_default().to_owned();
        let beside = |value: &dyn Fn(&Figures) -> f64| spread(rounds.iter().zip(reference).map(|(ours, theirs)| value(ours) / value(theirs)), 2);
        let cpu = |figures: &Figures| figures.cpu.as_secs_f64().max(1e-6);
        let wall = |figures: &Figures| figures.wall.as_secs_f64().max(1e-6);
        line(&format!(
            "  {:<19} {:>23} {:>23} {:>12} {:>11} {:>8}     {:<22} {}",
            engine.name,
            of(&|figures| wall(figures) * 1e3, 1),
            of(&|figures| cpu(figures) * 1e3, 1),
            median(&|figures| rows as f64 / cpu(figures) / 1e6, 1),
            median(&|figures| figures.read as f64 / 1e6, 2),
            median(&|figures| figures.peak as f64 / 1e6, 0),
            beside(&cpu),
            beside(&wall),
        ));
    }
    Ok(())
}
