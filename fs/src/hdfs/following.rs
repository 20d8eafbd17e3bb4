//! How often a NameNode is asked for the next block of a file, and after what pauses.
//!
//! It gives none before DataNodes have told it of the block before the last one (`NotReplicatedYetException`). Hadoop's client asks again, and
//! so do its options say how often.

use std::collections::BTreeMap;
use std::time::Duration;

/// How often it is asked again.
pub(super) const RETRIES: &str = "dfs.client.block.write.locateFollowingBlock.retries";
const PAUSE: &str = "dfs.client.block.write.locateFollowingBlock.initial.delay.ms";
const LONGEST: &str = "dfs.client.block.write.locateFollowingBlock.max.delay.ms";

/// How a NameNode is asked again for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Following {
    retries: u32,
    pause: Duration,
    longest: Duration,
}

impl Default for Following {
    /// As Hadoop's client does it.
    fn default() -> Self {
        Self { retries: 5, pause: Duration::from_millis(400), longest: Duration::from_secs(60) }
    }
}

impl Following {
    /// What `entries` say, and the default for what they don't say.
    ///
    /// # Errors
    /// An entry that is no whole number.
    pub(super) fn of(entries: &BTreeMap<String, String>) -> Result<Self, String> {
        let read = |key: &str| match entries.get(key).map(|text| (text, text.parse::<u32>())) {
            None => Ok(None),
            Some((_, Ok(number))) => Ok(Some(number)),
            Some((text, Err(_))) => Err(format!("'{key}' is '{text}'; it must be a whole number.")),
        };
        let default = Self::default();
        let millis = |key: &str, default: Duration| read(key).map(|given| given.map_or(default, |millis| Duration::from_millis(millis.into())));
        Ok(Self {
            retries: read(RETRIES)?.unwrap_or(default.retries),
            pause: millis(PAUSE, default.pause)?,
            longest: millis(LONGEST, default.longest)?,
        })
    }

    /// The pauses, one before each time that it is asked again.
    pub(super) fn pauses(self) -> impl Iterator<Item = Duration> {
        let first = self.pause.min(self.longest);
        let next = move |pause: &Duration| Some(pause.saturating_mul(2).min(self.longest));
        std::iter::successors(Some(first), next).zip(0..self.retries).map(|(pause, _)| pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(entries: &[(&str, &str)]) -> Result<Vec<u128>, String> {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Following::of(&entries).map(|following| following.pauses().map(|pause| pause.as_millis()).collect())
    }

    #[test]
    fn pauses_double_and_are_as_many_as_hadoop_makes_unless_its_options_say_otherwise() {
        assert_eq!(pauses(&[]), Ok(vec![400, 800, 1_600, 3_200, 6_400]));
        assert_eq!(pauses(&[(RETRIES, "3"), (PAUSE, "100"), (LONGEST, "150")]), Ok(vec![100, 150, 150]));
        assert_eq!(pauses(&[(RETRIES, "0")]), Ok(vec![]));
        let error = pauses(&[(PAUSE, "4 s")]).expect_err("no number");
        assert!(error.contains("initial.delay.ms' is '4 s'"), "{error}");
    }
}
