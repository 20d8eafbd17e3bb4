//! How far dead letters have been sent back, and the text of it that a table keeps: `orders/0:43,orders/1:7`.

use std::collections::BTreeMap;
use std::fmt;

/// For each partition the offset after the last letter that was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<(String, i32), i64>);

impl Places {
    /// What the text means; `None` if it is no such text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let place = |text: &str| {
            let (partition, next) = text.rsplit_once(':')?;
            let (topic, partition) = partition.rsplit_once('/')?;
            let is_name = topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            (is_name && !topic.is_empty()).then_some(())?;
            Some(((topic.to_owned(), partition.parse().ok()?), next.parse().ok()?))
        };
        text.split(',').filter(|place| !place.is_empty()).map(place).collect::<Option<_>>().map(Self)
    }

    /// Where the next letter of a partition may be.
    #[must_use]
    pub fn next(&self, topic: &str, partition: i32) -> i64 {
        self.0.get(&(topic.to_owned(), partition)).copied().unwrap_or(0)
    }

    /// Notes that the letters before `next` have been sent.
    pub fn reach(&mut self, topic: &str, partition: i32, next: i64) {
        let known = self.0.entry((topic.to_owned(), partition)).or_default();
        *known = next.max(*known);
    }

    /// The same with what `others` have reached.
    #[must_use]
    pub fn with(mut self, others: &Self) -> Self {
        for ((topic, partition), next) in &others.0 {
            self.reach(topic, *partition, *next);
        }
        self
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, ((topic, partition), next)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{topic}/{partition}:{next}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_list_of_places_is_not_taken_for_one() {
        for text in ["orders", "orders/0", "orders:1", "orders/x:1", "orders/0:x", "/0:1", "orders/0:1;orders/1:2"] {
            assert_eq!(Places::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_text_is_read_back_and_places_only_go_on(reached in prop::collection::vec(("[a-z._-]{1,8}", 0..50_i32, 1..i64::MAX), 0..20)) {
            let mut places = Places::default();
            for (topic, partition, next) in &reached {
                let before = places.next(topic, *partition);
                places.reach(topic, *partition, *next);
                prop_assert_eq!(places.next(topic, *partition), before.max(*next));
            }
            prop_assert_eq!(Places::parse(&places.to_string()), Some(places.clone()));
            prop_assert_eq!(Places::default().with(&places).with(&places), places);
        }
    }
}
