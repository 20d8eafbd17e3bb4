//! `Did you mean`: the nearest known names to what was written.

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
        if within || extends {
            found.push((distance, candidate));
        }
    }
    found.sort_by_key(|(distance, _)| *distance);
    found.dedup_by_key(|(_, candidate)| *candidate);
    found.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// `Did you mean 'a', 'b' or 'c'?`, or nothing for an empty list.
pub(super) fn did_you_mean(names: &[&str]) -> Option<String> {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let (last, rest) = quoted.split_last()?;
    let list = if rest.is_empty() { last.clone() } else { format!("{} or {last}", rest.join(", ")) };
    Some(format!("Did you mean {list}?"))
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
