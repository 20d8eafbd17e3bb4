//! Profiles in the shared files of the AWS tools, `~/.aws/credentials` and `~/.aws/config`.
//!
//! Format: "Configuration and credential file settings" of the AWS command line. Either file may hold sections of either spelling, `[name]` or
//! `[profile name]`; indented lines, which belong to the setting before them, are passed over.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use weir_base::ErrorKind;

use crate::error::FsError;

/// A profile by its name, and the files it may stand in; for a setting that is in several, the first counts. Keys are of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProfileFiles {
    pub(crate) name: String,
    pub(crate) files: Vec<PathBuf>,
}

/// The settings of a profile.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Profile(BTreeMap<String, String>);

/// What makes up a pair of keys.
const KEYS: [&str; 3] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];

/// Settings by which a profile proves itself in ways that Weir does not know.
const UNSUPPORTED: [&str; 5] = ["credential_process", "source_profile", "credential_source", "sso_session", "sso_start_url"];

impl ProfileFiles {
    /// The profile as it stands in the files now, if it does.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub(crate) fn read(&self) -> Result<Option<Profile>, FsError> {
        let mut found: Option<Profile> = None;
        for file in &self.files {
            let text = match std::fs::read_to_string(file) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(FsError::new(ErrorKind::User, format!("'{}' cannot be read: {error}", file.display())).with_source(error));
                }
            };
            if let Some(section) = section(&text, &self.name) {
                let known = found.get_or_insert_with(|| Profile(BTreeMap::new()));
                let has_keys = known.0.keys().any(|key| KEYS.contains(&key.as_str()));
                let added = section.into_iter().filter(|(key, _)| !(has_keys && KEYS.contains(&key.as_str())));
                added.for_each(|(key, value)| _ = known.0.entry(key).or_insert(value));
            }
        }
        Ok(found)
    }

    /// When the files were last written.
    fn written(&self) -> Vec<Option<SystemTime>> {
        self.files.iter().map(|file| std::fs::metadata(file).and_then(|facts| facts.modified()).ok()).collect()
    }

    /// An error about the profile; `what` goes on after its name.
    pub(super) fn refuse(&self, what: &str) -> FsError {
        let files = self.files.iter().map(|file| format!("'{}'", file.display())).collect::<Vec<_>>().join(" and ");
        FsError::new(ErrorKind::User, format!("the AWS profile '{}' of {files} {what}", self.name))
    }

    /// An error that says that there is no such profile.
    pub(super) fn missing(&self) -> FsError {
        self.refuse("is not there")
    }
}

/// The settings of the profile `name` in the text of a file.
fn section(text: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut inside = false;
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = content.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let header = header.trim();
            inside = header.strip_prefix("profile ").unwrap_or(header).trim() == name;
            if inside {
                found.get_or_insert_default();
            }
        } else if inside
            && !line.starts_with([' ', '\t'])
            && let (Some(settings), Some((key, value))) = (&mut found, content.split_once('='))
        {
            settings.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

impl Profile {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Its keys, if it has any.
    ///
    /// # Errors
    /// One key without the other.
    pub(super) fn keys(&self) -> Result<Option<AwsCredential>, FsError> {
        let [id, secret, token] = KEYS.map(|key| self.get(key));
        match (id, secret) {
            (Some(id), Some(secret)) => {
                let token = token.map(str::to_owned);
                Ok(Some(AwsCredential { key_id: id.to_owned(), secret_key: secret.to_owned(), token }))
            }
            (None, None) => Ok(None),
            _ => Err(FsError::new(ErrorKind::User, "an AWS profile has only one of 'aws_access_key_id' and 'aws_secret_access_key'")),
        }
    }

    /// A setting by which it would prove itself and which is not supported.
    pub(super) fn unsupported(&self) -> Option<&'static str> {
        UNSUPPORTED.into_iter().find(|key| self.get(key).is_some())
    }

    /// Whether it is about who somebody is, and not only about regions and the like.
    pub(super) fn says_who(&self) -> bool {
        KEYS.iter().chain(&["web_identity_token_file"]).chain(&UNSUPPORTED).any(|key| self.get(key).is_some())
    }
}

/// Without values, some of which are secret.
impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The keys of a profile. They are read again when a file has changed, as tools do that renew session tokens.
#[derive(Debug)]
pub(super) struct ProfileKeys {
    files: ProfileFiles,
    known: Mutex<Option<Known>>,
}

/// Keys as they stood in files that were last written at these times.
#[derive(Debug)]
struct Known {
    written: Vec<Option<SystemTime>>,
    keys: Arc<AwsCredential>,
}

impl ProfileKeys {
    pub(super) fn new(files: ProfileFiles) -> Self {
        Self { files, known: Mutex::default() }
    }

    fn current(&self) -> Result<Arc<AwsCredential>, FsError> {
        let written = self.files.written();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| known.written == written) {
            return Ok(Arc::clone(&known.keys));
        }
        let profile = self.files.read()?.ok_or_else(|| self.files.missing())?;
        let keys = Arc::new(profile.keys()?.ok_or_else(|| self.files.refuse("holds no keys any more"))?);
        *known = Some(Known { written, keys: Arc::clone(&keys) });
        Ok(keys)
    }
}

#[async_trait]
impl CredentialProvider for ProfileKeys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.current().map_err(FsError::into_store_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# comment\n[default]\naws_access_key_id = one\naws_secret_access_key=a=b\n\n[profile other]\nregion = eu\ns3 =\n  \
                        max_concurrent_requests = 20\n; comment\n[ x ]\nAWS_ACCESS_KEY_ID = two\n";

    #[test]
    fn a_profile_is_a_section_of_either_spelling() {
        let of = |name: &str| section(TEXT, name).map(|settings| settings.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","));
        assert_eq!(of("default").as_deref(), Some("aws_access_key_id=one,aws_secret_access_key=a=b"));
        assert_eq!(of("other").as_deref(), Some("region=eu,s3="));
        assert_eq!(of("x").as_deref(), Some("aws_access_key_id=two"));
        assert_eq!(of("profile other"), None);
    }

    #[tokio::test]
    async fn keys_are_read_again_when_their_file_has_changed() {
        let folder = tempfile::tempdir().expect("folder");
        let (first, second) = (folder.path().join("credentials"), folder.path().join("config"));
        let write = |text: &str, age: u64| {
            std::fs::write(&first, text).expect("written");
            let when = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age);
            std::fs::File::options().write(true).open(&first).and_then(|file| file.set_modified(when)).expect("another time");
        };
        std::fs::write(&second, "[default]\naws_access_key_id=hidden\naws_secret_access_key=s\naws_session_token=t\n").expect("written");
        write(TEXT, 1);
        let keys = ProfileKeys::new(ProfileFiles { name: "default".to_owned(), files: vec![first.clone(), second] });
        let now = keys.get_credential().await.expect("read");
        assert_eq!((now.key_id.as_str(), now.secret_key.as_str(), now.token.as_deref()), ("one", "a=b", None), "no token of another file");
        write("[default]\naws_access_key_id=renewed\naws_secret_access_key=s\n", 2);
        assert_eq!(keys.get_credential().await.expect("read").key_id, "renewed");
        write("", 3);
        assert_eq!(keys.get_credential().await.expect("read").key_id, "hidden");
    }
}
