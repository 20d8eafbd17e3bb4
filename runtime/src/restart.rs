//! When a job that failed is tried again: the `restart-strategy.*` settings. Pure: time and chance are arguments.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weir_base::options::parse_duration;

use crate::error::RuntimeError;

/// What to do after a failure that may pass.
#[derive(Debug, Clone, PartialEq)]
enum Strategy {
    Never,
    Fixed { attempts: u64, delay: Duration },
    Rate { most: usize, interval: Duration, delay: Duration },
    Exponential { initial: Duration, max: Duration, multiplier: f64, reset_after: Duration, jitter: f64, attempts: Option<u64> },
}

/// A strategy and the failures so far.
#[derive(Debug, Clone)]
pub(crate) struct Restarts {
    strategy: Strategy,
    failures: Vec<Instant>,
    backoff: Option<Duration>,
    tries: u64,
}

impl Restarts {
    /// Reads the settings; exponential delay from 1 s to 5 min by default.
    ///
    /// # Errors
    /// A value that is malformed, naming the key.
    pub(crate) fn from_settings(properties: &BTreeMap<String, String>) -> Result<Self, RuntimeError> {
        let settings = Settings(properties);
        let kind = settings.text("restart-strategy.type").unwrap_or("exponential-delay");
        let strategy = match kind.to_ascii_lowercase().replace('_', "-").as_str() {
            "none" | "off" | "disable" => Strategy::Never,
            "fixed-delay" => Strategy::Fixed {
                attempts: settings.number("restart-strategy.fixed-delay.attempts", 1)?,
                delay: settings.duration("restart-strategy.fixed-delay.delay", Duration::from_secs(1))?,
            },
            "failure-rate" => Strategy::Rate {
                most: settings.number("restart-strategy.failure-rate.max-failures-per-interval", 1)?,
                interval: settings.duration("restart-strategy.failure-rate.failure-rate-interval", Duration::from_secs(60))?,
                delay: settings.duration("restart-strategy.failure-rate.delay", Duration::from_secs(1))?,
            },
            "exponential-delay" => Strategy::Exponential {
                initial: settings.duration("restart-strategy.exponential-delay.initial-backoff", Duration::from_secs(1))?,
                max: settings.duration("restart-strategy.exponential-delay.max-backoff", Duration::from_secs(300))?,
                multiplier: settings.number::<f64>("restart-strategy.exponential-delay.backoff-multiplier", 2.0)?.max(1.0),
                reset_after: settings.duration("restart-strategy.exponential-delay.reset-backoff-threshold", Duration::from_secs(3_600))?,
                jitter: settings.number::<f64>("restart-strategy.exponential-delay.jitter-factor", 0.1)?.clamp(0.0, 1.0),
                attempts: match settings.text("restart-strategy.exponential-delay.attempts-before-reset-backoff") {
                    None | Some("infinite") => None,
                    Some(_) => Some(settings.number("restart-strategy.exponential-delay.attempts-before-reset-backoff", 0)?),
                },
            },
            other => {
                let known = "none, off, disable, fixed-delay, failure-rate, exponential-delay";
                return Err(RuntimeError::Setting(format!("'restart-strategy.type' is '{other}'; known are: {known}")));
            }
        };
        Ok(Self { strategy, failures: Vec::new(), backoff: None, tries: 0 })
    }

