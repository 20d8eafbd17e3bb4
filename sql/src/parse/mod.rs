//! From SQL text to statements: tokens with places, our own grammar for everything around a query, sqlparser for queries and expressions.

pub(crate) mod ast;
mod call;
mod changes;
mod commands;
mod cursor;
mod ddl;
mod dialect;
mod query;
mod script;
mod source;
pub(crate) mod types;

pub(crate) use cursor::{Name, WrittenOption, unsupported};
pub(crate) use query::{ExpressionText, TYPE_PLACEHOLDER, parse_expression, split_marks};
pub use script::{Script, is_incomplete};
pub(crate) use source::position;
