//! Options of upkeep, in hints and properties, in both spellings.

use weir_base::options::Problems;

use super::*;

fn pulled(hint: &[(&str, &str)], set: &[(&str, &str)]) -> Result<(UpkeepOptions, Vec<Problem>), Problems> {
    let bag = |options: &[(&str, &str)]| {
        let mut bag = OptionBag::new("Table 'c.d.t'");
        options.iter().for_each(|(key, value)| bag.insert(*key, *value, None));
        bag
    };
    let (mut hint, mut set) = (bag(hint), bag(set));
    let options = UpkeepOptions::pull(&mut hint, &mut set);
    let known: Vec<&OptionDecl> = UPKEEP_OPTIONS.iter().collect();
    let mut warnings = hint.finish("iceberg", &known, &[])?;
    // A table has other properties too.
    drop(set.prefixed(""));
    warnings.extend(set.finish("iceberg", &known, &[])?);
    Ok((options, warnings))
}

#[test]
fn nothing_is_done_unless_it_is_asked_for() {
    let (options, warnings) = pulled(&[], &[]).expect("fine");
    assert!(!options.is_wanted() && warnings.is_empty());
    assert_eq!((options.delta_commits, options.min_input_files, options.max_failures), (10, 5, 10));
}

#[test]
fn a_hint_wins_over_the_table_whatever_the_spelling() {
    let table = [("auto-compact", "true"), ("compact.delta.commits", "3")];
    let (options, _) = pulled(&[("flink-maintenance.rewrite.enabled", "false")], &table).expect("fine");
    assert!(!options.compact);
    let (options, _) = pulled(&[("flink-maintenance.rewrite.schedule.commit-count", "7")], &table).expect("fine");
    assert!(options.compact && options.delta_commits == 7);
}

#[test]
fn two_spellings_with_different_values_are_an_error_that_names_both() {
    let hint = [("compact.delta.commits", "7"), ("flink-maintenance.rewrite.schedule.commit-count", "8")];
    let told = pulled(&hint, &[]).expect_err("wrong").to_string();
    assert!(told.contains("'compact.delta.commits' = '7' and 'flink-maintenance.rewrite.schedule.commit-count' = '8'"), "{told}");
    pulled(&[("auto-compact", "true"), ("compaction-enabled", "TRUE")], &[]).expect("the same value twice is fine");
}

#[test]
fn wrong_values_are_told_together() {
    let hint = [
        ("auto-compact", "yes"),
        ("compact.delta.commits", "0"),
        ("compact.min-input-files", "1"),
        ("compact.target-file-size", "0"),
        ("flink-maintenance.rewite.enabled", "true"),
        ("flink-maintenance.convert-equality-deletes.enabled", "true"),
    ];
    let told = pulled(&hint, &[]).expect_err("wrong").to_string();
    for part in [
        "'auto-compact': 'yes' is not a boolean",
        "'compact.delta.commits' must be >= 1, but is 0",
        "'compact.min-input-files' must be >= 2, but is 1",
        "'compact.target-file-size' must be > 0",
        "Unsupported options found for 'iceberg': 'flink-maintenance.rewite.enabled'.\n  Did you mean 'flink-maintenance.rewrite.enabled'?",
        "applies equality deletes",
    ] {
        assert!(told.contains(part), "{part}\nnot in\n{told}");
    }
}

#[test]
fn what_has_no_effect_is_told() {
    let hint = [
        ("compact.delta.commits", "3"),
        ("flink-maintenance.lock.type", "jdbc"),
        ("flink-maintenance.delete-orphan-files.enabled", "true"),
        ("flink-maintenance.rewrite.partial-progress.enabled", "true"),
        ("flink-maintenance.delete-orphan-files.min-age-seconds", "60"),
        ("flink-maintenance.expire-snapshots.delete-batch-size", "10"),
    ];
    let why = [
        "because 'auto-compact' is 'false'",
        "without a lock",
        "weir table remove-orphans",
        "commits what is ready",
        "weir table remove-orphans",
        "not in batches",
    ];
    let (_, warnings) = pulled(&hint, &[]).expect("fine");
    let told: Vec<&str> = warnings.iter().map(|warning| warning.what.as_str()).collect();
    assert_eq!(told.len(), hint.len(), "{told:?}");
    for ((key, _), why) in hint.iter().zip(why) {
        assert!(told.iter().any(|text| text.starts_with(&format!("'{key}' has no effect")) && text.contains(why)), "{key}: {told:?}");
    }
}

