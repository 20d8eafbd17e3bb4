//! Options of tables, catalogs and sessions: declared once, pulled from a bag, reported all together.
//!
//! An [`OptionDecl`] says key, type, default and meaning; parsing, `DESCRIBE CONNECTOR` and the reference pages come from it. An
//! [`OptionBag`] holds what the user wrote. A connector pulls its options from the bag; what is wrong and what is left over become
//! [`Problem`]s in the shape of the error contract (`[CODE] Object 'name': what.`, a suggestion, a position), all of a statement at once.

mod bag;
mod decl;
mod problem;
mod suggest;
mod values;

pub use bag::OptionBag;
pub use decl::{OptionDecl, ValueType};
pub use problem::{Position, Problem, Problems};
pub use suggest::{closest, normalise};
pub use values::{parse_boolean, parse_duration, parse_memory_size, split_list};
