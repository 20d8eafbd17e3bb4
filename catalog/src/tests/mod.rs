//! Tests of whole commits: real catalogs on temporary folders, and catalogs that lie.

mod append;
mod expire;
mod faults;
mod hadoop;
mod manifests;
mod metadata_text;
mod model;
mod orphans;
mod others;
mod refs;
mod replace;
mod rest;
mod rest_server;
pub(crate) mod support;
mod upkeep;
mod verify;
