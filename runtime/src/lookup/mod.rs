//! The lookup join: rows of a stream get the rows that a lookup table has for their keys.
//!
//! [`planner`] makes a [`exec`] of each lookup join of a plan. Batches of rows come in; their keys are found and made distinct (`keys`), looked
//! up in what is kept of the table (`cache` with `maps`, `full` with `full_table`), and the rest is asked for (`fetch`), several requests at a time (`resolve`); rows
//! and answers are joined (`probe`, `join`). Where a table is found through an index, that is asked first (`index`). Plans live for an epoch; what is kept lives as long as the job, in [`Lookups`].

mod answers;
mod cache;
mod exec;
mod fetch;
mod full;
mod full_table;
mod index;
mod join;
mod keys;
mod maps;
mod metrics;
mod planner;
mod probe;
mod resolve;
mod state;

#[cfg(test)]
mod tests;

pub(crate) use planner::LookupQueryPlanner;
pub(crate) use state::Lookups;
