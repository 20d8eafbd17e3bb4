//! `Did you mean`: the nearest known names to what was written.

use super::decl::OptionDecl;
use super::problem::Problem;

/// Lower case, `_` as `-`, no blanks around: two names equal in this form are the same name written differently.
#[must_use]
pub fn normalise(name: &str) -> String {
    name.trim().to_lowercase().replace('_', "-")
}

/// At most three of `known` that are near `name`, nearest first.
///
/// Equal after [`normalise`] wins alone; then the Damerau-Levenshtein distance decides, up to the larger of 2 and a fifth of the length.
#[must_use]
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = normalise(name);
    let limit = (wanted.chars().count() / 5).max(2);
    let mut found: Vec<(usize, &str)> = Vec::new();
    for candidate in known {
        let normal = normalise(candidate);
        if normal == wanted {
            return vec![candidate];
        }
        // A short word turns into any other short word within two edits, and a prefix such as 'earliest' is worth naming.
        let distance = strsim::damerau_levenshtein(&wanted, &normal);
        let within = distance <= limit && distance < wanted.chars().count().max(1);
        let extends = wanted.len() >= 4 && (normal.starts_with(&wanted) || normal.ends_with(&format!(".{wanted}")));
        if (within || extends) && !found.iter().any(|(_, name)| *name == candidate) {
            found.push((distance, candidate));
        }
    }
    found.sort_by_key(|(distance, _)| *distance);
    found.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// `Did you mean 'a', 'b' or 'c'?`, or nothing for an empty list.
pub(super) fn did_you_mean(names: &[&str]) -> Option<String> {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let (last, rest) = quoted.split_last()?;
    let list = if rest.is_empty() { last.clone() } else { format!("{} or {last}", rest.join(", ")) };
    Some(format!("Did you mean {list}?"))
}

/// `problem`, which says that `key` is unsupported, with what the user may have meant.
///
/// In this order: the same name written differently, a prefix forgotten or put on by mistake, a typo, an option of another owner.
pub(super) fn remedy(problem: Problem, owner: &str, key: &str, known: &[&str], elsewhere: &[(&str, &[OptionDecl])]) -> Problem {
    let plain = || known.iter().copied().filter(|name| !name.contains(['*', '#']));
    let same = plain().find(|name| normalise(name) == normalise(key));
    if let Some(name) = same {
        return problem.suggest(Some(format!("Did you mean '{name}'?")));
    }
    if let Some(full) = known.iter().find_map(|name| with_prefix(name, key)) {
        let note = prefix_note(&full, key);
        return problem.suggest(Some(format!("Did you mean '{full}'?{note}")));
    }
    if let Some(name) = plain().find(|name| key.ends_with(&format!(".{name}"))) {
        return problem.suggest(Some(format!("Did you mean '{name}'?")));
    }
    let near = closest(key, plain());
    if !near.is_empty() {
        let foreign = owner_of(key, elsewhere, owner).map(|name| format!(" ('{key}' belongs to connector '{name}'.)")).unwrap_or_default();
        return problem.suggest(did_you_mean(&near).map(|text| text + &foreign));
    }
    if let Some(name) = owner_of(key, elsewhere, owner) {
        return problem.hint(format!("'{key}' belongs to connector '{name}'."));
    }
    let foreign = elsewhere.iter().filter(|(name, _)| *name != owner).flat_map(|(_, decls)| decls.iter().map(|decl| decl.key));
    if let [first, ..] = closest(key, foreign.filter(|name| !name.contains(['*', '#']))).as_slice()
        && let Some(name) = owner_of(first, elsewhere, owner)
    {
        return problem.suggest(Some(format!("Did you mean '{first}'? ('{first}' belongs to connector '{name}'.)")));
    }
    match known {
        [] => problem.hint(format!("'{owner}' has no options.")),
        _ if known.len() > 20 => problem.hint(format!("DESCRIBE CONNECTOR {owner} lists the options.")),
        _ => problem.hint(format!("Supported options: {}.", known.join(", "))),
    }
}

/// The known option that `key` becomes with the prefix that it lacks.
fn with_prefix(name: &str, key: &str) -> Option<String> {
    let client_option = matches!(key, "bootstrap.servers" | "group.id" | "security.protocol" | "auto.offset.reset" | "isolation.level");
    match name.strip_suffix('*') {
        Some(prefix) => (name == "properties.*" && client_option).then(|| format!("{prefix}{key}")),
        None => name.ends_with(&format!(".{key}")).then(|| name.to_owned()),
    }
}

/// Why `full` and not `key`: who asks for the prefix.
fn prefix_note(full: &str, key: &str) -> String {
    let prefix = full.strip_suffix(key).unwrap_or_default().trim_end_matches('.');
    if prefix == "properties" {
        return " (Kafka client options carry the prefix 'properties.'.)".to_owned();
    }
    let parts: Vec<&str> = prefix.split('.').collect();
    let owner = |format: &str, selector: &str| format!(" (options of format '{format}' selected by '{selector}' carry that prefix.)");
    match parts.as_slice() {
        [role @ ("value" | "key"), format] => owner(format, &format!("{role}.format")),
        [role @ ("value" | "key")] => match key.split_once('.') {
            Some((format, _)) => owner(format, &format!("{role}.format")),
            None => String::new(),
        },
        [format @ ("json" | "csv" | "avro" | "raw")] => owner(format, "format"),
        _ => String::new(),
    }
}

fn owner_of<'a>(key: &str, elsewhere: &[(&'a str, &[OptionDecl])], except: &str) -> Option<&'a str> {
    elsewhere.iter().find(|(name, decls)| *name != except && decls.iter().any(|decl| decl.matches(key))).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_option() {
        let known = ["scan.startup.mode", "scan.bounded.mode", "topic"];
        assert_eq!(closest("scan.startup.mod", known), ["scan.startup.mode"]);
        assert_eq!(closest("Scan.Startup_Mode", ["scan.startup-mode"]), ["scan.startup-mode"]);
        assert!(closest("zzz", known).is_empty());
        assert_eq!(closest("earliest", ["earliest-offset", "latest-offset"])[0], "earliest-offset");
    }
}
