//! Hash over no hash: two tasks with a PARTIAL cache that begins empty and holds a fifth of the keys.

use std::collections::HashMap;
use std::time::Duration;

use crate::Arguments;
use crate::child::Used;
use crate::print::{line, spread};
use crate::sides::SIDES;

/// The keys that each side has asked the server for, by round.
pub(crate) type Asked = HashMap<&'static str, Vec<u64>>;

/// Prints what the sides have asked for, and the ratios of their keys a second and a CPU second in the same round.
pub(crate) fn report(arguments: &Arguments, used: &[Vec<Used>], asked: &Asked) {
    let probes = arguments.probes as f64;
    line(&format!("\ntwo tasks, a cache of {} rows that begins empty", arguments.keys / 5));
    for side in ["cold", "cold, hash"] {
        let sent = || asked.get(side).into_iter().flatten().map(|keys| *keys as f64);
        line(&format!(
            "{side:<20} {} thousand keys sent for {:.0} thousand probes; found in the cache or with another's request: {}",
            spread(sent().map(|keys| keys * 1e-3), 0),
            probes * 1e-3,
            spread(sent().map(|keys| 1.0 - keys / probes), 3),
        ));
    }
    let of = |side: &str, figure: fn(&Used) -> Duration| -> Vec<f64> {
        let index = SIDES.iter().position(|known| known.name == side).unwrap_or_default();
        used.get(index).into_iter().flatten().map(|run| figure(run).as_secs_f64()).collect()
    };
    let ratio = |figure: fn(&Used) -> Duration| {
        let rounds = of("probes, two tasks", figure).into_iter().zip(of("cold", figure)).zip(of("cold, hash", figure));
        spread(rounds.map(|((probes, without), with)| (without - probes) / (with - probes)), 2)
    };
    line(&format!("hash over no hash: {} by the clock, {} by CPU", ratio(|run| run.wall), ratio(|run| run.cpu)));
}
