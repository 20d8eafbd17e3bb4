//! One life of a module: its memory, and the calls into it.
//!
//! Everything that a module says is checked before it is used: pointers against its memory, lengths against its limits. A call that does
//! not come back by itself is ended when its fuel is used up.

use std::fmt;

use wasmi::{Error, Linker, Memory, Store, StoreLimits, StoreLimitsBuilder, TrapCode, TypedFunc};

use super::module::{ABI_VERSION, ALLOC, Compiled, DECODE, MEMORY, OPEN, VERSION};

/// Entries of a module's tables: functions that it calls by number.
const TABLE_ELEMENTS: usize = 1_000_000;
/// The least that is asked for to put messages into.
const LEAST_INPUT: usize = 64 << 10;

/// An instance that knows its columns.
pub(super) struct Instance {
    store: Store<StoreLimits>,
    memory: Memory,
    alloc: TypedFunc<i32, i32>,
    decode: TypedFunc<(i32, i32), i64>,
    fuel: u64,
    limit: usize,
    /// Where messages are put, and how long they may be there.
    input: (usize, usize),
    /// Messages that it has been given.
    served: u64,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("served", &self.served).finish_non_exhaustive()
    }
}

impl Instance {
    /// A new instance, which has been told the columns; the work for it is added to `spent`. The error says what it, or the module, did wrong.
    pub(super) fn start(compiled: &Compiled, schema: &str, spent: &mut u64) -> Result<Self, String> {
        let started = Self::begin(compiled, schema);
        // How much one that does not start has used is not known.
        *spent = spent.saturating_add(started.as_ref().map_or(compiled.limits.fuel, Self::used));
        started
    }

    fn begin(compiled: &Compiled, schema: &str) -> Result<Self, String> {
        let limits = compiled.limits;
        let bounds = StoreLimitsBuilder::new().memory_size(limits.memory).table_elements(TABLE_ELEMENTS).instances(1).memories(1).tables(16);
        let mut store = Store::new(&compiled.engine, bounds.build());
        store.limiter(|limits| limits);
        store.set_fuel(limits.fuel).map_err(|error| error.to_string())?;
        let started = Linker::new(&compiled.engine).instantiate_and_start(&mut store, &compiled.module);
        let instance = started.map_err(|error| format!("it does not start: {}", stopped(&error, limits.fuel)))?;
        let missing = |name: &str| format!("it lacks '{name}'");
        let memory = instance.get_memory(&store, MEMORY).ok_or_else(|| missing(MEMORY))?;
        let version = instance.get_typed_func::<(), i32>(&store, ABI_VERSION).map_err(|_signature| missing(ABI_VERSION))?;
        let alloc = instance.get_typed_func(&store, ALLOC).map_err(|_signature| missing(ALLOC))?;
        let open = instance.get_typed_func::<(i32, i32), i64>(&store, OPEN).map_err(|_signature| missing(OPEN))?;
        let decode = instance.get_typed_func(&store, DECODE).map_err(|_signature| missing(DECODE))?;
        let failed = |name: &str, error: &Error| format!("its function '{name}' fails: {}", stopped(error, limits.fuel));
        let found = version.call(&mut store, ()).map_err(|error| failed(ABI_VERSION, &error))?;
        if found != VERSION {
            return Err(format!("it is made for version {found} of the interface, and this Weir speaks version {VERSION}"));
        }
        let mut this = Self { store, memory, alloc, decode, fuel: limits.fuel, limit: limits.memory, input: (0, 0), served: 0 };
        let (pointer, length) = this.put(schema.as_bytes())?;
        let answer = open.call(&mut this.store, (pointer, length)).map_err(|error| failed(OPEN, &error))?;
        if answer != 0 {
            let why = this.slice(answer)?;
            return Err(format!("it refuses the columns: {}", String::from_utf8_lossy(why)));
        }
        Ok(this)
    }

