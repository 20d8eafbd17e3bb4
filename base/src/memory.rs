//! The one memory budget of a process, charged by fetched messages, batches in flight, open files and metadata that is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the bytes are held for; a row of `/status` and a label of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Messages that a source has fetched and not yet decoded.
    Fetch,
    /// Decoded batches on their way to a sink.
    Batches,
    /// Buffers and encoders of files that are being written.
    Writers,
    /// DataFusion operators (sorts, joins, repartitions).
    Operators,
    /// Metadata of tables that is kept for the next query.
    Metadata,
    /// Rows of lookup tables that are kept, and rows that wait for theirs.
    Lookups,
}

impl Use {
    /// Every use, in the order of display.
    pub const ALL: [Self; 6] = [Self::Fetch, Self::Batches, Self::Writers, Self::Operators, Self::Metadata, Self::Lookups];

    /// The use as a label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Batches => "batches",
            Self::Writers => "writers",
            Self::Operators => "operators",
            Self::Metadata => "metadata",
            Self::Lookups => "lookups",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Fetch => 0,
            Self::Batches => 1,
            Self::Writers => 2,
            Self::Operators => 3,
            Self::Metadata => 4,
            Self::Lookups => 5,
        }
    }
}

#[derive(Debug)]
struct Counters {
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
    by_use: [AtomicU64; 6],
    /// What this is a part of, and is charged with it.
    whole: Option<MemoryBudget>,
}

/// A budget in bytes, shared by clones.
#[derive(Debug, Clone)]
pub struct MemoryBudget(Arc<Counters>);

impl MemoryBudget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Counters { limit, used: AtomicU64::new(0), peak: AtomicU64::new(0), by_use: Default::default(), whole: None }))
    }

    /// A budget of at most `limit` bytes for a part of the work: what is charged to it is charged to this one too.
    #[must_use]
    pub fn part(&self, limit: u64) -> Self {
        let mut part = Self::new(limit.min(self.limit()));
        if let Some(counters) = Arc::get_mut(&mut part.0) {
            counters.whole = Some(self.clone());
        }
        part
    }

    /// Half of the machine's or the control group's memory, whichever is smaller.
    #[must_use]
    pub fn default_limit() -> u64 {
        let mut system = sysinfo::System::new();
        system.refresh_memory();
        let machine = system.total_memory();
        let group = system.cgroup_limits().map_or(machine, |limits| limits.total_memory);
        let total = if group == 0 { machine } else { group.min(machine) };
        total / 2
    }

    /// The limit in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Bytes charged now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most that was ever charged at one time.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// Bytes charged now for one use.
    #[must_use]
    pub fn used_for(&self, usage: Use) -> u64 {
        self.0.by_use[usage.index()].load(Ordering::Relaxed)
    }

    /// Whether more than `share` (0 to 1) of the limit is charged.
    #[must_use]
    pub fn is_above(&self, share: f64) -> bool {
        self.used() as f64 > self.0.limit as f64 * share
    }

    /// An empty reservation to grow later.
    #[must_use]
    pub fn reservation(&self, usage: Use) -> Reservation {
        Reservation { budget: self.clone(), usage, bytes: 0 }
    }

    /// Charges `bytes` if they fit.
    #[must_use]
    pub fn try_reserve(&self, usage: Use, bytes: u64) -> Option<Reservation> {
        let mut reservation = self.reservation(usage);
        reservation.try_grow(bytes).then_some(reservation)
    }

    fn charge(&self, usage: Use, bytes: u64) {
        let used = self.0.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.0.peak.fetch_max(used, Ordering::Relaxed);
        self.0.by_use[usage.index()].fetch_add(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.0.whole {
            whole.charge(usage, bytes);
        }
    }

    fn try_charge(&self, usage: Use, bytes: u64) -> bool {
        let limit = self.0.limit;
        let charged = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| used.checked_add(bytes).filter(|total| *total <= limit));
        let Ok(before) = charged else { return false };
        if self.0.whole.as_ref().is_some_and(|whole| !whole.try_charge(usage, bytes)) {
            self.0.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.0.peak.fetch_max(before + bytes, Ordering::Relaxed);
        self.0.by_use[usage.index()].fetch_add(bytes, Ordering::Relaxed);
        true
    }

    fn release(&self, usage: Use, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
        self.0.by_use[usage.index()].fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.0.whole {
            whole.release(usage, bytes);
        }
    }
}

/// Bytes charged to a budget until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: MemoryBudget,
    usage: Use,
    bytes: u64,
}

impl Reservation {
    /// Bytes charged by this reservation.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Charges `bytes` more if they fit; false, and nothing changed, if not.
    #[must_use]
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        let fits = self.budget.try_charge(self.usage, bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    /// Charges `bytes` more even past the limit: for memory that exists already.
    pub fn grow(&mut self, bytes: u64) {
        self.budget.charge(self.usage, bytes);
        self.bytes += bytes;
    }

    /// Gives back `bytes`, or all that is left if that is less.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.budget.release(self.usage, bytes);
        self.bytes -= bytes;
    }

    /// Sets the reservation to `bytes`, past the limit if need be.
    pub fn resize(&mut self, bytes: u64) {
        if bytes > self.bytes {
            self.grow(bytes - self.bytes);
        } else {
            self.shrink(self.bytes - bytes);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.release(self.usage, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_bounded_by_itself_and_by_the_whole() {
        let whole = MemoryBudget::new(100);
        let part = whole.part(60);
        let mut held = part.try_reserve(Use::Writers, 50).expect("fits");
        assert!(!held.try_grow(20), "more than the part");
        assert_eq!((part.used(), whole.used(), whole.used_for(Use::Writers)), (50, 50, 50));
        let _rest = whole.try_reserve(Use::Fetch, 45).expect("fits");
        assert!(!held.try_grow(6), "more than is left of the whole");
        assert_eq!((part.used(), whole.used()), (50, 95));
        held.grow(20);
        assert_eq!((part.used(), whole.used()), (70, 115));
        drop(held);
        assert_eq!((part.used(), whole.used(), whole.part(1_000).limit()), (0, 45, 100));
    }

    #[test]
    fn a_reservation_gives_back_what_it_took() {
        let budget = MemoryBudget::new(100);
        let mut first = budget.try_reserve(Use::Writers, 60).expect("fits");
        assert!(budget.try_reserve(Use::Fetch, 41).is_none());
        assert!(!first.try_grow(41));
        first.resize(90);
        assert_eq!((budget.used(), budget.used_for(Use::Writers)), (90, 90));
        assert!(budget.is_above(0.8));
        first.shrink(1_000);
        assert_eq!(budget.used(), 0);
        first.grow(150);
        drop(first);
        assert_eq!((budget.used(), budget.peak()), (0, 150));
    }
}
