//! Sorting more rows than memory holds, while they are written anew.

mod external;

pub(crate) use external::{Sorter, failed};
