//! The two admin calls, and the event that their answer is.

use std::ffi::{CString, c_char, c_int};
use std::ptr::{self, NonNull};
use std::slice;

use rdkafka::consumer::Consumer as _;
use rdkafka_sys as sys;

use super::{Fault, Native, Queue, text_of};

/// The elements of a C array of pointers, borrowed from the object that the caller holds.
fn pointers<'a, T>(array: *const *const T, count: usize) -> &'a [*const T] {
    // SAFETY: librdkafka gives arrays of `count` valid pointers, which live as long as their event.
    if array.is_null() { &[] } else { unsafe { slice::from_raw_parts(array, count) } }
}

/// The result of an admin call.
pub(in crate::kafka) struct Event(pub(super) NonNull<sys::rd_kafka_event_t>);

// SAFETY: owned, plain memory.
unsafe impl Send for Event {}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: owned, and destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

/// One answer of [`list_offsets`].
#[derive(Debug, Clone)]
pub(in crate::kafka) struct Listed {
    /// Topic.
    pub(in crate::kafka) topic: String,
    /// Partition.
    pub(in crate::kafka) partition: i32,
    /// The offset; negative if there is no record at or after the time asked for.
    pub(in crate::kafka) offset: Result<i64, Fault>,
}

/// One answer of [`describe_topics`].
#[derive(Debug, Clone)]
pub(in crate::kafka) struct Described {
    /// Topic.
    pub(in crate::kafka) topic: String,
    /// Its id, where the broker gives one.
    pub(in crate::kafka) id: Option<String>,
    /// Whether it belongs to Kafka itself.
    pub(in crate::kafka) internal: bool,
    /// Its partitions.
    pub(in crate::kafka) partitions: Result<Vec<i32>, Fault>,
}

impl Event {
    /// The error of the whole call.
    pub(in crate::kafka) fn fault(&self) -> Option<Fault> {
        // SAFETY: the event is alive; its text is copied.
        unsafe {
            let error = sys::rd_kafka_event_error(self.0.as_ptr());
            (error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR)
                .then(|| Fault::of(error, sys::rd_kafka_event_error_string(self.0.as_ptr())))
        }
    }

    /// The answers of [`list_offsets`].
    pub(in crate::kafka) fn offsets(&self) -> Vec<Listed> {
        let mut count = 0;
        // SAFETY: the event is alive; the result and all it points to are its own.
        unsafe {
            let result = sys::rd_kafka_event_ListOffsets_result(self.0.as_ptr());
            if result.is_null() {
                return Vec::new();
            }
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            pointers(infos, count)
                .iter()
                .map(|info| {
                    let at = &*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                    let failed = at.err != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
                    let offset = if failed { Err(Fault::of(at.err, ptr::null())) } else { Ok(at.offset) };
                    Listed { topic: text_of(at.topic).unwrap_or_default(), partition: at.partition, offset }
                })
                .collect()
        }
    }

    /// The answers of [`describe_topics`].
    pub(in crate::kafka) fn topics(&self) -> Vec<Described> {
        let mut count = 0;
        // SAFETY: as in `offsets`.
        unsafe {
            let result = sys::rd_kafka_event_DescribeTopics_result(self.0.as_ptr());
            if result.is_null() {
                return Vec::new();
            }
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            pointers(topics, count).iter().map(|topic| described(*topic)).collect()
        }
    }
}

/// Copies one topic's description.
///
/// # Safety
/// `topic` belongs to an event that is alive.
unsafe fn described(topic: *const sys::rd_kafka_TopicDescription_t) -> Described {
    let mut count = 0;
    // SAFETY: the caller's promise.
    unsafe {
        let error = sys::rd_kafka_TopicDescription_error(topic);
        let failed = !error.is_null() && sys::rd_kafka_error_code(error) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let partitions = if failed {
            Err(Fault::of(sys::rd_kafka_error_code(error), sys::rd_kafka_error_string(error)))
        } else {
            let infos = sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
            Ok(pointers(infos, count).iter().map(|info| sys::rd_kafka_TopicPartitionInfo_partition(*info)).collect())
        };
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let is_set = !id.is_null() && (sys::rd_kafka_Uuid_most_significant_bits(id) != 0 || sys::rd_kafka_Uuid_least_significant_bits(id) != 0);
        Described {
            topic: text_of(sys::rd_kafka_TopicDescription_name(topic)).unwrap_or_default(),
            id: if is_set { text_of(sys::rd_kafka_Uuid_base64str(id)) } else { None },
            internal: sys::rd_kafka_TopicDescription_is_internal(topic) != 0,
            partitions,
        }
    }
}

