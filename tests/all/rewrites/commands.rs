//! The commands by hand, killed at each of their steps: no row is lost or doubled, what is left is in the journal, and is gone a day later.

use serde_json::json;

use super::World;
use crate::orders::LIMIT;
use crate::orphans::nothing_is_left;

const TABLE: &str = "shop.t";

/// A command with its options, and the fail points at which it is killed.
type Command = (&'static str, &'static [&'static str], &'static [&'static str]);

const SETTLE: &[&str] = &["--settle", "--min-input-files", "2"];
const ALL_BUT_ONE: &[&str] = &["--older-than", "0 s", "--retain-last", "1"];
const AT_ONCE: &[&str] = &["--older-than", "0 s", "--allow-young", "--batch", "2"];

/// Everything.
const EVERYWHERE: [Command; 4] = [
    (
        "compact",
        SETTLE,
        &[
            "upkeep-journal-written",
            "sink-file-open",
            "rewrite-file-written",
            "rewrite-before-commit",
            "commit-manifest-written",
            "commit-before-swap",
            "commit-metadata-written",
            "commit-after-swap",
            "rewrite-committed",
        ],
    ),
    (
        "rewrite-manifests",
        &[],
        &["upkeep-journal-written", "commit-manifest-written", "commit-before-swap", "commit-metadata-written", "commit-after-swap"],
    ),
    ("expire", ALL_BUT_ONE, &["upkeep-journal-written", "expire-before-swap", "commit-metadata-written", "expire-after-swap"]),
    ("remove-orphans", AT_ONCE, &["orphans-deleted"]),
];

/// What differs between stores.
const SOMEWHERE: [Command; 4] = [
    ("compact", SETTLE, &["rewrite-file-written", "commit-before-swap", "rewrite-committed"]),
    ("rewrite-manifests", &[], &["commit-before-swap", "commit-after-swap"]),
    ("expire", ALL_BUT_ONE, &["expire-before-swap", "expire-after-swap"]),
    ("remove-orphans", AT_ONCE, &["orphans-deleted"]),
];

/// What lies below the table's location and belongs to no snapshot is named by the journal: by its path, or by the number of a commit in its name.
async fn what_is_left_is_known(world: &World) {
    let journaled = world.journaled(TABLE).await;
    let commits: Vec<i64> =
        journaled.split(|one: char| !one.is_ascii_digit()).filter(|part| part.len() > 9).filter_map(|part| part.parse().ok()).collect();
    // Manifests have the number in hexadecimal, as part of a UUID.
    let is_of = |name: &str, commit: &i64| name.contains(&commit.to_string()) || name.replace('-', "").contains(&format!("{commit:016x}"));
    let reach = world.table(TABLE).reach().await;
    assert_eq!(reach["missing"], json!([]), "{reach}");
    for path in reach["unreferenced"].as_array().unwrap() {
        let name = path.as_str().unwrap().rsplit('/').next().unwrap();
        let is_known = journaled.contains(name) || commits.iter().any(|commit| is_of(name, commit)) || name.starts_with("stray");
        assert!(is_known, "nobody knows of {name}\n{journaled}\n{reach}");
    }
}

async fn killed_everywhere(world: &World, commands: &[Command]) {
    world.sql("CREATE DATABASE lake.shop; CREATE TABLE lake.shop.t (id BIGINT, s STRING, kind INT) PARTITIONED BY (kind)").await;
    let mut rows = 0;
    for (command, more, places) in commands {
        for place in *places {
            let two = |id: u64| format!("INSERT INTO lake.shop.t VALUES ({id}, 'a', 0), ({}, 'b', 1)", id + 1);
            world.sql(&format!("{}; {}", two(rows), two(rows + 2))).await;
            rows += 4;
            if *command == "remove-orphans" {
                for number in 0..5 {
                    world.stray(TABLE, &format!("data/stray-{number}.parquet")).await;
                }
            }
            let expected = format!("{rows},{rows},{}", rows * (rows - 1) / 2);
            let found = async || world.sql("SELECT count(*), count(DISTINCT id), sum(id) FROM lake.shop.t").await;
            let killed = world.by_hand(command, TABLE, more).env("WEIR_FAIL", &format!("{place}=kill"));
            killed.output(LIMIT).await.killed();
            assert_eq!(found().await, expected, "{command} killed at {place}");
            if !world.a_day_later(TABLE).await {
                what_is_left_is_known(world).await;
                continue;
            }
            world.by_hand(command, TABLE, more).output(LIMIT).await.succeeded();
            assert_eq!(found().await, expected, "{command} after it was killed at {place}");
            nothing_is_left(&world.table(TABLE)).await;
        }
    }
}

#[tokio::test]
async fn a_command_killed_at_every_step_leaves_nothing_once_the_next_one_has_come_a_day_later() {
    killed_everywhere(&World::new(), &EVERYWHERE).await;
}

#[tokio::test]
async fn commands_killed_on_hdfs_leave_nothing_once_the_next_one_has_come_a_day_later() {
    killed_everywhere(&World::on_hdfs(), &SOMEWHERE).await;
}

#[tokio::test]
async fn commands_killed_on_s3_leave_nothing_once_the_next_one_has_come_a_day_later() {
    killed_everywhere(&World::on_s3(), &SOMEWHERE).await;
}

#[tokio::test]
async fn what_a_killed_command_leaves_is_in_the_journal_before_a_day_has_gone() {
    let world = World::new();
    world.sql("CREATE DATABASE lake.shop; CREATE TABLE lake.shop.t (id BIGINT)").await;
    for place in ["rewrite-before-commit", "commit-before-swap", "rewrite-committed"] {
        world.sql("INSERT INTO lake.shop.t VALUES (1); INSERT INTO lake.shop.t VALUES (2)").await;
        world.by_hand("compact", TABLE, SETTLE).env("WEIR_FAIL", &format!("{place}=kill")).output(LIMIT).await.killed();
        what_is_left_is_known(&world).await;
    }
    let left = world.table(TABLE).reach().await;
    assert!(left["unreferenced"] != json!([]), "killed before the commit with its files written: {left}");
}
