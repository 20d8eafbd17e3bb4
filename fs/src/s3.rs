//! S3 and what speaks its protocol.
//!
//! object_store's client does the requests. On top, each object that must not replace another, and each upload in parts, carries the id
//! of its put as user metadata (`x-amz-meta-weir-put`): after a lost answer, looking at that id tells whether the object is our own. The
//! client repeats requests by itself, so an `already exists` may be about its own first try.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut, S3CopyIfNotExists};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, CopyOptions, Error, Extensions, GetOptions, GetResult, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, RetryConfig, UploadPart,
};
use uuid::Uuid;
use weir_base::ErrorKind;
use weir_base::options::parse_boolean;

use crate::deadline::{Limits, PutId};
use crate::environment::Environment;
use crate::error::{FsError, is_not_found, kind_of};

/// The user metadata that names the put of an object.
const PUT_ID: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed("weir-put"));

/// Endings of endpoints whose servers want the bucket in the host's name.
const VIRTUAL_HOSTS: [&str; 4] = ["amazonaws.com", "aliyuncs.com", "myqcloud.com", "myhuaweicloud.com"];

/// The store of `bucket` where `properties` hold, in the spelling of [`object_store_keys`](crate::object_store_keys).
///
/// # Errors
/// A property with a value that cannot be used; the message names it.
pub(crate) fn build(
    bucket: &str,
    properties: &BTreeMap<String, String>,
    environment: &Environment,
    limits: &Limits,
) -> std::result::Result<S3, FsError> {
    let property = |name: &str| properties.get(name).map(String::as_str);
    let flag = |name: &str| match property(name) {
        None => Ok(None),
        Some(text) => {
            parse_boolean(text).map(Some).ok_or_else(|| FsError::new(ErrorKind::User, format!("'{name}' is '{text}'; it must be true or false")))
        }
    };
    let mut builder = AmazonS3Builder::new();
    for (name, value) in environment.with_prefix("AWS_") {
        if let Ok(config) = AmazonS3ConfigKey::from_str(&name.to_ascii_lowercase()) {
            builder = builder.with_config(config, value);
        }
    }
    if let Some(id) = property("s3.access-key-id") {
        builder = builder.with_access_key_id(id);
    }
    if let Some(secret) = property("s3.secret-access-key") {
        builder = builder.with_secret_access_key(secret);
    }
    if let Some(token) = property("s3.session-token") {
        builder = builder.with_token(token);
    }
    let Target { endpoint, region } = target(properties, environment);
    builder = builder.with_region(region);
    // Names of buckets are rarely names of hosts outside of the big clouds.
    let in_path = || endpoint.is_some_and(|endpoint| !VIRTUAL_HOSTS.iter().any(|host| endpoint.contains(host)));
    let path_style = flag("s3.path-style-access")?.unwrap_or_else(in_path);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(address(endpoint, bucket, path_style, flag("s3.ssl-enabled")?.unwrap_or(true)));
    }
    let options = ClientOptions::new()
        .with_allow_http(true)
        .with_connect_timeout(limits.timeout.min(std::time::Duration::from_secs(5)))
        .with_timeout(limits.deadline);
    // The store gives up by itself, and says why, a little before its time is over: the cut would only say that there was no answer.
    let enough = limits.timeout.min(limits.deadline) * 3 / 4;
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: limits.pause, max_backoff: (enough / 6).max(limits.pause), base: 2.0 },
        max_retries: usize::MAX,
        retry_timeout: enough,
    };
    let store = builder
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(!path_style)
        .with_client_options(options)
        .with_retry(retry)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .build()
        .map_err(|error| FsError::new(ErrorKind::User, format!("bucket `{bucket}`: {error}")).with_source(error))?;
    Ok(S3 { store })
}

/// The server that requests go to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The endpoint that is set; AWS's own if none is.
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) region: &'a str,
}

/// The server that `properties` name, or `environment` behind them.
pub(crate) fn target<'a>(properties: &'a BTreeMap<String, String>, environment: &'a Environment) -> Target<'a> {
    let property = |name: &str| properties.get(name).map(String::as_str);
    let region = property("s3.region").or_else(|| environment.get("AWS_REGION")).or_else(|| environment.get("AWS_DEFAULT_REGION"));
    let endpoint = property("s3.endpoint").or_else(|| environment.get("AWS_ENDPOINT_URL_S3")).or_else(|| environment.get("AWS_ENDPOINT_URL"));
    // A server of one's own has no regions, but a request must name one to be signed.
    Target { endpoint, region: region.unwrap_or("us-east-1") }
}

/// The address to send requests to. Hadoop's endpoints may lack the scheme; a bucket that is not in the path is in the host's name.
fn address(endpoint: &str, bucket: &str, path_style: bool, ssl: bool) -> String {
    let (scheme, host) =
        endpoint.trim_end_matches('/').split_once("://").unwrap_or((if ssl { "https" } else { "http" }, endpoint.trim_end_matches('/')));
    if path_style || host.starts_with(&format!("{bucket}.")) { format!("{scheme}://{host}") } else { format!("{scheme}://{bucket}.{host}") }
}

/// A bucket whose objects know by which put they were written.
#[derive(Clone)]
pub(crate) struct S3 {
    store: AmazonS3,
}

