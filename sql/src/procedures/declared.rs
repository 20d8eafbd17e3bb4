//! Every procedure and its arguments, declared once: in the order in which they are taken without names.

/// Type of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Boolean,
    Time,
    Map,
    Numbers,
}

/// What becomes of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Needed,
    Optional,
    /// Taken with a warning that it changes nothing.
    Idle,
    /// Refused; says what to do instead.
    Refused(&'static str),
}

/// An argument.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) used: Use,
}

/// A procedure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) parameters: &'static [Parameter],
}

const fn needed(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, used: Use::Needed }
}

const fn optional(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, used: Use::Optional }
}

const fn idle(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, used: Use::Idle }
}

const fn refused(name: &'static str, instead: &'static str) -> Parameter {
    Parameter { name, kind: Kind::Text, used: Use::Refused(instead) }
}

const TABLE: Parameter = needed("table", Kind::Text);

/// All procedures.
pub(crate) const PROCEDURES: &[Declared] = &[
    Declared {
        name: "cherrypick_snapshot",
        doc: "Brings an append of another branch, or a staged one, onto the main branch.",
        parameters: &[TABLE, needed("snapshot_id", Kind::Number)],
    },
    Declared {
        name: "expire_snapshots",
        doc: "Expires old snapshots, and deletes the files that only they needed.",
        parameters: &[
            TABLE,
            optional("older_than", Kind::Time),
            optional("retain_last", Kind::Number),
            idle("max_concurrent_deletes", Kind::Number),
            idle("stream_results", Kind::Boolean),
            optional("snapshot_ids", Kind::Numbers),
            idle("clean_expired_metadata", Kind::Boolean),
        ],
    },
    Declared {
        name: "remove_orphan_files",
        doc: "Deletes files in the table's folders that nothing refers to.",
        parameters: &[
            TABLE,
            optional("older_than", Kind::Time),
            optional("location", Kind::Text),
            optional("dry_run", Kind::Boolean),
            idle("max_concurrent_deletes", Kind::Number),
            refused("file_list_view", "Weir lists the folders itself."),
            optional("equal_schemes", Kind::Map),
            optional("equal_authorities", Kind::Map),
            optional("prefix_mismatch_mode", Kind::Text),
            idle("prefix_listing", Kind::Boolean),
        ],
    },
    Declared {
        name: "rewrite_data_files",
        doc: "Makes large files of many small ones.",
        parameters: &[
            TABLE,
            optional("strategy", Kind::Text),
            optional("sort_order", Kind::Text),
            optional("options", Kind::Map),
            optional("where", Kind::Text),
            optional("branch", Kind::Text),
        ],
    },
    Declared {
        name: "rewrite_manifests",
        doc: "Makes fewer manifests of many small ones, by partition.",
        parameters: &[TABLE, idle("use_caching", Kind::Boolean), refused("spec_id", "Manifests of all partition specs are looked at.")],
    },
    Declared {
        name: "rollback_to_snapshot",
        doc: "Sets the main branch back to a snapshot that it has come from.",
        parameters: &[TABLE, needed("snapshot_id", Kind::Number)],
    },
    Declared {
        name: "rollback_to_timestamp",
        doc: "Sets the main branch back to its newest snapshot from before a time.",
        parameters: &[TABLE, needed("timestamp", Kind::Time)],
    },
    Declared {
        name: "set_current_snapshot",
        doc: "Sets the main branch to any snapshot of the table.",
        parameters: &[TABLE, optional("snapshot_id", Kind::Number), optional("ref", Kind::Text)],
    },
];
