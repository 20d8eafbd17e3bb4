//! The command line of Weir: arguments in, exit code out. Everything it does is in the crates below.

mod cli;
mod commands;
mod configuration;
mod failure;
mod fs_command;
mod logging;
mod output;
mod quickstart;
mod signals;
mod status_line;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    weir_base::allocator::give_back_large_buffers();
    let cli = Cli::parse();
    // Only a job tells its story in the log; the other commands print results, and log what is wrong.
    logging::init(&cli.global, !matches!(cli.command, Command::Run(_)));
    let outcome = match &cli.command {
        Command::Quickstart(arguments) => quickstart::run(arguments),
        Command::Run(arguments) => commands::block_on(commands::run::run(&cli.global, arguments)),
        Command::Sql(arguments) => commands::block_on(commands::sql::run(&cli.global, arguments)),
        Command::Explain(arguments) => commands::block_on(commands::explain::run(&cli.global, arguments)),
        Command::Verify(arguments) => commands::block_on(commands::verify::run(&cli.global, arguments)),
        Command::Dlq(arguments) => commands::block_on(commands::dlq::run(&cli.global, arguments)),
        Command::Table(arguments) => commands::block_on(commands::table::run(&cli.global, arguments)),
        Command::Fs(arguments) => commands::block_on(fs_command::run(&cli.global, arguments)),
    };
    status_line::clear();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, exit_code }) => {
            if !message.is_empty() && writeln!(std::io::stderr(), "{message}").is_err() {
                return ExitCode::from(70);
            }
            ExitCode::from(exit_code)
        }
    }
}
