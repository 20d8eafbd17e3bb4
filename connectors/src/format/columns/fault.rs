//! Why a message, or a field of it, cannot be read.

use super::column::Most;
use super::text::cut;
use crate::format::BadMessage;

/// How far a fault reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format) enum Reach {
    /// The message is not one of the format: all of it is lost.
    Message,
    /// The message is one of the format, but a value is not what the column wants: the field may become NULL.
    Field,
    /// The message takes more than one may: all of it is lost.
    Size,
    /// The batch cannot grow: nothing is wrong with the message.
    Batch,
    /// It is not known yet how the message was written: nothing is wrong with it.
    Waits,
}

/// A fault with the path to its column. One pointer wide, so that the results of the hot road stay small.
#[derive(Debug)]
pub(in crate::format) struct Fault(Box<Facts>);

#[derive(Debug)]
struct Facts {
    reach: Reach,
    reason: String,
    tolerable: bool,
    /// From the inside out; an index in brackets belongs to the name before it.
    path: Vec<String>,
}

impl Fault {
    fn new(reach: Reach, reason: String, tolerable: bool) -> Self {
        Self(Box::new(Facts { reach, reason, tolerable, path: Vec::new() }))
    }

    /// The message is not one of the format.
    #[cold]
    pub(in crate::format) fn syntax(reason: impl Into<String>) -> Self {
        Self::new(Reach::Message, reason.into(), true)
    }

    /// The value is not one of the column.
    #[cold]
    pub(in crate::format) fn field(reason: impl Into<String>) -> Self {
        Self::new(Reach::Field, reason.into(), true)
    }

    /// The field is missing and an option says that this is an error; no other option tolerates it.
    #[cold]
    pub(in crate::format) fn missing(option: &str) -> Self {
        Self::new(Reach::Field, format!("the field is missing and '{option}' is 'true'"), false)
    }

    /// A column of the batch has reached the 2 GiB that its offsets can count.
    #[cold]
    pub(in crate::format) fn full() -> Self {
        Self::new(Reach::Batch, "the batch has 2 GiB in one column and cannot take this message".to_owned(), false)
    }

    /// The message takes more than one may.
    #[cold]
    pub(in crate::format) fn too_large(most: Most) -> Self {
        let of = most.of.map(|of| format!(", {of}")).unwrap_or_default();
        let reason = format!("the message takes more in the columns than one may: {} MB{of}", (most.bytes >> 20).max(1));
        Self::new(Reach::Size, reason, true)
    }

    /// It is not known yet how the message was written.
    #[cold]
    pub(in crate::format) fn waits() -> Self {
        Self::new(Reach::Waits, String::new(), false)
    }

    /// How far it reaches.
    pub(in crate::format) fn reach(&self) -> Reach {
        self.0.reach
    }

    /// The same fault, of a message that was written with `schema`.
    #[cold]
    pub(in crate::format) fn of(mut self, schema: &str) -> Self {
        if matches!(self.0.reach, Reach::Message | Reach::Field) {
            self.0.reason = format!("{schema}: {}", self.0.reason);
        }
        self
    }

    /// The same fault, seen from the column or the element around it.
    #[cold]
    pub(in crate::format) fn within(mut self, part: impl Into<String>) -> Self {
        self.0.path.push(part.into());
        self
    }

    /// The fault as the caller of a decoder sees it; `option` is the one that tolerates bad messages, if the format has one.
    pub(in crate::format) fn into_bad_message(self, option: Option<&str>) -> BadMessage {
        let Facts { reason, tolerable, path, .. } = *self.0;
        let mut column = String::new();
        for part in path.iter().rev() {
            if !column.is_empty() && !part.starts_with('[') {
                column.push('.');
            }
            column.push_str(part);
        }
        BadMessage {
            reason: cut(reason),
            column: (!column.is_empty()).then_some(column),
            tolerated_by: option.filter(|_| tolerable).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_as_far_as_somebody_would_read_it() {
        let reason = |text: &str| Fault::syntax(text).into_bad_message(None).reason;
        assert_eq!(reason("no order"), "no order");
        assert_eq!(reason(&"é".repeat(1_000)), "é".repeat(1_000));
        assert_eq!(reason(&"é".repeat(1 << 20)), format!("{}…", "é".repeat(1_000)));
    }
}
