//! A module that has been read: compiled, its interface checked.

use std::sync::Arc;

use wasmi::{CompilationMode, Config, Engine, ExternType, FuncType, Module, ValType};

/// The version of the interface that this Weir speaks.
pub(super) const VERSION: i32 = 1;

pub(super) const MEMORY: &str = "memory";
pub(super) const ABI_VERSION: &str = "weir_abi_version";
pub(super) const ALLOC: &str = "weir_alloc";
pub(super) const OPEN: &str = "weir_open";
pub(super) const DECODE: &str = "weir_decode";

/// The functions that a module must have, with what they take and give.
const FUNCTIONS: [(&str, &[ValType], ValType); 4] = [
    (ABI_VERSION, &[], ValType::I32),
    (ALLOC, &[ValType::I32], ValType::I32),
    (OPEN, &[ValType::I32, ValType::I32], ValType::I64),
    (DECODE, &[ValType::I32, ValType::I32], ValType::I64),
];

const REMEDY: &str = "The page 'Your own format' of the book describes the interface";

/// What one message, and the start of an instance, may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes of linear memory.
    pub(super) memory: usize,
    /// Units of work.
    pub(super) fuel: u64,
}

/// A compiled module. Clones share the code.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    pub(super) engine: Engine,
    pub(super) module: Arc<Module>,
    pub(super) limits: Limits,
}

impl Compiled {
    /// Compiles a module, all of it, and checks what it imports and exports. The error says what is wrong and what helps.
    pub(super) fn new(bytes: &[u8], limits: Limits) -> Result<Self, String> {
        let mut config = Config::default();
        // Compiled as a whole, so that what a message costs does not depend on the messages before it.
        config.consume_fuel(true).compilation_mode(CompilationMode::Eager).wasm_multi_memory(false).wasm_memory64(false);
        config.ignore_custom_sections(true);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, bytes).map_err(|error| {
            format!("it is no WebAssembly module that can be run here: {error}. Build it for wasm32-unknown-unknown, without SIMD and threads")
        })?;
        imports(&module)?;
        exports(&module)?;
        Ok(Self { engine, module: Arc::new(module), limits })
    }
}

fn imports(module: &Module) -> Result<(), String> {
    let Some(first) = module.imports().next() else { return Ok(()) };
    let (from, name) = (first.module(), first.name());
    let remedy = if from.starts_with("wasi") {
        "build it for wasm32-unknown-unknown instead of WASI, without files, clocks and output"
    } else {
        "build it so that nothing is left undefined"
    };
    Err(format!("it imports '{name}' from '{from}', and a module is given nothing to import: {remedy}"))
}

fn exports(module: &Module) -> Result<(), String> {
    match module.get_export(MEMORY) {
        Some(ExternType::Memory(_)) => {}
        Some(_) => return Err(format!("its export '{MEMORY}' is no memory. {REMEDY}")),
        None => return Err(format!("it does not export its memory as '{MEMORY}'. {REMEDY}")),
    }
    for (name, takes, gives) in FUNCTIONS {
        let wanted = shown(takes, &[gives]);
        match module.get_export(name) {
            Some(ExternType::Func(function)) if function.params() == takes && function.results() == [gives] => {}
            Some(ExternType::Func(function)) => {
                return Err(format!("its function '{name}' is {}, and must be {wanted}. {REMEDY}", signature(&function)));
            }
            Some(_) => return Err(format!("its export '{name}' is no function, and must be one: {wanted}. {REMEDY}")),
            None => return Err(format!("it does not export the function '{name}': {wanted}. {REMEDY}")),
        }
    }
    Ok(())
}

fn signature(function: &FuncType) -> String {
    shown(function.params(), function.results())
}

/// `(i32, i32) -> i64`.
fn shown(takes: &[ValType], gives: &[ValType]) -> String {
    let list = |types: &[ValType]| types.iter().map(|one| format!("{one:?}").to_lowercase()).collect::<Vec<_>>().join(", ");
    match gives {
        [] => format!("({})", list(takes)),
        [_] => format!("({}) -> {}", list(takes), list(gives)),
        _ => format!("({}) -> ({})", list(takes), list(gives)),
    }
}
