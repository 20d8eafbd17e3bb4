//! HTTP to a schema registry: its addresses in turn, bounds on time and size, and patience.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::IntCounterVec;
use reqwest::{Certificate, Identity, Url};
use serde::de::DeserializeOwned;
use weir_base::metrics::counters;
use weir_base::secret::without_passwords;
use weir_base::{ErrorKind, Secret, error};

use super::answers::{Answer, answer};
use crate::error::ConnectorError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one answer may take as a whole.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// An answer of more bytes is none.
const MOST_BYTES: usize = 16 << 20;
/// What a registry speaks.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Rounds of nonsense in a row after which the address is taken to be wrong.
const MOST_NONSENSE: u32 = 8;
/// Between rounds: the first wait, which doubles, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How a registry is reached.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) urls: Vec<Server>,
    pub(super) login: Login,
    /// PEM of the authorities to trust; those of the system if none.
    pub(super) authorities: Option<Vec<u8>>,
    /// PEM of a certificate with its key, to show.
    pub(super) identity: Option<Secret<Vec<u8>>>,
    /// Until the second round, if the first has no answer.
    pub(super) first_wait: Duration,
}

impl Settings {
    /// A registry at `urls`, open to everybody.
    pub(super) fn of(urls: Vec<Server>) -> Self {
        Self { urls, login: Login::InUrl, authorities: None, identity: None, first_wait: FIRST_WAIT }
    }
}

/// How a client says who it is.
#[derive(Debug, Clone)]
pub(super) enum Login {
    /// Not at all, or by what stands in the address.
    InUrl,
    Basic {
        user: String,
        password: Secret<String>,
    },
    Token(Secret<String>),
}

/// An address of a registry; it may hold a password, which is not shown.
#[derive(Clone)]
pub(super) struct Server(Url);

impl Server {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, without any of it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim()).map_err(|error| format!("it is no URL: {error}"))?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            Ok(Self(url))
        } else {
            Err("it begins with neither http:// nor https://".to_owned())
        }
    }

    fn joined(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_passwords(self.0.as_str()))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A registry.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    settings: Settings,
    /// The address that answered last.
    turn: AtomicUsize,
    /// Nobody has answered since.
    away: AtomicBool,
}

