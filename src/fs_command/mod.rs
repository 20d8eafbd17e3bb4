//! `weir fs`: files and folders on every file system that Weir knows.
//!
//! What is done with them is in `weir_fs::transfer`; here arguments are read, and what was found or done is printed. A place that fails is
//! reported on standard error and the others go on; then the exit code is 1.
//!
//! | file | owns |
//! |---|---|
//! | `cli` | arguments |
//! | `context` | file systems, places, and how a command ends |
//! | `print` | lines, tables, sizes and times |
//! | `look` | ls, du, find, stat, test |
//! | `read` | cat, head |
//! | `copying` | cp, put, get, mv |
//! | `change` | rm, mkdir |
//! | `doctor` | doctor |

mod change;
mod cli;
mod context;
mod copying;
mod doctor;
mod look;
pub(crate) mod print;
mod read;

pub(crate) use cli::Fs;

use self::cli::Command;
use self::context::Context;
use self::copying::Road;
use crate::cli::Global;
use crate::failure::Failure;

/// Runs a command of `weir fs`.
pub(crate) async fn run(global: &Global, arguments: &Fs) -> Result<(), Failure> {
    let mut context = Context::open(global, &arguments.shared).await?;
    match &arguments.command {
        Command::Ls(ls) => look::ls(&mut context, ls).await?,
        Command::Cat(cat) => read::cat(&mut context, cat).await?,
        Command::Head(head) => read::head(&mut context, head).await?,
        Command::Stat(stat) => look::stat(&mut context, stat).await?,
        Command::Du(du) => look::du(&mut context, du).await?,
        Command::Cp(cp) => copying::cp(&mut context, cp, Road::Any).await?,
        Command::Put(put) => copying::cp(&mut context, put, Road::FromDisk).await?,
        Command::Get(get) => copying::cp(&mut context, get, Road::ToDisk).await?,
        Command::Mv(mv) => copying::mv(&mut context, mv).await?,
        Command::Rm(rm) => change::rm(&mut context, rm).await?,
        Command::Mkdir(mkdir) => change::mkdir(&mut context, mkdir).await?,
        Command::Find(find) => look::find(&mut context, find).await?,
        Command::Doctor(doctor) => doctor::run(&mut context, doctor).await?,
        Command::Test(test) => return look::test(&mut context, test).await,
    }
    context.end()
}
