//! What can be said to `weir fs`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Subcommand, ValueEnum};
use weir_base::options::{parse_duration, parse_memory_size};

const AFTER_HELP: &str = "\
A place is a URI (hdfs://namenode:8020/data, hdfs://ns1/data, s3://bucket/data, file:///data), an absolute local path, or an alias
of your own in the place of the scheme. Names are taken literally: `%20` is three characters, and nothing is a pattern.

Look:
  weir fs ls -h hdfs://ns1/warehouse             what is in a folder
  weir fs du -s -h s3://lake/shop                how much is below a place
  weir fs find hdfs://ns1/logs --name '*.gz' --older-than '90 d'
Copy, between any two file systems; every copy is read back and compared:
  weir fs cp -r hdfs://ns1/warehouse s3://lake/warehouse
  weir fs cp -r --resume hdfs://ns1/warehouse s3://lake/warehouse    go on after it was interrupted
  weir fs put *.parquet s3://lake/in/            from the local disk; `get` is the other way
  weir fs mv --copy hdfs://ns1/old s3://archive/old
Change:
  weir fs rm -r --dry-run s3://lake/tmp          show what would be deleted; without --dry-run it is gone for good
  weir fs mkdir -p hdfs://ns1/new/place
Ask:
  weir fs test -e s3://lake/_SUCCESS && echo there
  weir fs doctor hdfs://ns1/warehouse            why can it not be reached?

Settings: --set 's3.endpoint=http://127.0.0.1:9000', or --init job.sql, which takes the SET statements of a job.

Exit codes: 0 done (or `test`: true), 1 something failed (or `test`: false), 2 usage, 130 interrupted.";

/// Work with files on any file system that Weir knows.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Fs {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) shared: Shared,
}

/// What every command of `weir fs` takes.
#[derive(Debug, Args)]
pub(crate) struct Shared {
    /// Set an option of file systems, as SET does in a job
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// Take SET statements from this file first; catalogs are opened, nothing is created
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) init: Vec<PathBuf>,
    /// Print one JSON object a line instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List folders and files
    #[command(disable_help_flag = true)]
    Ls(Ls),
    /// Print files
    Cat(Cat),
    /// Print the beginning of files
    Head(Head),
    /// Show all that is known of a file or folder
    Stat(Stat),
    /// Add up what is in folders
    #[command(disable_help_flag = true)]
    Du(Du),
    /// Copy files and folders, between any two file systems
    #[command(
        long_about = "Copy files and folders, between any two file systems.\n\nA file goes into a target that is a folder. A folder becomes the target; with `/` at \
                            its end the target is where the copy goes, under the source's name. So the same command means the same when it is given again.\n\nA copy \
                            is seen whole or not at all, and is read back: its SHA-256 must be that of the source."
    )]
    Cp(Cp),
    /// Move files and folders: renamed where the file system can, else copied, compared and removed with --copy
    Mv(Mv),
    /// Delete files, and folders with -r; there is no trash
    Rm(Rm),
    /// Make folders; an object store has none and needs none
    Mkdir(Mkdir),
    /// Copy from the local disk
    Put(Cp),
    /// Copy to the local disk
    Get(Cp),
    /// Find what fits, below a place
    Find(Find),
    /// Ask what a place is; the answer is the exit code
    Test(Test),
    /// Find out, step by step, why a place cannot be reached
    #[command(
        long_about = "Find out, step by step, why a place cannot be reached: what its URI stands for, which configuration counts, which servers \
                            that means and whether they are there, who comes, and what they answer. What fails is shown with a remedy.\n\nNothing is \
                            changed; with --write a small file is written there, read back and deleted."
    )]
    Doctor(Doctor),
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Folders or files
    #[arg(required = true, value_name = "URI")]
    pub(crate) places: Vec<String>,
    /// All below, too
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// A folder itself, not what is in it
    #[arg(short, long)]
    pub(crate) directory: bool,
    /// Sizes such as 1.50 GiB
    #[arg(short = 'h', long)]
    pub(crate) human: bool,
    /// URIs only
    #[arg(short = 'C', long)]
    pub(crate) uris: bool,
    /// Hidden files of writers that have not finished, or were killed, too
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print help
    #[arg(long, action = ArgAction::HelpLong)]
    pub(crate) help: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// Files
    #[arg(required = true, value_name = "URI")]
    pub(crate) places: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Head {
    /// Files
    #[arg(required = true, value_name = "URI")]
    pub(crate) places: Vec<String>,
    /// How many lines
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    pub(crate) lines: u64,
    /// How many bytes, whatever the lines
    #[arg(short = 'c', long, conflicts_with = "lines", value_name = "N")]
    pub(crate) bytes: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Stat {
    /// Files or folders
    #[arg(required = true, value_name = "URI")]
    pub(crate) places: Vec<String>,
    /// Read files and show their SHA-256
    #[arg(long)]
    pub(crate) checksum: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Du {
    /// Folders or files
    #[arg(required = true, value_name = "URI")]
    pub(crate) places: Vec<String>,
    /// One sum for each, not one for each thing in it
    #[arg(short, long)]
    pub(crate) summarize: bool,
    /// Sizes such as 1.50 GiB
    #[arg(short = 'h', long)]
    pub(crate) human: bool,
    /// Folders listed at a time
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = parallel())]
    pub(crate) parallel: u16,
    /// Print help
    #[arg(long, action = ArgAction::HelpLong)]
    pub(crate) help: Option<bool>,
}

