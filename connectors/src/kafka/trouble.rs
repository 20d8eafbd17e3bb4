//! What an error of the client or of a broker means: who must act, and what the user can do about it. Pure.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use weir_base::ErrorKind;

use super::ffi::Fault;
use super::known::KNOWN;

impl Fault {
    /// An error as the Rust binding tells it.
    pub(super) fn of_binding(error: &KafkaError) -> Self {
        Self { code: error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail), text: error.to_string() }
    }
}

/// Who must act on an error of a broker or the client.
pub(super) fn kind_of(fault: &Fault) -> ErrorKind {
    use RDKafkaErrorCode as Code;
    match fault.code {
        // A broker that goes away during a handshake is reported with these codes too.
        Code::Authentication | Code::SSL if is_cut_off(fault) => ErrorKind::Transient,
        // A broker tells that only after the handshake, by closing the connection; and the client may tell both with any code.
        _ if wants_certificate(fault) || is_stranger(fault) => ErrorKind::User,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::SSL
        | Code::InvalidArgument
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::InvalidTopic
        | Code::InvalidGroupId
        | Code::UnsupportedFeature
        | Code::UnsupportedVersion => ErrorKind::User,
        _ => ErrorKind::Transient,
    }
}

/// Whether a handshake ended without a word from the broker.
fn is_cut_off(fault: &Fault) -> bool {
    ["supported mechanisms: (n/a)", "unexpected eof", "SSL transport error"].iter().any(|words| fault.text.contains(words))
}

fn wants_certificate(fault: &Fault) -> bool {
    ["client SSL authentication might be required", "alert certificate required", "alert bad certificate", "alert unknown ca"]
        .iter()
        .any(|words| fault.text.contains(words))
}

/// Whether a broker's own certificate is not trusted.
fn is_stranger(fault: &Fault) -> bool {
    ["certificate verify failed", "could not be verified"].iter().any(|words| fault.text.contains(words))
}

/// What the user can do about an error, by the names of the options; a sentence.
pub(super) fn remedy(fault: &Fault) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    let says = |any: &[&str]| any.iter().any(|words| fault.text.contains(words));
    match fault.code {
        _ if wants_certificate(fault) => {
            Some("The brokers ask for a certificate that they trust: set 'properties.ssl.certificate.location' and 'properties.ssl.key.location'.")
        }
        _ if is_cut_off(fault) => Some("If the brokers are up, check 'properties.security.protocol'."),
        Code::Authentication | Code::UnsupportedSASLMechanism if says(&["mechanism handshake failed"]) => {
            Some("Set 'properties.sasl.mechanism' to a mechanism that the brokers support.")
        }
        Code::Authentication | Code::SaslAuthenticationFailed => Some(
            "Check 'properties.sasl.username' and 'properties.sasl.password' (or 'properties.sasl.jaas.config'), and 'properties.sasl.mechanism'.",
        ),
        _ if is_stranger(fault) => Some(
            "Check 'properties.ssl.ca.location': it must name, as PEM, the certificate of the authority that signed the brokers' certificates; these \
             must be for the hosts in 'properties.bootstrap.servers'.",
        ),
        Code::SSL => Some("Check 'properties.security.protocol' and 'properties.ssl.*'."),
        Code::TopicAuthorizationFailed => Some("The user needs the right to describe and to read the topic."),
        Code::ClusterAuthorizationFailed => Some("The user needs the right to describe the cluster."),
        Code::UnknownTopic | Code::UnknownTopicOrPartition => Some("Create the topic, or correct its name."),
        Code::InvalidTopic => Some("Correct 'topic': names of topics are made of letters, digits, '.', '_' and '-'."),
        Code::InvalidGroupId => Some("Check 'properties.group.id'."),
        // What it says of a batch of zstd that is too large, too.
        Code::BadCompression if says(&["codec 0x4"]) => Some(
            "It unpacks to more than 'properties.receive.message.max.bytes' (100000000), which can be raised; or the brokers hold a damaged record there: \
             have it mended from another replica, or delete the records up to it (kafka-delete-records.sh) and accept the loss with \
             'properties.auto.offset.reset' = 'earliest'.",
        ),
        Code::BadMessage | Code::BadCompression | Code::InvalidMessage => Some(
            "The brokers hold a damaged record there. Have it mended from another replica; or delete the records up to it (kafka-delete-records.sh) \
             and accept the loss with 'properties.auto.offset.reset' = 'earliest'.",
        ),
        Code::GroupAuthorizationFailed => Some("The user needs the right to read the group in 'properties.group.id'."),
        Code::BrokerTransportFailure if says(&["security.protocol", "PLAINTEXT broker listener", "Disconnected", "Send failed", "Meta data"]) => {
            Some("If the brokers are up, check 'properties.security.protocol'.")
        }
        Code::OperationTimedOut => Some("Check 'properties.bootstrap.servers', and 'properties.security.protocol' if the brokers are up."),
        _ => None,
    }
}

