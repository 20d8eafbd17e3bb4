//! What the columns of a kafka table are read from: value, key or metadata; and the formats that read them. Pure.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use arrow_cast::can_cast_types;
use arrow_schema::{DataType, Field, Schema};
use weir_base::options::{OptionBag, Problem, closest};

use super::decode::{ColumnSource, RowFormat, SkipLog};
use super::losses::Losses;
use super::metadata::{Metadata, keys};
use super::metrics::SourceCounters;
use super::options::{FORMAT, KEY_FIELDS, KEY_FIELDS_PREFIX, KEY_FORMAT, VALUE_FIELDS_INCLUDE, VALUE_FORMAT};
use crate::format::changes::ROW_KIND;
use crate::format::{self, Format, FormatFactory, SQL_TYPE, warn_of_writing};
use crate::letters::ErrorHandling;
use crate::registry::MetadataKey;
use crate::table::{ColumnDef, ColumnKind, TableDef};

/// Checks formats, keys and columns of `table`. `None` if a problem was found.
pub(super) fn row_format(table: &TableDef, bag: &mut OptionBag, formats: &[Arc<dyn FormatFactory>]) -> Option<RowFormat> {
    let (format, value_format) = (bag.string(&FORMAT), bag.string(&VALUE_FORMAT));
    let key_format = bag.string(&KEY_FORMAT);
    let keys = key_columns(table, bag, key_format.as_deref());
    let errors = ErrorHandling::pull(bag);
    if format.is_some() && value_format.is_some() {
        bag.error("OPT-006", VALUE_FORMAT.key, "Option 'format' and 'value.format' shouldn't be set together.");
    }
    let physical = || table.columns.iter().filter(|column| column.kind == ColumnKind::Physical);
    let in_value = physical().filter(|column| !keys.contains(column)).map(|column| typed(field(column), column));
    let value = match (&format, &value_format) {
        (_, Some(name)) => open(bag, formats, VALUE_FORMAT.key, name, &format!("value.{name}."), in_value),
        (Some(name), None) => open(bag, formats, FORMAT.key, name, &format!("{name}."), in_value),
        (None, None) => {
            bag.error("OPT-002", VALUE_FORMAT.key, "Could not find required scan format 'value.format'.");
            None
        }
    };
    let in_key = keys.fields.iter().filter_map(|name| physical().find(|column| column.name == *name)).map(|column| typed(keys.field(column), column));
    let key = key_format.as_ref().map(|name| open(bag, formats, KEY_FORMAT.key, name, &format!("key.{name}."), in_key));
    let tells_changes = |name: Option<&str>| formats.iter().any(|factory| Some(factory.name()) == name && factory.tells_changes());
    if tells_changes(key_format.as_deref()) {
        bag.error("OPT-006", KEY_FORMAT.key, "A key format should only deal with INSERT-only records.");
        return None;
    }
    if let Some(name) = key_format.filter(|name| formats.iter().any(|factory| factory.name() == name && factory.gives_many_rows())) {
        bag.error("OPT-006", KEY_FORMAT.key, format!("Format '{name}' may give several rows for one message and cannot be a key format."));
        return None;
    }
    let value_format = value_format.or(format);
    let changes = tells_changes(value_format.as_deref());
    let told = formats.iter().find(|factory| Some(factory.name()) == value_format.as_deref()).map_or_else(Vec::new, |factory| factory.metadata());
    if !table.primary_key.is_empty() && !changes {
        let name = value_format.unwrap_or_default();
        let what = format!(
            "The Kafka table '{}' with '{name}' format doesn't support defining PRIMARY KEY constraint on the table, because it can't guarantee \
             the semantic of primary key.",
            table.path
        );
        bag.report(Problem::new("OPT-006", bag.object(), what));
    }
    let mut fields = Vec::new();
    let mut sources = Vec::new();
    for column in &table.columns {
        let source = match &column.kind {
            ColumnKind::Physical if keys.contains(column) => Some(ColumnSource::Key(keys.field(column).name().clone())),
            ColumnKind::Physical => Some(ColumnSource::Value),
            ColumnKind::Metadata { key, .. } => metadata(column, key, &told, bag),
            ColumnKind::Computed(_) => continue,
        };
        sources.extend(source);
        fields.push(field(column));
    }
    if sources.len() < fields.len() {
        return None;
    }
    if changes {
        if fields.iter().any(|field| field.name() == ROW_KIND) {
            bag.report(Problem::new("OPT-006", bag.object(), format!("'{ROW_KIND}' is the column of the kind of change: call yours another name.")));
            return None;
        }
        fields.push(Field::new(ROW_KIND, DataType::Utf8, false));
        sources.push(ColumnSource::Value);
    }
    // A key that the value holds too is not decoded.
    let key = if keys.from_key { Some(key??) } else { None };
    let counters = SourceCounters::new(&table.path.to_string());
    let (object, schema) = (bag.object().to_owned(), Arc::new(Schema::new(fields)));
    let errors = errors?;
    let losses = errors.max_rate.map(|most| Mutex::new(Losses::new(most)));
    Some(RowFormat { object, schema, sources, value: value?, key, changes, errors, losses, counters, skips: SkipLog::default() })
}

