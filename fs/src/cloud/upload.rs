//! Uploads in parts that know when they were completed after all, and leave nothing behind.

use async_trait::async_trait;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use weir_base::ErrorKind;

use super::{Cloud, put_result};
use crate::error::{FsError, is_not_found, kind_of};

/// An upload that, when its completion fails, looks whether it was completed after all, and that leaves no parts when it is dropped.
#[derive(Debug)]
pub(super) struct CloudUpload {
    upload: Option<Box<dyn MultipartUpload>>,
    store: Cloud,
    location: Path,
    id: String,
}

impl CloudUpload {
    /// `upload` to `location`, whose object will carry `id`.
    pub(super) fn new(upload: Box<dyn MultipartUpload>, store: Cloud, location: Path, id: String) -> Self {
        Self { upload: Some(upload), store, location, id }
    }
}

fn over() -> Error {
    FsError::new(ErrorKind::Internal, "the upload is over").into_store_error()
}

/// An upload that the server has forgotten, by itself or because somebody cleaned up: its file can be written anew, and nothing is wrong
/// with the request.
fn unless_forgotten(location: &Path) -> impl FnOnce(Error) -> Error + Send + use<> {
    let location = location.to_string();
    move |error| {
        if !is_not_found(&error) {
            return error;
        }
        let message = format!("the store has forgotten the upload of `{location}` with the parts that it had; the file must be written again");
        FsError::new(ErrorKind::Transient, message).with_source(error).into_store_error()
    }
}

#[async_trait]
impl MultipartUpload for CloudUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match &mut self.upload {
            Some(upload) => {
                let (part, forgotten) = (upload.put_part(data), unless_forgotten(&self.location));
                async move { part.await.map_err(forgotten) }.boxed()
            }
            None => Box::pin(async { Err(over()) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let upload = self.upload.as_mut().ok_or_else(over)?;
        match upload.complete().await {
            Ok(result) => {
                self.upload = None;
                Ok(result)
            }
            Err(error) if matches!(kind_of(&error), ErrorKind::Transient | ErrorKind::User) => {
                match self.store.written_by(&self.location, &self.id).await {
                    Ok(Some(meta)) => {
                        self.upload = None;
                        Ok(put_result(meta))
                    }
                    Ok(None) | Err(_) => Err(unless_forgotten(&self.location)(error)),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        match self.upload.take() {
            None => Ok(()),
            Some(mut upload) => match upload.abort().await {
                Err(error) if is_not_found(&error) => Ok(()),
                result => result,
            },
        }
    }
}

impl Drop for CloudUpload {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) else { return };
        let location = self.location.clone();
        let cleaning = async move {
            if let Err(error) = upload.abort().await {
                tracing::debug!(%location, %error, "parts of a dropped upload stay");
            }
        };
        // Nobody is left to wait for it.
        drop(runtime.spawn(cleaning));
    }
}
