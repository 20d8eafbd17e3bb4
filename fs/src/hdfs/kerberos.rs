//! What a failed Kerberos handshake means, in the words of whoever runs the cluster: who we wanted to be, what proves it, what is wrong,
//! and what helps.

use std::io::ErrorKind;
use std::time::Duration;

use hdfs_native::HdfsError;

use super::configuration::{Kerberos, KerberosSecret};

const WANTED: &str = "'hadoop.security.authentication' = 'kerberos'";
const WITHOUT_KDC: &str = "the KDCs that krb5.conf (KRB5_CONFIG) names for the realm must be reachable from here";

/// Why we were not let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) text: String,
    /// Whether it may pass without anybody changing the configuration.
    pub(super) may_pass: bool,
}

/// What `error` says about who we are; nothing if it is about something else. `secured` is whether our configuration speaks of Kerberos.
pub(super) fn refusal(secured: bool, kerberos: Option<&Kerberos>, error: &HdfsError) -> Option<Refusal> {
    if !secured {
        let text = format!("the NameNode broke the connection; if the cluster wants Kerberos, its configuration must say so ({WANTED})");
        return is_broken(error).then_some(Refusal { text, may_pass: true });
    }
    let reason = reason(error)?;
    let may_pass = is_without_kdc(&reason);
    let remedy = remedy(kerberos, &reason);
    Some(Refusal { text: format!("Kerberos {}: {reason}; {remedy}", who(kerberos)), may_pass })
}

/// What is said while a handshake has been `waiting` for a KDC that takes connections and gives no answers.
pub(super) fn silent_kdc(kerberos: Option<&Kerberos>, waiting: Duration) -> Refusal {
    let text = format!("Kerberos {}: no answer of the KDC for {:.0} s; {WITHOUT_KDC}", who(kerberos), waiting.as_secs_f32());
    Refusal { text, may_pass: true }
}

fn who(kerberos: Option<&Kerberos>) -> String {
    match kerberos {
        None => "with the tickets of this process (KRB5CCNAME)".to_owned(),
        Some(Kerberos { principal, secret: KerberosSecret::Keytab(file) }) => format!("as '{principal}' with the keytab '{file}'"),
        Some(Kerberos { principal, secret: KerberosSecret::TicketCache(cache) }) => format!("as '{principal}' with the ticket cache '{cache}'"),
    }
}

/// The part of an error that tells something.
fn reason(error: &HdfsError) -> Option<String> {
    let text = match error {
        HdfsError::GSSAPIError(_, _, message) => message.rsplit_once("more information: ").map_or(message.as_str(), |(_, told)| told).to_owned(),
        HdfsError::SASLError(message) => message.clone(),
        HdfsError::NoSASLMechanism => "the server offers no way to prove it that the client knows".to_owned(),
        HdfsError::OperationFailed(message) if message.contains("libgssapi") => "libgssapi_krb5.so.2 cannot be loaded".to_owned(),
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => {
            (class.ends_with("SaslException") || class.ends_with("GSSException")).then(|| message.clone())?
        }
        _ => return None,
    };
    Some(text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned())
}

/// Whether the connection ended instead of an answer: all that a client without Kerberos hears from a NameNode that wants it.
fn is_broken(error: &HdfsError) -> bool {
    matches!(error, HdfsError::IOError(error) if error.kind() == ErrorKind::ConnectionAborted)
}

fn is_without_kdc(reason: &str) -> bool {
    reason.contains("Cannot contact any KDC") || reason.contains("Resource temporarily unavailable")
}

