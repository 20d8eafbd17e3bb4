//! Google Cloud Storage: who it is, and where requests go.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::StaticCredentialProvider;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use weir_base::ErrorKind;
use weir_base::options::parse_boolean;

use crate::cloud::{Cloud, Manner};
use crate::environment::Environment;
use crate::error::FsError;

/// Where requests go unless `gcs.service.host` says otherwise.
pub(crate) const ENDPOINT: &str = "https://storage.googleapis.com";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity<'a> {
    /// Nobody: requests carry no proof.
    Anonymous,
    /// The owner of a token.
    Token(&'a str),
    /// The account in a JSON file: a service account's key, or what `gcloud auth application-default login` writes.
    File(&'a str),
    /// What `gcloud` has written for the user of this process, or else what this machine is to the cloud.
    Process,
}

/// Finds the identity, the own properties first. The environment is that of the process, if it counts.
///
/// # Errors
/// An alias that does not say who it is.
pub(crate) fn identity<'a>(
    properties: &'a BTreeMap<String, String>,
    (environment, of_process): (&'a Environment, bool),
) -> Result<Identity<'a>, FsError> {
    let own = |key: &str| properties.get(key).map(String::as_str);
    let flag =
        |text: &str| parse_boolean(text).ok_or_else(|| FsError::new(ErrorKind::User, format!("'gcs.no-auth' is '{text}'; it must be true or false")));
    if own("gcs.no-auth").map(flag).transpose()? == Some(true) {
        return Ok(Identity::Anonymous);
    }
    let found = own("gcs.oauth2.token").map(Identity::Token).or_else(|| own("gcs.credentials-file").map(Identity::File));
    let behind = || environment.get("GOOGLE_APPLICATION_CREDENTIALS").map(Identity::File).or(of_process.then_some(Identity::Process));
    found.or_else(behind).ok_or_else(|| {
        let what = "it is not said who it is: give 'gcs.credentials-file', 'gcs.oauth2.token', or 'gcs.no-auth' = 'true'";
        FsError::new(ErrorKind::User, what)
    })
}

/// The store of `bucket` where `properties` hold, in the spelling of [`object_store_keys`](crate::object_store_keys).
///
/// # Errors
/// A property with a value that cannot be used, or credentials that cannot be; the message names them.
pub(crate) fn build(
    bucket: &str,
    properties: &BTreeMap<String, String>,
    behind: (&Environment, bool),
    manner: &Manner<'_>,
) -> Result<Cloud, FsError> {
    let property = |name: &str| properties.get(name).map(String::as_str);
    let builder = GoogleCloudStorageBuilder::new().with_bucket_name(bucket).with_http_connector(manner.pace.clone());
    let builder = builder.with_base_url(property("gcs.service.host").unwrap_or(ENDPOINT).trim_end_matches('/'));
    let bearer = |token: &str| Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: token.to_owned() }));
    let builder = match identity(properties, behind)? {
        Identity::Anonymous => builder.with_credentials(bearer("")).with_skip_signature(true),
        Identity::Token(token) => builder.with_credentials(bearer(token)),
        Identity::File(file) => builder.with_application_credentials(file),
        Identity::Process => builder,
    };
    let store = Cloud::try_new(manner, properties, property("gcs.ca-file"), |client| {
        let made = builder.clone().with_client_options(client.options).with_retry(client.retry).build();
        made.map_err(|error| FsError::new(ErrorKind::User, format!("bucket `{bucket}`: {error}")).with_source(error))
    })?;
    // The client of object_store 0.13.2 replaces a target that must stay, and the reverse; the promises of a store are tested on it.
    Ok(store.with_swapped_copies())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_properties_come_first_and_an_alias_says_who_it_is() {
        let properties =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>();
        let process = Environment::new([("GOOGLE_APPLICATION_CREDENTIALS".to_owned(), "/env.json".to_owned())]);
        let own = properties(&[("gcs.credentials-file", "/own.json"), ("gcs.oauth2.token", "t")]);
        assert_eq!(identity(&own, (&process, true)).expect("found"), Identity::Token("t"));
        assert_eq!(identity(&BTreeMap::new(), (&process, true)).expect("found"), Identity::File("/env.json"));
        let none = Environment::default();
        assert_eq!(identity(&BTreeMap::new(), (&none, true)).expect("found"), Identity::Process);
        let error = identity(&BTreeMap::new(), (&none, false)).expect_err("an alias").to_string();
        assert!(error.contains("'gcs.credentials-file'"), "{error}");
        assert_eq!(identity(&properties(&[("gcs.no-auth", "true")]), (&process, true)).expect("found"), Identity::Anonymous);
        assert!(identity(&properties(&[("gcs.no-auth", "yes")]), (&process, true)).is_err());
    }
}
