//! Azure Data Lake Storage and Blob Storage: which account, who it is, and where requests go.
//!
//! `abfs://container@account.dfs.core.windows.net/path`, as Hadoop writes it, or `abfs://container/path` with `adls.account-name`. Requests
//! go to the blob service of the account, by TLS for `abfs` as for `abfss`.

use std::collections::BTreeMap;
use std::str::FromStr;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use weir_base::ErrorKind;

use crate::cloud::{Cloud, Manner};
use crate::environment::Environment;
use crate::error::FsError;

/// An account and a container in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) account: String,
    container: String,
    /// The address of the blob service.
    pub(crate) endpoint: String,
}

/// Our keys for who it is, with what object_store calls them. The first group that is given counts, and nothing of another one.
const WHO: [&[(&str, AzureConfigKey)]; 4] = [
    &[("adls.token", AzureConfigKey::Token)],
    &[("adls.account-key", AzureConfigKey::AccessKey)],
    &[
        ("adls.client-id", AzureConfigKey::ClientId),
        ("adls.client-secret", AzureConfigKey::ClientSecret),
        ("adls.tenant-id", AzureConfigKey::AuthorityId),
    ],
    &[("adls.sas-token", AzureConfigKey::SasKey)],
];

/// The account and container of an authority.
///
/// # Errors
/// An account that is not named, or named by an address that is none.
pub(crate) fn target(authority: &str, properties: &BTreeMap<String, String>, environment: &Environment) -> Result<Target, FsError> {
    let given = properties.get("adls.account-name").map(String::as_str).or_else(|| environment.get("AZURE_STORAGE_ACCOUNT_NAME"));
    let (container, host) = authority.split_once('@').map_or((authority, None), |(container, host)| (container, Some(host)));
    let of_host = host.and_then(|host| host.split_once('.'));
    let account = match (host, of_host, given) {
        (Some(_), Some((account, _)), _) => account,
        (None, _, Some(account)) => account,
        (Some(host), None, _) => {
            let what = format!("`{host}` is no address of an account; write `container@account.dfs.core.windows.net`");
            return Err(FsError::new(ErrorKind::User, what));
        }
        (None, _, None) => {
            let what =
                format!("of which account is container `{container}`? Write `{container}@account.dfs.core.windows.net`, or give 'adls.account-name'");
            return Err(FsError::new(ErrorKind::User, what));
        }
    };
    // The data lake and the blobs of an account are the same, under two addresses.
    let domain = of_host.map_or("core.windows.net", |(_, rest)| rest.strip_prefix("dfs.").or_else(|| rest.strip_prefix("blob.")).unwrap_or(rest));
    let endpoint = properties.get("adls.endpoint").map(|endpoint| endpoint.trim_end_matches('/').to_owned());
    let endpoint = endpoint.unwrap_or_else(|| format!("https://{account}.blob.{domain}"));
    Ok(Target { account: account.to_owned(), container: container.to_owned(), endpoint })
}

/// What says who it is, of the own properties.
fn own_identity(properties: &BTreeMap<String, String>) -> Result<Option<Vec<(AzureConfigKey, &str)>>, FsError> {
    let Some(group) = WHO.iter().find(|group| group.iter().any(|(key, _)| properties.contains_key(*key))) else { return Ok(None) };
    let found = group.iter().map(|(key, config)| match properties.get(*key) {
        Some(value) => Ok((*config, value.as_str())),
        None => {
            let all = group.iter().map(|(key, _)| format!("'{key}'")).collect::<Vec<_>>().join(", ");
            Err(FsError::new(ErrorKind::User, format!("'{key}' is missing; of {all} all are needed, or none")))
        }
    });
    found.collect::<Result<_, _>>().map(Some)
}

