//! Servers that ask to be left alone: `Retry-After` of a 429 or 503 is obeyed by every request to the store, and such answers are counted.
//!
//! object_store's client repeats a request that was refused with growing pauses, but it does not read `Retry-After`, and its other requests
//! know nothing of the refusal. This layer lies between that client and the network.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector};
use prometheus::IntCounterVec;
use uuid::Uuid;
use weir_base::ErrorKind;

use crate::deadline::Limits;
use crate::error::FsError;

/// Requests that waited for the same moment are sent over this time.
const SPREAD: Duration = Duration::from_millis(250);

fn refusals() -> Option<&'static IntCounterVec> {
    static REFUSALS: OnceLock<Option<IntCounterVec>> = OnceLock::new();
    let help = "Answers 429 and 503, by which a store asks for fewer requests";
    REFUSALS.get_or_init(|| weir_base::metrics::counters("weir_fs_throttled_total", help, &["scheme", "alias"])).as_ref()
}

/// The pace of one store; clones keep the same one.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    scheme: &'static str,
    alias: Arc<str>,
    /// How long a request waits before it says why it was not sent.
    patience: Duration,
    /// No pause is longer, whatever a server asks for.
    longest: Duration,
    until: Arc<Mutex<Option<Instant>>>,
}

impl Pace {
    /// No pause yet; `scheme` and `alias` label the counter.
    pub(crate) fn new(scheme: &'static str, alias: &str, limits: &Limits) -> Self {
        Self { scheme, alias: alias.into(), patience: limits.patience(), longest: limits.deadline, until: Arc::default() }
    }

    /// What is left of the pause.
    fn left(&self) -> Duration {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default()
    }

    /// Returns when a request may be sent.
    ///
    /// # Errors
    /// The pause is longer than a request may wait; it has waited then.
    async fn wait(&self) -> Result<(), HttpError> {
        let mut patience = self.patience;
        loop {
            let left = self.left();
            if left.is_zero() {
                return Ok(());
            }
            if left > patience {
                tokio::time::sleep(patience).await;
                let message = format!("the server asked for a pause, of which {} s are left", (left - patience).as_secs_f32().ceil());
                return Err(HttpError::new(HttpErrorKind::Unknown, FsError::new(ErrorKind::Transient, message)));
            }
            let spread = SPREAD.mul_f64((Uuid::new_v4().as_u128() % 1000) as f64 / 1000.0);
            tokio::time::sleep(left + spread).await;
            patience -= left;
        }
    }

    fn heard(&self, answer: &HttpResponse) {
        if !matches!(answer.status().as_u16(), 429 | 503) {
            return;
        }
        if let Some(refusals) = refusals() {
            refusals.with_label_values(&[self.scheme, &self.alias]).inc();
        }
        let asked = answer.headers().get("retry-after").and_then(|value| pause(value.to_str().ok()?, Utc::now()));
        let Some(asked) = asked else { return };
        let until = Instant::now() + asked.min(self.longest);
        let mut known = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none_or(|known| known < until) {
            tracing::warn!(scheme = self.scheme, alias = &*self.alias, seconds = asked.as_secs(), "the store asks for a pause");
            *known = Some(until);
        }
    }
}

/// The pause that a `Retry-After` asks for: seconds, or the date when it is over (RFC 9110, section 10.2.3).
fn pause(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some((date.with_timezone(&Utc) - now).to_std().unwrap_or_default())
}

impl HttpConnector for Pace {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Paced { client, pace: self.clone() }))
    }
}

#[derive(Debug)]
struct Paced {
    client: HttpClient,
    pace: Pace,
}

#[async_trait]
impl HttpService for Paced {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.pace.wait().await?;
        let answer = self.client.execute(request).await?;
        self.pace.heard(&answer);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_a_number_of_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z").expect("a date").with_timezone(&Utc);
        assert_eq!(pause(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(pause("Thu, 01 Jan 2026 00:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(pause("Wed, 31 Dec 2025 23:59:00 GMT", now), Some(Duration::ZERO), "it is over");
        assert_eq!(pause("soon", now), None);
    }

    fn refused(pace: &Pace, retry_after: &str) {
        let mut answer = HttpResponse::new(String::new().into());
        *answer.status_mut() = "503".parse().expect("a status");
        answer.headers_mut().insert("retry-after", retry_after.parse().expect("a value"));
        pace.heard(&answer);
    }

    #[test]
    fn the_longest_pause_counts_and_none_is_endless() {
        let pace = Pace::new("s3", "paced", &Limits::default());
        assert_eq!(pace.left(), Duration::ZERO);
        refused(&pace, "50");
        refused(&pace, "3");
        assert!(pace.clone().left() > Duration::from_secs(30), "a clone keeps the same pace");
        refused(&pace, "86400");
        assert!(pace.left() <= Limits::default().deadline);
        assert!(weir_base::metrics::exposition().contains("weir_fs_throttled_total{alias=\"paced\",scheme=\"s3\"} 3"));
    }

    #[tokio::test]
    async fn a_request_that_has_waited_long_enough_says_what_for() {
        let limits = Limits { deadline: Duration::from_millis(400), timeout: Duration::from_millis(40), ..Limits::default() };
        let pace = Pace::new("s3", "impatient", &limits);
        pace.wait().await.expect("no pause");
        refused(&pace, "86400");
        let error = weir_base::error::chain(&pace.wait().await.expect_err("too long"));
        assert!(error.contains("the server asked for a pause, of which 1 s are left"), "{error}");
        while !pace.left().is_zero() {
            drop(pace.wait().await);
        }
        pace.wait().await.expect("it is over");
    }
}
