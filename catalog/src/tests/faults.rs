//! A catalog that lies: lost answers, conflicts, refusals. Whatever it does, each append is in the table once.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::future::BoxFuture;
use iceberg::{TableRequirement, TableUpdate};
use weir_base::{Classified, ErrorKind};
use weir_fs::FileSystems;

use super::support::{create, epoch_of, files_in, sqlite, table_id};
use crate::commit::TableCommitter;
use crate::error::CatalogError;
use crate::lake::{LakeCatalog, LakeTable, TableId, TableSpec};

/// What happens to one swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It happens and its answer is lost.
    LostAfter,
    /// It does not happen and its answer is lost.
    LostBefore,
    /// Somebody else commits first.
    Conflict,
    /// It is refused for now, and nothing happens.
    Refused,
    /// It is refused for good.
    Denied,
    /// Somebody else does something first.
    Meanwhile,
    /// The same, and only what the swap requires is looked at, not the base.
    MeanwhileUnseen,
}

pub(super) struct Lying {
    real: Arc<dyn LakeCatalog>,
    faults: Mutex<VecDeque<Fault>>,
    meanwhile: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl fmt::Debug for Lying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lying")
    }
}

impl Lying {
    fn over(real: Arc<dyn LakeCatalog>, faults: &[Fault]) -> Arc<dyn LakeCatalog> {
        Arc::new(Self { real, faults: Mutex::new(faults.iter().copied().collect()), meanwhile: Mutex::default() })
    }

    /// With something that somebody else does.
    pub(super) fn beside(real: Arc<dyn LakeCatalog>, fault: Fault, meanwhile: impl Future<Output = ()> + Send + 'static) -> Arc<dyn LakeCatalog> {
        Arc::new(Self { real, faults: Mutex::new([fault].into()), meanwhile: Mutex::new(Some(Box::pin(meanwhile))) })
    }

    async fn let_others(&self) {
        let meanwhile = self.meanwhile.lock().expect("not poisoned").take();
        if let Some(meanwhile) = meanwhile {
            meanwhile.await;
        }
    }
}

#[async_trait]
impl LakeCatalog for Lying {
    fn name(&self) -> &str {
        self.real.name()
    }
    fn file_systems(&self) -> &FileSystems {
        self.real.file_systems()
    }
    async fn databases(&self) -> Result<Vec<String>, CatalogError> {
        self.real.databases().await
    }
    async fn database_exists(&self, database: &str) -> Result<bool, CatalogError> {
        self.real.database_exists(database).await
    }
    async fn create_database(&self, database: &str, properties: &BTreeMap<String, String>) -> Result<(), CatalogError> {
        self.real.create_database(database, properties).await
    }
    async fn drop_database(&self, database: &str) -> Result<(), CatalogError> {
        self.real.drop_database(database).await
    }
    async fn tables(&self, database: &str) -> Result<Vec<String>, CatalogError> {
        self.real.tables(database).await
    }
    async fn load(&self, id: &TableId) -> Result<LakeTable, CatalogError> {
        self.real.load(id).await
    }
    async fn create(&self, id: &TableId, spec: &TableSpec) -> Result<LakeTable, CatalogError> {
        self.real.create(id, spec).await
    }
    async fn drop_table(&self, id: &TableId) -> Result<(), CatalogError> {
        self.real.drop_table(id).await
    }
    async fn commit(&self, base: &LakeTable, requirements: Vec<TableRequirement>, updates: Vec<TableUpdate>) -> Result<LakeTable, CatalogError> {
        let fault = self.faults.lock().expect("not poisoned").pop_front();
        let lost = || CatalogError::OutcomeUnknown { message: "503".to_owned(), source: None };
        match fault {
            None => self.real.commit(base, requirements, updates).await,
            Some(Fault::LostAfter) => self.real.commit(base, requirements, updates).await.and_then(|_| Err(lost())),
            Some(Fault::LostBefore) => Err(lost()),
            Some(Fault::Refused) => Err(CatalogError::other(ErrorKind::Transient, "429")),
            Some(Fault::Denied) => Err(CatalogError::user("403")),
            Some(Fault::Meanwhile) => {
                self.let_others().await;
                self.real.commit(base, requirements, updates).await
            }
            Some(Fault::MeanwhileUnseen) => {
                self.let_others().await;
                self.real.commit(&self.real.load(&base.id).await?, requirements, updates).await
            }
            Some(Fault::Conflict) => {
                let property = TableUpdate::SetProperties { updates: [("x.foreign".to_owned(), base.metadata_location.clone())].into() };
                self.real.commit(base, Vec::new(), vec![property]).await?;
                self.real.commit(base, requirements, updates).await
            }
        }
    }
}

async fn survives(faults: &[Fault]) {
    let folder = tempfile::tempdir().expect("folder");
    let real = sqlite(folder.path());
    let table = create(&real, &[]).await;
    let lying = Lying::over(Arc::clone(&real), faults);
    let committer = TableCommitter::of(&lying, &table_id());
    for epoch in 1..=2 {
        let append = epoch_of(&table, "job", (epoch > 1).then(|| epoch - 1), epoch).await;
        let appended = committer.append(&append).await.expect("appended in the end");
        assert!(!appended.already, "this call committed it");
    }
    let now = real.load(&table_id()).await.expect("loaded");
    let summary = &now.metadata.current_snapshot().expect("snapshot").summary().additional_properties;
    assert_eq!(summary.get("total-data-files").map(String::as_str), Some("2"), "{faults:?}");
    // Each snapshot has its list and its manifest, and every try that lost has been cleaned up.
    assert_eq!(files_in(folder.path(), ".avro").len(), 4, "{faults:?}");
}

#[tokio::test]
async fn a_lost_answer_is_resolved_by_looking_for_the_snapshot() {
    survives(&[Fault::LostAfter]).await;
    survives(&[Fault::LostBefore]).await;
}

#[tokio::test]
async fn conflicts_and_refusals_are_met_with_another_try() {
    survives(&[Fault::Conflict, Fault::Refused]).await;
}

#[tokio::test]
async fn any_mixture_of_faults_commits_once_and_leaves_no_litter() {
    survives(&[Fault::Conflict, Fault::LostBefore, Fault::Conflict, Fault::LostAfter, Fault::LostAfter]).await;
    survives(&[Fault::LostBefore, Fault::LostBefore, Fault::Refused, Fault::Conflict]).await;
}

#[tokio::test]
async fn a_final_refusal_cleans_up_and_an_unresolved_doubt_does_not() {
    let folder = tempfile::tempdir().expect("folder");
    let real = sqlite(folder.path());
    let table = create(&real, &[("commit.retry.total-timeout-ms", "1")]).await;
    let append = epoch_of(&table, "job", None, 1).await;
    let denied = Lying::over(Arc::clone(&real), &[Fault::Denied]);
    let error = TableCommitter::of(&denied, &table_id()).append(&append).await.expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(files_in(folder.path(), ".avro").is_empty());
    let doubtful = Lying::over(Arc::clone(&real), &[Fault::LostBefore]);
    let error = TableCommitter::of(&doubtful, &table_id()).append(&append).await.expect_err("nobody knows");
    assert!(matches!(error, CatalogError::OutcomeUnknown { .. }), "{error}");
    assert!(error.to_string().contains("`shop.orders`"), "{error}");
    assert_eq!(files_in(folder.path(), ".avro").len(), 2);
    // The next call, by whomever, commits it after all.
    assert!(!TableCommitter::of(&real, &table_id()).append(&append).await.expect("committed").already);
}
