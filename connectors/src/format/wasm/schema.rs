//! The text that tells a module the columns: a line each, `name<tab>type<tab>wanted` or `…<tab>unused`.

use arrow_schema::{Field, Schema};

use crate::format::SQL_TYPE;

/// The text for the columns `declared`, of which `wanted` has those that are used.
pub(super) fn text(declared: &Schema, wanted: &Schema) -> String {
    let mut text = String::new();
    for field in declared.fields() {
        let used = if wanted.column_with_name(field.name()).is_some() { "wanted" } else { "unused" };
        text.extend([escaped(field.name()).as_str(), "\t", &type_of(field), "\t", used, "\n"]);
    }
    text
}

/// The type as it was declared.
fn type_of(field: &Field) -> String {
    field.metadata().get(SQL_TYPE).map_or_else(|| field.data_type().to_string(), |declared| escaped(declared))
}

fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}
