//! Tables with a history, made by hand, and what queries over them read and give.

mod bytes;
mod cached;
mod deletes;
mod foreign;
mod history;
mod looking;
mod manifests;
mod model;
mod property;
mod pruning;
mod versions;
mod wide;
mod wrong;
