//! Columns that a table once had. Pure.

use iceberg::spec::{Schema, TableMetadata};

/// What has become of the column `name` that the table, which messages call `table`, does not have now; `None` if it never had one.
#[must_use]
pub fn past_column(table: &str, metadata: &TableMetadata, name: &str) -> Option<String> {
    let has = |schema: &Schema| schema.as_struct().fields().iter().find(|field| field.name == name).map(|field| field.id);
    let current = metadata.current_schema();
    if has(current).is_some() {
        return None;
    }
    let mut schemas: Vec<_> = metadata.schemas_iter().collect();
    schemas.sort_by_key(|schema| std::cmp::Reverse(schema.schema_id()));
    let id = schemas.into_iter().find_map(|schema| has(schema))?;
    let newest_first = metadata.history().iter().rev().filter_map(|entry| metadata.snapshot_by_id(entry.snapshot_id));
    let last = newest_first
        .map(|snapshot| (snapshot.snapshot_id(), snapshot.schema(metadata)))
        .find_map(|(snapshot, schema)| has(schema.as_ref().ok()?).map(|_| snapshot));
    let now = current.name_by_field_id(id).map(|now| format!("; it is called '{now}' now")).unwrap_or_default();
    let then = match last {
        Some(snapshot) => format!("To read it as it was then, write {table} VERSION AS OF {snapshot}"),
        None => "No snapshot that had it is left".to_owned(),
    };
    let until = last.map(|snapshot| format!(" until after snapshot {snapshot}")).unwrap_or_default();
    Some(format!("Table '{table}' had a column '{name}'{until}{now}. {then}."))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use iceberg::spec::{FormatVersion, NestedField, PartitionSpec, PrimitiveType, SortOrder, TableMetadataBuilder, Type};

    use super::*;

    fn schema(columns: &[(i32, &str)]) -> Schema {
        let field = |(id, name): &(i32, &str)| Arc::new(NestedField::optional(*id, *name, Type::Primitive(PrimitiveType::Long)));
        Schema::builder().with_fields(columns.iter().map(field)).build().expect("schema")
    }

    #[test]
    fn dropped_and_renamed_columns_are_told_from_those_that_never_were() {
        let spec = PartitionSpec::unpartition_spec().into_unbound();
        let first = schema(&[(1, "id"), (2, "old"), (3, "gone")]);
        let builder = TableMetadataBuilder::new(first, spec, SortOrder::unsorted_order(), "file:///t".to_owned(), FormatVersion::V2, HashMap::new());
        let evolved = builder.and_then(|builder| builder.add_schema(schema(&[(1, "id"), (2, "new")]))?.set_current_schema(-1)?.build());
        let metadata = evolved.expect("metadata").metadata;
        let told = |name: &str| past_column("c.d.t", &metadata, name);
        let renamed = told("old").expect("was there");
        assert!(renamed.contains("Table 'c.d.t' had a column 'old'; it is called 'new' now"), "{renamed}");
        let dropped = told("gone").expect("was there");
        assert!(!dropped.contains("now") && dropped.contains("No snapshot that had it is left"), "{dropped}");
        assert_eq!((told("id"), told("never")), (None, None));
    }
}
