//! What is decoded of a manifest is what the Iceberg crate reads in it, whoever wrote it.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, FormatVersion, Literal, Manifest, ManifestContentType, ManifestWriterBuilder,
    NestedField, PartitionSpec, PrimitiveType, Schema, Struct, Transform, Type, UnboundPartitionField,
};
use proptest::prelude::*;
use weir_catalog::read::LiveFile;

use super::super::listed::decode::decode;
use super::super::listed::of_entries::{of_entries, of_live};
use super::super::listed::{ListedFiles, Origin};
use super::model::Numbers;

fn types() -> Vec<PrimitiveType> {
    vec![
        PrimitiveType::Boolean,
        PrimitiveType::Int,
        PrimitiveType::Long,
        PrimitiveType::Float,
        PrimitiveType::Double,
        PrimitiveType::Decimal { precision: 20, scale: 3 },
        PrimitiveType::Date,
        PrimitiveType::Time,
        PrimitiveType::Timestamp,
        PrimitiveType::Timestamptz,
        PrimitiveType::String,
        PrimitiveType::Uuid,
        PrimitiveType::Fixed(5),
        PrimitiveType::Binary,
    ]
}

/// The columns that partition: the crate cannot write a UUID there.
fn partitioned() -> Vec<(usize, PrimitiveType)> {
    types().into_iter().enumerate().filter(|(_, ty)| *ty != PrimitiveType::Uuid).collect()
}

fn schema() -> Arc<Schema> {
    let column = |(index, ty): (usize, PrimitiveType)| {
        let id = i32::try_from(index).expect("small") + 1;
        Arc::new(NestedField::optional(id, format!("c{id}"), Type::Primitive(ty)))
    };
    Arc::new(Schema::builder().with_fields(types().into_iter().enumerate().map(column)).build().expect("schema"))
}

fn spec(schema: &Arc<Schema>) -> PartitionSpec {
    let field = |index: usize| UnboundPartitionField {
        source_id: i32::try_from(index).expect("small") + 1,
        field_id: None,
        name: format!("p{index}"),
        transform: Transform::Identity,
    };
    let fields = partitioned().into_iter().map(|(index, _)| field(index));
    PartitionSpec::builder(Arc::clone(schema)).add_unbound_fields(fields).expect("fields").build().expect("spec")
}

fn literal(ty: &PrimitiveType, numbers: &mut Numbers) -> Literal {
    let number = i64::try_from(numbers.below(usize::MAX >> 1)).expect("positive") * if numbers.one_in(2) { -1 } else { 1 };
    let bytes = number.to_be_bytes();
    match ty {
        PrimitiveType::Boolean => Literal::bool(number > 0),
        PrimitiveType::Int => Literal::int(number as i32),
        PrimitiveType::Date => Literal::date(number as i32),
        PrimitiveType::Float => Literal::float(number as f32),
        PrimitiveType::Double => Literal::double(number as f64),
        PrimitiveType::Decimal { .. } => Literal::decimal(i128::from(number) >> numbers.below(60)),
        PrimitiveType::String => Literal::string("text".repeat(numbers.below(4))),
        PrimitiveType::Fixed(size) => Literal::fixed(bytes[..usize::try_from(*size).expect("small")].to_vec()),
        PrimitiveType::Binary => Literal::binary(bytes[numbers.below(8)..].to_vec()),
        _ => Literal::long(number),
    }
}

fn bound(ty: PrimitiveType, numbers: &mut Numbers) -> Datum {
    let number = numbers.below(1 << 40) as u64;
    let eight = number.to_le_bytes();
    let bytes = match ty {
        PrimitiveType::Boolean => vec![u8::from(number.is_multiple_of(2))],
        PrimitiveType::Int | PrimitiveType::Date | PrimitiveType::Float => eight[..4].to_vec(),
        PrimitiveType::Decimal { .. } => vec![0x12, eight[0]],
        PrimitiveType::String => number.to_string().into_bytes(),
        PrimitiveType::Uuid => [eight, eight].concat(),
        PrimitiveType::Fixed(_) => eight[..5].to_vec(),
        PrimitiveType::Binary => eight[numbers.below(8)..].to_vec(),
        _ => eight.to_vec(),
    };
    Datum::try_from_bytes(&bytes, ty).expect("a bound")
}

