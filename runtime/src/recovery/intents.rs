//! Which write intents name litter. A file may be deleted only if no checkpoint can ever name it.

use std::collections::BTreeMap;

use crate::checkpoint::{Entry, IntentName};

/// What to do with one intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IntentFate {
    /// The files of an attempt whose epoch can never become durable: delete them, then the intent.
    DeleteFiles,
    /// The epoch is committed and its files belong to the target: remove the intent only.
    Forget,
    /// Not known, or still needed: leave both.
    Keep,
}

/// Decides about an intent, once `claimed` is ours and every commit up to it is done. `entries` holds what lies under the epochs' names.
///
/// An epoch's name held by a claim or by another attempt proves that this attempt's checkpoint was never durable and never will be. So does
/// an epoch above our claim: its attempt would have had to write under the claimed name before. A name that is missing below proves nothing:
/// retention or a person may have removed it.
pub(crate) fn fate(intent: &IntentName, entries: &BTreeMap<u64, Entry>, claimed: u64) -> IntentFate {
    match entries.get(&intent.epoch) {
        Some(Entry::Checkpoint(checkpoint)) if checkpoint.attempt == intent.attempt => IntentFate::Forget,
        Some(_) => IntentFate::DeleteFiles,
        None if intent.epoch >= claimed => IntentFate::DeleteFiles,
        None => IntentFate::Keep,
    }
}

#[cfg(test)]
mod tests {
    use weir_connectors::source::Cuts;

    use super::*;
    use crate::checkpoint::Checkpoint;

    #[test]
    fn files_go_only_when_no_checkpoint_can_ever_name_them() {
        let checkpoint = Checkpoint::new("job", 5, "mine", Cuts::new(), BTreeMap::new());
        let entries = [(5, Entry::Checkpoint(Box::new(checkpoint))), (6, Entry::Claim { attempt: "new".into() })].into();
        let fate_of = |epoch, attempt| fate(&IntentName::new(epoch, attempt, "s", 0), &entries, 6);
        assert_eq!(fate_of(5, "mine"), IntentFate::Forget);
        assert_eq!(fate_of(5, "other"), IntentFate::DeleteFiles);
        assert_eq!(fate_of(6, "mine"), IntentFate::DeleteFiles);
        assert_eq!(fate_of(7, "mine"), IntentFate::DeleteFiles);
        assert_eq!(fate_of(4, "mine"), IntentFate::Keep);
    }
}
