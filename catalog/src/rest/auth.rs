//! Tokens of a REST catalog: one that was given, or one from OAuth2 client credentials that is fetched anew when it ends.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Mutex;
use weir_base::{ErrorKind, Secret};

use super::address::Address;
use crate::error::CatalogError;

/// A token whose life is not told is taken for an hour's.
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);

/// Where tokens come from.
#[derive(Debug)]
pub(super) enum Auth {
    /// The server asks for none.
    None,
    /// Given by the user.
    Token(Secret<String>),
    /// `client_id:client_secret` at a token endpoint.
    Credentials(Box<Credentials>),
}

/// OAuth2 client credentials and the token that they gave last.
#[derive(Debug)]
pub(super) struct Credentials {
    client_id: Option<String>,
    client_secret: Secret<String>,
    scope: String,
    endpoint: Address,
    last: Mutex<Option<Granted>>,
}

#[derive(Debug, Clone)]
struct Granted {
    token: Secret<String>,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Credentials {
    /// `credential` is `id:secret`, or a secret alone.
    pub(super) fn new(credential: &Secret<String>, scope: String, endpoint: Address) -> Self {
        let (client_id, client_secret) = match credential.expose().split_once(':') {
            Some((id, secret)) => (Some(id.to_owned()), secret.to_owned()),
            None => (None, credential.expose().clone()),
        };
        Self { client_id, client_secret: Secret::new(client_secret), scope, endpoint, last: Mutex::new(None) }
    }

    async fn token(&self, http: &reqwest::Client) -> Result<Secret<String>, CatalogError> {
        let mut last = self.last.lock().await;
        if let Some(granted) = last.as_ref().filter(|granted| Instant::now() < granted.renew_at) {
            return Ok(granted.token.clone());
        }
        let granted = self.ask(http).await?;
        let token = granted.token.clone();
        *last = Some(granted);
        Ok(token)
    }

    fn form(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("client_secret", self.client_secret.expose())
            .append_pair("scope", &self.scope);
        if let Some(id) = &self.client_id {
            form.append_pair("client_id", id);
        }
        form.finish()
    }

    async fn ask(&self, http: &reqwest::Client) -> Result<Granted, CatalogError> {
        let request = http.post(self.endpoint.expose().clone()).header("content-type", "application/x-www-form-urlencoded").body(self.form());
        let unreachable = |error: reqwest::Error| {
            CatalogError::caused(ErrorKind::Transient, format!("token endpoint `{}` did not answer", self.endpoint), error.without_url())
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            let kind = if status.is_server_error() || status.as_u16() == 429 { ErrorKind::Transient } else { ErrorKind::User };
            return Err(CatalogError::other(kind, format!("token endpoint `{}` refused the credential: status {status}", self.endpoint)));
        }
        let token: TokenAnswer = serde_json::from_slice(&body).map_err(|_may_hold_a_token| {
            CatalogError::other(ErrorKind::Transient, format!("token endpoint `{}` answered with something that is no token", self.endpoint))
        })?;
        let life = token.expires_in.map_or(DEFAULT_LIFE, |seconds| Duration::from_secs(seconds.min(7 * 24 * 3600)));
        Ok(Granted { token: Secret::new(token.access_token), renew_at: Instant::now() + life * 9 / 10 })
    }
}

impl Auth {
    /// The token to send now.
    ///
    /// # Errors
    /// The token endpoint's.
    pub(super) async fn token(&self, http: &reqwest::Client) -> Result<Option<Secret<String>>, CatalogError> {
        match self {
            Self::None => Ok(None),
            Self::Token(token) => Ok(Some(token.clone())),
            Self::Credentials(credentials) => credentials.token(http).await.map(Some),
        }
    }

    /// Forgets the token that the server has just refused; false if there is no other to be had.
    pub(super) async fn renew(&self) -> bool {
        match self {
            Self::None | Self::Token(_) => false,
            Self::Credentials(credentials) => {
                *credentials.last.lock().await = None;
                true
            }
        }
    }
}
