//! Weir's interface to a module, version 1. Copy this file, and write `crate::open` and `crate::decode` for your format.
//!
//! The host puts a message where `weir_alloc` says and calls `weir_decode`. The answer stays in `ANSWER` until the next call.

use std::ptr::addr_of_mut;

// A module has one thread.
static mut INPUT: Vec<u8> = Vec::new();
static mut ANSWER: Rows = Rows(Vec::new());

/// The version of the interface.
#[no_mangle]
pub extern "C" fn weir_abi_version() -> i32 {
    1
}

/// Room for `size` bytes, in place of what was given before.
#[no_mangle]
pub extern "C" fn weir_alloc(size: usize) -> *mut u8 {
    let input = unsafe { &mut *addr_of_mut!(INPUT) };
    *input = vec![0; size];
    input.as_mut_ptr()
}

/// Takes the columns of the table, a line each: `name<tab>type<tab>wanted`, or `unused`. 0, or a text that says what is wrong with them.
#[no_mangle]
pub extern "C" fn weir_open(columns: *const u8, length: usize) -> u64 {
    let columns = unsafe { std::slice::from_raw_parts(columns, length) };
    match crate::open(&String::from_utf8_lossy(columns)) {
        Ok(()) => 0,
        Err(why) => {
            let answer = unsafe { &mut *addr_of_mut!(ANSWER) };
            answer.0 = why.into_bytes();
            answer.place()
        }
    }
}

/// Reads one message. 0 if it gives no row; else its rows, or a text that says what is wrong with it.
#[no_mangle]
pub extern "C" fn weir_decode(message: *const u8, length: usize) -> u64 {
    let message = unsafe { std::slice::from_raw_parts(message, length) };
    let answer = unsafe { &mut *addr_of_mut!(ANSWER) };
    answer.0.clear();
    answer.0.push(0);
    if let Err(why) = crate::decode(message, answer) {
        answer.0.clear();
        answer.0.push(1);
        answer.0.extend_from_slice(why.as_bytes());
    }
    if answer.0 == [0] { 0 } else { answer.place() }
}

/// The rows of one message: the values of all columns in order, row after row.
pub struct Rows(pub Vec<u8>);

impl Rows {
    fn place(&self) -> u64 {
        (self.0.as_ptr() as u64) << 32 | self.0.len() as u64
    }

    fn value(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.0.push(0),
            Some(bytes) => {
                self.0.push(1);
                self.0.extend_from_slice(bytes);
            }
        }
    }

    pub fn int(&mut self, value: Option<i32>) {
        self.value(value.map(i32::to_le_bytes).as_ref().map(|bytes| &bytes[..]));
    }

    /// A BIGINT, or a TIMESTAMP in microseconds.
    pub fn long(&mut self, value: Option<i64>) {
        self.value(value.map(i64::to_le_bytes).as_ref().map(|bytes| &bytes[..]));
    }

    /// A DECIMAL without its point: 1250 is 12.50 in a DECIMAL(10, 2).
    pub fn decimal(&mut self, unscaled: Option<i128>) {
        self.value(unscaled.map(i128::to_le_bytes).as_ref().map(|bytes| &bytes[..]));
    }

    pub fn text(&mut self, text: Option<&[u8]>) {
        self.value(text.map(|text| (text.len() as u32).to_le_bytes()).as_ref().map(|bytes| &bytes[..]));
        self.0.extend_from_slice(text.unwrap_or_default());
    }

    /// Instead of a value: why there is none.
    pub fn bad(&mut self, why: &str) {
        self.0.push(3);
        self.0.extend_from_slice(&(why.len() as u32).to_le_bytes());
        self.0.extend_from_slice(why.as_bytes());
    }
}