fn remedy(kerberos: Option<&Kerberos>, reason: &str) -> String {
    let has = |part: &str| reason.contains(part);
    let keytab = kerberos.and_then(|kerberos| match &kerberos.secret {
        KerberosSecret::Keytab(file) => Some(file),
        KerberosSecret::TicketCache(_) => None,
    });
    if has("libgssapi") {
        return "install libgssapi-krb5-2 (Debian) or krb5-libs (Red Hat)".to_owned();
    }
    if is_without_kdc(reason) {
        return WITHOUT_KDC.to_owned();
    }
    if has("Cannot find KDC") || has("default realm") {
        return "krb5.conf (KRB5_CONFIG) must name the realm and its KDCs".to_owned();
    }
    if has("Server ") && has("not found in Kerberos database") {
        return "the KDC doesn't know the principal of the NameNode's service: see 'dfs.namenode.kerberos.principal' of the cluster".to_owned();
    }
    if has("skew") {
        return "set the clocks of this host and of the KDC".to_owned();
    }
    match keytab {
        Some(file) if has("Preauthentication failed") || has("Password incorrect") || has("Decrypt integrity") => {
            format!("the keys have changed since '{file}' was written: write it again (kadmin: ktadd)")
        }
        Some(file) => format!("`klist -kt {file}` shows whose keys it holds"),
        None => "get a ticket (kinit) and keep it fresh, or give 'hadoop.kerberos.principal' and 'hadoop.kerberos.keytab'".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice(secret: KerberosSecret) -> Kerberos {
        Kerberos { principal: "alice@R".to_owned(), secret }
    }

    fn rpc(class: &str, message: &str) -> HdfsError {
        HdfsError::FatalRPCError(class.to_owned(), message.to_owned())
    }

    #[test]
    fn it_says_who_with_what_why_and_what_helps() {
        let keytab = alice(KerberosSecret::Keytab("/k".to_owned()));
        let error = HdfsError::SASLError("Unspecified GSS failure: Preauthentication failed".to_owned());
        let text = refusal(true, Some(&keytab), &error).expect("about Kerberos").text;
        assert!(text.starts_with("Kerberos as 'alice@R' with the keytab '/k': ") && text.contains("ktadd"), "{text}");
        let cache = alice(KerberosSecret::TicketCache("FILE:/c".to_owned()));
        let expired = refusal(true, Some(&cache), &HdfsError::SASLError("Ticket expired".to_owned())).expect("about Kerberos");
        assert!(!expired.may_pass && expired.text.contains("'FILE:/c': Ticket expired; get a ticket (kinit)"), "{expired:?}");
        let nobody = refusal(true, None, &HdfsError::NoSASLMechanism).expect("about Kerberos").text;
        assert!(nobody.contains("KRB5CCNAME"), "{nobody}");
    }

    #[test]
    fn only_a_kdc_that_is_away_may_come_back() {
        let away = refusal(true, None, &HdfsError::SASLError("Cannot contact any KDC for realm 'R'".to_owned())).expect("about Kerberos");
        assert!(away.may_pass && away.text.contains("KRB5_CONFIG"), "{away:?}");
        let silent = silent_kdc(Some(&alice(KerberosSecret::Keytab("/k".to_owned()))), Duration::from_millis(3_900));
        assert!(silent.may_pass && silent.text.contains("as 'alice@R' with the keytab '/k': no answer of the KDC for 4 s; "), "{silent:?}");
    }

    #[test]
    fn a_refused_file_is_no_matter_of_kerberos() {
        let denied = "org.apache.hadoop.security.AccessControlException";
        assert_eq!(refusal(true, None, &rpc(denied, "Permission denied: user=bob, access=WRITE")), None);
        assert!(refusal(true, None, &rpc("javax.security.sasl.SaslException", "GSS initiate failed")).is_some());
    }

    #[test]
    fn a_cluster_that_hangs_up_on_us_may_want_kerberos() {
        let broken = HdfsError::IOError(ErrorKind::ConnectionAborted.into());
        let told = refusal(false, None, &broken).expect("broken");
        assert!(told.may_pass && told.text.contains(WANTED), "{told:?}");
        assert_eq!(refusal(true, None, &broken), None, "it speaks of Kerberos already");
        assert_eq!(refusal(false, None, &HdfsError::IOError(ErrorKind::ConnectionRefused.into())), None);
    }
}