impl Client {
    /// A client, which does not connect yet.
    ///
    /// # Errors
    /// What of the certificates cannot be.
    pub(super) fn new(settings: Settings) -> Result<Self, String> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT);
        if let Some(pem) = &settings.authorities {
            builder = builder.tls_built_in_root_certs(false);
            for certificate in Certificate::from_pem_bundle(pem).map_err(|error| error::chain(&error))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        if let Some(pem) = &settings.identity {
            builder = builder.identity(Identity::from_pem(pem.expose()).map_err(|error| error::chain(&error))?);
        }
        let http = builder.build().map_err(|error| error::chain(&error))?;
        Ok(Self { http, settings, turn: AtomicUsize::new(0), away: AtomicBool::new(false) })
    }

    /// What the registry has at `path`, or that it has nothing there, in its words. Waits as long as nobody answers.
    ///
    /// # Errors
    /// The registry will not answer, or what answers is none (user).
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Result<T, String>, ConnectorError> {
        self.answered(path, None, None).await
    }

    /// What the registry answers to `body` at `path`, or that it has nothing there, in its words. Tries so many `rounds`.
    ///
    /// # Errors
    /// The registry will not answer, or what answers is none (user); nobody has answered (transient).
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &str, rounds: u32) -> Result<Result<T, String>, ConnectorError> {
        self.answered(path, Some(body), Some(rounds)).await
    }

    async fn answered<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: Option<&str>,
        rounds: Option<u32>,
    ) -> Result<Result<T, String>, ConnectorError> {
        let (mut wait, mut nonsense) = (self.settings.first_wait, 0);
        for round in 1_u32.. {
            let mut trouble = String::new();
            let mut is_nonsense = false;
            for _ in &self.settings.urls {
                let turn = self.turn.load(Ordering::Relaxed);
                let Some(server) = self.settings.urls.get(turn % self.settings.urls.len()) else { break };
                let answer = self.ask(server, path, body).await;
                if let Answer::Found(_) | Answer::Unknown(_) = answer
                    && self.away.swap(false, Ordering::Relaxed)
                {
                    tracing::info!(registry = %server, "schema registry answers again");
                }
                match answer {
                    Answer::Found(found) => return Ok(Ok(found)),
                    Answer::Unknown(words) => return Ok(Err(words)),
                    Answer::Refused(why) => return Err(refused(server, &why)),
                    Answer::Nonsense(why) => (is_nonsense, trouble) = (true, format!("schema registry `{server}`: {why}")),
                    Answer::Away(why) => trouble = format!("schema registry `{server}`: {why}"),
                }
                self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
            }
            nonsense = if is_nonsense { nonsense + 1 } else { 0 };
            if nonsense == MOST_NONSENSE {
                let what = format!("{trouble}. Check the 'url' of the format; the path of the interface belongs to it.");
                return Err(ConnectorError::new(ErrorKind::User, what));
            }
            if rounds == Some(round) {
                return Err(ConnectorError::transient(format!("{trouble}; given up after {round} tries")));
            }
            if !self.away.swap(true, Ordering::Relaxed) {
                tracing::warn!(reason = trouble, "schema registry cannot be reached, waiting");
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        Err(ConnectorError::internal("the tries of a question have come to an end"))
    }

    /// The address that answered last, without passwords.
    pub(super) fn name(&self) -> String {
        let turn = self.turn.load(Ordering::Relaxed).checked_rem(self.settings.urls.len());
        turn.and_then(|turn| self.settings.urls.get(turn)).map(Server::to_string).unwrap_or_default()
    }

    /// What [`Self::get`] gives, if it is had at once: for what is only good to know.
    pub(super) async fn glance<T: DeserializeOwned>(&self, path: &[&str]) -> Option<T> {
        let turn = self.turn.load(Ordering::Relaxed).checked_rem(self.settings.urls.len())?;
        match self.ask(self.settings.urls.get(turn)?, path, None).await {
            Answer::Found(found) => Some(found),
            _ => None,
        }
    }

    /// Asks one server once, and counts it.
    async fn ask<T: DeserializeOwned>(&self, server: &Server, path: &[&str], body: Option<&str>) -> Answer<T> {
        let answer = self.once(server, path, body).await;
        count(answer.name());
        answer
    }

    async fn once<T: DeserializeOwned>(&self, server: &Server, path: &[&str], body: Option<&str>) -> Answer<T> {
        let url = server.joined(path);
        let request = match body {
            None => self.http.get(url),
            Some(body) => self.http.post(url).header("content-type", MEDIA_TYPE).body(body.to_owned()),
        };
        let request = request.header("accept", format!("{MEDIA_TYPE}, application/json"));
        let request = match &self.settings.login {
            Login::InUrl => request,
            Login::Basic { user, password } => request.basic_auth(user, Some(password.expose())),
            Login::Token(token) => request.bearer_auth(token.expose()),
        };
        let no_answer = |error: reqwest::Error| {
            let why = error::chain(&error.without_url());
            // A certificate does not become right by waiting.
            if is_of_trust(&why) { Answer::Refused(why) } else { Answer::Away(why) }
        };
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return no_answer(error),
        };
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= MOST_BYTES => body.extend_from_slice(&chunk),
                Ok(Some(_)) => return Answer::Refused(format!("its answer has more than {} MB", MOST_BYTES >> 20)),
                Ok(None) => return answer(response.status().as_u16(), &body),
                Err(error) => return no_answer(error),
            }
        }
    }
}

/// Whether a connection fails because one side does not trust the other: certificates by name, or the alerts that TLS has for them (RFC 8446, 6.2).
fn is_of_trust(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    ["certificate", "unknownca", "accessdenied", "handshakefailure"].iter().any(|word| why.contains(word))
}

fn count(answer: &str) {
    static REQUESTS: OnceLock<Option<IntCounterVec>> = OnceLock::new();
    let help = "Requests to schema registries, by what came of them: found, unknown, nonsense, away or refused.";
    if let Some(requests) = REQUESTS.get_or_init(|| counters("weir_connectors_registry_requests_total", help, &["answer"])) {
        requests.with_label_values(&[answer]).inc();
    }
}

fn refused(server: &Server, why: &str) -> ConnectorError {
    let remedy = match why {
        why if why.starts_with("status 401") || why.starts_with("status 403") => {
            "Check 'basic-auth.user-info' or 'bearer-auth.token' of the format, and what the user may read."
        }
        why if why.starts_with("status 409") => {
            "The schema must be compatible with those that the subject has, as the registry is set: change the columns, or take another 'subject'."
        }
        why if why.starts_with("status 422") => "The registry does not take the schema or the 'subject'.",
        // Behind the refusals, whose words may have a column's name in them.
        why if !why.starts_with("status ") && is_of_trust(why) => "Check 'ssl.truststore.location' and 'ssl.keystore.location' of the format.",
        _ => "Check the 'url' of the format.",
    };
    ConnectorError::new(ErrorKind::User, format!("schema registry `{server}`: {why}. {remedy}"))
}
