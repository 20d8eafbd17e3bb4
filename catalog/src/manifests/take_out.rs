//! A manifest in which some of the live files are marked as removed by a snapshot, as the others are carried over.

use std::collections::HashSet;

use iceberg::spec::{ManifestFile, ManifestStatus, UNASSIGNED_SEQUENCE_NUMBER};

use super::{branch_of, entry_of, fields};
use crate::avro::{Container, Cursor, Node, Outcome, Rewrite, Unusual, write_length, write_long};
use crate::read::live_count;

/// What became of a manifest.
#[derive(Debug)]
pub(crate) struct TakenOut {
    /// The file of the new one.
    pub(crate) content: Vec<u8>,
    /// Paths of the files that were in it and shall go; if there are none, the old manifest stays.
    pub(crate) found: Vec<String>,
    /// Files and rows that stay, and that go.
    existing: (u32, u64),
    deleted: (u32, u64),
    min_sequence: Option<i64>,
}

/// What an entry says of itself, what it inherits from its manifest included.
#[derive(Debug, Clone, Copy)]
struct Own {
    snapshot: i64,
    sequence: i64,
    file_sequence: i64,
}

/// Takes the `wanted` files out of a `manifest` of format 2 with this content, in the name of a snapshot.
///
/// # Errors
/// A manifest that is written as few are; it may be right all the same.
pub(crate) fn take_out(file: &[u8], manifest: &ManifestFile, snapshot: i64, wanted: &HashSet<String>) -> Outcome<TakenOut> {
    let container = Container::open(file)?;
    if container.metadata.get("format-version").copied() != Some(b"2") {
        return Err(Unusual("another format"));
    }
    let entry = entry_of(&container)?;
    let mut rewrite = Rewrite::of(&container);
    let mut taken = TakenOut { content: Vec::new(), found: Vec::new(), existing: (0, 0), deleted: (0, 0), min_sequence: None };
    let mut live = 0_u64;
    container.objects(|cursor| {
        let before = *cursor;
        let Some((own, path, records)) = read(cursor, &entry, manifest)? else { return Ok(()) };
        live += 1;
        let goes = wanted.contains(path);
        let count = if goes { &mut taken.deleted } else { &mut taken.existing };
        *count = (count.0 + 1, count.1 + records);
        let (status, own) = if goes {
            taken.found.push(path.to_owned());
            (ManifestStatus::Deleted, Own { snapshot, ..own })
        } else {
            taken.min_sequence = Some(taken.min_sequence.map_or(own.sequence, |least| least.min(own.sequence)));
            (ManifestStatus::Existing, own)
        };
        write(before, &entry, status, own, rewrite.out())?;
        rewrite.end();
        Ok(())
    })?;
    if live < live_count(manifest) {
        return Err(Unusual("fewer entries than the manifest list says"));
    }
    taken.content = rewrite.finish();
    Ok(taken)
}

impl TakenOut {
    /// The new manifest, whose file is at `path`, for the list of the snapshot.
    pub(crate) fn manifest(&self, old: &ManifestFile, path: String, snapshot: i64) -> ManifestFile {
        ManifestFile {
            manifest_path: path,
            manifest_length: i64::try_from(self.content.len()).unwrap_or(i64::MAX),
            // Both are filled in when the list is written.
            sequence_number: UNASSIGNED_SEQUENCE_NUMBER,
            min_sequence_number: self.min_sequence.unwrap_or(UNASSIGNED_SEQUENCE_NUMBER),
            added_snapshot_id: snapshot,
            added_files_count: Some(0),
            existing_files_count: Some(self.existing.0),
            deleted_files_count: Some(self.deleted.0),
            added_rows_count: Some(0),
            existing_rows_count: Some(self.existing.1),
            deleted_rows_count: Some(self.deleted.1),
            // Bounds of all entries that it had, and so of those that it has.
            partitions: old.partitions.clone(),
            ..old.clone()
        }
    }
}

/// Reads an entry to its end; `None` if its file is gone already.
fn read<'a>(cursor: &mut Cursor<'a>, entry: &Node, manifest: &ManifestFile) -> Outcome<Option<(Own, &'a str, u64)>> {
    let (mut status, mut snapshot, mut sequence, mut file_sequence) = (None, None, None, None);
    let (mut path, mut records) = (None, None);
    for (name, node) in fields(entry)? {
        match name.as_str() {
            "status" => status = number(cursor, node)?,
            "snapshot_id" => snapshot = number(cursor, node)?,
            "sequence_number" => sequence = number(cursor, node)?,
            "file_sequence_number" => file_sequence = number(cursor, node)?,
            "data_file" => {
                for (name, node) in fields(node)? {
                    match name.as_str() {
                        "file_path" if **node == Node::Text => path = std::str::from_utf8(cursor.bytes()?).ok(),
                        "record_count" => records = number(cursor, node)?,
                        _ => cursor.skip(node)?,
                    }
                }
            }
            _ => cursor.skip(node)?,
        }
    }
    let status = status.and_then(|status| i32::try_from(status).ok()).and_then(|status| ManifestStatus::try_from(status).ok());
    let status = status.ok_or(Unusual("no status"))?;
    if status == ManifestStatus::Deleted {
        return Ok(None);
    }
    let inherited = (status == ManifestStatus::Added || manifest.sequence_number == 0).then_some(manifest.sequence_number);
    let missing = Unusual("no sequence number");
    let own = Own {
        snapshot: snapshot.unwrap_or(manifest.added_snapshot_id),
        sequence: sequence.or(inherited).ok_or(missing)?,
        file_sequence: file_sequence.or(inherited).ok_or(missing)?,
    };
    let records = records.and_then(|records| u64::try_from(records).ok()).ok_or(Unusual("no number of rows"))?;
    Ok(Some((own, path.ok_or(Unusual("no path"))?, records)))
}

/// Writes the entry that begins at the cursor with another status, and with what it has inherited.
fn write(mut cursor: Cursor<'_>, entry: &Node, status: ManifestStatus, own: Own, out: &mut Vec<u8>) -> Outcome<()> {
    for (name, node) in fields(entry)? {
        let before = cursor;
        cursor.skip(node)?;
        let value = match name.as_str() {
            "status" => status as i64,
            "snapshot_id" => own.snapshot,
            "sequence_number" => own.sequence,
            "file_sequence_number" => own.file_sequence,
            _ => {
                out.extend_from_slice(cursor.since(before));
                continue;
            }
        };
        if matches!(**node, Node::Union(_)) {
            write_length(branch_of(node, is_number).ok_or(Unusual("no number"))?, out);
        }
        write_long(value, out);
    }
    Ok(())
}

fn is_number(node: &Node) -> bool {
    matches!(node, Node::Int | Node::Long)
}

fn number(cursor: &mut Cursor<'_>, node: &Node) -> Outcome<Option<i64>> {
    match cursor.branch(node)? {
        Node::Null => Ok(None),
        kind if is_number(kind) => cursor.long().map(Some),
        _ => Err(Unusual("no number")),
    }
}
