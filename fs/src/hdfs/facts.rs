//! What a configuration means, for those who look for what is wrong with it.

use super::configuration::{self, Identity, KerberosSecret};
use crate::deadline::Limits;
use crate::environment::Environment;
use crate::error::FsError;
use crate::hadoop_xml::system_user;
use crate::registry::StoreKey;

/// Where a client would go, and as whom.
#[derive(Debug)]
pub(crate) struct Facts {
    /// The name and address of each NameNode.
    pub(crate) name_nodes: Vec<(String, String)>,
    /// Who comes.
    pub(crate) identity: String,
}

/// The facts about `key`. Makes no request.
///
/// # Errors
/// As building the store.
pub(crate) fn facts(key: &StoreKey, environment: &Environment) -> Result<Facts, FsError> {
    let identity = configuration::load(key, environment, &Limits::default())?;
    let Identity { url, entries, .. } = &identity;
    let mut name_nodes = Vec::new();
    let mut add = |authority: &str| match entries.get(&format!("dfs.ha.namenodes.{authority}")) {
        Some(names) => {
            let address = |name: &str| entries.get(&format!("dfs.namenode.rpc-address.{authority}.{name}")).cloned();
            name_nodes.extend(names.split(',').filter_map(|name| Some((format!("{authority}/{name}"), address(name)?))));
        }
        None => name_nodes.push((authority.to_owned(), authority.to_owned())),
    };
    match url.split_once("://") {
        Some(("viewfs", _)) => {
            let targets = entries.iter().filter(|(key, _)| key.starts_with("fs.viewfs.mounttable.")).map(|(_, target)| target);
            targets.filter_map(|target| target.strip_prefix("hdfs://")?.split('/').next()).for_each(&mut add);
        }
        Some((_, authority)) => add(authority),
        None => {}
    }
    name_nodes.dedup();
    Ok(Facts { name_nodes, identity: who(&identity) })
}

fn who(identity: &Identity) -> String {
    if let Some(kerberos) = &identity.kerberos {
        let proof = match &kerberos.secret {
            KerberosSecret::Keytab(file) => format!("keytab '{file}'"),
            KerberosSecret::TicketCache(cache) => format!("ticket cache '{cache}'"),
        };
        return format!("Kerberos principal `{}`, proved by {proof}", kerberos.principal);
    }
    if identity.entries.get("hadoop.security.authentication").is_some_and(|kind| kind != "simple") {
        return "whoever the Kerberos ticket of this process says (`klist` shows it)".to_owned();
    }
    match identity.user.clone().or_else(system_user) {
        Some(user) => format!("user `{user}`, which an unsecured cluster believes"),
        None => "the user of this process".to_owned(),
    }
}
