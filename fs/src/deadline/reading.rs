//! Bodies that arrive in time: a broken or silent stream is opened again where it broke.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload, Result};
use weir_base::ErrorKind;

use super::{Request, Tries};
use crate::error::{FsError, kind_of};

/// How often in a row a body may break without a byte in between.
const BREAKS: u32 = 5;

/// The items of `stream`, each within `limit`; `what` is being done.
pub(super) fn in_time<T: Send + 'static>(stream: BoxStream<'static, Result<T>>, limit: Duration, what: String) -> BoxStream<'static, Result<T>> {
    let next = move |(mut stream, what): (BoxStream<'static, Result<T>>, String)| async move {
        match tokio::time::timeout(limit, stream.next()).await {
            Ok(item) => item.map(|item| (item, (stream, what))),
            Err(elapsed) => {
                let error = FsError::new(ErrorKind::Transient, format!("{what}: nothing came for {} s", limit.as_secs_f32())).with_source(elapsed);
                Some((Err(error.into_store_error()), (futures::stream::empty().boxed(), what)))
            }
        }
    };
    futures::stream::unfold((stream, what), next).fuse().boxed()
}

/// `result` with a body that opens itself again after transient errors.
pub(super) fn resumed(tries: Arc<Tries>, location: Path, result: GetResult) -> GetResult {
    let GetResult { payload, meta, range, attributes } = result;
    let payload = match payload {
        GetResultPayload::Stream(stream) => {
            let body = Body { e_tag: meta.e_tag.clone(), left: range.clone(), breaks: 0, stream, tries, location };
            GetResultPayload::Stream(futures::stream::unfold(Some(body), next).fuse().boxed())
        }
        file @ GetResultPayload::File(..) => file,
    };
    GetResult { payload, meta, range, attributes }
}

struct Body {
    tries: Arc<Tries>,
    location: Path,
    /// What makes sure that the rest belongs to the same object.
    e_tag: Option<String>,
    /// What has not come yet.
    left: Range<u64>,
    breaks: u32,
    stream: BoxStream<'static, Result<Bytes>>,
}

async fn next(body: Option<Body>) -> Option<(Result<Bytes>, Option<Body>)> {
    let mut body = body?;
    loop {
        if body.left.is_empty() {
            return None;
        }
        let error = match tokio::time::timeout(body.tries.limits.timeout, body.stream.next()).await {
            Ok(Some(Ok(bytes))) => {
                body.left.start += bytes.len() as u64;
                body.breaks = 0;
                return Some((Ok(bytes), Some(body)));
            }
            Ok(Some(Err(error))) if kind_of(&error) != ErrorKind::Transient => return Some((Err(error), None)),
            Ok(Some(Err(error))) => error,
            Ok(None) => body.broken("ended early"),
            Err(_) => body.broken("stood still"),
        };
        body.breaks += 1;
        if body.breaks > BREAKS {
            return Some((Err(error), None));
        }
        tracing::warn!(uri = body.tries.uri(&body.location), cause = weir_base::error::chain(&error), "reading broke off, going on from there");
        tokio::time::sleep(body.tries.limits.pause * body.breaks).await;
        if let Err(error) = body.open_again().await {
            return Some((Err(error), None));
        }
    }
}

impl Body {
    fn broken(&self, how: &str) -> object_store::Error {
        let message =
            format!("reading `{}`: the stream {how} with {} bytes to come", self.tries.uri(&self.location), self.left.end - self.left.start);
        FsError::new(ErrorKind::Transient, message).into_store_error()
    }

    async fn open_again(&mut self) -> Result<()> {
        let options = GetOptions { if_match: self.e_tag.clone(), range: Some(GetRange::Bounded(self.left.clone())), ..GetOptions::default() };
        let (tries, location) = (&self.tries, &self.location);
        let request = Request { operation: "get", path: location, bytes: 0 };
        let result = tries.run(request, |_| tries.inner.get_opts(location, options.clone())).await?;
        self.stream = result.into_stream();
        Ok(())
    }
}
