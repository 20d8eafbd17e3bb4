//! Who it is to S3, and in which order that is looked for.
//!
//! 1. The store's own properties: keys, a web identity, a profile, or nobody (`s3.anonymous`).
//! 2. The environment of the process, unless the store belongs to an alias: keys, a web identity, the profile of `AWS_PROFILE`, nobody.
//! 3. What the machine is: the role of its container or instance.
//!
//! The first of these that says anything decides; nothing is put together from two of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use weir_base::ErrorKind;
use weir_base::options::parse_boolean;
use weir_base::secret::Secret;

use super::profile::{Profile, ProfileFiles, ProfileKeys};
use crate::environment::Environment;
use crate::error::FsError;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The owner of a pair of keys.
    Keys(Keys),
    /// Whoever a token in a file proves, in a role.
    Web(WebIdentity),
    /// The keys of a profile, read again when its file changes.
    Profile(ProfileFiles),
    /// Nobody: requests are not signed.
    Anonymous,
    /// What this machine is to the cloud.
    Machine,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: Secret<String>,
    pub(crate) token: Option<Secret<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebIdentity {
    pub(crate) token_file: String,
    pub(crate) role: String,
    pub(crate) session: Option<String>,
}

/// Whether the environment's `config` says who it is; [`Identity`] decides that, so such variables are not handed to the client.
pub(super) fn says_who(config: AmazonS3ConfigKey) -> bool {
    use AmazonS3ConfigKey as Key;
    matches!(
        config,
        Key::AccessKeyId | Key::SecretAccessKey | Key::Token | Key::WebIdentityTokenFile | Key::RoleArn | Key::RoleSessionName | Key::SkipSignature
    )
}

/// Finds the identity, and the profile that the process uses, whose region and endpoint count where nothing else is said.
///
/// # Errors
/// Half a pair of keys, a web identity without role, and a profile that is not there or proves itself in a way that is not supported.
pub(crate) fn identity(properties: &BTreeMap<String, String>, environment: &Environment) -> Result<(Identity, Option<Profile>), FsError> {
    let own = |key: &str| properties.get(key).map(String::as_str);
    let of_process = |key: &str| environment.get(key);
    let own_names = ["s3.access-key-id", "s3.secret-access-key", "s3.session-token"];
    if let Some(keys) = keys(own_names, own)? {
        return Ok((Identity::Keys(keys), None));
    }
    if let Some(web) = web_identity(["s3.web-identity-token-file", "s3.role-arn", "s3.role-session-name"], own)? {
        return Ok((Identity::Web(web), None));
    }
    if own("s3.profile").is_some() || own("s3.profile-file").is_some() {
        let files = own_files(properties, environment)?;
        let profile = files.read()?.ok_or_else(|| files.missing())?;
        return Ok((of_profile(&profile, &files)?, Some(profile)));
    }
    if own("s3.anonymous").is_some_and(|text| parse_boolean(text) == Some(true)) {
        return Ok((Identity::Anonymous, None));
    }
    let files = process_files(environment);
    let named = of_process("AWS_PROFILE").is_some();
    let profile = match files.as_ref().map(ProfileFiles::read).transpose()?.flatten() {
        None if named => return Err(files.map_or_else(|| no_home("AWS_PROFILE"), |files| files.missing())),
        found => found,
    };
    let who = if let Some(keys) = keys(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"], of_process)? {
        Identity::Keys(keys)
    } else if let Some(web) = web_identity(["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"], of_process)? {
        Identity::Web(web)
    } else {
        match (&profile, files) {
            (Some(profile), Some(files)) if named || profile.says_who() => of_profile(profile, &files)?,
            _ if of_process("AWS_SKIP_SIGNATURE").is_some_and(|text| parse_boolean(text) == Some(true)) => Identity::Anonymous,
            _ => Identity::Machine,
        }
    };
    Ok((who, profile))
}

fn keys<'a>([id, secret, token]: [&str; 3], get: impl Fn(&str) -> Option<&'a str>) -> Result<Option<Keys>, FsError> {
    let half =
        |given: &str, lacking: &str| FsError::new(ErrorKind::User, format!("'{given}' is set without '{lacking}'; both are needed, or neither"));
    match (get(id), get(secret)) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(half(id, secret)),
        (None, Some(_)) => Err(half(secret, id)),
        (Some(id), Some(secret)) => {
            let token = get(token).map(|token| Secret::new(token.to_owned()));
            Ok(Some(Keys { id: id.to_owned(), secret: Secret::new(secret.to_owned()), token }))
        }
    }
}

fn web_identity<'a>([file, role, session]: [&str; 3], get: impl Fn(&str) -> Option<&'a str>) -> Result<Option<WebIdentity>, FsError> {
    let Some(token_file) = get(file) else { return Ok(None) };
    let Some(name) = get(role) else {
        return Err(FsError::new(ErrorKind::User, format!("'{file}' is set without '{role}', the role that the token is for")));
    };
    Ok(Some(WebIdentity { token_file: token_file.to_owned(), role: name.to_owned(), session: get(session).map(str::to_owned) }))
}

fn of_profile(profile: &Profile, files: &ProfileFiles) -> Result<Identity, FsError> {
    if let Some(web) = web_identity(["web_identity_token_file", "role_arn", "role_session_name"], |key| profile.get(key))? {
        return Ok(Identity::Web(web));
    }
    if profile.keys()?.is_some() {
        return Ok(Identity::Profile(files.clone()));
    }
    match profile.unsupported() {
        Some(key) => Err(files.refuse(&format!("asks for '{key}', which is not supported; supported are keys and 'web_identity_token_file'"))),
        None => Err(files.refuse("holds no 'aws_access_key_id' and no 'web_identity_token_file'")),
    }
}

