//! Prometheus metrics, registered once a process. Names are `weir_<crate>_<what>_<unit>`; labels come from closed sets.

use prometheus::{Encoder, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, TextEncoder};

/// A family of counters, registered under `name`. A second family of the same name counts but is not shown.
#[must_use]
pub fn counters(name: &str, help: &str, labels: &[&str]) -> Option<IntCounterVec> {
    let family = IntCounterVec::new(Opts::new(name, help), labels).ok()?;
    register(name, Box::new(family.clone()));
    Some(family)
}

/// A family of gauges, registered under `name`.
#[must_use]
pub fn gauges(name: &str, help: &str, labels: &[&str]) -> Option<IntGaugeVec> {
    let family = IntGaugeVec::new(Opts::new(name, help), labels).ok()?;
    register(name, Box::new(family.clone()));
    Some(family)
}

/// A family of histograms in seconds, registered under `name`.
#[must_use]
pub fn histograms(name: &str, help: &str, labels: &[&str]) -> Option<HistogramVec> {
    let buckets = vec![0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
    let family = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), labels).ok()?;
    register(name, Box::new(family.clone()));
    Some(family)
}

fn register(name: &str, collector: Box<dyn prometheus::core::Collector>) {
    if let Err(error) = prometheus::default_registry().register(collector) {
        tracing::warn!(name, %error, "metric not registered");
    }
}

/// Every registered metric in the Prometheus text format.
#[must_use]
pub fn exposition() -> String {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&prometheus::default_registry().gather(), &mut text) {
        tracing::warn!(%error, "metrics could not be written");
    }
    String::from_utf8_lossy(&text).into_owned()
}