    /// Whether it has been given messages, which may have left something behind in it.
    pub(super) fn is_used(&self) -> bool {
        self.served > 0
    }

    /// The work since it was given fuel.
    fn used(&self) -> u64 {
        self.fuel.saturating_sub(self.store.get_fuel().unwrap_or(0))
    }

    /// Hands it a message; its answer, or why it gives none: then it is not to be used again. The work for it is added to `spent`.
    pub(super) fn decode(&mut self, message: &[u8], spent: &mut u64) -> Result<Option<&[u8]>, String> {
        self.store.set_fuel(self.fuel).map_err(|error| error.to_string())?;
        let answered = self.answer(message);
        *spent = spent.saturating_add(self.used());
        match answered? {
            0 => Ok(None),
            answer => self.slice(answer).map(Some),
        }
    }

    fn answer(&mut self, message: &[u8]) -> Result<i64, String> {
        let input = self.put(message)?;
        self.served += 1;
        self.decode.call(&mut self.store, input).map_err(|error| stopped(&error, self.fuel))
    }

    /// Copies `bytes` to where the module wants them; pointer and length for a call.
    fn put(&mut self, bytes: &[u8]) -> Result<(i32, i32), String> {
        if bytes.len() > self.input.1 {
            // Doubled each time, so that what a module never frees is not more than what it uses.
            let size = bytes.len().max(LEAST_INPUT).checked_next_power_of_two().unwrap_or(bytes.len());
            let size = if size > self.limit / 2 { bytes.len() } else { size };
            let wanted = i32::try_from(size).map_err(|_size| format!("{size} bytes are too many for the module"))?;
            let pointer = self
                .alloc
                .call(&mut self.store, wanted)
                .map_err(|error| format!("the module has no room for {size} bytes: {}", stopped(&error, self.fuel)))?;
            let pointer = unsigned(pointer);
            let end = pointer.checked_add(size).filter(|end| pointer > 0 && *end <= self.memory.data_size(&self.store));
            if end.is_none() {
                return Err(format!("the module has no room for {size} bytes: '{ALLOC}' gives {pointer}"));
            }
            self.input = (pointer, size);
        }
        let (pointer, _) = self.input;
        let place = self.memory.data_mut(&mut self.store).get_mut(pointer..pointer + bytes.len());
        place.ok_or_else(|| "the memory of the module has become smaller".to_owned())?.copy_from_slice(bytes);
        let fits = |size: usize| u32::try_from(size).map(u32::cast_signed).map_err(|_size| "the memory of the module is too large".to_owned());
        Ok((fits(pointer)?, fits(bytes.len())?))
    }

    /// What `answer` stands for: a pointer in its upper half, a length in the lower.
    fn slice(&self, answer: i64) -> Result<&[u8], String> {
        let [pointer, length] = [answer >> 32, answer & 0xffff_ffff].map(|half| usize::try_from(half & 0xffff_ffff).unwrap_or(usize::MAX));
        let memory = self.memory.data(&self.store);
        let found = pointer.checked_add(length).and_then(|end| memory.get(pointer..end));
        found.ok_or_else(|| format!("the module's answer of {length} bytes at {pointer} lies outside of its memory of {} bytes", memory.len()))
    }
}

fn unsigned(pointer: i32) -> usize {
    pointer.cast_unsigned() as usize
}

/// Why a call did not come back.
fn stopped(error: &Error, fuel: u64) -> String {
    match error.as_trap_code() {
        Some(TrapCode::OutOfFuel) => format!("the module has not come to an end with 'wasm.fuel' = '{fuel}'"),
        Some(TrapCode::UnreachableCodeReached) => "the module has given up (a panic, or an instruction that must not be reached)".to_owned(),
        Some(TrapCode::MemoryOutOfBounds) => "the module has reached outside of its memory".to_owned(),
        Some(TrapCode::StackOverflow) => "the module calls itself too deep".to_owned(),
        Some(other) => format!("the module has failed: {other}"),
        None => error.to_string(),
    }
}
