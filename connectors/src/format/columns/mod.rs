//! Columns that are filled row by row: what the decoders of all formats write into.
//!
//! The buffers are those of Arrow; a row that cannot be read is rolled back by truncation. How a value gets into them is for each format to
//! say; values that are given as text (`scalar`) mean the same in all of them.

pub(in crate::format) mod column;
pub(in crate::format) mod fault;
pub(in crate::format) mod nested;
pub(in crate::format) mod number;
pub(in crate::format) mod range;
pub(in crate::format) mod rows;
pub(in crate::format) mod scalar;
pub(in crate::format) mod temporal;
pub(in crate::format) mod text;
pub(in crate::format) mod values;

pub(in crate::format) use column::{Column, Context, Most};
pub(in crate::format) use fault::{Fault, Reach};
pub(in crate::format) use nested::{List, Map};
pub(in crate::format) use number::Number;
pub(in crate::format) use rows::{Names, Rows, batch_of};
pub(in crate::format) use temporal::Standard;
pub(in crate::format) use text::{cut, quoted};
pub(in crate::format) use values::Values;
