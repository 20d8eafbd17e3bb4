//! A descriptor set: the types of messages and enumerations by name.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};
use weir_base::options::closest;

/// The types of a descriptor set, by their full names without a dot at the beginning.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    messages: BTreeMap<String, MessageType>,
    enums: BTreeMap<String, EnumDescriptorProto>,
}

/// The type of a message.
#[derive(Debug)]
pub(super) struct MessageType {
    pub(super) descriptor: DescriptorProto,
    /// Fields have a value even where a message has none for them.
    pub(super) proto3: bool,
}

impl Descriptors {
    /// Reads a descriptor set.
    ///
    /// # Errors
    /// Why the bytes are none.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        FileDescriptorSet::decode(bytes).map(Self::new).map_err(|error| error.to_string())
    }

    /// The types of a descriptor set.
    pub(super) fn new(set: FileDescriptorSet) -> Self {
        let mut found = Self::default();
        for file in set.file {
            let proto3 = file.syntax.as_deref() == Some("proto3");
            let package = file.package.unwrap_or_default();
            for one in file.enum_type {
                found.enums.insert(within(&package, one.name()), one);
            }
            for message in file.message_type {
                found.add(&package, message, proto3);
            }
        }
        found
    }

    fn add(&mut self, scope: &str, mut message: DescriptorProto, proto3: bool) {
        let name = within(scope, message.name());
        for one in std::mem::take(&mut message.enum_type) {
            self.enums.insert(within(&name, one.name()), one);
        }
        for nested in std::mem::take(&mut message.nested_type) {
            self.add(&name, nested, proto3);
        }
        self.messages.insert(name, MessageType { descriptor: message, proto3 });
    }

    /// The message of a full name, with or without a dot before it.
    pub(super) fn message(&self, name: &str) -> Option<&MessageType> {
        self.messages.get(name.strip_prefix('.').unwrap_or(name))
    }

    /// The enumeration of a full name.
    pub(super) fn enumeration(&self, name: &str) -> Option<&EnumDescriptorProto> {
        self.enums.get(name.strip_prefix('.').unwrap_or(name))
    }

    /// The full name that `wanted` stands for: itself, or the only one that ends like it. So the Java class `org.shop.Orders$Order` finds
    /// `shop.Order`.
    ///
    /// # Errors
    /// No such message, or several.
    pub(super) fn resolve(&self, wanted: &str) -> Result<&str, String> {
        let parts: Vec<&str> = wanted.split(['.', '$']).collect();
        for first in 0..parts.len() {
            let tail = parts.get(first..).unwrap_or_default().join(".");
            let ends = |name: &&String| **name == tail || name.strip_suffix(&tail).is_some_and(|scope| scope.ends_with('.'));
            let mut found = self.messages.keys().filter(ends);
            match (found.next(), found.next()) {
                (Some(one), None) => return Ok(one),
                (Some(one), Some(_)) if *one == tail => return Ok(one),
                (Some(one), Some(other)) => return Err(format!("'{wanted}' may be '{one}' or '{other}'")),
                (None, _) => {}
            }
        }
        let near = closest(wanted, self.messages.keys().map(String::as_str)).first().map(|near| format!(". Did you mean '{near}'?"));
        let known: Vec<&str> = self.messages.keys().take(20).map(String::as_str).collect();
        Err(format!("it has no message '{wanted}'{}", near.unwrap_or_else(|| format!(", but {}", known.join(", ")))))
    }
}

pub(super) fn within(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}
