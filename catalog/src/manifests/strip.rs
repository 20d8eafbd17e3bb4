//! A manifest without the metrics of its files, and these apart.

use super::metrics::{FIELDS, FileMetrics};
use super::{branch_of, entry_of, fields};
use crate::avro::{Container, Cursor, Node, Outcome, Rewrite, Unusual, write_length};

/// The same manifest in which no file has metrics, and those of each entry in their order.
///
/// # Errors
/// A manifest that is written as few are; it may be right all the same.
pub(crate) fn strip(file: &[u8]) -> Outcome<(Vec<u8>, Vec<FileMetrics>)> {
    let container = Container::open(file)?;
    let entry = entry_of(&container)?;
    let mut stripped = Rewrite::of(&container);
    let mut all = Vec::new();
    container.objects(|cursor| {
        let mut arrays: [&[u8]; FIELDS.len()] = [&[0]; FIELDS.len()];
        for (name, node) in fields(&entry)? {
            if name == "data_file" {
                for (name, node) in fields(node)? {
                    match FIELDS.iter().position(|field| field == name).and_then(|place| arrays.get_mut(place)) {
                        Some(array) => *array = metrics(cursor, node, stripped.out())?.unwrap_or(&[0]),
                        None => copy(cursor, node, stripped.out())?,
                    }
                }
            } else {
                copy(cursor, node, stripped.out())?;
            }
        }
        stripped.end();
        all.push(FileMetrics::encoded(&arrays.concat()));
        Ok(())
    })?;
    Ok((stripped.finish(), all))
}

fn copy(cursor: &mut Cursor<'_>, node: &Node, out: &mut Vec<u8>) -> Outcome<()> {
    let before = *cursor;
    cursor.skip(node)?;
    out.extend_from_slice(cursor.since(before));
    Ok(())
}

/// Takes a map by field id, and writes that there is none.
fn metrics<'a>(cursor: &mut Cursor<'a>, node: &Node, out: &mut Vec<u8>) -> Outcome<Option<&'a [u8]>> {
    write_length(branch_of(node, |branch| *branch == Node::Null).ok_or(Unusual("metrics that must be there"))?, out);
    let kind = cursor.branch(node)?;
    if *kind == Node::Null {
        return Ok(None);
    }
    let Node::Array(item) = kind else { return Err(Unusual("no map")) };
    let [(key, id), (value, _)] = fields(item)? else { return Err(Unusual("a map of another kind")) };
    if key != "key" || value != "value" || !matches!(**id, Node::Int | Node::Long) {
        return Err(Unusual("a map of another kind"));
    }
    let before = *cursor;
    cursor.skip(kind)?;
    Ok(Some(cursor.since(before)))
}
