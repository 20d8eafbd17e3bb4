//! Object stores of clouds, whatever their protocol.
//!
//! object_store's clients do the requests. On top, each object that must not replace another, and each upload in parts, carries the id
//! of its put as user metadata: after a lost answer, looking at that id tells whether the object is our own. The client repeats requests
//! by itself, so an `already exists` may be about its own first try.
//!
//! | file | owns |
//! |---|---|
//! | `first_put` | puts that need a store which refuses the second writer, and the trial whether it does |
//! | `pacing` | pauses that a server asks for |
//! | `upload` | uploads in parts |

mod first_put;
mod pacing;
mod upload;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, BackoffConfig, Certificate, ClientOptions, CopyMode, CopyOptions, Error, Extensions, GetOptions, GetResult, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, RetryConfig,
};
use tokio::sync::OnceCell;
use uuid::Uuid;
use weir_base::ErrorKind;

pub(crate) use first_put::KEY as FIRST_PUT_KEY;
pub use first_put::{FirstPut, is_not_refusing};
pub(crate) use pacing::Pace;

use crate::deadline::{Limits, PutId};
use crate::error::{FsError, is_not_found};
use first_put::IfUnable;
use upload::CloudUpload;

/// The user metadata that names the put of an object. A name that Azure takes too has no hyphen.
const PUT_ID: Attribute = Attribute::Metadata(std::borrow::Cow::Borrowed("weirput"));

/// The time of one try of an upload's request allows for this many bytes.
const LARGEST_PART: u64 = 16 * 1024 * 1024;

/// What all clients of a store are made with.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) options: ClientOptions,
    pub(crate) retry: RetryConfig,
}

/// How a store is talked to, whichever it is.
#[derive(Debug)]
pub(crate) struct Manner<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) pace: Pace,
}

/// The two clients of a store.
#[derive(Debug)]
struct Clients {
    /// For requests that whoever asks repeats too.
    requests: Client,
    /// For uploads in parts, which nobody can repeat from outside: a part has its place.
    uploads: Client,
}

impl Clients {
    /// Clients that trust the certificates in the PEM file `ca_file` too.
    ///
    /// # Errors
    /// A file that cannot be read or holds no certificates.
    fn try_new(limits: &Limits, ca_file: Option<&str>) -> std::result::Result<Self, FsError> {
        let mut options = ClientOptions::new()
            .with_allow_http(true)
            .with_connect_timeout(limits.timeout.min(std::time::Duration::from_secs(5)))
            .with_timeout(limits.deadline);
        for certificate in ca_file.map(certificates).transpose()?.unwrap_or_default() {
            options = options.with_root_certificate(certificate);
        }
        let client = |patience: std::time::Duration, options: ClientOptions| Client {
            options,
            retry: RetryConfig {
                backoff: BackoffConfig { init_backoff: limits.pause, max_backoff: (limits.patience() / 6).max(limits.pause), base: 2.0 },
                max_retries: usize::MAX,
                retry_timeout: patience,
            },
        };
        let one_try = limits.timeout + Limits::allowance(LARGEST_PART);
        Ok(Self {
            requests: client(limits.patience(), options.clone()),
            uploads: client(limits.deadline * 3 / 4, options.with_timeout(one_try.min(limits.deadline))),
        })
    }
}

fn certificates(file: &str) -> std::result::Result<Vec<Certificate>, FsError> {
    let wrong = |why: String| FsError::new(ErrorKind::User, format!("certificates of '{file}' cannot be read: {why}"));
    let text = std::fs::read(file).map_err(|error| wrong(error.to_string()).with_source(error))?;
    let found = Certificate::from_pem_bundle(&text).map_err(|error| wrong(error.to_string()).with_source(error))?;
    if found.is_empty() { Err(wrong("it holds none in PEM form".to_owned())) } else { Ok(found) }
}

/// A bucket or container whose objects know by which put they were written.
#[derive(Clone)]
pub(crate) struct Cloud {
    /// For uploads in parts there is a client of its own.
    requests: Arc<dyn ObjectStore>,
    uploads: Arc<dyn ObjectStore>,
    if_unable: IfUnable,
    refuses_the_second: Arc<OnceCell<bool>>,
    /// Whether the client takes the two modes of a copy for each other.
    swaps_copies: bool,
}

/// Without the clients, which would show keys and tokens.
impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.requests.fmt(f)
    }
}

fn marked(attributes: &mut Attributes, extensions: &Extensions) -> String {
    let id = extensions.get::<PutId>().map_or_else(Uuid::new_v4, |id| id.0).simple().to_string();
    attributes.insert(PUT_ID, id.clone().into());
    id
}

fn put_result(meta: ObjectMeta) -> PutResult {
    PutResult { e_tag: meta.e_tag, version: meta.version }
}

fn taken(location: &Path) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: "another writer was first".into() }
}

fn for_a_moment(location: &Path, refused: Error) -> Error {
    FsError::new(ErrorKind::Transient, format!("`{location}` existed for a moment only")).with_source(refused).into_store_error()
}

