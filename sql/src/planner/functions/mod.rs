//! Functions of Flink that DataFusion lacks, or has in another sense, and a few of our own that plans are made with.

mod java_pattern;
mod nested_cast;
mod not_null;
mod text;
mod time;
mod timestamp_text;

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{ScalarUDF, ScalarUDFImpl};

pub(crate) use nested_cast::nested_cast;
pub(crate) use not_null::{checked_value, not_null};
pub(crate) use time::is_proctime;
pub(crate) use timestamp_text::timestamp_text;

/// Names that Flink has for functions of DataFusion.
const ALIASES: &[(&str, &[&str])] = &[("random", &["rand"]), ("character_length", &["char_length"])];

/// Adds them to a session.
pub(crate) fn register(state: &mut SessionState) {
    let ours: [Arc<ScalarUDF>; 11] = [
        udf(time::DateFormat::default()),
        udf(time::ToTimestamp::default()),
        udf(time::ToTimestampLtz::default()),
        udf(time::FromUnixTime::default()),
        udf(time::Now::current_timestamp()),
        udf(time::Now::local_timestamp()),
        udf(time::ProcTime::default()),
        udf(text::SplitIndex::default()),
        nested_cast::function(),
        not_null::function(),
        timestamp_text::function(),
    ];
    let aliased = ALIASES.iter().filter_map(|(name, aliases)| {
        let function = state.scalar_functions().get(*name)?;
        Some(Arc::new(function.as_ref().clone().with_aliases(aliases.iter().copied())))
    });
    for function in aliased.collect::<Vec<_>>().into_iter().chain(ours) {
        // The registry takes any function; only a state without one refuses.
        if let Err(error) = state.register_udf(function) {
            tracing::warn!(%error, "function not registered");
        }
    }
}

fn udf(function: impl ScalarUDFImpl + 'static) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(function))
}
