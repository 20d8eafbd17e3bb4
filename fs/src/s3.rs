//! S3 and what speaks its protocol: who it is, where requests go, and how.
//!
//! | file | owns |
//! |---|---|
//! | `credentials` | who it is, and in which order that is looked for |
//! | `profile` | the shared files of the AWS tools |

mod credentials;
mod profile;

use std::collections::BTreeMap;
use std::str::FromStr;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut, S3CopyIfNotExists};
use weir_base::ErrorKind;
use weir_base::options::parse_boolean;

use crate::cloud::{Cloud, Manner};
use crate::environment::Environment;
use crate::error::FsError;

pub(crate) use credentials::{Identity, identity};

/// Endings of endpoints whose servers want the bucket in the host's name.
const VIRTUAL_HOSTS: [&str; 4] = ["amazonaws.com", "aliyuncs.com", "myqcloud.com", "myhuaweicloud.com"];

/// The store of `bucket` where `properties` hold, in the spelling of [`object_store_keys`](crate::object_store_keys).
///
/// # Errors
/// A property with a value that cannot be used, or credentials that cannot be; the message names them.
pub(crate) fn build(bucket: &str, properties: &BTreeMap<String, String>, environment: &Environment, manner: &Manner<'_>) -> Result<Cloud, FsError> {
    let ca_file = properties.get("s3.ca-file").map(String::as_str).or_else(|| environment.get("AWS_CA_BUNDLE"));
    let builder = configured(bucket, properties, environment)?.with_http_connector(manner.pace.clone());
    Cloud::try_new(manner, properties, ca_file, |client| {
        let made = builder.clone().with_client_options(client.options).with_retry(client.retry).build();
        made.map_err(|error| FsError::new(ErrorKind::User, format!("bucket `{bucket}`: {error}")).with_source(error))
    })
}

/// Everything about the store but how its clients behave.
fn configured(bucket: &str, properties: &BTreeMap<String, String>, environment: &Environment) -> Result<AmazonS3Builder, FsError> {
    let property = |name: &str| properties.get(name).map(String::as_str);
    let flag = |name: &str| match property(name) {
        None => Ok(None),
        Some(text) => {
            parse_boolean(text).map(Some).ok_or_else(|| FsError::new(ErrorKind::User, format!("'{name}' is '{text}'; it must be true or false")))
        }
    };
    flag("s3.anonymous")?;
    let mut builder = AmazonS3Builder::new();
    for (name, value) in environment.with_prefix("AWS_") {
        match AmazonS3ConfigKey::from_str(&name.to_ascii_lowercase()) {
            Ok(config) if !credentials::says_who(config) => builder = builder.with_config(config, value),
            _ => {}
        }
    }
    if let Some(endpoint) = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
        builder = builder.with_metadata_endpoint(endpoint.trim_end_matches('/'));
    }
    if let Some(endpoint) = property("s3.sts-endpoint") {
        builder = builder.with_config(AmazonS3ConfigKey::StsEndpoint, endpoint);
    }
    let (identity, profile) = identity(properties, environment)?;
    builder = credentials::apply(builder, identity);
    let of_profile = |key: &str| profile.as_ref().and_then(|profile| profile.get(key));
    let Target { endpoint, region } = target(properties, environment);
    builder = builder.with_region(region.or_else(|| of_profile("region")).unwrap_or(NO_REGION));
    let endpoint = endpoint.or_else(|| of_profile("endpoint_url"));
    // Names of buckets are rarely names of hosts outside of the big clouds.
    let in_path = || endpoint.is_some_and(|endpoint| !VIRTUAL_HOSTS.iter().any(|host| endpoint.contains(host)));
    let path_style = flag("s3.path-style-access")?.unwrap_or_else(in_path);
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(address(endpoint, bucket, path_style, flag("s3.ssl-enabled")?.unwrap_or(true)));
    }
    Ok(builder
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(!path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart))
}

/// A server of one's own has no regions, but a request must name one to be signed.
pub(crate) const NO_REGION: &str = "us-east-1";

/// The server that requests go to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The endpoint that is set; AWS's own if none is.
    pub(crate) endpoint: Option<&'a str>,
    /// The region that is set.
    pub(crate) region: Option<&'a str>,
}

/// The server that `properties` name, or `environment` behind them.
pub(crate) fn target<'a>(properties: &'a BTreeMap<String, String>, environment: &'a Environment) -> Target<'a> {
    let property = |name: &str| properties.get(name).map(String::as_str);
    let region = property("s3.region").or_else(|| environment.get("AWS_REGION")).or_else(|| environment.get("AWS_DEFAULT_REGION"));
    let endpoint = property("s3.endpoint").or_else(|| environment.get("AWS_ENDPOINT_URL_S3")).or_else(|| environment.get("AWS_ENDPOINT_URL"));
    Target { endpoint, region }
}

/// The address to send requests to. Hadoop's endpoints may lack the scheme; a bucket that is not in the path is in the host's name.
fn address(endpoint: &str, bucket: &str, path_style: bool, ssl: bool) -> String {
    let (scheme, host) =
        endpoint.trim_end_matches('/').split_once("://").unwrap_or((if ssl { "https" } else { "http" }, endpoint.trim_end_matches('/')));
    if path_style || host.starts_with(&format!("{bucket}.")) { format!("{scheme}://{host}") } else { format!("{scheme}://{bucket}.{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::StoreKind;
    use crate::object_store_keys;

    fn built(properties: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<String, String> {
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
        let properties = object_store_keys::of(StoreKind::S3).expect("an object store").ours(&BTreeMap::from_iter(owned(properties)), "b");
        let environment = Environment::new(owned(environment));
        let store = configured("b", &properties, &environment).map_err(|error| error.to_string())?.build();
        store.map(|store| format!("{store:?}")).map_err(|error| error.to_string())
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

    #[test]
    fn a_profile_of_the_process_gives_region_and_endpoint_where_nothing_else_is_said() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::create_dir(folder.path().join(".aws")).expect("folder");
        let text = "[default]\nregion = there\nendpoint_url = http://elsewhere:2\n";
        std::fs::write(folder.path().join(".aws/config"), text).expect("written");
        let home = folder.path().display().to_string();
        let store = built(&[], &[("HOME", &home)]).expect("builds");
        assert!(store.contains("\"there\"") && store.contains("http://elsewhere:2/b"), "{store}");
        let store = built(&[("s3.region", "here"), ("s3.endpoint", "http://own:3")], &[("HOME", &home)]).expect("builds");
        assert!(store.contains("\"here\"") && store.contains("http://own:3/b"), "{store}");
        assert!(!built(&[], &[]).expect("builds").contains("there"), "an alias has no home");
    }
}
