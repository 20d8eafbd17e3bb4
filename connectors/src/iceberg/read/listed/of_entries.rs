//! Manifests that [`super::decode`] finds unusual, from the entries that the Iceberg crate reads in them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFile, Datum, Literal, ManifestContentType, ManifestEntry, ManifestStatus, PrimitiveLiteral, Struct};
use weir_catalog::manifests::ReadMetrics;
use weir_catalog::read::{LiveFile, SlimFile};

use super::decode::shortest;
use super::metrics::{Bound, Count};
use super::{ListedBuilder, ListedFile, ListedFiles, NewFile, Origin, Partition, Rare};

/// The live ones among the entries of a manifest. `Err` names the file that lacks a sequence number, or whose bounds cannot be kept.
pub(in crate::iceberg::read) fn of_entries<'a>(entries: impl IntoIterator<Item = &'a ManifestEntry>, origin: Origin) -> Result<ListedFiles, String> {
    let mut builder = ListedBuilder::new(origin);
    let mut partitions: HashMap<Struct, u32> = HashMap::new();
    for entry in entries.into_iter().filter(|entry| entry.is_alive()) {
        let file = entry.data_file();
        let sequence = entry.sequence_number().ok_or_else(|| format!("file `{}` has no sequence number", file.file_path()))?;
        let known = partitions.get(file.partition()).copied();
        let partition = known.unwrap_or_else(|| {
            let number = builder.partition(partition_of(file.partition()));
            partitions.insert(file.partition().clone(), number);
            number
        });
        let (snapshot, added) = (entry.snapshot_id().unwrap_or(origin.snapshot), entry.status() == ManifestStatus::Added);
        let new = new_file(file, sequence, snapshot, added);
        let listed = metrics(&mut builder, file).and_then(|()| builder.push(&new, partition, rare(file)));
        listed.ok_or_else(|| format!("what the manifest says of file `{}` is too long", file.file_path()))?;
    }
    Ok(builder.finish())
}

/// A file by itself; `None` if its bounds cannot be kept.
pub(in crate::iceberg::read) fn of_live(live: &LiveFile) -> Option<ListedFile> {
    alone(live, |builder| metrics(builder, &live.file))
}

/// A file by itself, with what its metrics say of some leaves; `None` if that cannot be read or kept.
pub(in crate::iceberg::read) fn of_slim(slim: &SlimFile, leaves: &BTreeSet<i32>) -> Option<ListedFile> {
    alone(&slim.live, |builder| {
        let ReadMetrics { counts: [_, values, nulls, nans], bounds: [lower, upper] } = slim.metrics.read().ok()?;
        let metrics = builder.metrics();
        for (which, counts) in [(Count::Values, values), (Count::Nulls, nulls), (Count::Nans, nans)] {
            counts.into_iter().filter(|(id, _)| leaves.contains(id)).for_each(|(id, count)| metrics.count(which, id, count));
        }
        for (which, bounds) in [(Bound::Lower, lower), (Bound::Upper, upper)] {
            bounds.into_iter().filter(|(id, _)| leaves.contains(id)).try_for_each(|(id, bound)| metrics.bound(which, id, bound))?;
        }
        Some(())
    })
}

fn alone(live: &LiveFile, metrics: impl FnOnce(&mut ListedBuilder) -> Option<()>) -> Option<ListedFile> {
    let (file, sequence, snapshot) = (&live.file, live.sequence_number, live.snapshot_id.unwrap_or_default());
    let content = if file.content_type() == DataContentType::Data { ManifestContentType::Data } else { ManifestContentType::Deletes };
    let mut builder = ListedBuilder::new(Origin { spec_id: live.spec_id, content, sequence, snapshot });
    let partition = builder.partition(partition_of(file.partition()));
    metrics(&mut builder)?;
    builder.push(&new_file(file, sequence, snapshot, false), partition, rare(file))?;
    Some(Arc::new(builder.finish()).file(0))
}

fn new_file(file: &DataFile, sequence: i64, snapshot: i64, added: bool) -> NewFile<'_> {
    NewFile {
        path: file.file_path(),
        bytes: file.file_size_in_bytes(),
        records: file.record_count(),
        sequence,
        snapshot,
        column_bytes: file.column_sizes().values().sum(),
        format: file.file_format(),
        content: file.content_type(),
        added,
    }
}

fn rare(file: &DataFile) -> Rare {
    Rare {
        encrypted: file.key_metadata().is_some(),
        equality_ids: file.equality_ids().unwrap_or_default(),
        target: file.referenced_data_file().map(Into::into),
        blob: file.content_offset().zip(file.content_size_in_bytes()),
    }
}

fn metrics(builder: &mut ListedBuilder, file: &DataFile) -> Option<()> {
    let metrics = builder.metrics();
    for (which, counts) in [(Count::Values, file.value_counts()), (Count::Nulls, file.null_value_counts()), (Count::Nans, file.nan_value_counts())] {
        counts.iter().for_each(|(id, count)| metrics.count(which, *id, *count));
    }
    for (which, bounds) in [(Bound::Lower, file.lower_bounds()), (Bound::Upper, file.upper_bounds())] {
        bounds.iter().try_for_each(|(id, bound)| metrics.bound(which, *id, &Datum::to_bytes(bound).ok()?))?;
    }
    Some(())
}

fn partition_of(partition: &Struct) -> Partition {
    partition.fields().iter().map(|value| value.as_ref().and_then(Literal::as_primitive_literal).and_then(|value| stored(&value))).collect()
}

/// A partition value as [`super::decode`] keeps it.
fn stored(value: &PrimitiveLiteral) -> Option<Box<[u8]>> {
    Some(match value {
        PrimitiveLiteral::Boolean(value) => [u8::from(*value)].into(),
        PrimitiveLiteral::Int(value) => i64::from(*value).to_le_bytes().into(),
        PrimitiveLiteral::Long(value) => value.to_le_bytes().into(),
        PrimitiveLiteral::Float(value) => f64::from(value.0).to_le_bytes().into(),
        PrimitiveLiteral::Double(value) => value.to_le_bytes().into(),
        PrimitiveLiteral::String(value) => value.as_bytes().into(),
        PrimitiveLiteral::Binary(value) => value.as_slice().into(),
        PrimitiveLiteral::Int128(value) => shortest(&value.to_be_bytes()).into(),
        PrimitiveLiteral::UInt128(value) => value.to_be_bytes().into(),
        PrimitiveLiteral::AboveMax | PrimitiveLiteral::BelowMin => return None,
    })
}
