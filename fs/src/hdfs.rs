//! HDFS.

use std::sync::Arc;

use object_store::ObjectStore;
use weir_base::ErrorKind;

use crate::deadline::Limits;
use crate::environment::Environment;
use crate::error::FsError;
use crate::registry::StoreKey;

pub(crate) fn build(key: &StoreKey, _environment: &Environment, _limits: &Limits) -> Result<Arc<dyn ObjectStore>, FsError> {
    Err(FsError::new(ErrorKind::User, format!("`hdfs://{}`: HDFS is not part of this build; no NameNode is asked", key.authority)))
}
