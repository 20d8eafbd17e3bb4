//! Which database a `uri` option names.

use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use weir_base::Secret;

/// A database to connect to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(Box<Secret<PgConnectOptions>>),
}

impl Target {
    /// Reads `sqlite:<path>` (also `sqlite:///<absolute path>`), `postgresql://user@host/db`, and both behind `jdbc:`.
    /// `username` and `password` win over what is in the URI.
    ///
    /// # Errors
    /// What is wrong with the URI, without any password in it.
    pub(crate) fn parse(uri: &str, username: Option<&str>, password: Option<&Secret<String>>) -> Result<Self, String> {
        let plain = uri.trim();
        let plain = plain.strip_prefix("jdbc:").unwrap_or(plain);
        if let Some(rest) = plain.strip_prefix("sqlite:") {
            return sqlite_path(rest).map(Self::Sqlite);
        }
        if plain.starts_with("postgresql:") || plain.starts_with("postgres:") {
            return postgres(plain, username, password).map(|options| Self::Postgres(Box::new(Secret::new(options))));
        }
        Err("Expected 'sqlite:<path>' or 'postgresql://user@host/database', also behind 'jdbc:'.".to_owned())
    }

    /// The database as messages name it, without credentials.
    pub(crate) fn display(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(options) => {
                let options = options.expose();
                format!("postgresql://{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or_default())
            }
        }
    }
}

/// `/a`, `a`, `///a` and `//a` (as SQLAlchemy writes a relative path with three slashes, an absolute one takes four).
fn sqlite_path(rest: &str) -> Result<PathBuf, String> {
    let path = rest.split('?').next().unwrap_or_default();
    let path = match path.strip_prefix("//") {
        Some(path) => path.strip_prefix('/').map_or_else(|| path.to_owned(), |path| format!("/{}", path.trim_start_matches('/'))),
        None => path.to_owned(),
    };
    if path.is_empty() || path == "/" || path.starts_with(":memory:") {
        return Err("The path of the SQLite file is missing, as in 'sqlite:/data/catalog.db'.".to_owned());
    }
    Ok(PathBuf::from(path))
}

fn postgres(uri: &str, username: Option<&str>, password: Option<&Secret<String>>) -> Result<PgConnectOptions, String> {
    // JDBC carries credentials as parameters; they are taken out before the URI is read, so that no error can quote them.
    let (mut user, mut secret) = (username.map(str::to_owned), password.cloned());
    let mut url = url::Url::parse(uri).map_err(|error| format!("It is not a URI: {error}."))?;
    if url.host_str().is_none_or(str::is_empty) || url.path().trim_matches('/').is_empty() {
        return Err("Expected 'postgresql://user@host:port/database'.".to_owned());
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    url.set_query(None);
    for (key, value) in pairs {
        match key.as_str() {
            "user" => user = user.or(Some(value)),
            "password" => secret = secret.or(Some(Secret::new(value))),
            _ => {
                url.query_pairs_mut().append_pair(&key, &value);
            }
        }
    }
    let mut options = PgConnectOptions::from_str(url.as_str()).map_err(|_may_quote_a_password| "Its parameters cannot be read.".to_owned())?;
    if let Some(user) = user {
        options = options.username(&user);
    }
    if let Some(secret) = secret {
        options = options.password(secret.expose());
    }
    Ok(options.application_name("weir"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Result<Target, String> {
        Target::parse(uri, None, None)
    }

    #[test]
    fn sqlite_paths_are_read_in_every_spelling() {
        for (uri, path) in [
            ("sqlite:/data/c.db", "/data/c.db"),
            ("jdbc:sqlite:/data/c.db", "/data/c.db"),
            ("sqlite:///data/c.db", "/data/c.db"),
            ("sqlite:////data/c.db", "/data/c.db"),
            ("sqlite:c.db", "c.db"),
            ("sqlite:/data/c.db?mode=rwc", "/data/c.db"),
        ] {
            let Ok(Target::Sqlite(found)) = parse(uri) else { panic!("{uri}") };
            assert_eq!(found, PathBuf::from(path), "{uri}");
        }
        for bad in ["sqlite:", "sqlite::memory:", "mysql://h/d", "", "sqlite:///"] {
            parse(bad).expect_err(bad);
        }
    }

    #[test]
    fn postgres_credentials_come_from_options_before_the_uri() {
        let secret = Secret::new("s3cret".to_owned());
        let target = Target::parse("jdbc:postgresql://db:5433/lake?user=a&password=b", Some("me"), Some(&secret)).expect("fine");
        let Target::Postgres(options) = &target else { panic!("postgres") };
        assert_eq!((options.expose().get_username(), options.expose().get_port()), ("me", 5433));
        assert_eq!(target.display(), "postgresql://db:5433/lake");
        for bad in ["postgresql://h", "postgresql:///db", "postgresql:nonsense"] {
            parse(bad).expect_err(bad);
        }
    }
}
