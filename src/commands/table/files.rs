//! `weir table files`: a picture of sizes by partition.

use weir_compaction::policy::{Debt, FileFacts, Options};

use super::{Files, Found};
use crate::cli::Global;
use crate::failure::Failure;
use crate::fs_command::print::{Printer, size};

pub(super) const EXAMPLES: &str = "\
Examples:
  weir table files --init job.sql lake.db.t
  weir table files --init job.sql lake.db.t --partition ts_day=2026-11";

/// Shares of the target size at which the classes of the picture end, in thousandths; the last class has no end.
const CLASSES: [u64; 6] = [2, 10, 50, 250, 750, 1_500];
/// Heights of a bar.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Prints the files of a table.
pub(super) async fn run(global: &Global, arguments: &Files) -> Result<(), Failure> {
    let found = Found::open(global, &arguments.which, true).await?;
    let options = &found.options;
    let partitions: Vec<(String, &[FileFacts])> = found
        .live
        .inventory
        .partitions()
        .filter(|(partition, _)| arguments.which.wants(&partition.name))
        .map(|(partition, files)| (partition.to_string(), files))
        .collect();
    let most = partitions.iter().flat_map(|(_, files)| classes(files, options)).max().unwrap_or(0);
    let mut rows = vec![["partition", "files", "ideal", "bytes", "rows", "copies", "with deletes", "small to large"].map(str::to_owned)];
    let mut all: Vec<FileFacts> = Vec::new();
    let mut debt = Debt::default();
    for (name, files) in &partitions {
        let of_partition = Debt::of(files, options);
        debt = debt.plus(of_partition);
        rows.push(row(name.clone(), files, of_partition, &picture(&classes(files, options), most)));
        all.extend_from_slice(files);
    }
    if partitions.len() != 1 {
        let counts = classes(&all, options);
        let most = counts.iter().copied().max().unwrap_or(0);
        rows.push(row("total".to_owned(), &all, debt, &picture(&counts, most)));
    }
    let mut printer = Printer::default();
    printer.table([false, true, true, true, true, true, true, false], &rows)?;
    let ends: Vec<String> = CLASSES.iter().map(|share| size(options.target_bytes * share / 1_000, true)).collect();
    printer.line(&format!("classes end at {}; the target is {}", ends.join(", "), size(options.target_bytes, true)))?;
    printer.line(&format!("debt: {} files above the ideal, {} in files to rewrite", debt.files(), size(debt.bytes, true)))?;
    printer.flush()
}

fn row(name: String, files: &[FileFacts], debt: Debt, picture: &str) -> [String; 8] {
    let count = |is: &dyn Fn(&FileFacts) -> bool| files.iter().filter(|file| is(file)).count().to_string();
    [
        name,
        files.len().to_string(),
        debt.ideal.to_string(),
        size(files.iter().map(|file| file.bytes).sum(), true),
        files.iter().map(|file| file.rows).sum::<u64>().to_string(),
        count(&|file| file.is_copy),
        count(&FileFacts::carries_deletes),
        picture.to_owned(),
    ]
}

/// Files by class of size.
fn classes(files: &[FileFacts], options: &Options) -> [usize; CLASSES.len() + 1] {
    let mut counts = [0; CLASSES.len() + 1];
    for file in files {
        let class = CLASSES.iter().take_while(|share| file.bytes >= options.target_bytes.saturating_mul(**share) / 1_000).count();
        if let Some(count) = counts.get_mut(class) {
            *count += 1;
        }
    }
    counts
}

/// A bar for each class, as high as it has files on a logarithmic scale: one file shows, and a thousand still fit.
fn picture(counts: &[usize], most: usize) -> String {
    let height = |count: usize| (count as f64 + 1.0).ln() / (most as f64 + 1.0).ln();
    let bar = |count: &usize| {
        let step = (height(*count) * (BARS.len() - 1) as f64).round();
        let index = (0..BARS.len()).take_while(|index| *index as f64 <= step).count().saturating_sub(1);
        if *count == 0 { '·' } else { BARS.get(index).copied().unwrap_or('█') }
    };
    counts.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_shows_beside_a_thousand() {
        assert_eq!(picture(&[0, 1, 30, 1_000], 1_000), "·▂▄█");
        assert_eq!(picture(&[1, 0], 1), "█·");
        assert_eq!(picture(&[0, 0], 0), "··");
    }
}
