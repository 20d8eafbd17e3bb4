//! Where log lines go: standard error, so that results on standard output stay clean.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::{Global, LogFormat};

/// Quiet libraries; what Weir says.
const DEFAULT_FILTER: &str =
    "warn,weir=info,weir_base=info,weir_fs=info,weir_catalog=info,weir_connectors=info,weir_sql=info,weir_runtime=info,librdkafka=off,rdkafka=error";

/// Lines with tokens of key servers in them.
const SECRET: &str = "hdfs_native::security::kms=off";

/// Sets up logging for the process.
pub(crate) fn init(global: &Global, quiet: bool) {
    let default = if quiet { "warn,librdkafka=off,rdkafka=error" } else { DEFAULT_FILTER };
    let filter = global.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new(default));
    let filter = SECRET.parse().into_iter().fold(filter, EnvFilter::add_directive);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(crate::status_line::LogWriter::default).with_target(false);
    match global.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
    }
}
