//! The unsafe code of Weir, but for one setting of the allocator: the calls of librdkafka that its Rust binding does not offer.
//!
//! Those are the batch call on one partition's queue, with messages borrowed as slices, and two admin calls (ListOffsets with an isolation
//! level, DescribeTopics with topic ids). Everything that leaves this module is safe to use in any order and on any thread: whatever
//! points into the client keeps it alive, and frees itself.
//!
//! What soundness rests on (librdkafka 2.12, `rdkafka.h`): clients, topics and queues may be used by any thread; a message and all it
//! points to stay valid until `rd_kafka_message_destroy`; a queue's event callback runs under the queue's lock, so none runs once
//! `rd_kafka_queue_cb_event_enable` has taken it off; admin calls copy their arguments.
#![expect(unsafe_code, reason = "librdkafka's batch call and admin calls have no safe binding; audited here, safe outward")]

mod admin;

use std::ffi::{CStr, CString, c_char, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use tokio::sync::Notify;

use super::client::Observer;

pub(super) use admin::{Described, Event, Listed, describe_topics, list_offsets};

/// A client as this module needs it.
pub(super) type Native = Arc<BaseConsumer<Observer>>;

/// `OffsetSpec` of the first record that is left.
pub(super) const EARLIEST: i64 = -2;
/// `OffsetSpec` of the end: the last stable offset if only committed records count.
pub(super) const LATEST: i64 = -1;

/// An error as librdkafka tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What kind.
    pub(super) code: RDKafkaErrorCode,
    /// Its words.
    pub(super) text: String,
}

impl Fault {
    fn of(code: sys::rd_kafka_resp_err_t, text: *const c_char) -> Self {
        Self { code: code.into(), text: text_of(text).unwrap_or_else(|| RDKafkaErrorCode::from(code).to_string()) }
    }

    fn invalid(text: impl Into<String>) -> Self {
        Self { code: RDKafkaErrorCode::InvalidArgument, text: text.into() }
    }

    fn last() -> Self {
        // SAFETY: reads a thread-local value.
        Self::of(unsafe { sys::rd_kafka_last_error() }, ptr::null())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Copies a C string; `None` for a null pointer. Private: every caller hands in a pointer that librdkafka just gave.
fn text_of(text: *const c_char) -> Option<String> {
    // SAFETY: not null, and librdkafka's strings end with a zero and live as long as the object the caller holds.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// A queue of messages or admin results that wakes a task when it is no longer empty.
pub(super) struct Queue {
    raw: NonNull<sys::rd_kafka_queue_t>,
    // Boxed: librdkafka holds its address.
    ready: Box<Notify>,
    // After `raw` in every sense: the client must outlive its queue.
    client: Native,
}

// SAFETY: librdkafka's queues are locked inside; `Notify` and the client are Send and Sync.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("length", &self.length()).finish()
    }
}

unsafe extern "C" fn wake(_client: *mut sys::rd_kafka_t, ready: *mut c_void) {
    // SAFETY: `ready` is the boxed Notify of a Queue, which takes this callback off before it goes away.
    unsafe { &*ready.cast::<Notify>() }.notify_one();
}

impl Queue {
    /// A new queue of `client`.
    pub(super) fn new(client: &Native) -> Result<Self, Fault> {
        let ready = Box::new(Notify::new());
        // SAFETY: the client is alive; the callback's argument is alive until `drop` takes the callback off.
        let raw = unsafe { sys::rd_kafka_queue_new(client.client().native_ptr()) };
        let raw = NonNull::new(raw).ok_or_else(Fault::last)?;
        // SAFETY: as above.
        unsafe { sys::rd_kafka_queue_cb_event_enable(raw.as_ptr(), Some(wake), ptr::from_ref(&*ready).cast_mut().cast()) };
        Ok(Self { raw, ready, client: Arc::clone(client) })
    }

    /// Operations that wait in the queue.
    pub(super) fn length(&self) -> usize {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.raw.as_ptr()) }
    }

    /// Returns once the queue has become non-empty since the last call. Cancel safe.
    pub(super) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// The next admin result, if one is there.
    pub(super) fn event(&self) -> Option<Event> {
        // SAFETY: the queue is alive; the event is owned by what is returned.
        NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.raw.as_ptr(), 0) }).map(Event)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive and this is its only owner; no callback runs after the first call.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.raw.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.raw.as_ptr());
        }
    }
}

/// A topic of a client, from which partitions are read one by one.
pub(super) struct Topic {
    raw: NonNull<sys::rd_kafka_topic_t>,
    // The client must outlive its topic.
    _client: Native,
}

// SAFETY: librdkafka's topics are locked inside.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Topic")
    }
}

