//! The options of the `wasm` format, their checks, and where the module is read.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use object_store::ObjectStoreExt as _;
use tokio::sync::OnceCell;
use weir_base::options::{OptionBag, OptionDecl, Problem, ValueType};
use weir_base::task::blocking;
use weir_base::{Classified as _, ErrorKind};
use weir_fs::{FileSystems, FsError};

use super::decoder::{Parts, WasmDecoder, rehearse};
use super::module::{Compiled, Limits};
use crate::error::ConnectorError;
use crate::format::columns::Column;
use crate::format::{Decoder, Format, FormatFactory, IGNORE_PARSE_ERRORS, refuse_types};

const MODULE: OptionDecl = OptionDecl::new(
    "module",
    ValueType::String,
    "The WebAssembly module that reads messages: an absolute path, or a URI of any file system or alias. It is read when the job starts, and 64 MB at most.",
)
.required();
const MEMORY: OptionDecl = OptionDecl::new(
    "memory",
    ValueType::MemorySize,
    "Memory that the module may use for each partition that is read, 64 kb to 4 gb; and what the rows of one message may take.",
)
.default("64 mb");
const FUEL: OptionDecl = OptionDecl::new(
    "fuel",
    ValueType::Integer { min: 1_000, max: i64::MAX },
    "Work that the module may do for one message, and when it starts: about one unit for each simple instruction. A message that needs more is bad.",
)
.default("100000000");

const OPTIONS: &[OptionDecl] = &[MODULE, MEMORY, FUEL, IGNORE_PARSE_ERRORS];

/// The largest module.
const MODULE_BYTES: u64 = 64 << 20;
const LEAST_MEMORY: u64 = 64 << 10;
const MOST_MEMORY: u64 = 4 << 30;

/// Makes `wasm` formats.
#[derive(Debug, Clone, Copy, Default)]
pub struct WasmFactory;

/// The `wasm` format with its options; its module is there once it has been prepared.
#[derive(Debug)]
pub struct WasmFormat {
    object: String,
    option: String,
    module: String,
    limits: Limits,
    tolerant: bool,
    declared: SchemaRef,
    compiled: OnceCell<Compiled>,
}

impl FormatFactory for WasmFactory {
    fn name(&self) -> &'static str {
        "wasm"
    }

    fn doc(&self) -> &'static str {
        "A message is one of a company's own format, which a WebAssembly module reads."
    }

    fn options(&self) -> &'static [OptionDecl] {
        OPTIONS
    }

    fn gives_many_rows(&self) -> bool {
        true
    }

    fn open(&self, prefix: &str, options: &mut OptionBag, schema: &SchemaRef) -> Option<Box<dyn Format>> {
        let object = options.object().to_owned();
        let format = options.scoped(prefix, OPTIONS, |options| {
            let (module, limits, tolerant) = (options.string(&MODULE), limits(options), options.boolean(&IGNORE_PARSE_ERRORS));
            Some(WasmFormat {
                object,
                option: format!("{prefix}{}", IGNORE_PARSE_ERRORS.key),
                module: module?,
                limits: limits?,
                tolerant: tolerant?,
                declared: Arc::clone(schema),
                compiled: OnceCell::new(),
            })
        });
        let readable = refuse_types("wasm", "the interface has no form for its type", schema, options, |field| !Column::new(field).is_unreadable());
        if schema.fields().is_empty() {
            let what = "Format 'wasm' needs a column that it fills.";
            options.report(Problem::new("CON-003", options.object(), what));
            return None;
        }
        Some(Box::new(format.filter(|_| readable)?))
    }
}

fn limits(options: &mut OptionBag) -> Option<Limits> {
    let (memory, fuel) = (options.bytes(&MEMORY), options.integer(&FUEL));
    let memory = memory?;
    if !(LEAST_MEMORY..=MOST_MEMORY).contains(&memory) {
        let what = format!("'{}' must be >= 64 kb and <= 4 gb, but is {memory} bytes.", options.full_key(MEMORY.key));
        options.error("OPT-007", MEMORY.key, what);
        return None;
    }
    Some(Limits { memory: usize::try_from(memory).ok()?, fuel: u64::try_from(fuel?).ok()? })
}

impl WasmFormat {
    async fn load(&self, file_systems: &FileSystems) -> Result<Compiled, ConnectorError> {
        let bytes = self.read(file_systems).await.map_err(|error| {
            ConnectorError::new(error.kind(), format!("{}: the module of the format 'wasm' cannot be read: {error}.", self.object)).with_source(error)
        })?;
        let size = bytes.len();
        let (limits, declared) = (self.limits, Arc::clone(&self.declared));
        let compiled = blocking("wasm compile", move || {
            let compiled = Compiled::new(&bytes, limits)?;
            rehearse(&compiled, &declared)?;
            Ok(compiled)
        });
        let compiled = compiled.await.map_err(|error| ConnectorError::internal("a module could not be compiled").with_source(error))?;
        let compiled = compiled.map_err(|why: String| ConnectorError::user(format!("{}: module '{}': {why}.", self.object, self.module)))?;
        tracing::info!(table = self.object, module = self.module, bytes = size, "module of the format 'wasm' read");
        Ok(compiled)
    }

    async fn read(&self, file_systems: &FileSystems) -> Result<bytes::Bytes, FsError> {
        let location = file_systems.resolve(&self.module)?;
        let failed = |error| FsError::from_store("read of", &location.uri, error);
        let found = location.store.get(&location.path).await.map_err(failed)?;
        if found.meta.size > MODULE_BYTES {
            let what = format!("`{}` has {} bytes, and a module may have {MODULE_BYTES}", location.uri, found.meta.size);
            return Err(FsError::new(ErrorKind::User, what));
        }
        found.bytes().await.map_err(failed)
    }
}

#[async_trait]
impl Format for WasmFormat {
    async fn prepare(&self, file_systems: &FileSystems) -> Result<(), ConnectorError> {
        self.compiled.get_or_try_init(|| self.load(file_systems)).await.map(|_compiled| ())
    }

    fn decoder(&self, schema: &SchemaRef) -> Box<dyn Decoder> {
        let compiled = self.compiled.get().cloned();
        let parts = Parts {
            compiled: compiled.ok_or_else(|| format!("module '{}' has not been read", self.module)),
            name: self.module.clone(),
            declared: Arc::clone(&self.declared),
            tolerant: self.tolerant,
            option: self.option.clone(),
        };
        Box::new(WasmDecoder::new(parts, schema))
    }
}