#[test]
fn a_new_table_that_is_not_compacted_is_told_which_of_its_properties_wait_for_that() {
    let told = |switch: &str, value: &str| {
        let mut properties = OptionBag::new("Table 'c.d.t'");
        [(switch, value), ("compact.delta.commits", "3")].iter().for_each(|(key, value)| properties.insert(*key, *value, None));
        check_upkeep(&mut properties);
        let known: Vec<&OptionDecl> = UPKEEP_OPTIONS.iter().collect();
        let warnings = properties.finish("iceberg", &known, &[]).expect("fine");
        warnings.into_iter().map(|warning| warning.what).collect::<Vec<_>>()
    };
    let expected = "'compact.delta.commits' has no effect because 'auto-compact' is 'false'.";
    for switch in ["auto-compact", "compaction-enabled"] {
        assert_eq!(told(switch, "false"), [expected]);
        assert_eq!(told(switch, "true"), Vec::<String>::new());
    }
    assert_eq!(told("compact.max-bytes", "1 gb"), Vec::<String>::new(), "a new table that says nothing is compacted");
}

#[test]
fn expiry_is_on_where_the_table_or_the_hint_says_so() {
    let own = [("weir.expire-snapshots.enabled", "true")];
    let expire = pulled(&[("flink-maintenance.expire-snapshots.retain-last", "5")], &own).expect("fine").0.expire.expect("on");
    assert_eq!((expire.retain_last, expire.max_age), (Some(5), None));
    assert_eq!(pulled(&[("flink-maintenance.expire-snapshots.enabled", "false")], &own).expect("fine").0.expire, None);
}

#[test]
fn the_two_switches_of_expiry_must_say_the_same_where_both_are_properties() {
    let both = |flink, own| [("flink-maintenance.expire-snapshots.enabled", flink), ("weir.expire-snapshots.enabled", own)];
    for (flink, own) in [("true", "false"), ("false", "true")] {
        let told = pulled(&[], &both(flink, own)).expect_err("a contradiction").to_string();
        let named = format!("'flink-maintenance.expire-snapshots.enabled' = '{flink}' and 'weir.expire-snapshots.enabled' = '{own}' contradict");
        assert!(told.contains(&named), "{told}");
    }
    assert!(pulled(&[], &both("true", "TRUE")).expect("the same").0.expire.is_some());
}

#[test]
fn two_sinks_differ_in_the_first_option_that_says_otherwise_unless_nothing_is_wanted() {
    let of = |hint: &[(&str, &str)]| pulled(hint, &[]).expect("fine").0;
    let compact = |key, value| of(&[("auto-compact", "true"), (key, value)]);
    let (one, other) = (compact("compact.delta.commits", "3"), compact("compact.max-bytes", "1 gb"));
    assert_eq!(one.difference(&one.clone()), None);
    assert_eq!(one.difference(&other), Some(("compact.delta.commits", "3".to_owned(), "10".to_owned())));
    assert_eq!(of(&[]).difference(&other), Some(("auto-compact", "false".to_owned(), "true".to_owned())));
    let spelt = of(&[("flink-maintenance.rewrite.enabled", "TRUE"), ("flink-maintenance.rewrite.schedule.commit-count", "3")]);
    assert_eq!(spelt.difference(&one), None, "spellings do not matter");
    assert_eq!(of(&[]).difference(&of(&[("compact.delta.commits", "3")])), None);
    let expiring = compact("flink-maintenance.expire-snapshots.enabled", "true");
    let (key, ..) = expiring.difference(&compact("compact.delta.commits", "10")).expect("one expires");
    assert_eq!(key, "flink-maintenance.expire-snapshots.enabled");
}