/// What copying takes.
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// What to copy, one or more, and then where to
    #[arg(required = true, num_args = 2.., value_names = ["SOURCE", "TARGET"])]
    pub(crate) places: Vec<String>,
    /// Folders, with all below
    #[arg(short = 'r', short_alias = 'R', long)]
    pub(crate) recursive: bool,
    /// Do not verify: no reading back, no comparing
    #[arg(long)]
    pub(crate) no_verify: bool,
    #[command(flatten)]
    pub(crate) how: Copying,
}

/// What copying and moving take.
#[derive(Debug, Args)]
pub(crate) struct Copying {
    /// Skip what is at the target already with the same length and checksum
    #[arg(long)]
    pub(crate) resume: bool,
    /// Replace files; with --resume only those that are not the same
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Change nothing, show what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Show each file
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Files copied at a time, about 64 MiB of memory each, twice that on HDFS
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = parallel())]
    pub(crate) parallel: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Mv {
    /// What to move, one or more, and then where to
    #[arg(required = true, num_args = 2.., value_names = ["SOURCE", "TARGET"])]
    pub(crate) places: Vec<String>,
    /// Where nothing can be renamed (other file system, object store): copy, compare, and remove each file that is the same
    #[arg(long)]
    pub(crate) copy: bool,
    #[command(flatten)]
    pub(crate) how: Copying,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Files or folders
    #[arg(required = true, value_name = "URI")]
    pub(crate) places: Vec<String>,
    /// Folders, with all below
    #[arg(short = 'r', short_alias = 'R', long)]
    pub(crate) recursive: bool,
    /// Say nothing of what is not there
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Delete nothing, show what would be deleted
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Mkdir {
    /// Folders to make
    #[arg(required = true, value_name = "URI")]
    pub(crate) places: Vec<String>,
    /// Those above too; it is no error if it exists
    #[arg(short, long)]
    pub(crate) parents: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Find {
    /// Where to look
    #[arg(required = true, value_name = "URI")]
    pub(crate) places: Vec<String>,
    /// The last part of the name, with `*`, `?` and `[…]`
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) name: Option<glob::Pattern>,
    /// What it is
    #[arg(long = "type", value_enum, value_name = "KIND")]
    pub(crate) kind: Option<FoundKind>,
    /// Of at least this size, such as `10mb`
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub(crate) min_size: Option<u64>,
    /// Of at most this size
    #[arg(long, value_parser = size, value_name = "SIZE")]
    pub(crate) max_size: Option<u64>,
    /// Changed within this time, such as `2 h` or `30 d`
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) newer_than: Option<Duration>,
    /// Not changed within this time
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub(crate) older_than: Option<Duration>,
    /// End each URI with a zero byte, for `xargs -0`
    #[arg(short = '0', long, conflicts_with = "json")]
    pub(crate) print0: bool,
    /// Folders listed at a time
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = parallel())]
    pub(crate) parallel: u16,
}

/// What `find` looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FoundKind {
    /// Files.
    #[value(name = "f", alias = "file")]
    File,
    /// Folders.
    #[value(name = "d", alias = "folder")]
    Folder,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    pub(crate) question: Question,
    /// The place in question
    #[arg(value_name = "URI")]
    pub(crate) place: String,
}

/// One question.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Question {
    /// Is there something?
    #[arg(short)]
    pub(crate) exists: bool,
    /// Is it a file?
    #[arg(short)]
    pub(crate) file: bool,
    /// Is it a folder?
    #[arg(short)]
    pub(crate) directory: bool,
    /// Is it a file with something in it, or a folder with something in it?
    #[arg(short = 's')]
    pub(crate) filled: bool,
    /// Is it an empty file?
    #[arg(short = 'z')]
    pub(crate) zero: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Places to examine
    #[arg(required = true, value_name = "URI")]
    pub(crate) places: Vec<String>,
    /// Write a small file there, too, and delete it
    #[arg(long)]
    pub(crate) write: bool,
}

fn parallel() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=256)
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as s3.endpoint=http://127.0.0.1:9000")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

fn pattern(text: &str) -> Result<glob::Pattern, String> {
    glob::Pattern::new(text).map_err(|error| format!("{error}; write `[*]` for a star"))
}

fn size(text: &str) -> Result<u64, String> {
    parse_memory_size(text).ok_or_else(|| "expected a size such as 512kb or 2gb".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map(|(duration, _)| duration).ok_or_else(|| "expected a time such as '2 h' or '30 d'".to_owned())
}