    /// The strategy's name.
    pub(crate) fn name(&self) -> &'static str {
        match self.strategy {
            Strategy::Never => "none",
            Strategy::Fixed { .. } => "fixed-delay",
            Strategy::Rate { .. } => "failure-rate",
            Strategy::Exponential { .. } => "exponential-delay",
        }
    }

    /// After a failure at `now`: how long to wait before the next try, or `None` to give up. `chance` (0 to 1) spreads the wait.
    pub(crate) fn next(&mut self, now: Instant, chance: f64) -> Option<Duration> {
        let calm = self.failures.last().map(|last| now.saturating_duration_since(*last));
        self.failures.push(now);
        match &self.strategy {
            Strategy::Never => None,
            Strategy::Fixed { attempts, delay } => {
                self.tries += 1;
                (self.tries <= *attempts).then_some(*delay)
            }
            Strategy::Rate { most, interval, delay } => {
                self.failures.retain(|failure| now.saturating_duration_since(*failure) < *interval);
                (self.failures.len() <= *most).then_some(*delay)
            }
            Strategy::Exponential { initial, max, multiplier, reset_after, jitter, attempts } => {
                self.failures.drain(..self.failures.len() - 1);
                if calm.is_some_and(|calm| calm >= *reset_after + self.backoff.unwrap_or_default()) {
                    (self.backoff, self.tries) = (None, 0);
                }
                self.tries += 1;
                if attempts.is_some_and(|attempts| self.tries > attempts) {
                    return None;
                }
                let backoff = self.backoff.map_or(*initial, |last| last.mul_f64(*multiplier)).min(*max);
                self.backoff = Some(backoff);
                Some(backoff.mul_f64(1.0 + jitter * (2.0 * chance - 1.0)))
            }
        }
    }
}

struct Settings<'a>(&'a BTreeMap<String, String>);

impl Settings<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|value| value.trim())
    }

    fn number<T: std::str::FromStr>(&self, key: &str, default: T) -> Result<T, RuntimeError> {
        let Some(text) = self.text(key) else { return Ok(default) };
        text.parse().ok().ok_or_else(|| RuntimeError::Setting(format!("'{key}' is '{text}', which is not a number it can take")))
    }

    fn duration(&self, key: &str, default: Duration) -> Result<Duration, RuntimeError> {
        let Some(text) = self.text(key) else { return Ok(default) };
        let parsed = parse_duration(text).map(|(duration, _)| duration);
        parsed.ok_or_else(|| RuntimeError::Setting(format!("'{key}' is '{text}', which is not a duration such as '10 s'")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restarts(settings: &[(&str, &str)]) -> Restarts {
        let settings = settings.iter().map(|(key, value)| (format!("restart-strategy.{key}"), (*value).to_owned())).collect();
        Restarts::from_settings(&settings).expect("valid")
    }

    #[test]
    fn the_delay_doubles_to_its_maximum_and_starts_over_after_a_calm_time() {
        let mut strategy = restarts(&[]);
        let mut now = Instant::now();
        let mut seconds = Vec::new();
        for _ in 0..10 {
            let delay = strategy.next(now, 0.5).expect("never gives up");
            seconds.push(delay.as_secs());
            now += delay;
        }
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(strategy.next(now + Duration::from_secs(4_000), 0.5), Some(Duration::from_secs(1)));
        let late = strategy.next(now + Duration::from_secs(4_000), 1.0).expect("never gives up");
        assert_eq!(late, Duration::from_millis(2_200));
    }

    #[test]
    fn a_fixed_delay_gives_up_after_its_attempts() {
        let mut strategy = restarts(&[("type", "fixed-delay"), ("fixed-delay.attempts", "2"), ("fixed-delay.delay", "3 s")]);
        let now = Instant::now();
        assert_eq!([(); 3].map(|()| strategy.next(now, 0.0)), [Some(Duration::from_secs(3)), Some(Duration::from_secs(3)), None]);
    }

    #[test]
    fn a_failure_rate_gives_up_when_failures_come_too_fast() {
        let mut strategy = restarts(&[("type", "failure-rate"), ("failure-rate.max-failures-per-interval", "2")]);
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        assert!(strategy.next(at(0), 0.0).is_some() && strategy.next(at(50), 0.0).is_some() && strategy.next(at(70), 0.0).is_some());
        assert_eq!(strategy.next(at(75), 0.0), None);
    }

    #[test]
    fn no_strategy_gives_up_at_once_and_a_wrong_one_is_named() {
        assert_eq!(restarts(&[("type", "off")]).next(Instant::now(), 0.0), None);
        assert_eq!(restarts(&[("type", "FAILURE_RATE")]).name(), "failure-rate");
        let wrong = [("restart-strategy.type".to_owned(), "sometimes".to_owned())].into();
        assert!(Restarts::from_settings(&wrong).expect_err("unknown").to_string().contains("sometimes"));
    }
}