impl Cloud {
    /// The store whose clients `make` makes, in the way that `properties` ask for.
    ///
    /// # Errors
    /// What `make` says, a property with a value that it cannot have, and certificates in `ca_file` that cannot be read.
    pub(crate) fn try_new<S: ObjectStore>(
        manner: &Manner<'_>,
        properties: &BTreeMap<String, String>,
        ca_file: Option<&str>,
        make: impl Fn(Client) -> std::result::Result<S, FsError>,
    ) -> std::result::Result<Self, FsError> {
        let Clients { requests, uploads } = Clients::try_new(manner.limits, ca_file)?;
        let if_unable = IfUnable::parse(properties.get(FIRST_PUT_KEY).map(String::as_str))?;
        Ok(Self {
            requests: Arc::new(make(requests)?),
            uploads: Arc::new(make(uploads)?),
            if_unable,
            refuses_the_second: Arc::default(),
            swaps_copies: false,
        })
    }

    /// The same with a client that takes the two modes of a copy for each other.
    pub(crate) fn with_swapped_copies(self) -> Self {
        Self { swaps_copies: true, ..self }
    }

    /// The metadata of the object at `location` if it was written by put `id`.
    ///
    /// # Errors
    /// `NotFound` if there is no object, and what else the request meets.
    async fn written_by(&self, location: &Path, id: &str) -> Result<Option<ObjectMeta>> {
        let found = self.requests.get_opts(location, GetOptions { head: true, ..GetOptions::default() }).await?;
        Ok(found.attributes.get(&PUT_ID).is_some_and(|mark| mark.as_ref() == id).then_some(found.meta))
    }

    /// Whether a put at `location` may rely on the store to refuse a second writer; false if the name is to be looked at first.
    ///
    /// # Errors
    /// It may not, and that is not allowed.
    async fn may_rely(&self, location: &Path, first: FirstPut) -> Result<bool> {
        let ask = || first_put::refuses_the_second(self.requests.as_ref(), location);
        let asked = !self.refuses_the_second.initialized();
        if *self.refuses_the_second.get_or_try_init(ask).await? {
            return Ok(true);
        }
        if first == FirstPut::Strict || self.if_unable == IfUnable::Refuse {
            return Err(first_put::refusal(&self.to_string(), first));
        }
        if asked {
            tracing::warn!(store = %self, "the store lets a second writer replace an object; names are looked at first, which two processes of one job can get past");
        }
        Ok(false)
    }

    /// Looks whether the name is free, writes, and looks who was last.
    async fn put_after_looking(&self, location: &Path, payload: PutPayload, options: PutOptions, id: &str) -> Result<PutResult> {
        match self.written_by(location, id).await {
            Ok(Some(meta)) => return Ok(put_result(meta)),
            Ok(None) => return Err(taken(location)),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
        self.requests.put_opts(location, payload, PutOptions { mode: PutMode::Overwrite, ..options }).await?;
        match self.written_by(location, id).await {
            Ok(Some(meta)) => Ok(put_result(meta)),
            Ok(None) => Err(taken(location)),
            Err(error) if is_not_found(&error) => Err(for_a_moment(location, error)),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl ObjectStore for Cloud {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        if options.mode != PutMode::Create {
            return self.requests.put_opts(location, payload, options).await;
        }
        let id = marked(&mut options.attributes, &options.extensions);
        if let Some(first) = options.extensions.get::<FirstPut>().copied()
            && !self.may_rely(location, first).await?
        {
            return self.put_after_looking(location, payload, options, &id).await;
        }
        let refused = match self.requests.put_opts(location, payload, options).await {
            Err(error @ Error::AlreadyExists { .. }) => error,
            result => return result,
        };
        match self.written_by(location, &id).await {
            Ok(Some(meta)) => Ok(put_result(meta)),
            Ok(None) => Err(refused),
            // A rival was in the middle of it and failed, or the object was deleted at once: nobody has won yet.
            Err(error) if is_not_found(&error) => Err(for_a_moment(location, refused)),
            Err(error) => Err(error),
        }
    }

    async fn put_multipart_opts(&self, location: &Path, mut options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let id = marked(&mut options.attributes, &options.extensions);
        let upload = self.uploads.put_multipart_opts(location, options).await?;
        Ok(Box::new(CloudUpload::new(upload, self.clone(), location.clone(), id)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.requests.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.requests.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.requests.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.requests.list(prefix)
    }

    /// Some servers of Azure's protocol begin at the beginning whatever they are asked.
    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (listed, offset) = (self.requests.list_with_offset(prefix, offset), offset.clone());
        listed.try_filter(move |found| std::future::ready(found.location > offset)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.requests.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, mut options: CopyOptions) -> Result<()> {
        options.mode = match options.mode {
            CopyMode::Create if self.swaps_copies => CopyMode::Overwrite,
            CopyMode::Overwrite if self.swaps_copies => CopyMode::Create,
            mode => mode,
        };
        self.requests.copy_opts(from, to, options).await
    }
}
