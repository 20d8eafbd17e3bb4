//! Small files made into large ones.
//!
//! [`policy`] decides, from facts in memory, which files of a table are worth rewriting and in which of two ways; [`simulation`] shows what its
//! rule comes to over a week of commits.

pub mod policy;
pub mod simulation;