/// The files in which `s3.profile` is looked for.
fn own_files(properties: &BTreeMap<String, String>, environment: &Environment) -> Result<ProfileFiles, FsError> {
    let name = properties.get("s3.profile").map_or("default", String::as_str).to_owned();
    if let Some(file) = properties.get("s3.profile-file") {
        return Ok(ProfileFiles { name, files: vec![PathBuf::from(file)] });
    }
    process_files(environment).map(|files| ProfileFiles { name, ..files }).ok_or_else(|| no_home("s3.profile"))
}

fn no_home(key: &str) -> FsError {
    FsError::new(ErrorKind::User, format!("'{key}' names a profile, but not its file: give 's3.profile-file', or set HOME for the whole process"))
}

/// The files of the AWS tools and the profile that the process asks for.
fn process_files(environment: &Environment) -> Option<ProfileFiles> {
    let home = environment.get("HOME").map(PathBuf::from);
    let file = |variable: &str, name: &str| environment.get(variable).map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".aws").join(name)));
    // Of a key in both, the one in the file of credentials counts.
    let files: Vec<PathBuf> = [file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config")].into_iter().flatten().collect();
    let name = environment.get("AWS_PROFILE").unwrap_or("default").to_owned();
    (!files.is_empty()).then_some(ProfileFiles { name, files })
}

/// Makes the client come as `identity`.
pub(super) fn apply(builder: AmazonS3Builder, identity: Identity) -> AmazonS3Builder {
    match identity {
        Identity::Keys(Keys { id, secret, token }) => {
            let builder = builder.with_access_key_id(id).with_secret_access_key(secret.expose());
            token.into_iter().fold(builder, |builder, token| builder.with_token(token.expose()))
        }
        Identity::Web(WebIdentity { token_file, role, session }) => {
            let builder = builder.with_config(AmazonS3ConfigKey::WebIdentityTokenFile, token_file).with_config(AmazonS3ConfigKey::RoleArn, role);
            session.into_iter().fold(builder, |builder, session| builder.with_config(AmazonS3ConfigKey::RoleSessionName, session))
        }
        Identity::Profile(files) => builder.with_credentials(Arc::new(ProfileKeys::new(files))),
        Identity::Anonymous => builder.with_skip_signature(true),
        Identity::Machine => builder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(properties: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Identity, String> {
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
        let properties = BTreeMap::from_iter(owned(properties));
        identity(&properties, &Environment::new(owned(environment))).map(|(identity, _)| identity).map_err(|error| error.to_string())
    }

    fn key_of(identity: Result<Identity, String>) -> String {
        match identity.expect("found") {
            Identity::Keys(keys) => format!("{} {:?}", keys.id, keys.token.map(|token| token.expose().clone())),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn own_properties_come_first_and_nothing_is_mixed() {
        let environment = [("AWS_ACCESS_KEY_ID", "env"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "env-token")];
        assert_eq!(key_of(found(&[("s3.access-key-id", "own"), ("s3.secret-access-key", "s")], &environment)), "own None");
        assert_eq!(key_of(found(&[], &environment)), "env Some(\"env-token\")");
        let half = found(&[("s3.access-key-id", "own")], &environment).expect_err("half");
        assert!(half.contains("'s3.access-key-id' is set without 's3.secret-access-key'"), "{half}");
        let web = [("s3.web-identity-token-file", "/t"), ("s3.role-arn", "r")];
        assert_eq!(found(&web, &environment), Ok(Identity::Web(WebIdentity { token_file: "/t".to_owned(), role: "r".to_owned(), session: None })));
        assert_eq!(found(&[("s3.anonymous", "true")], &environment), Ok(Identity::Anonymous));
        assert_eq!(found(&[("s3.anonymous", "false")], &[]), Ok(Identity::Machine));
        assert!(found(&[("s3.web-identity-token-file", "/t")], &[]).expect_err("no role").contains("without 's3.role-arn'"));
    }

    #[test]
    fn the_environment_of_the_process_comes_in_the_order_of_the_book() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("credentials");
        std::fs::write(&file, "[default]\naws_access_key_id = d\naws_secret_access_key = s\n[sso]\nsso_session = x\n").expect("written");
        let file = file.display().to_string();
        let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "r")];
        let files = ("AWS_SHARED_CREDENTIALS_FILE", file.as_str());
        assert!(matches!(found(&[], &[web[0], web[1], files]), Ok(Identity::Web(_))));
        assert!(matches!(found(&[], &[files]), Ok(Identity::Profile(profile)) if profile.name == "default"));
        assert_eq!(found(&[], &[("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")]), Ok(Identity::Machine));
        let missing = found(&[], &[files, ("AWS_PROFILE", "other")]).expect_err("no such profile");
        assert!(missing.contains("profile 'other'") && missing.contains(&file), "{missing}");
        let sso = found(&[], &[files, ("AWS_PROFILE", "sso")]).expect_err("not supported");
        assert!(sso.contains("profile 'sso'") && sso.contains("'sso_session', which is not supported"), "{sso}");
    }

    #[test]
    fn an_alias_with_a_profile_says_where_it_is() {
        let error = found(&[("s3.profile", "p")], &[]).expect_err("an alias has no home");
        assert!(error.contains("'s3.profile' names a profile, but not its file: give 's3.profile-file'"), "{error}");
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("config");
        std::fs::write(&file, "[profile p]\naws_access_key_id=p\naws_secret_access_key=s\n").expect("written");
        let file = file.display().to_string();
        let own = found(&[("s3.profile", "p"), ("s3.profile-file", &file)], &[("AWS_ACCESS_KEY_ID", "env"), ("AWS_SECRET_ACCESS_KEY", "s")]);
        assert!(matches!(own, Ok(Identity::Profile(_))), "{own:?}");
    }
}