impl Topic {
    /// The topic `name`.
    pub(super) fn new(client: &Native, name: &str) -> Result<Self, Fault> {
        let name = CString::new(name).map_err(|_ignored| Fault::invalid("a topic name with a NUL in it"))?;
        // SAFETY: client and name are alive; the name is copied.
        let raw = unsafe { sys::rd_kafka_topic_new(client.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        Ok(Self { raw: NonNull::new(raw).ok_or_else(Fault::last)?, _client: Arc::clone(client) })
    }

    /// Begins to fetch `partition` at `offset` into `queue`. The partition must not be fetched already.
    pub(super) fn start(&self, partition: i32, offset: i64, queue: &Queue) -> Result<(), Fault> {
        // SAFETY: topic and queue are alive; librdkafka counts its own reference to the queue.
        let answer = unsafe { sys::rd_kafka_consume_start_queue(self.raw.as_ptr(), partition, offset, queue.raw.as_ptr()) };
        if answer == 0 { Ok(()) } else { Err(Fault::last()) }
    }

    /// Ends the fetching of `partition` and drops what waits in its queue. Returns when that has happened.
    pub(super) fn stop(&self, partition: i32) -> Result<(), Fault> {
        // SAFETY: the topic is alive.
        if unsafe { sys::rd_kafka_consume_stop(self.raw.as_ptr(), partition) } == 0 { Ok(()) } else { Err(Fault::last()) }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the only owner of this reference.
        unsafe { sys::rd_kafka_topic_destroy(self.raw.as_ptr()) };
    }
}

/// Messages taken from a queue in one call; they are freed together.
pub(super) struct Messages {
    raw: Vec<*mut sys::rd_kafka_message_t>,
    // Keeps the client alive, which must outlive its messages.
    _queue: Arc<Queue>,
}

// SAFETY: messages are plain memory owned by this value; librdkafka lets any thread destroy them.
unsafe impl Send for Messages {}

impl Messages {
    /// Takes up to `max` messages that are there now.
    pub(super) fn drain(queue: &Arc<Queue>, max: usize) -> Self {
        let mut raw: Vec<*mut sys::rd_kafka_message_t> = Vec::with_capacity(max);
        // SAFETY: the buffer has room for `max` pointers, of which the call writes as many as it returns.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(queue.raw.as_ptr(), 0, raw.as_mut_ptr(), max);
            raw.set_len(usize::try_from(taken).unwrap_or(0).min(max));
        }
        Self { raw, _queue: Arc::clone(queue) }
    }

    /// The messages in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        // SAFETY: the pointers are valid until `drop`, and the borrow of `self` keeps that from happening.
        self.raw.iter().map(|raw| Message(unsafe { &**raw }))
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        for raw in &self.raw {
            // SAFETY: owned, and destroyed once.
            unsafe { sys::rd_kafka_message_destroy(*raw) };
        }
    }
}

/// One message, or an error or end-of-partition note that came in its place.
#[derive(Clone, Copy)]
pub(super) struct Message<'a>(&'a sys::rd_kafka_message_t);

/// What a message's timestamp means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimestampKind {
    /// There is none.
    None,
    /// The producer's time.
    Create,
    /// The broker's time.
    LogAppend,
}

impl<'a> Message<'a> {
    /// The error in place of a message.
    pub(super) fn fault(self) -> Option<Fault> {
        let error = self.0.err;
        if error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: the message is alive; its text is copied.
        Some(Fault::of(error, unsafe { sys::rd_kafka_message_errstr(self.0) }))
    }

    /// Its offset; for an end-of-partition note the offset of the next record.
    pub(super) fn offset(self) -> i64 {
        self.0.offset
    }

    /// The value; `None` for a tombstone.
    pub(super) fn payload(self) -> Option<&'a [u8]> {
        bytes(self.0.payload, self.0.len)
    }

    /// The key.
    pub(super) fn key(self) -> Option<&'a [u8]> {
        bytes(self.0.key, self.0.key_len)
    }

    /// Milliseconds since 1970, and what they mean.
    pub(super) fn timestamp(self) -> (i64, TimestampKind) {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        let time = unsafe { sys::rd_kafka_message_timestamp(self.0, &raw mut kind) };
        let kind = match kind {
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => TimestampKind::None,
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => TimestampKind::Create,
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => TimestampKind::LogAppend,
        };
        (time, kind)
    }

    /// The leader's epoch, where the broker tells it.
    pub(super) fn leader_epoch(self) -> Option<i32> {
        // SAFETY: the message is alive.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.0) };
        (epoch >= 0).then_some(epoch)
    }

    /// Calls `each` with name and value of every header, in order.
    pub(super) fn headers(self, mut each: impl FnMut(&str, Option<&[u8]>)) {
        let mut headers: *mut sys::rd_kafka_headers_t = ptr::null_mut();
        // SAFETY: the message is alive; the headers stay its own.
        let found = unsafe { sys::rd_kafka_message_headers(self.0, &raw mut headers) };
        if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut length): (*const c_char, *const c_void, usize) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers are alive, and so is what they point to, until the message is destroyed.
            let found = unsafe { sys::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut length) };
            if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            each(&text_of(name).unwrap_or_default(), bytes(value, length));
        }
    }
}

fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: librdkafka gives pointer and length of memory that lives as long as the message that the caller borrows.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
}