/// Without the client, which would show the key's id and the session token.
impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn marked(attributes: &mut Attributes, extensions: &Extensions) -> String {
    let id = extensions.get::<PutId>().map_or_else(Uuid::new_v4, |id| id.0).simple().to_string();
    attributes.insert(PUT_ID, id.clone().into());
    id
}

impl S3 {
    /// The metadata of the object at `location` if it was written by put `id`.
    ///
    /// # Errors
    /// `NotFound` if there is no object, and what else the request meets.
    async fn written_by(&self, location: &Path, id: &str) -> Result<Option<ObjectMeta>> {
        let found = self.store.get_opts(location, GetOptions { head: true, ..GetOptions::default() }).await?;
        Ok(found.attributes.get(&PUT_ID).is_some_and(|mark| mark.as_ref() == id).then_some(found.meta))
    }
}

impl fmt::Display for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

fn put_result(meta: ObjectMeta) -> PutResult {
    PutResult { e_tag: meta.e_tag, version: meta.version }
}

#[async_trait]
impl ObjectStore for S3 {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if options.mode != PutMode::Create {
            return self.store.put_opts(location, payload, options).await;
        }
        let id = marked(&mut options.attributes, &options.extensions);
        let refused = match self.store.put_opts(location, payload, options).await {
            Err(error @ Error::AlreadyExists { .. }) => error,
            result => return result,
        };
        match self.written_by(location, &id).await {
            Ok(Some(meta)) => Ok(put_result(meta)),
            Ok(None) => Err(refused),
            // A rival was in the middle of it and failed, or the object was deleted at once: nobody has won yet.
            Err(error) if is_not_found(&error) => {
                Err(FsError::new(ErrorKind::Transient, format!("`{location}` existed for a moment only")).with_source(refused).into_store_error())
            }
            Err(error) => Err(error),
        }
    }

    async fn put_multipart_opts(&self, location: &Path, mut options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let id = marked(&mut options.attributes, &options.extensions);
        let upload = self.store.put_multipart_opts(location, options).await?;
        Ok(Box::new(S3Upload { upload: Some(upload), bucket: self.clone(), location: location.clone(), id }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.store.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.store.rename_opts(from, to, options).await
    }
}

/// An upload that, when its completion fails, looks whether it was completed after all, and that leaves no parts when it is dropped.
#[derive(Debug)]
struct S3Upload {
    upload: Option<Box<dyn MultipartUpload>>,
    bucket: S3,
    location: Path,
    id: String,
}

fn over() -> Error {
    FsError::new(ErrorKind::Internal, "the upload is over").into_store_error()
}

#[async_trait]
impl MultipartUpload for S3Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match &mut self.upload {
            Some(upload) => upload.put_part(data),
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
                match self.bucket.written_by(&self.location, &self.id).await {
                    Ok(Some(meta)) => {
                        self.upload = None;
                        Ok(put_result(meta))
                    }
                    Ok(None) | Err(_) => Err(error),
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

impl Drop for S3Upload {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_store_keys::ours;

    fn built(properties: &[(&str, &str)], environment: &[(&str, &str)]) -> std::result::Result<String, String> {
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
        let properties = ours(&BTreeMap::from_iter(owned(properties)), "b");
        let environment = Environment::new(owned(environment));
        build("b", &properties, &environment, &Limits::default()).map(|store| format!("{:?}", store.store)).map_err(|error| error.to_string())
    }

    #[test]
    fn properties_win_over_the_environment_and_hadoop_spellings_are_understood() {
        let environment = [("AWS_ACCESS_KEY_ID", "from-env"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_REGION", "env-region")];
        let store = built(&[("fs.s3a.endpoint", "http://127.0.0.1:9000/"), ("s3.region", "own-region")], &environment).expect("builds");
        assert!(store.contains("own-region") && !store.contains("env-region"), "{store}");
        assert!(store.contains("http://127.0.0.1:9000/b\""), "path style for an endpoint of one's own: {store}");
        let store = built(&[], &[("AWS_ENDPOINT_URL", "http://elsewhere:1"), ("AWS_REGION", "env-region")]).expect("builds");
        assert!(store.contains("http://elsewhere:1/b") && store.contains("env-region"), "{store}");
    }

    #[test]
    fn the_bucket_is_in_the_path_or_in_the_name_of_the_host() {
        assert_eq!(address("http://127.0.0.1:9000/", "b", true, true), "http://127.0.0.1:9000");
        assert_eq!(address("oss-x.aliyuncs.com", "b", false, true), "https://b.oss-x.aliyuncs.com");
        assert_eq!(address("b.oss-x.aliyuncs.com", "b", false, false), "http://b.oss-x.aliyuncs.com");
        let oss = built(&[("fs.oss.endpoint", "oss-x.aliyuncs.com"), ("fs.oss.accessKeyId", "a"), ("fs.oss.accessKeySecret", "s")], &[]);
        assert!(oss.as_ref().expect("builds").contains("https://b.oss-x.aliyuncs.com"), "{oss:?}");
    }

    #[test]
    fn a_wrong_value_is_named() {
        let error = built(&[("s3.path-style-access", "maybe")], &[]).expect_err("refused");
        assert!(error.contains("'s3.path-style-access'") && error.contains("'maybe'"), "{error}");
    }
}