/// A file of which the metadata says something here and there.
fn file(content: DataContentType, numbers: &mut Numbers) -> DataFile {
    let value = |(_, ty): (usize, PrimitiveType)| (!numbers.one_in(3)).then(|| literal(&ty, &mut Numbers::new(numbers.below(5) as u64)));
    let partition: Vec<Option<Literal>> = partitioned().into_iter().map(value).collect();
    let mut counts = || -> HashMap<i32, u64> {
        let ids: Vec<i32> = (1..20).filter(|_| numbers.one_in(2)).collect();
        ids.into_iter().map(|id| (id, numbers.below(5) as u64)).collect()
    };
    let (sizes, values, nulls, nans) = (counts(), counts(), counts(), counts());
    let mut bounds = || -> HashMap<i32, Datum> {
        let of = |(index, ty): (usize, PrimitiveType)| numbers.one_in(2).then(|| (i32::try_from(index).expect("small") + 1, bound(ty, numbers)));
        types().into_iter().enumerate().filter_map(of).collect()
    };
    let (lower, upper) = (bounds(), bounds());
    let mut file = DataFileBuilder::default();
    file.content(content).file_path(format!("file:///t/{}", numbers.below(1_000))).partition(Struct::from_iter(partition)).partition_spec_id(0);
    let formats = [DataFileFormat::Parquet, DataFileFormat::Orc, DataFileFormat::Avro];
    file.file_format(*numbers.pick(&formats).expect("one")).record_count(numbers.below(9) as u64).file_size_in_bytes(numbers.below(9) as u64);
    file.column_sizes(sizes).value_counts(values).null_value_counts(nulls).nan_value_counts(nans).lower_bounds(lower).upper_bounds(upper);
    if numbers.one_in(4) {
        file.key_metadata(Some(vec![1]));
    }
    if content == DataContentType::EqualityDeletes {
        file.equality_ids(Some(vec![1, 3]));
    }
    if content == DataContentType::PositionDeletes && numbers.one_in(2) {
        file.referenced_data_file(Some("file:///t/target".to_owned())).content_offset(Some(4)).content_size_in_bytes(Some(44));
    }
    file.build().expect("file")
}

/// A manifest with files that were added, kept and removed.
async fn manifest(seed: u64, version: FormatVersion, deletes: bool) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let (schema, io, path) = (schema(), FileIO::new_with_memory(), "memory:///m.avro");
    let builder = ManifestWriterBuilder::new(io.new_output(path).expect("output"), Some(77), Arc::clone(&schema), spec(&schema));
    let mut writer = match (version, deletes) {
        (FormatVersion::V1, _) => builder.build_v1(),
        (FormatVersion::V2, false) => builder.build_v2_data(),
        (FormatVersion::V2, true) => builder.build_v2_deletes(),
        (FormatVersion::V3, false) => builder.build_v3_data(),
        (FormatVersion::V3, true) => builder.build_v3_deletes(),
    };
    for _ in 0..=numbers.below(8) {
        let content = match (deletes, numbers.one_in(2)) {
            (false, _) => DataContentType::Data,
            (true, false) => DataContentType::PositionDeletes,
            (true, true) => DataContentType::EqualityDeletes,
        };
        let file = file(content, &mut numbers);
        let sequence = if version == FormatVersion::V1 { 0 } else { i64::try_from(numbers.below(50)).expect("small") + 1 };
        let sequence_if_known = if numbers.one_in(2) { -1 } else { sequence };
        match numbers.below(4) {
            0 => writer.add_existing_file(file, 5, sequence, Some(sequence)),
            1 => writer.add_delete_file(file, sequence, Some(sequence)),
            _ => writer.add_file(file, sequence_if_known),
        }
        .expect("added");
    }
    writer.write_manifest_file().await.expect("written");
    io.new_input(path).expect("input").read().await.expect("read").to_vec()
}

