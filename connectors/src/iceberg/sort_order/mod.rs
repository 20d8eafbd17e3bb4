//! The order that rewritten rows shall have, as a table's columns.

mod text;

use std::fmt;

use iceberg::TableRequirement;
use iceberg::spec::{NestedFieldRef, NullOrder, Schema, SortDirection, SortField, SortOrder, TableMetadata, TableMetadataBuilder, Transform, Type};
use weir_base::options::closest;
use weir_catalog::CatalogError;
use weir_catalog::lake::{LakeCatalog, TableId};

use crate::error::ConnectorError;
use text::{Written, is_word, parse};

const NO_ORDER: &str = "the table has no order of its own; name columns";

/// Columns of a table to sort by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortBy(Vec<SortColumn>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortColumn {
    /// Its name.
    pub name: String,
    /// Its id in the table.
    pub field_id: i32,
    /// Whether the largest come first.
    pub descending: bool,
    /// Whether NULLs come first.
    pub nulls_first: bool,
}

impl fmt::Display for SortBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, column) in self.0.iter().enumerate() {
            let before = if place == 0 { "" } else { ", " };
            let (direction, nulls) = (if column.descending { "DESC" } else { "ASC" }, if column.nulls_first { "FIRST" } else { "LAST" });
            write!(f, "{before}{} {direction} NULLS {nulls}", column.name)?;
        }
        Ok(())
    }
}

impl SortBy {
    /// What `compact.sort-order` says of a table: columns such as `ts ASC NULLS FIRST, user_id DESC`, where nulls come first in ascending order and last
    /// in descending if that is not told; or `table`, which is the table's own order. Without a text that too, if the table has one that can be sorted by.
    ///
    /// # Errors
    /// A text that is not understood, a column that the table does not have or that has no order, `table` for a table without an order of
    /// its own (user).
    pub fn of(text: Option<&str>, metadata: &TableMetadata) -> Result<Option<Self>, ConnectorError> {
        let refused = |what: String| {
            let end = if what.ends_with('?') { "" } else { "." };
            ConnectorError::user(format!("Invalid sort order '{}': {what}{end}", text.unwrap_or_default()))
        };
        match text {
            None => Ok(Self::of_table(metadata).ok()),
            Some(text) if is_word(text, "table") => Self::of_table(metadata).map(Some).map_err(refused),
            Some(text) => {
                let written = parse(text).map_err(refused)?;
                Self::of_columns(&written, metadata.current_schema()).map(Some).map_err(refused)
            }
        }
    }

    /// What the same text would say of a table that is made of these columns.
    ///
    /// # Errors
    /// As [`Self::of`]; a new table has no order of its own.
    pub fn check(text: &str, schema: &Schema) -> Result<(), String> {
        if is_word(text, "table") {
            return Err(NO_ORDER.to_owned());
        }
        Self::of_columns(&parse(text)?, schema).map(drop)
    }

    fn of_columns(written: &[Written], schema: &Schema) -> Result<Self, String> {
        let mut columns: Vec<SortColumn> = Vec::with_capacity(written.len());
        for one in written {
            let field = column(schema, &one.name)?;
            if columns.iter().any(|known| known.field_id == field.id) {
                return Err(format!("column '{}' is named twice", field.name));
            }
            let nulls_first = one.nulls_first.unwrap_or(!one.descending);
            columns.push(SortColumn { name: field.name.clone(), field_id: field.id, descending: one.descending, nulls_first });
        }
        Ok(Self(columns))
    }

    fn of_table(metadata: &TableMetadata) -> Result<Self, String> {
        let order = metadata.default_sort_order();
        if order.is_unsorted() {
            return Err(NO_ORDER.to_owned());
        }
        let schema = metadata.current_schema();
        let column = |field: &SortField| {
            let known = schema.as_struct().fields().iter().find(|known| known.id == field.source_id && known.field_type.is_primitive());
            match known {
                Some(known) if field.transform == Transform::Identity => Ok(SortColumn {
                    name: known.name.clone(),
                    field_id: known.id,
                    descending: field.direction == SortDirection::Descending,
                    nulls_first: field.null_order == NullOrder::First,
                }),
                _ => Err(format!(
                    "the table's own order has '{}' of column {}, by which rows cannot be sorted yet; name columns",
                    field.transform, field.source_id
                )),
            }
        };
        order.fields.iter().map(column).collect::<Result<_, _>>().map(Self)
    }

    /// The columns, the most significant first.
    #[must_use]
    pub fn columns(&self) -> &[SortColumn] {
        &self.0
    }

    fn fields(&self) -> Vec<SortField> {
        let field = |column: &SortColumn| SortField {
            source_id: column.field_id,
            transform: Transform::Identity,
            direction: if column.descending { SortDirection::Descending } else { SortDirection::Ascending },
            null_order: if column.nulls_first { NullOrder::First } else { NullOrder::Last },
        };
        self.0.iter().map(field).collect()
    }

    /// The number that this order has among those of the table; one that no file has, if the table does not know it yet.
    #[must_use]
    pub fn number_in(&self, metadata: &TableMetadata) -> i32 {
        self.known_in(metadata).unwrap_or(i32::MAX)
    }

    fn known_in(&self, metadata: &TableMetadata) -> Option<i32> {
        let fields = self.fields();
        let known = metadata.sort_orders_iter().find(|order| order.fields == fields)?;
        i32::try_from(known.order_id).ok()
    }

    /// The number again, once the table knows the order: it is added to those of the table, whose own it does not become, so that files can name it.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn register(&self, catalog: &dyn LakeCatalog, id: &TableId) -> Result<i32, CatalogError> {
        loop {
            let table = catalog.load(id).await?;
            if let Some(number) = self.known_in(&table.metadata) {
                return Ok(number);
            }
            let order = SortOrder { order_id: 0, fields: self.fields() };
            let built = TableMetadataBuilder::new_from_metadata((*table.metadata).clone(), None).add_sort_order(order);
            let changes = built
                .and_then(TableMetadataBuilder::build)
                .map_err(|error| CatalogError::iceberg("an order cannot be added".to_owned(), error))?
                .changes;
            let same = TableRequirement::UuidMatch { uuid: table.metadata.uuid() };
            match catalog.commit(&table, vec![same], changes).await {
                // Somebody was faster, if only by a snapshot.
                Ok(_) | Err(CatalogError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The column of that name.
fn column<'a>(schema: &'a Schema, name: &str) -> Result<&'a NestedFieldRef, String> {
    let fields = schema.as_struct().fields();
    let can_sort = |field: &&NestedFieldRef| field.field_type.is_primitive();
    match fields.iter().find(|field| field.name == name) {
        Some(field) if can_sort(&field) => Ok(field),
        Some(field) => {
            let what = match *field.field_type {
                Type::List(_) => "a list",
                Type::Map(_) => "a map",
                Type::Struct(_) | Type::Primitive(_) => "a struct",
            };
            Err(format!("column '{name}' is {what}, which has no order"))
        }
        None => {
            let near = closest(name, fields.iter().filter(can_sort).map(|field| field.name.as_str()));
            let near = near.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(" or ");
            let hint = if near.is_empty() { String::new() } else { format!(". Did you mean {near}?") };
            Err(format!("the table has no column '{name}'{hint}"))
        }
    }
}
