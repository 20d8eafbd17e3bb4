//! What to rewrite, when, and in which way. Pure: no I/O and no clock; the time is an argument.
//!
//! # The rule, from what things cost
//!
//! There are two ways to make many files one. A *copy* takes over row groups as they are, at some 1,200 MB for each second of CPU; it leaves
//! row groups as small and as badly compressed as they were. *Decoding and writing* takes 35 to 54 MB for each second of CPU, 25 times as much,
//! and gives large row groups in two thirds of the bytes. Ingesting the same rows costs about twice as much as decoding and writing them once.
//! So a row may be copied several times, but can be afforded to be decoded once, in the end:
//!
//! 1. **Copy early and often.** Within a partition, files of similar [weight](FileFacts::weight) are copied together as soon as together they
//!    weigh so much that each of them comes into a file of a higher tier. Tiers are [`Options::min_input_files`] (F) apart, so that
//!    tiers copy nothing more often than there are of them: log F (target size / 64 KiB), 6 times for 512 MiB and F = 5. Six copies
//!    cost a quarter of one decoding. Fewer than F files of a tier wait.
//! 2. **Decode what has settled**: all that is small or copied in a partition to which nothing was added for [`Options::quiet`], and
//!    in a busy partition the copies that have reached the target size, which will not grow any more. A file that was decoded before comes in again
//!    only where it grows by half at least, so that this happens log 1.5 (target size / its size) times at most.
//! 3. **Decode what carries deletes** once they name [`Options::deleted_share`] of its rows, or are many files. Small files with deletes are made
//!    one by tiers like the others, by decoding: a copy would lose the deletes.
//!
//! 4. **Sort what has settled**, where [`Options::sort_order`] says how: every group that is decoded is sorted while it is written, and in a
//!    partition that has gone quiet all files come in that are not sorted yet, large ones too, up to eight target sizes together. A sorted file is
//!    never copied, and comes in again by the rule of 2 alone: small, and with others that have half of its bytes at least. So a byte is sorted as often as it would
//!    be decoded without an order, and once more if it came in a large file. Fewer than F small files stay as they are.
//!
//! The weight of a file is its bytes plus 64 KiB for each row group. That is what a file or a row group costs beside its bytes, measured: copying
//! files of 90 KB goes at 690 MB/s, of 1.1 MB at 1,200 MB/s, so that 60 µs, the time for 70 KB, are spent on each. Weights of copies add up
//! exactly, which makes the bound hold whatever the files' sizes, and bounds the number of row groups of a copy as well.
//!
//! A group has [`Options::min_input_files`] inputs, where a copy counts as the row groups that it was made of; fewer only if together they
//! fill a file, or carry deletes. Partitions of older specs are partitions of their own.

mod debt;
mod decide;
mod facts;
mod inventory;
mod settle;
#[cfg(test)]
mod tests;
mod tiers;

pub use debt::Debt;
pub use decide::{Group, Way, Why, decide};
pub use facts::{Carried, FileFacts, Options};
pub use inventory::Inventory;
