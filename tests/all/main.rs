//! All integration tests, in one binary: each linked test binary costs a minute and a gigabyte.
//!
//! They run against real servers, which `scripts/servers` fetches and starts when the first test asks for them and ends with this
//! process. `support` is what tests are written with; each other module holds the tests of one subject.

#[cfg(test)]
mod aliases;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod clouds;
#[cfg(test)]
mod commits;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod connectors;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod exactly_once;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod frugal;
#[cfg(test)]
mod fs_command;
#[cfg(test)]
mod fs_doctor;
#[cfg(test)]
mod fs_stores;
#[cfg(test)]
mod hadoop_world;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hdfs_faults;
#[cfg(test)]
mod hdfs_ha;
#[cfg(test)]
mod hdfs_zones;
#[cfg(test)]
mod kafka_security;
#[cfg(test)]
mod kafka_source;
#[cfg(test)]
mod kerberos;
#[cfg(test)]
mod kerberos_refusals;
#[cfg(test)]
mod lake;
#[cfg(test)]
mod lake_stream;
#[cfg(test)]
mod lake_stream_foreign;
#[cfg(test)]
mod linked;
#[cfg(test)]
mod logical_tables;
#[cfg(test)]
mod lookups;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod object_stores;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod orphans;
#[cfg(test)]
mod pairs;
#[cfg(test)]
mod quickstart;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod rewrites;
#[cfg(test)]
mod row_changes;
#[cfg(test)]
mod s3_aliases;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod spilling;
#[cfg(test)]
mod support;
#[cfg(test)]
mod table_commands;
#[cfg(test)]
mod time_travel;
#[cfg(test)]
mod tpch;
#[cfg(test)]
mod types;
#[cfg(test)]
mod verified;
