//! The marker rules against a simple model: whatever sequence of crashes, repeats, foreign commits and expiries happens, each epoch is in
//! the table exactly once.

use std::sync::Arc;

use iceberg::TableUpdate;
use proptest::prelude::*;
use weir_base::{Classified, ErrorKind};

use super::support::{create, epoch_of, memory, table_id};
use crate::commit::{Append, TableCommitter, marker_of};
use crate::lake::LakeCatalog;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The next epoch is committed.
    Next,
    /// The last epoch is committed again, as after a crash before its mark.
    Again,
    /// Some epochs pass without rows for this sink, then one has some.
    Gap,
    /// Another job appends.
    Foreign,
    /// Everything but the head is expired by somebody.
    Expire,
    /// A checkpoint that is older by one commit is restored and its epoch is run again, with another cut.
    Older,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Next),
        3 => Just(Step::Again),
        1 => Just(Step::Gap),
        2 => Just(Step::Foreign),
        1 => Just(Step::Expire),
        1 => Just(Step::Older)
    ];
    proptest::collection::vec(step, 1..14)
}

/// What ought to be in the table.
#[derive(Debug, Default)]
struct Model {
    files: usize,
    own: Vec<Append>,
    foreign: u64,
}

impl Model {
    fn last(&self) -> Option<u64> {
        self.own.last().map(|append| append.epoch)
    }
}

async fn run(steps: Vec<Step>) {
    let catalog = memory();
    let table = create(&catalog, &[("commit.manifest.min-count-to-merge", "3")]).await;
    let committer = TableCommitter::of(&catalog, &table_id());
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Next | Step::Gap => {
                let skip = if matches!(step, Step::Gap) { 4 } else { 1 };
                let append = epoch_of(&table, "own", model.last(), model.last().unwrap_or(0) + skip).await;
                assert!(!committer.append(&append).await.expect("goes through").already);
                model.files += 1;
                model.own.push(append);
            }
            Step::Again => {
                if let Some(append) = model.own.last() {
                    assert!(committer.append(append).await.expect("is there").already);
                }
            }
            Step::Foreign => {
                let previous = (model.foreign > 0).then_some(model.foreign);
                model.foreign += 1;
                committer.append(&epoch_of(&table, "foreign", previous, model.foreign).await).await.expect("goes through");
                model.files += 1;
            }
            Step::Expire => expire_all_but_head(&catalog).await,
            Step::Older => {
                if let [.., before, last] = model.own.as_slice() {
                    let mut append = epoch_of(&table, "own", Some(before.epoch), last.epoch).await;
                    append.to = super::support::cuts(-1);
                    assert_eq!(committer.append(&append).await.expect_err("refused").kind(), ErrorKind::User);
                }
            }
        }
        let now = committer.refresh().await.expect("loaded");
        assert_eq!(marker_of(&now, "own", "out").expect("read").map(|marker| marker.epoch), model.last());
        let total = now.metadata.current_snapshot().and_then(|snapshot| snapshot.summary().additional_properties.get("total-data-files").cloned());
        assert_eq!(total.unwrap_or_else(|| "0".to_owned()), model.files.to_string());
    }
}

async fn expire_all_but_head(catalog: &Arc<dyn LakeCatalog>) {
    let now = catalog.load(&table_id()).await.expect("loaded");
    let head = now.metadata.current_snapshot_id();
    let snapshot_ids = now.metadata.snapshots().map(|snapshot| snapshot.snapshot_id()).filter(|id| Some(*id) != head).collect();
    catalog.commit(&now, Vec::new(), vec![TableUpdate::RemoveSnapshots { snapshot_ids }]).await.expect("expired");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_epoch_is_in_the_table_exactly_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(run(steps));
    }
}