/// Which option made a client impossible, from what librdkafka says about it.
pub(super) fn option_named_in(text: &str) -> Option<&'static str> {
    let names = KNOWN.iter().filter(|name| text.contains(**name));
    names.max_by_key(|name| name.len()).copied()
}

/// Whether a call merely found nobody to answer.
pub(super) fn is_silence(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::OperationTimedOut | Code::BrokerTransportFailure | Code::AllBrokersDown | Code::RequestTimedOut | Code::TimedOutQueue)
}

/// Whether a partition has another leader, or its leader another epoch, than the client knows.
pub(super) fn leader_has_moved(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::NotLeaderForPartition | Code::FencedLeaderEpoch | Code::UnknownLeaderEpoch | Code::LeaderNotAvailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: RDKafkaErrorCode, text: &str) -> Fault {
        Fault { code, text: text.to_owned() }
    }

    #[test]
    fn what_a_wrong_option_causes_is_for_the_user_and_names_the_option() {
        use RDKafkaErrorCode as Code;
        let cases = [
            (Code::Authentication, "SASL authentication error: Authentication failed: Invalid username or password", "'properties.sasl.password'"),
            (
                Code::Authentication,
                "SASL SCRAM-SHA-256 mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: PLAIN",
                "'properties.sasl.mechanism'",
            ),
            (
                Code::SSL,
                "SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be verified",
                "'properties.ssl.ca.location'",
            ),
            (
                Code::BrokerTransportFailure,
                "Receive failed: error:0A00045C:SSL routines::tlsv13 alert certificate required: SSL alert number 116",
                "'properties.ssl.certificate.location'",
            ),
            (
                Code::BrokerTransportFailure,
                "error:0A000086:SSL routines::certificate verify failed (after 2ms in state SSL_HANDSHAKE)",
                "'properties.ssl.ca.location'",
            ),
            (Code::SSL, "SSL handshake failed: unsupported protocol", "'properties.ssl.*'"),
        ];
        for (code, text, option) in cases {
            let fault = fault(code, text);
            assert_eq!(kind_of(&fault), ErrorKind::User, "{text}");
            assert!(remedy(&fault).is_some_and(|remedy| remedy.contains(option)), "{text}: {:?}", remedy(&fault));
        }
    }

    #[test]
    fn a_broker_that_goes_away_is_waited_for_whatever_it_was_doing() {
        use RDKafkaErrorCode as Code;
        let handshake = "SASL PLAIN mechanism handshake failed: Local: Broker transport failure: broker's supported mechanisms: (n/a)";
        assert_eq!(kind_of(&fault(Code::Authentication, handshake)), ErrorKind::Transient);
        let eof = "SSL handshake failed: error:0A000126:SSL routines::unexpected eof while reading";
        assert_eq!(kind_of(&fault(Code::SSL, eof)), ErrorKind::Transient);
        assert_eq!(kind_of(&fault(Code::BrokerTransportFailure, "refused")), ErrorKind::Transient);
        let plain = fault(Code::BrokerTransportFailure, "Disconnected: verify that security.protocol is correctly configured");
        assert_eq!((kind_of(&plain), remedy(&plain)), (ErrorKind::Transient, Some("If the brokers are up, check 'properties.security.protocol'.")));
        assert_eq!(remedy(&fault(Code::BrokerTransportFailure, "Connection refused")), None);
    }

    #[test]
    fn the_longest_option_in_a_text_is_the_one_it_is_about() {
        assert_eq!(option_named_in("ssl.ca.location failed: No such file"), Some("ssl.ca.location"));
        assert_eq!(option_named_in("`sasl.mechanisms` is wrong"), Some("sasl.mechanisms"));
        assert_eq!(option_named_in("out of memory"), None);
    }

    #[test]
    fn a_call_without_an_answer_is_silence_and_a_refused_one_is_not() {
        assert!(is_silence(RDKafkaErrorCode::OperationTimedOut) && !is_silence(RDKafkaErrorCode::TopicAuthorizationFailed));
        assert!(ErrorKind::User < ErrorKind::Transient, "the minimum of two kinds is the one that asks the user");
    }
}
