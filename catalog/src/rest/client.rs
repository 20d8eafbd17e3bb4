//! HTTP to a REST catalog: the configuration handshake, tokens, deadlines, repeats, and what a status says about the outcome.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use weir_base::secret::shown;
use weir_base::{ErrorKind, Secret};

use super::RestConfig;
use super::address::Address;
use super::auth::{Auth, Credentials};
use crate::backoff::Backoff;
use crate::error::CatalogError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server's wish to be left alone is obeyed up to this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// A connection to one catalog server. Nothing is sent before the first call.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Address,
    auth: Auth,
    warehouse: Option<String>,
    prefix: Option<String>,
    config: OnceCell<ServerConfig>,
}

/// What the server said of itself: defaults, overridden by ours, overridden by its overrides. Keys of a store may be among them.
pub(super) struct ServerConfig {
    /// Path segments between `v1` and what follows.
    prefix: Vec<String>,
    /// All its properties.
    pub(super) properties: BTreeMap<String, String>,
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let properties: BTreeMap<_, _> = self.properties.iter().map(|(key, value)| (key, shown(key, value))).collect();
        f.debug_struct("ServerConfig").field("prefix", &self.prefix).field("properties", &properties).finish()
    }
}

/// How a request may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// As often as patience lasts.
    Freely,
    /// Never, once it may have reached the server.
    Never,
}

/// One request, without the server's address and prefix.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Path segments after the prefix, not encoded.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<&'a Value>,
    pub(super) repeat: Repeat,
}

#[derive(Debug, Default, Deserialize)]
struct ConfigAnswer {
    #[serde(default)]
    defaults: BTreeMap<String, String>,
    #[serde(default)]
    overrides: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct ErrorAnswer {
    error: ErrorModel,
}

#[derive(Debug, Deserialize)]
struct ErrorModel {
    #[serde(default)]
    message: String,
    #[serde(default, rename = "type")]
    kind: String,
}

/// How one try failed.
struct Failed {
    error: CatalogError,
    retry_after: Duration,
    /// The server says that it did not accept the token.
    unauthorized: bool,
}

impl Client {
    /// A client, from options. Fails on addresses and headers that cannot be.
    pub(super) fn try_new(config: &RestConfig) -> Result<Self, String> {
        let base = Address::parse(&config.uri)?;
        let auth = match (&config.token, &config.credential) {
            (_, Some(credential)) => {
                let endpoint = match &config.oauth2_server_uri {
                    Some(uri) => Address::parse(uri)?,
                    None => base.joined(["v1", "oauth", "tokens"]),
                };
                Auth::Credentials(Box::new(Credentials::new(credential, config.scope.clone(), endpoint)))
            }
            (Some(token), None) => Auth::Token(token.clone()),
            (None, None) => Auth::None,
        };
        let http = reqwest::Client::builder()
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(config.timeout)
            .default_headers(headers(&config.headers)?)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { http, base, auth, warehouse: config.warehouse.clone(), prefix: config.prefix.clone(), config: OnceCell::new() })
    }

    /// The server's configuration, asked for once.
    pub(super) async fn config(&self) -> Result<&ServerConfig, CatalogError> {
        self.config.get_or_try_init(|| self.ask_config()).await
    }

    /// Sends a call and reads its JSON answer.
    ///
    /// # Errors
    /// As [`Self::send`]; an answer that is not what was asked for counts as a lost one.
    pub(super) async fn json<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, CatalogError> {
        let mut backoff = Backoff::reads();
        loop {
            let body = self.send(call).await?;
            let error = match serde_json::from_slice(&body) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let message = format!("catalog server `{}` answered {} {} with something else: {error}", self.base, call.method, call.path.join("/"));
            if call.repeat == Repeat::Never {
                return Err(CatalogError::unknown(message, error));
            }
            // A proxy's error page, or an answer that was cut.
            if !backoff.wait().await {
                return Err(CatalogError::caused(ErrorKind::Transient, message, error));
            }
        }
    }

