//! Where in the text of a query a name stands, for messages about it.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, SchemaError, TableReference};
use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectNamePart, visit_expressions, visit_relations};
use weir_base::options::Position;

use crate::error::root;
use crate::parse::ast::QueryText;
use crate::parse::position;

/// Where a table is named; the place of the query if that cannot be told.
pub(super) fn of_table(query: &QueryText, reference: &TableReference) -> Position {
    let wanted = || [reference.catalog(), reference.schema(), Some(reference.table())].into_iter().flatten();
    let found = visit_relations(&query.query, |name| {
        let idents: Vec<&Ident> = name.0.iter().filter_map(ObjectNamePart::as_ident).collect();
        match idents.first() {
            Some(first) if idents.iter().map(|ident| ident.value.as_str()).eq(wanted()) => ControlFlow::Break(place(first)),
            _ => ControlFlow::Continue(()),
        }
    });
    found.break_value().flatten().unwrap_or(query.position)
}

/// Where the column is named that `error` is about; the place of the query if that cannot be told.
pub(super) fn of_column(query: &QueryText, error: &DataFusionError) -> Position {
    let DataFusionError::SchemaError(schema, _) = root(error) else { return query.position };
    let (SchemaError::FieldNotFound { field, .. } | SchemaError::AmbiguousReference { field }) = schema.as_ref() else { return query.position };
    let found = visit_expressions(&query.query, |expression| {
        let idents = match expression {
            Expr::Identifier(ident) => std::slice::from_ref(ident),
            Expr::CompoundIdentifier(idents) => idents.as_slice(),
            _ => return ControlFlow::Continue(()),
        };
        match idents.first() {
            Some(first) if idents.iter().any(|ident| ident.value == field.name) => ControlFlow::Break(place(first)),
            _ => ControlFlow::Continue(()),
        }
    });
    found.break_value().flatten().unwrap_or(query.position)
}

/// A name that was not parsed has no place.
fn place(ident: &Ident) -> Option<Position> {
    (ident.span.start.line > 0).then(|| position(ident.span.start))
}
