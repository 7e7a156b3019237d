//! Absolute deadlines on the performance counter, which no clock adjustment moves, and which all processes read alike.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};

/// A point in time, in nanoseconds since the system began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    nanos: u64,
}

impl Deadline {
    /// The present.
    pub(crate) fn now() -> Self {
        let mut ticks = 0i64;
        // SAFETY: the pointer is to a number that may be written. (It cannot fail since Windows XP.)
        unsafe { QueryPerformanceCounter(&raw mut ticks) };
        let nanos = u128::from(ticks.unsigned_abs()) * 1_000_000_000 / u128::from(ticks_in_a_second());
        Self { nanos: nanos as u64 } // 584 years
    }

    /// `wait` from now; `None` (no deadline) when that is past what the clock can say, as `Duration::MAX` is.
    pub(crate) fn after(wait: Duration) -> Option<Self> {
        let wait = u64::try_from(wait.as_nanos()).ok()?;
        Self::now().nanos.checked_add(wait).map(|nanos| Self { nanos })
    }

    /// [`after`](Self::after), for one who looks again then. What no clock can say has come already, and costs a look.
    pub(crate) fn soon(wait: Duration) -> Self {
        Self::after(wait).unwrap_or_else(Self::now)
    }

    /// The same point in time as an `Instant`, which counts on the same clock.
    pub(crate) fn at(instant: Instant) -> Option<Self> {
        Self::after(instant.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn has_passed(self) -> bool {
        Self::now() >= self
    }

    /// How long it is until then.
    pub(super) fn remaining(self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(Self::now().nanos))
    }
}

/// Nanoseconds on this clock.
pub(crate) fn monotonic_nanos() -> u64 {
    Deadline::now().nanos
}

/// Fixed when the system began.
fn ticks_in_a_second() -> u64 {
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            let mut frequency = 0i64;
            // SAFETY: the pointer is to a number that may be written. (It cannot fail since Windows XP.)
            unsafe { QueryPerformanceFrequency(&raw mut frequency) };
            let frequency = frequency.unsigned_abs().max(1);
            KNOWN.store(frequency, Ordering::Relaxed);
            frequency
        }
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_that_no_clock_can_say_mean_no_deadline() {
        assert_eq!(Deadline::after(Duration::MAX), None);
        assert_eq!(Deadline::after(Duration::from_secs(u64::MAX / 2)), None);
        assert!(Deadline::after(Duration::from_secs(u32::MAX.into())).is_some());
    }

    #[test]
    fn time_goes_on_as_fast_as_that_of_std() {
        let (start, began) = (Deadline::now(), Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        let (least, end) = (began.elapsed(), Deadline::now());
        assert!(end.nanos - start.nanos >= least.as_nanos() as u64);
        assert!(start.has_passed() && Deadline::after(Duration::from_secs(60)).is_some_and(|later| later > end));
    }
}
