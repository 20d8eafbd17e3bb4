//! The same table compacted by Spark's `rewrite_data_files`, in one thread.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::ours::TARGET;
use crate::print::line;
use crate::{Outcome, Shape, table};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/foreign");

/// Has Spark rewrite the table, and says what that took.
pub(crate) fn run(folder: &Path, shape: Shape, made: &table::Made) -> Outcome<()> {
    table::create(folder, shape, made)?;
    let before = data_files(folder)?;
    let task = folder.join("spark.json");
    let warehouse = format!("file://{}/lake", folder.display());
    std::fs::write(
        &task,
        json!({ "properties": { "type": "hadoop", "warehouse": warehouse }, "table": "shop.orders", "target": TARGET }).to_string(),
    )?;
    let done = Command::new(SCRIPT).args(["change", "spark-rewrite"]).arg(&task).output()?;
    if !done.status.success() {
        return Err(format!("Spark: {}", String::from_utf8_lossy(&done.stderr)).into());
    }
    let said: Value = serde_json::from_slice(&done.stdout)?;
    let figure = |name: &str| said[name].as_f64().ok_or_else(|| format!("Spark does not say its {name}"));
    let (cpu, clock, peak) = (figure("cpu")?, figure("clock")?, figure("peak")?);
    let megabytes = made.bytes as f64 / 1e6;
    line(&format!(
        "| {} × {:.2} MB | {shape:?} | Spark | {:.1} MB, {:.2} M rows per CPU s | {:.0} MB/s by the clock | {:.0} MB at its peak |",
        made.files.len(),
        megabytes / made.files.len() as f64,
        megabytes / cpu,
        made.rows as f64 / 1e6 / cpu,
        megabytes / clock,
        peak / 1e6,
    ));
    // What comes next makes the table anew, over the small files alone.
    for name in data_files(folder)?.difference(&before) {
        std::fs::remove_file(folder.join("lake/shop/orders/data").join(name))?;
    }
    Ok(())
}

fn data_files(folder: &Path) -> Outcome<BTreeSet<OsString>> {
    let entries = std::fs::read_dir(folder.join("lake/shop/orders/data"))?;
    Ok(entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?)
}