/// Who it is, for people.
pub(crate) fn identity(properties: &BTreeMap<String, String>, environment: &Environment) -> Result<String, FsError> {
    let named = |config: AzureConfigKey| match config {
        AzureConfigKey::Token => "the owner of a token",
        AzureConfigKey::AccessKey => "the owner of the account's key",
        AzureConfigKey::SasKey => "the bearer of a shared access signature",
        _ => "a client with its secret",
    };
    let own = own_identity(properties)?.and_then(|found| found.first().map(|(config, _)| named(*config).to_owned()));
    Ok(own.unwrap_or_else(|| match environment.with_prefix("AZURE_").next() {
        Some(_) => "whoever AZURE_* names".to_owned(),
        None => "whoever this machine is to the cloud".to_owned(),
    }))
}

/// The store of a container where `properties` hold, in the spelling of [`object_store_keys`](crate::object_store_keys).
///
/// # Errors
/// A property with a value that cannot be used, or credentials that cannot be; the message names them.
pub(crate) fn build(
    authority: &str,
    properties: &BTreeMap<String, String>,
    environment: &Environment,
    manner: &Manner<'_>,
) -> Result<Cloud, FsError> {
    let Target { account, container, endpoint } = target(authority, properties, environment)?;
    let builder = MicrosoftAzureBuilder::new().with_http_connector(manner.pace.clone());
    let builder = match own_identity(properties)? {
        Some(own) => own.into_iter().fold(builder, |builder, (config, value)| builder.with_config(config, value)),
        None => {
            environment.with_prefix("AZURE_").fold(builder, |builder, (name, value)| match AzureConfigKey::from_str(&name.to_ascii_lowercase()) {
                Ok(config) => builder.with_config(config, value),
                Err(_unknown) => builder,
            })
        }
    };
    let builder = builder.with_use_emulator(false).with_account(&account).with_container_name(&container).with_endpoint(endpoint);
    Cloud::try_new(manner, properties, properties.get("adls.ca-file").map(String::as_str), |client| {
        let made = builder.clone().with_client_options(client.options).with_retry(client.retry).build();
        made.map_err(|error| FsError::new(ErrorKind::User, format!("container `{container}` of account `{account}`: {error}")).with_source(error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn found(authority: &str, given: &[(&str, &str)]) -> Result<(String, String, String), String> {
        let target = target(authority, &properties(given), &Environment::default()).map_err(|error| error.to_string())?;
        Ok((target.account, target.container, target.endpoint))
    }

    fn expected(account: &str, container: &str, endpoint: &str) -> Result<(String, String, String), String> {
        Ok((account.to_owned(), container.to_owned(), endpoint.to_owned()))
    }

    #[test]
    fn an_account_is_in_the_uri_or_in_the_properties() {
        assert_eq!(found("c@a.dfs.core.windows.net", &[("adls.account-name", "b")]), expected("a", "c", "https://a.blob.core.windows.net"));
        assert_eq!(found("c@a.dfs.core.chinacloudapi.cn", &[]), expected("a", "c", "https://a.blob.core.chinacloudapi.cn"));
        assert_eq!(found("c", &[("adls.account-name", "b")]), expected("b", "c", "https://b.blob.core.windows.net"));
        assert_eq!(found("c", &[("adls.account-name", "b"), ("adls.endpoint", "http://x:1/b/")]), expected("b", "c", "http://x:1/b"));
        assert!(found("c", &[]).expect_err("no account").contains("of which account is container `c`?"));
        assert!(found("c@a", &[]).expect_err("no domain").contains("`a` is no address of an account"));
    }

    #[test]
    fn half_an_identity_is_none() {
        let own =
            |given: &[(&str, &str)]| own_identity(&properties(given)).map(|found| found.map(|found| found.len())).map_err(|error| error.to_string());
        assert_eq!(own(&[("adls.account-key", "k"), ("adls.sas-token", "s")]), Ok(Some(1)), "nothing is mixed");
        assert_eq!(own(&[("adls.client-id", "i"), ("adls.client-secret", "s"), ("adls.tenant-id", "t")]), Ok(Some(3)));
        assert_eq!(own(&[]), Ok(None));
        assert!(own(&[("adls.client-id", "i")]).expect_err("half").contains("'adls.client-secret' is missing"));
    }
}
