//! Rows in an order while they are written anew: which order ([`SortBy`]), and sorting more rows than memory holds.

mod external;
mod order;
mod text;

pub(crate) use external::{Sorter, failed};
pub use order::SortBy;
