//! Absolute deadlines, on the clock that futexes use where there are such.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// A point in time on `CLOCK_MONOTONIC`, which no clock adjustment moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    pub(super) seconds: i64,
    pub(super) nanos: libc::c_long,
}

impl Deadline {
    /// The present.
    pub(crate) fn now() -> Self {
        let mut now = MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: the pointer is to a timespec that may be written.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
        // SAFETY: zero bytes are a timespec, whether or not the call has written one.
        let now = unsafe { now.assume_init() };
        Self { seconds: now.tv_sec, nanos: now.tv_nsec }
    }

    fn nanos_since_boot(self) -> u64 {
        let second = 1_000_000_000;
        self.seconds.unsigned_abs().saturating_mul(second).saturating_add(self.nanos.unsigned_abs())
    }

    /// `wait` from now; `None` (no deadline) when that is past what the clock can say, as `Duration::MAX` is.
    pub(crate) fn after(wait: Duration) -> Option<Self> {
        const NANOS_PER_SECOND: libc::c_long = 1_000_000_000;
        let now = Self::now();
        let nanos = now.nanos + libc::c_long::from(wait.subsec_nanos());
        let carry = nanos / NANOS_PER_SECOND;
        let seconds = i64::try_from(wait.as_secs()).ok()?;
        let seconds = now.seconds.checked_add(seconds)?.checked_add(carry)?;
        Some(Self { seconds, nanos: nanos % NANOS_PER_SECOND })
    }

    /// [`after`](Self::after), for one who looks again then. What no clock can say has come already, and costs a look.
    pub(crate) fn soon(wait: Duration) -> Self {
        Self::after(wait).unwrap_or_else(Self::now)
    }

    /// The same point in time as an `Instant`, whose clock may be another one.
    pub(crate) fn at(instant: Instant) -> Option<Self> {
        Self::after(instant.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn has_passed(self) -> bool {
        Self::now() >= self
    }

    /// How long it is until then.
    pub(super) fn remaining(self) -> Duration {
        Duration::from_nanos(self.nanos_since_boot().saturating_sub(Self::now().nanos_since_boot()))
    }
}

/// Nanoseconds on `CLOCK_MONOTONIC`.
pub(crate) fn monotonic_nanos() -> u64 {
    Deadline::now().nanos_since_boot()
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
    fn nanoseconds_carry_into_seconds() {
        let (now, later) = (Deadline::now(), Deadline::after(Duration::from_nanos(999_999_999)).unwrap());
        assert!(later > now);
        assert!((0..1_000_000_000).contains(&later.nanos));
    }
}