fn field(column: &ColumnDef) -> Field {
    Field::new(&column.name, column.data_type.clone(), column.nullable)
}

/// With the declared type, for a format.
fn typed(field: Field, column: &ColumnDef) -> Field {
    field.with_metadata(HashMap::from([(SQL_TYPE.to_owned(), column.sql_type.clone())]))
}

fn open(
    bag: &mut OptionBag,
    formats: &[Arc<dyn FormatFactory>],
    selector: &str,
    name: &str,
    prefix: &str,
    fields: impl Iterator<Item = Field>,
) -> Option<Box<dyn Format>> {
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    warn_of_writing(prefix, bag);
    format::open(bag, formats, (selector, name), prefix, &schema)
}

/// `told`: what the format of the value offers.
fn metadata(column: &ColumnDef, key: &str, told: &[MetadataKey], bag: &mut OptionBag) -> Option<ColumnSource> {
    let problem = |bag: &mut OptionBag, what: String| {
        let problem = Problem::new("OPT-006", bag.object(), what);
        bag.report(problem);
        None
    };
    let Some(kind) = Metadata::of(key) else {
        if let Some(told) = told.iter().find(|told| told.key == key) {
            let fits = column.nullable && can_cast_types(&told.data_type, &column.data_type);
            return if fits {
                Some(ColumnSource::Told(told.key))
            } else {
                problem(bag, format!("Metadata column '{}' of key '{key}' cannot have type {}.", column.name, column.sql_type))
            };
        }
        let known: Vec<MetadataKey> = keys().into_iter().chain(told.iter().cloned()).collect();
        let names: Vec<&str> = known.iter().map(|known| known.key).collect();
        let near = closest(key, names.iter().copied()).first().map(|name| format!(" Did you mean '{name}'?")).unwrap_or_default();
        let what = format!("Invalid metadata key '{key}' in column '{}'.{near} Metadata keys for reading: {}.", column.name, names.join(", "));
        return problem(bag, what);
    };
    if !kind.fits(&column.data_type) {
        return problem(bag, format!("Metadata column '{}' of key '{key}' cannot have type {}.", column.name, column.sql_type));
    }
    if kind.may_be_null() && !column.nullable {
        return problem(bag, format!("Metadata column '{}' of key '{key}' may be NULL and cannot be declared NOT NULL.", column.name));
    }
    Some(ColumnSource::Metadata(kind))
}

/// Columns of the key.
#[derive(Debug, Default)]
struct KeyColumns {
    fields: Vec<String>,
    prefix: String,
    // Whether they are read from the key; else the value holds them too.
    from_key: bool,
}

impl KeyColumns {
    fn contains(&self, column: &ColumnDef) -> bool {
        self.from_key && self.fields.contains(&column.name)
    }

    /// As the key format sees it: without the prefix.
    fn field(&self, column: &ColumnDef) -> Field {
        let name = column.name.strip_prefix(&self.prefix).unwrap_or(&column.name);
        Field::new(name, column.data_type.clone(), column.nullable)
    }
}

fn key_columns(table: &TableDef, bag: &mut OptionBag, key_format: Option<&str>) -> KeyColumns {
    let fields = bag.list(&KEY_FIELDS);
    let prefix = bag.string(&KEY_FIELDS_PREFIX).unwrap_or_default();
    let include = bag.choice(&VALUE_FIELDS_INCLUDE);
    if key_format.is_none() {
        if !fields.is_empty() {
            bag.error("OPT-005", KEY_FIELDS.key, "The option 'key.fields' can only be declared if a key format is defined using 'key.format'.");
        }
        return KeyColumns::default();
    }
    if fields.is_empty() {
        let what = "A key format 'key.format' requires the declaration of one or more of key fields using 'key.fields'.";
        bag.error("OPT-005", KEY_FORMAT.key, what);
    }
    let physical: Vec<&str> = table.columns.iter().filter(|column| column.kind == ColumnKind::Physical).map(|column| column.name.as_str()).collect();
    for name in &fields {
        if !physical.contains(&name.as_str()) {
            let what = format!(
                "Could not find the field '{name}' in the table schema for usage in the key format. A key field must be a regular, physical column. \
                 The following columns can be selected in the 'key.fields' option: [{}].",
                physical.join(", ")
            );
            bag.error("OPT-005", KEY_FIELDS.key, what);
        } else if !name.starts_with(&prefix) {
            let what = format!(
                "All fields in 'key.fields' must be prefixed with '{prefix}' when option 'key.fields-prefix' is set but field '{name}' is not prefixed."
            );
            bag.error("OPT-005", KEY_FIELDS.key, what);
        }
    }
    if include == Some("ALL") && !prefix.is_empty() {
        let what =
            "A key prefix is not allowed when option 'value.fields-include' is set to 'ALL'. Set it to 'EXCEPT_KEY' instead to avoid field overlaps.";
        bag.error("OPT-006", KEY_FIELDS_PREFIX.key, what);
    }
    KeyColumns { fields, prefix, from_key: include == Some("EXCEPT_KEY") }
}