    /// Sends a call; the body of the answer.
    ///
    /// # Errors
    /// `NotFound` for 404, `Conflict` for 409, `OutcomeUnknown` if an unrepeatable call may have been carried out, and others by kind.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Bytes, CatalogError> {
        let prefix = &self.config().await?.prefix;
        let path = ["v1"].into_iter().chain(prefix.iter().map(String::as_str)).chain(call.path.iter().copied());
        self.send_to(self.base.joined(path).with_query(call.query), call).await
    }

    async fn ask_config(&self) -> Result<ServerConfig, CatalogError> {
        let warehouse: Vec<_> = self.warehouse.iter().map(|warehouse| ("warehouse", warehouse.as_str())).collect();
        let url = self.base.joined(["v1", "config"]).with_query(&warehouse);
        let call = Call { method: Method::GET, path: &["config"], query: &[], body: None, repeat: Repeat::Freely };
        let body = self.send_to(url, &call).await?;
        let answer: ConfigAnswer = serde_json::from_slice(&body).map_err(|error| {
            CatalogError::caused(
                ErrorKind::User,
                format!("`{}` is no Iceberg REST catalog: its answer to v1/config is not understood", self.base),
                error,
            )
        })?;
        let mut properties = answer.defaults;
        if let Some(prefix) = &self.prefix {
            properties.insert("prefix".to_owned(), prefix.clone());
        }
        properties.extend(answer.overrides);
        let prefix = properties.get("prefix").map(|prefix| prefix.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect());
        Ok(ServerConfig { prefix: prefix.unwrap_or_default(), properties })
    }

    async fn send_to(&self, url: Address, call: &Call<'_>) -> Result<Bytes, CatalogError> {
        let mut backoff = Backoff::reads();
        let (mut renewed, mut told) = (false, false);
        loop {
            let failed = match self.send_once(&url, call).await {
                Ok(body) => return Ok(body),
                Err(failed) => failed,
            };
            // A refused token means that nothing was done, whatever was asked.
            if failed.unauthorized && !renewed && self.auth.renew().await {
                renewed = true;
                continue;
            }
            let again = call.repeat == Repeat::Freely && failed.error.is_transient();
            if again && !std::mem::replace(&mut told, true) {
                tracing::warn!(cause = weir_base::error::chain(&failed.error), "catalog request failed, trying again");
            }
            if !again || !backoff.wait_at_least(failed.retry_after).await {
                return Err(failed.error);
            }
        }
    }

    async fn send_once(&self, url: &Address, call: &Call<'_>) -> Result<Bytes, Failed> {
        let token = self.auth.token(&self.http).await.map_err(Failed::plain)?;
        let mut request = self.http.request(call.method.clone(), url.expose().clone());
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = call.body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| Failed::plain(self.no_answer(call, error)))?;
        let status = answer.status();
        let retry_after = retry_after(answer.headers());
        let body = answer.bytes().await.map_err(|error| Failed::plain(self.no_answer(call, error)))?;
        if status.is_success() {
            return Ok(body);
        }
        let unauthorized = matches!(status.as_u16(), 401 | 419);
        Err(Failed { error: self.refused(call, status, &body), retry_after, unauthorized })
    }

    /// The request was not sent, or its answer did not come.
    fn no_answer(&self, call: &Call<'_>, error: reqwest::Error) -> CatalogError {
        let not_sent = error.is_connect() || error.is_builder();
        let message = format!("catalog server `{}` did not answer {} {}", self.base, call.method, call.path.join("/"));
        if not_sent || call.repeat == Repeat::Freely {
            CatalogError::caused(ErrorKind::Transient, message, error)
        } else {
            CatalogError::unknown(message, error)
        }
    }

    fn refused(&self, call: &Call<'_>, status: StatusCode, body: &[u8]) -> CatalogError {
        let model = serde_json::from_slice::<ErrorAnswer>(body).ok().map(|answer| answer.error);
        let said = model.map_or_else(String::new, |model| format!(": {} {}", model.kind, model.message));
        let message = format!("catalog server `{}` answered {} {} with status {status}{said}", self.base, call.method, call.path.join("/"));
        match status.as_u16() {
            404 => CatalogError::NotFound(message),
            409 => CatalogError::Conflict(message),
            // Iceberg's Java servers check these after the requirements, against a table that has moved on meanwhile.
            400 if said.contains("older than last sequence number") || said.contains("behind table next-row-id") => CatalogError::Conflict(message),
            // Too many requests should mean that nothing was done; but a gateway may say it of an answer.
            408 | 429 | 500..=599 => match call.repeat {
                Repeat::Freely => CatalogError::other(ErrorKind::Transient, message),
                Repeat::Never => CatalogError::OutcomeUnknown { message, source: None },
            },
            _ => CatalogError::user(message),
        }
    }
}

impl Failed {
    fn plain(error: CatalogError) -> Self {
        Self { error, retry_after: Duration::ZERO, unauthorized: false }
    }
}

fn headers(given: &BTreeMap<String, Secret<String>>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let parsed = HeaderName::try_from(name.as_str()).ok().zip(HeaderValue::try_from(value.expose().as_str()).ok());
        let (key, mut value) = parsed.ok_or_else(|| format!("'header.{name}' is no header."))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// `Retry-After` in seconds; dates are rare and not read.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST_RETRY_AFTER)
}
