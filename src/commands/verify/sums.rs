//! `weir verify --sum`: what columns add up to, now, at other snapshots, and on both sides of rewrites.

use std::sync::Arc;

use weir_catalog::lake::LakeTable;
use weir_catalog::read::LiveFile;
use weir_catalog::verify::{rewrites, rewritten};
use weir_catalog::{LakeCatalog, TableId};
use weir_connectors::iceberg::{SumReader, Sums};

use crate::cli::Verify;
use crate::failure::Failure;
use crate::status_line;

/// What is to be added up.
pub(super) struct Wanted {
    table: LakeTable,
    reader: SumReader,
    /// Snapshots with what they are called.
    snapshots: Vec<(String, i64)>,
    rewrites: usize,
}

/// What came of it.
pub(super) struct Told {
    pub(super) text: String,
    /// Whether a rewrite has changed a sum.
    pub(super) differ: bool,
}

/// A line of the table that is printed.
struct Row {
    name: String,
    sums: Sums,
}

impl Wanted {
    /// `None` if no column is to be added up.
    pub(super) async fn of(catalog: &Arc<dyn LakeCatalog>, id: &TableId, arguments: &Verify) -> Result<Option<Self>, Failure> {
        if arguments.sum.is_empty() {
            return Ok(None);
        }
        let table = catalog.load(id).await.map_err(|error| Failure::of(&error))?;
        let name = format!("{}.{id}", catalog.name());
        let reader = SumReader::try_new(&name, &table, catalog.file_systems(), &arguments.sum).map_err(|error| Failure::of(&error))?;
        let mut snapshots: Vec<(String, i64)> = table.metadata.current_snapshot_id().map(|id| (format!("{id} (now)"), id)).into_iter().collect();
        for at in &arguments.at {
            snapshots.push(snapshot(&table, &name, at)?);
        }
        Ok(Some(Self { table, reader, snapshots, rewrites: arguments.rewrites }))
    }

    /// Reads the rows.
    pub(super) async fn read(self) -> Result<Told, Failure> {
        let mut rows = Vec::new();
        for (name, id) in &self.snapshots {
            let sums = self.sums(*id, None, &format!("snapshot {id}")).await?;
            rows.push(Row { name: format!("snapshot {name}"), sums });
        }
        let all = rewrites(&self.table.metadata).map_err(|error| Failure::of(&error))?;
        let (mut compared, mut unknown, mut changed) = (0, 0, Vec::new());
        let mut rest = all.iter();
        while compared + unknown < self.rewrites {
            let Some(snapshot) = rest.next() else { break };
            let id = snapshot.snapshot_id();
            let parent = snapshot.parent_snapshot_id().filter(|parent| self.table.metadata.snapshot_by_id(*parent).is_some());
            let Some(parent) = parent else {
                unknown += 1;
                continue;
            };
            let files = rewritten(&self.table, snapshot).await.map_err(|error| Failure::of(&error))?;
            // Manifests alone were rewritten.
            if files.removed.is_empty() && files.added.is_empty() {
                continue;
            }
            let before = self.sums(parent, Some(&files.removed), &format!("before rewrite {id}")).await?;
            let after = self.sums(id, Some(&files.added), &format!("after rewrite {id}")).await?;
            compared += 1;
            if !before.agrees_with(&after) {
                changed.push(id.to_string());
            }
            rows.push(Row { name: format!("rewrite {id}: {} files out", files.removed.len()), sums: before });
            rows.push(Row { name: format!("rewrite {id}: {} files in", files.added.len()), sums: after });
        }
        let mut text = table(&rows);
        if compared > 0 {
            text.push('\n');
            text.push_str(&verdict(compared, rest.len() == 0, &changed));
        }
        if unknown > 0 {
            text.push_str(&format!("\n{unknown} rewrites cannot be compared: the snapshot before was expired"));
        }
        Ok(Told { text, differ: !changed.is_empty() })
    }

    async fn sums(&self, snapshot: i64, files: Option<&[LiveFile]>, what: &str) -> Result<Sums, Failure> {
        let gone = || Failure::internal(format!("snapshot {snapshot} was there a moment ago"));
        let snapshot = self.table.metadata.snapshot_by_id(snapshot).ok_or_else(gone)?;
        let paths: Option<Vec<String>> = files.map(|files| files.iter().map(|live| live.file.file_path().to_owned()).collect());
        let done = |done: usize, all: usize| status_line::set(format!("{what}: {done} of {all} files added up"));
        self.reader.of(snapshot, paths.as_deref(), done).await.map_err(|error| Failure::of(&error))
    }
}

/// The snapshot of an id, a branch or a tag, with what to call it.
fn snapshot(table: &LakeTable, name: &str, at: &str) -> Result<(String, i64), Failure> {
    if let Ok(id) = at.parse::<i64>()
        && table.metadata.snapshot_by_id(id).is_some()
    {
        return Ok((at.to_owned(), id));
    }
    match table.metadata.snapshot_for_ref(at) {
        Some(snapshot) => Ok((format!("{} ({at})", snapshot.snapshot_id()), snapshot.snapshot_id())),
        None => Err(Failure::user(format!("Table '{name}' has no snapshot, branch or tag '{at}'; it may have been expired."))),
    }
}

fn verdict(compared: usize, all: bool, changed: &[String]) -> String {
    let which = if all { format!("all {compared}") } else { format!("the newest {compared}") };
    if changed.is_empty() {
        format!("{which} rewrites: rows and sums are the same before and after")
    } else {
        format!("NOT the same before and after: rewrite {}", changed.join(", "))
    }
}

/// Aligned columns: the name, the rows, and for each column its sum and its nulls.
fn table(rows: &[Row]) -> String {
    let columns: Vec<&str> = rows.first().map(|row| row.sums.columns.iter().map(|sum| sum.column.as_str()).collect()).unwrap_or_default();
    let title = columns.iter().flat_map(|column| [format!("sum({column})"), format!("nulls({column})")]);
    let mut lines: Vec<Vec<String>> = vec![["sums".to_owned(), "rows".to_owned()].into_iter().chain(title).collect()];
    lines.extend(rows.iter().map(|Row { name, sums }| {
        let of_columns = sums.columns.iter().flat_map(|column| [column.sum.to_string(), column.nulls.to_string()]);
        [name.clone(), sums.rows.to_string()].into_iter().chain(of_columns).collect()
    }));
    let width = |index: usize| lines.iter().filter_map(|line| line.get(index)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..2 + columns.len() * 2).map(width).collect();
    let aligned = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).enumerate();
        let cells = cells.map(|(index, (cell, width))| if index == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    aligned.collect::<Vec<_>>().join("\n")
}
