//! The fields of a record as the entries of a map of texts: what Debezium tells of where a change was made.

use std::sync::Arc;

use super::input::Input;
use super::plan::Skip;
use super::schema::{Member, Type};
use crate::format::columns::{Context, Fault, Map};

/// The fields of a record, by name; those that have no text are left out.
#[derive(Debug)]
pub(super) struct Entries(Vec<(String, Text)>);

/// How a value becomes a text.
#[derive(Debug)]
enum Text {
    Null,
    Whole,
    Boolean,
    Float,
    Double,
    Same,
    /// Names by number.
    Enum(Arc<[String]>),
    Union(Vec<Self>),
    Nothing(Skip),
}

impl Entries {
    pub(super) fn new(members: &[Member]) -> Self {
        Self(members.iter().map(|member| (member.name.clone(), Text::new(&member.written))).collect())
    }

    /// Appends a map.
    pub(super) fn read(&self, map: &mut Map, input: &mut Input<'_>, context: &mut Context) -> Result<(), Fault> {
        for (name, text) in &self.0 {
            text.read(name, map, input, context).map_err(|fault| fault.within(name.clone()))?;
        }
        map.ends.push(map.keys.len())
    }
}

impl Text {
    fn new(written: &Type) -> Self {
        match written {
            Type::Null => Self::Null,
            Type::Whole(_) => Self::Whole,
            Type::Boolean => Self::Boolean,
            Type::Float => Self::Float,
            Type::Double => Self::Double,
            Type::Text => Self::Same,
            Type::Enum(names) => Self::Enum(Arc::clone(names)),
            Type::Union(branches) => Self::Union(branches.iter().map(Self::new).collect()),
            Type::Bytes | Type::Fixed(_) | Type::Decimal { .. } | Type::Array(_) | Type::Map(_) | Type::Record(_) => {
                Self::Nothing(Skip::new(written))
            }
        }
    }

    fn read(&self, name: &str, map: &mut Map, input: &mut Input<'_>, context: &mut Context) -> Result<(), Fault> {
        let text = match self {
            Self::Null => None,
            Self::Whole => Some(input.whole()?.to_string()),
            Self::Boolean => Some((input.byte()? != 0).to_string()),
            Self::Float => Some(f32::from_le_bytes(input.array()?).to_string()),
            Self::Double => Some(f64::from_le_bytes(input.array()?).to_string()),
            Self::Same => {
                let text = std::str::from_utf8(input.sized()?);
                Some(text.map_err(|_position| Fault::field("the text is not UTF-8"))?.to_owned())
            }
            Self::Enum(names) => {
                let number = input.whole()?;
                let found = usize::try_from(number).ok().and_then(|number| names.get(number));
                Some(found.ok_or_else(|| Fault::syntax(format!("name {number} of an enum of {}", names.len())))?.clone())
            }
            Self::Union(branches) => {
                let branch = input.whole()?;
                let found = usize::try_from(branch).ok().and_then(|branch| branches.get(branch));
                let found = found.ok_or_else(|| Fault::syntax(format!("branch {branch} of a union of {}", branches.len())))?;
                return found.read(name, map, input, context);
            }
            Self::Nothing(skip) => return skip.pass(input),
        };
        map.keys.read_text(name.as_bytes(), context)?;
        match text {
            Some(text) => map.values.read_text(text.as_bytes(), context),
            None => map.values.null(),
        }
    }
}
