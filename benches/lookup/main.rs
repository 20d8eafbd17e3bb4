//! `lookup`: what a lookup join costs for each key, beside raw pipelined MGET by the same client library in the same run.
//!
//! A million probes go to a Redis server with a hundred thousand keys, spread evenly or as Zipf has it. Each side is this program again as a
//! process of its own: `raw` sends MGETs of a fixed size over one connection, several on their way; the others are queries over the same
//! keys. `probes` is the query without a lookup, whose time is taken off the others. Where every probe is a hit, ten times as many are made,
//! and loading the cache, measured with one probe, is taken off too. `cold` has two tasks whose cache begins empty and holds a fifth of the keys,
//! without and with `lookup.hash.enable`; the server tells how many keys each was asked for. Sides run in turn, every other round in reverse; the figures to believe
//! are the medians. `make bench` runs it; `--help` lists the options.

#[path = "../support/child.rs"]
mod child;
mod cold;
#[path = "../support/print.rs"]
mod print;
#[path = "../support/servers.rs"]
mod servers;
mod sides;

use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use child::{Used, watch};
use clap::Parser;
use print::{line, spread};
use servers::Servers;
use sides::{SIDES, Store};

/// Benchmark of lookup joins.
#[derive(Debug, Clone, Parser)]
struct Arguments {
    /// Rows that are looked up
    #[arg(long, default_value_t = 1_000_000)]
    probes: u64,
    /// Keys of the table
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Keys of a request, where there are several
    #[arg(long, default_value_t = 1_000)]
    batch: usize,
    /// Requests on their way
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// Rounds in which every side runs once
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// Used by the benchmark itself: be this side
    #[arg(long, hide = true)]
    side: Option<String>,
    /// Used by the benchmark itself: port and password of the server
    #[arg(long, hide = true, default_value = "")]
    server: String,
    /// Used by the benchmark itself: keys as Zipf has them
    #[arg(long, hide = true)]
    zipf: bool,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How long one side may take.
const DEADLINE: Duration = Duration::from_secs(1_800);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.side.clone() {
        Some(side) => Box::pin(sides::run(&arguments, &side)).await,
        None => all(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(&format!("lookup: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn all(arguments: &Arguments) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let servers = Servers::start(&["redis"], folder.path())?;
    let address = servers.addresses("redis")?;
    let store = Store {
        port: u16::try_from(address["port"].as_u64().ok_or("no port")?)?,
        password: address["password"].as_str().ok_or("no password")?.to_owned(),
    };
    store.fill(arguments.keys)?;
    let Arguments { probes, keys, batch, at_once, rounds, .. } = arguments;
    line(&format!("{probes} probes, {keys} keys, {batch} keys a request, {at_once} requests on their way, {rounds} rounds"));
    for zipf in [false, true] {
        let mut used: Vec<Vec<Used>> = SIDES.iter().map(|_| Vec::new()).collect();
        let mut asked = cold::Asked::default();
        for round in 0..*rounds {
            let mut order: Vec<usize> = (0..SIDES.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for side in order {
                if let (Some(side), Some(used)) = (SIDES.get(side), used.get_mut(side)) {
                    let before = store.asked()?;
                    used.push(as_child(arguments, side.name, zipf, &store)?);
                    asked.entry(side.name).or_default().push(store.asked()? - before);
                }
            }
        }
        report(arguments, zipf, &used);
        cold::report(arguments, &used, &asked);
    }
    Ok(())
}

fn as_child(arguments: &Arguments, side: &str, zipf: bool, store: &Store) -> Outcome<Used> {
    let mut command = Command::new(std::env::current_exe()?);
    let numbers =
        [("--probes", arguments.probes), ("--keys", arguments.keys), ("--batch", arguments.batch as u64), ("--at-once", arguments.at_once as u64)];
    for (name, number) in numbers {
        command.arg(name).arg(number.to_string());
    }
    command.args(["--side", side, "--server", &format!("{}:{}", store.port, store.password)]);
    if zipf {
        command.arg("--zipf");
    }
    watch(command.stdin(Stdio::null()).spawn()?, DEADLINE)
}

fn report(arguments: &Arguments, zipf: bool, used: &[Vec<Used>]) {
    line(&format!("\n{}", if zipf { "keys as Zipf has them" } else { "keys spread evenly" }));
    line("side                 probes a second, thousands   probes a CPU second, thousands   to raw, time    to raw, CPU   peak MB");
    let of = |side: &str, figure: fn(&Used) -> Duration| -> Vec<f64> {
        let index = SIDES.iter().position(|known| known.name == side).unwrap_or_default();
        used.get(index).map(|runs| runs.iter().map(|run| figure(run).as_secs_f64()).collect()).unwrap_or_default()
    };
    let wall = |run: &Used| run.wall;
    let cpu = |run: &Used| run.cpu;
    let raw = of("raw", wall).into_iter().zip(of("raw", cpu)).map(|(wall, cpu)| (wall / arguments.probes as f64, cpu / arguments.probes as f64));
    let raw: Vec<(f64, f64)> = raw.collect();
    for (number, side) in SIDES.iter().enumerate() {
        // Seconds a probe, without what is not the lookup's.
        let net = |figure: fn(&Used) -> Duration| -> Vec<f64> {
            let sum = |sides: &[&str], round: usize| sides.iter().filter_map(|side| of(side, figure).get(round).copied()).sum::<f64>();
            let probes = side.probes(arguments) as f64;
            let times = of(side.name, figure).into_iter().enumerate();
            times.map(|(round, time)| (time - sum(side.less, round) + sum(side.but, round)) / probes).collect()
        };
        if net(wall).into_iter().chain(net(cpu)).any(|time| time <= 0.0) {
            line(&format!("{:<20} took less than what is taken off: too few --probes, or too much beside", side.name));
            continue;
        }
        let thousands = |times: Vec<f64>| spread(times.into_iter().map(|time| 1e-3 / time), 0);
        let to_raw = |times: Vec<f64>, of: fn(&(f64, f64)) -> f64| spread(raw.iter().zip(times).map(|(raw, ours)| of(raw) / ours), 2);
        let peak = used.get(number).into_iter().flatten().map(|run| run.peak).max().unwrap_or_default() / 1_000_000;
        line(&format!(
            "{:<20} {:>28} {:>32} {:>14} {:>14} {peak:>9}",
            side.name,
            thousands(net(wall)),
            thousands(net(cpu)),
            to_raw(net(wall), |raw| raw.0),
            to_raw(net(cpu), |raw| raw.1),
        ));
    }
}
