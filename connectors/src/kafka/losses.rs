//! How many messages of a table are bad, over all of its partitions.

use crate::letters::LossRate;

/// The share of bad messages, and the last of them: whichever partition finds that they are too many can name it.
#[derive(Debug)]
pub(super) struct Losses {
    rate: LossRate,
    last: String,
}

impl Losses {
    /// None; `most` is the share that is allowed.
    pub(super) fn new(most: f64) -> Self {
        Self { rate: LossRate::new(most), last: String::new() }
    }

    /// Counts `seen` messages, `bad` among them, the last of which `last` tells; if there are too many: how many of how many, and the last.
    pub(super) fn count(&mut self, seen: usize, bad: usize, last: Option<String>) -> Option<(u64, u64, String)> {
        if let Some(last) = last {
            self.last = last;
        }
        self.rate.count(seen, bad).map(|(bad, seen)| (bad, seen, self.last.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::Losses;

    #[test]
    fn a_partition_that_has_lost_nothing_can_name_the_last_loss_of_the_others() {
        let mut losses = Losses::new(0.05);
        assert_eq!(losses.count(500, 25, Some("at 7".to_owned())), None);
        assert_eq!(losses.count(500, 100, Some("at 9".to_owned())), Some((125, 1_000, "at 9".to_owned())));
        assert_eq!(losses.count(500, 0, None), Some((125, 1_500, "at 9".to_owned())));
    }
}