/// Options of one admin call.
struct AdminOptions(NonNull<sys::rd_kafka_AdminOptions_t>);

impl AdminOptions {
    fn new(client: &Native, call: sys::rd_kafka_admin_op_t, timeout_ms: c_int) -> Result<Self, Fault> {
        // SAFETY: the client is alive; no text is asked for.
        unsafe {
            let raw = NonNull::new(sys::rd_kafka_AdminOptions_new(client.client().native_ptr(), call)).ok_or_else(Fault::last)?;
            let options = Self(raw);
            let set = sys::rd_kafka_AdminOptions_set_request_timeout(raw.as_ptr(), timeout_ms, ptr::null_mut(), 0);
            if set == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(options) } else { Err(Fault::of(set, ptr::null())) }
        }
    }
}

impl AdminOptions {
    /// Sends the call to `broker` instead of the controller.
    fn ask(&self, broker: i32) -> Result<(), Fault> {
        // SAFETY: the options are alive; no text is asked for.
        let set = unsafe { sys::rd_kafka_AdminOptions_set_broker(self.0.as_ptr(), broker, ptr::null_mut(), 0) };
        if set == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(Fault::of(set, ptr::null())) }
    }
}

impl Drop for AdminOptions {
    fn drop(&mut self) {
        // SAFETY: owned, and destroyed once.
        unsafe { sys::rd_kafka_AdminOptions_destroy(self.0.as_ptr()) };
    }
}

/// Asks for offsets of partitions, each at [`super::EARLIEST`], [`super::LATEST`] or a time in milliseconds. The answer comes as an event of `queue`.
pub(in crate::kafka) fn list_offsets(queue: &Queue, wanted: &[(String, i32, i64)], committed: bool, timeout_ms: c_int) -> Result<(), Fault> {
    let options = AdminOptions::new(&queue.client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout_ms)?;
    let names = c_strings(wanted.iter().map(|(topic, ..)| topic))?;
    let count = c_int::try_from(wanted.len()).map_err(|_ignored| Fault::invalid("too many partitions"))?;
    let level = if committed {
        sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
    } else {
        sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED
    };
    // SAFETY: queue, client, options, names and list are alive during the calls, which copy what they keep; elements of a list are valid
    // until the next `add`.
    unsafe {
        let error = sys::rd_kafka_AdminOptions_set_isolation_level(options.0.as_ptr(), level);
        if !error.is_null() {
            let fault = Fault::of(sys::rd_kafka_error_code(error), sys::rd_kafka_error_string(error));
            sys::rd_kafka_error_destroy(error);
            return Err(fault);
        }
        let list = sys::rd_kafka_topic_partition_list_new(count);
        for ((_, partition, at), name) in wanted.iter().zip(&names) {
            (*sys::rd_kafka_topic_partition_list_add(list, name.as_ptr(), *partition)).offset = *at;
        }
        sys::rd_kafka_ListOffsets(queue.client.client().native_ptr(), list, options.0.as_ptr(), queue.raw.as_ptr());
        sys::rd_kafka_topic_partition_list_destroy(list);
    }
    Ok(())
}

/// Asks `broker` for ids and partitions of topics. The answer comes as an event of `queue`.
pub(in crate::kafka) fn describe_topics(queue: &Queue, names: &[String], broker: i32, timeout_ms: c_int) -> Result<(), Fault> {
    let options = AdminOptions::new(&queue.client, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout_ms)?;
    options.ask(broker)?;
    let names = c_strings(names.iter())?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: as in `list_offsets`.
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        sys::rd_kafka_DescribeTopics(queue.client.client().native_ptr(), topics, options.0.as_ptr(), queue.raw.as_ptr());
        sys::rd_kafka_TopicCollection_destroy(topics);
    }
    Ok(())
}

fn c_strings<'a>(names: impl Iterator<Item = &'a String>) -> Result<Vec<CString>, Fault> {
    names.map(|name| CString::new(name.as_str()).map_err(|_ignored| Fault::invalid("a topic name with a NUL in it"))).collect()
}
