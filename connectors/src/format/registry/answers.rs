//! What a registry answers, and what that means. Pure.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::format::columns::cut;

/// The language of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Language {
    /// What an answer means that does not say.
    #[default]
    Avro,
    Json,
    Protobuf,
    #[serde(other)]
    Other,
}

impl Language {
    /// What registries call it.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Avro | Self::Other => "AVRO",
            Self::Json => "JSON",
            Self::Protobuf => "PROTOBUF",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Avro => "Avro",
            Self::Json => "JSON",
            Self::Protobuf => "Protobuf",
            Self::Other => "another language",
        }
    }
}

/// A schema as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registered {
    #[serde(rename = "schema")]
    pub(super) text: String,
    #[serde(default, rename = "schemaType")]
    pub(super) language: Language,
    #[serde(default)]
    pub(super) references: Vec<Reference>,
}

/// Another schema that a schema names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub(super) struct Reference {
    /// What the schema calls it.
    pub(super) name: String,
    pub(super) subject: String,
    pub(super) version: i64,
}

/// Where a schema was registered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Place {
    pub(super) subject: String,
    pub(super) version: i64,
}

/// The id of a schema that was registered or found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Numbered {
    pub(super) id: u32,
}

/// What came of one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    Found(T),
    /// The registry has no such thing; its words.
    Unknown(String),
    /// Nothing that a registry answers.
    Nonsense(String),
    /// The server cannot answer now.
    Away(String),
    /// The server will not answer.
    Refused(String),
}

impl<T> Answer<T> {
    /// The label of a metric.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::Unknown(_) => "unknown",
            Self::Nonsense(_) => "nonsense",
            Self::Away(_) => "away",
            Self::Refused(_) => "refused",
        }
    }
}

#[derive(Deserialize)]
struct Complaint {
    error_code: u32,
    #[serde(default)]
    message: String,
}

/// What a status and a body mean.
pub(super) fn answer<T: DeserializeOwned>(status: u16, body: &[u8]) -> Answer<T> {
    if (200..300).contains(&status) {
        return match serde_json::from_slice(body) {
            Ok(found) => Answer::Found(found),
            Err(error) => Answer::Nonsense(cut(format!("status {status} with something that is no answer of a schema registry: {error}"))),
        };
    }
    let complaint = serde_json::from_slice::<Complaint>(body).ok();
    let said = complaint.as_ref().map(|complaint| cut(format!(" ({} {})", complaint.error_code, complaint.message))).unwrap_or_default();
    match (status, complaint) {
        (404, Some(Complaint { error_code: 40_401..=40_499, message })) => Answer::Unknown(cut(message)),
        // A path that leads nowhere: 404 alone is any server's.
        (404, _) => Answer::Nonsense(format!("status 404 without the words of a schema registry{said}")),
        (408 | 429 | 500..=599, _) => Answer::Away(format!("status {status}{said}")),
        _ => Answer::Refused(format!("status {status}{said}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_schema_is_of_avro_unless_the_answer_says_otherwise() {
        let plain: Answer<Registered> = answer(200, br#"{"schema":"\"string\""}"#);
        let registered = Registered { text: "\"string\"".to_owned(), language: Language::Avro, references: Vec::new() };
        assert_eq!(plain, Answer::Found(registered));
        let full = br#"{"id":3,"schemaType":"PROTOBUF","schema":"message A {}","references":[{"name":"b.proto","subject":"b","version":2}]}"#;
        let Answer::Found(Registered { language, references, .. }) = answer(200, full) else { panic!("found") };
        assert_eq!((language, references), (Language::Protobuf, vec![Reference { name: "b.proto".to_owned(), subject: "b".to_owned(), version: 2 }]));
        let strange: Answer<Registered> = answer(200, br#"{"schema":"","schemaType":"XML"}"#);
        assert!(matches!(strange, Answer::Found(Registered { language: Language::Other, .. })));
    }

    #[test]
    fn only_the_registrys_own_words_make_an_id_unknown() {
        let of = |status, body: &[u8]| answer::<Registered>(status, body);
        assert_eq!(of(404, br#"{"error_code":40403,"message":"Schema not found"}"#), Answer::Unknown("Schema not found".to_owned()));
        assert!(matches!(of(404, b"<html>nginx</html>"), Answer::Nonsense(_)));
        let nowhere = "status 404 without the words of a schema registry (404 HTTP 404 Not Found)".to_owned();
        assert_eq!(of(404, br#"{"error_code":404,"message":"HTTP 404 Not Found"}"#), Answer::Nonsense(nowhere));
        let long = format!(r#"{{"error_code":40403,"message":"{}"}}"#, "x".repeat(1 << 20));
        assert_eq!(of(404, long.as_bytes()), Answer::Unknown(format!("{}…", "x".repeat(1_000))));
        assert!(matches!(of(200, b"<html>welcome</html>"), Answer::Nonsense(_)));
        assert_eq!(of(503, br#"{"error_code":50003,"message":"no leader"}"#), Answer::Away("status 503 (50003 no leader)".to_owned()));
        assert!(matches!(of(429, b""), Answer::Away(_)));
        assert_eq!(of(401, b""), Answer::Refused("status 401".to_owned()));
    }

    proptest! {
        #[test]
        fn no_answer_is_a_panic(status in 100_u16..600, body in prop::collection::vec(any::<u8>(), 0..60)) {
            drop(answer::<Registered>(status, &body));
        }
    }
}