/// The same Avro file with its only block packed.
fn deflated(file: &[u8]) -> Vec<u8> {
    let sync = file[file.len() - 16..].to_vec();
    let head = file.windows(16).position(|window| window == sync).expect("the head ends with it");
    let (mut number, mut at) = ([0_u64; 2], head + 16);
    for number in &mut number {
        let mut shift = 0;
        loop {
            *number |= u64::from(file[at] & 0x7f) << shift;
            shift += 7;
            at += 1;
            if file[at - 1] & 0x80 == 0 {
                break;
            }
        }
    }
    let block = &file[at..file.len() - 16];
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(block).expect("packs");
    let packed = encoder.finish().expect("packs");
    let long = |value: u64, out: &mut Vec<u8>| {
        let mut rest = value;
        while rest >= 0x80 {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    };
    let codec = b"\x14avro.codec\x08null";
    let place = file[..head].windows(codec.len()).position(|window| window == codec).expect("its codec is named");
    let mut out = file[..place].to_vec();
    out.extend_from_slice(b"\x14avro.codec\x0edeflate");
    out.extend_from_slice(&file[place + codec.len()..head + 16]);
    long(number[0], &mut out);
    long((packed.len() as u64) << 1, &mut out);
    out.extend_from_slice(&packed);
    out.extend_from_slice(&sync);
    out
}

const ORIGIN: Origin = Origin { spec_id: 0, content: ManifestContentType::Data, sequence: 60, snapshot: 77 };

/// All that is known of the files.
fn told(files: &Arc<ListedFiles>) -> Vec<String> {
    let told = |row: usize| {
        let file = files.file(row);
        let metrics: Vec<_> =
            (0..21).map(|id| (files.metrics_of(id).map(|one| one.counts(row, file.records())), file.lower(id), file.upper(id))).collect();
        let metrics: Vec<_> = metrics.into_iter().map(|(counts, lower, upper)| (counts.unwrap_or_default(), lower, upper)).collect();
        let plain = (file.path(), file.bytes(), file.records(), file.sequence(), file.added_by(), file.format(), file.content(), file.column_bytes());
        format!(
            "{plain:?} {:?} {metrics:?} {:?} {:?} {:?} {:?}",
            file.partition(),
            file.is_encrypted(),
            file.equality_ids(),
            file.target(),
            file.blob()
        )
    };
    (0..files.len()).map(told).collect()
}

fn by_crate(file: &[u8]) -> Vec<String> {
    let manifest = Manifest::parse_avro(file).expect("a manifest");
    let inherited: Vec<_> = manifest
        .entries()
        .iter()
        .map(|entry| {
            let mut entry = entry.as_ref().clone();
            if entry.sequence_number().is_none() {
                entry = with_sequence(&entry, ORIGIN.sequence);
            }
            entry
        })
        .collect();
    told(&Arc::new(of_entries(&inherited, ORIGIN).expect("listed")))
}

/// An added entry with what it inherits.
fn with_sequence(entry: &iceberg::spec::ManifestEntry, sequence: i64) -> iceberg::spec::ManifestEntry {
    let snapshot = entry.snapshot_id().unwrap_or(ORIGIN.snapshot);
    iceberg::spec::ManifestEntry::builder()
        .status(entry.status())
        .snapshot_id(snapshot)
        .sequence_number(sequence)
        .file_sequence_number(sequence)
        .data_file(entry.data_file().clone())
        .build()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_decoded_is_what_the_crate_reads(seed: u64, version in 1_u8..4, deletes: bool) {
        let version = match version { 1 => FormatVersion::V1, 2 => FormatVersion::V2, _ => FormatVersion::V3 };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let file = runtime.block_on(manifest(seed, version, deletes && version != FormatVersion::V1));
        let expected = by_crate(&file);
        let listed = decode(&file, ORIGIN, true).expect("usual");
        let without = decode(&file, ORIGIN, false).expect("usual");
        prop_assert!(without.len() == listed.len() && 0 < without.memory() && without.memory() <= listed.memory());
        prop_assert!((0..without.len()).all(|row| without.records(row) == listed.records(row)));
        prop_assert_eq!(told(&Arc::new(listed)), expected.clone());
        prop_assert_eq!(told(&Arc::new(decode(&deflated(&file), ORIGIN, true).expect("usual"))), expected);
    }

    #[test]
    fn damage_is_noticed_or_does_no_harm(seed in 0_u64..20, at: prop::sample::Index, bit in 0_u8..8, cut: bool, packed: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let whole = runtime.block_on(manifest(seed, FormatVersion::V2, false));
        let mut file = if packed { deflated(&whole) } else { whole };
        let place = at.index(file.len());
        file[place] ^= 1 << bit;
        if cut {
            file.truncate(place);
        }
        if let Ok(listed) = decode(&file, ORIGIN, true) {
            told(&Arc::new(listed));
        }
    }
}

#[test]
fn the_targets_and_the_columns_of_delete_files_are_counted_as_memory() {
    let memory = |content: DataContentType, targets: usize, columns: i32| {
        let mut file = DataFileBuilder::default();
        file.content(content).file_path("d".to_owned()).partition(Struct::empty()).partition_spec_id(0).file_format(DataFileFormat::Parquet);
        file.record_count(1).file_size_in_bytes(1).equality_ids(Some((0..columns).collect())).referenced_data_file(Some("t".repeat(targets)));
        let live = LiveFile { file: file.build().expect("file"), spec_id: 0, sequence_number: 1, snapshot_id: None };
        of_live(&live).expect("listed").all().memory()
    };
    let least = memory(DataContentType::PositionDeletes, 1, 1);
    assert!(memory(DataContentType::PositionDeletes, 1_001, 1) >= least + 1_000);
    assert!(memory(DataContentType::EqualityDeletes, 1, 1_001) >= least + 4_000);
}
