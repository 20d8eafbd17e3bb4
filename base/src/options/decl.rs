//! Declarations of options.

/// What texts an option accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Any text.
    String,
    /// `true` or `false`, in any case.
    Boolean,
    /// A whole number within the bounds (both included).
    Integer {
        /// Smallest accepted value.
        min: i64,
        /// Largest accepted value.
        max: i64,
    },
    /// A number with a fraction.
    Double,
    /// `10 s`, `5 min`; no unit means milliseconds.
    Duration,
    /// `64 mb`; units are 1024-based, no unit means bytes.
    MemorySize,
    /// One of the listed names; case, `-` and `_` do not matter.
    Enum(&'static [&'static str]),
    /// Elements separated by `;`.
    List,
}

impl ValueType {
    /// The type as documentation shows it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::String => "String".to_owned(),
            Self::Boolean => "Boolean".to_owned(),
            Self::Integer { .. } => "Integer".to_owned(),
            Self::Double => "Double".to_owned(),
            Self::Duration => "Duration".to_owned(),
            Self::MemorySize => "MemorySize".to_owned(),
            Self::Enum(values) => format!("Enum: {}", values.join(", ")),
            Self::List => "List, `;` between elements".to_owned(),
        }
    }
}

/// One option: the single place that says its key, type, default and meaning.
///
/// A key that ends in `.*` declares a prefix (`properties.*`); a `#` stands for a column name (`fields.#.kind`).
#[derive(Debug, Clone, Copy)]
pub struct OptionDecl {
    /// The key, or the pattern of keys.
    pub key: &'static str,
    /// What the value must look like.
    pub ty: ValueType,
    /// The value taken when none is given.
    pub default: Option<&'static str>,
    /// Whether a missing value is an error.
    pub required: bool,
    /// Whether the value must never be shown.
    pub secret: bool,
    /// Older spellings that are still accepted, with a warning.
    pub deprecated: &'static [&'static str],
    /// What the option does, in one or two sentences.
    pub doc: &'static str,
}

impl OptionDecl {
    /// An optional option without a default.
    #[must_use]
    pub const fn new(key: &'static str, ty: ValueType, doc: &'static str) -> Self {
        Self { key, ty, default: None, required: false, secret: false, deprecated: &[], doc }
    }

    /// The same with a default.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// The same, required.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same, never shown.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The same with older spellings.
    #[must_use]
    pub const fn deprecated(mut self, keys: &'static [&'static str]) -> Self {
        self.deprecated = keys;
        self
    }

    /// Whether `key` is this option, one of its older spellings, or matches its pattern.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        self.key == key || self.deprecated.contains(&key) || matches_pattern(self.key, key)
    }
}

fn matches_pattern(pattern: &str, key: &str) -> bool {
    if let Some(prefix) = pattern.strip_suffix('*') {
        return key.len() > prefix.len() && key.starts_with(prefix);
    }
    let Some((before, after)) = pattern.split_once('#') else { return false };
    key.len() > before.len() + after.len() && key.starts_with(before) && key.ends_with(after)
}
