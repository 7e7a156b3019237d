//! Waiting for a change.

use std::time::{Duration, Instant};

use super::{SharedValue, read};
use crate::error::{Awaited, LockError};
use crate::shareable::Shareable;
use crate::sync::mutex::Wait;

impl<T: Shareable> SharedValue<T> {
    /// Waits while the condition is true of the value, and returns the first one of which it is not.
    ///
    /// Who waits sleeps, costs nothing meanwhile, and is woken by the commit itself. The closure sees consistent copies, with
    /// no lock held; it may be slow, and may use the value. It is called for the value as it is, and then after commits;
    /// when they come quickly, not for each of them. So a value that is set and set back at once may go unseen:
    /// [`wait_newer`](Self::wait_newer) tells that there was something.
    ///
    /// If a writer is killed, that is no change: it has committed, or it has not.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidValue`] when the bytes in the segment are not a valid `T`; [`LockError::WouldDeadlock`] when it
    /// would have to sleep, and this thread holds the lock; [`LockError::Io`] when it would have to and cannot, as where it
    /// cannot lock, and always with [`LockKind::OsMutex`](crate::LockKind::OsMutex).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let progress = SharedValue::create(&robust_shm::unique_name("wait-while"), 0u32)?;
    /// let at_least_ten = std::thread::scope(|scope| {
    ///     let waiter = scope.spawn(|| progress.wait_while(|done| *done < 10));
    ///     for _ in 0..12 {
    ///         progress.update(|done| *done += 1)?;
    ///     }
    ///     waiter.join().unwrap()
    /// })?;
    /// assert!((10..=12).contains(&at_least_ten));
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn wait_while(&self, condition: impl FnMut(&T) -> bool) -> Result<T, LockError> {
        self.wait_as_long_as(condition, Wait::Forever)
    }

    /// Like [`wait_while`](Self::wait_while), but for at most `timeout`. `Duration::MAX` means no deadline. When the time is
    /// up, the value is looked at once more.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], without a holder; otherwise the same as [`wait_while`](Self::wait_while).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use robust_shm::{LockError, SharedValue};
    ///
    /// let value = SharedValue::create(&robust_shm::unique_name("wait-while-for"), 1)?;
    /// assert_eq!(value.wait_while_for(Duration::from_secs(1), |n| *n == 0)?, 1);
    /// let late = value.wait_while_for(Duration::from_millis(10), |n| *n == 1);
    /// assert!(matches!(late, Err(LockError::TimedOut { .. })));
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn wait_while_for(&self, timeout: Duration, condition: impl FnMut(&T) -> bool) -> Result<T, LockError> {
        self.wait_as_long_as(condition, Wait::at_most(timeout))
    }

    /// Like [`wait_while`](Self::wait_while), but until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The same as [`wait_while_for`](Self::wait_while_for).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("wait-while-until"), 'a')?;
    /// assert_eq!(value.wait_while_until(Instant::now() + Duration::from_secs(1), |c| *c == 'b')?, 'a');
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn wait_while_until(&self, deadline: Instant, condition: impl FnMut(&T) -> bool) -> Result<T, LockError> {
        self.wait_as_long_as(condition, Wait::until(deadline))
    }

    /// Waits until there has been a commit since the one numbered `seen`, which is then set to its number: this is
    /// [`get_if_changed`](Self::get_if_changed) that sleeps. No commit goes unnoticed; of several that come quickly, the last one
    /// is seen. A `seen` of `u64::MAX` means "I have seen none yet", and has the value at once.
    ///
    /// # Errors
    ///
    /// The same as [`wait_while`](Self::wait_while). After [`LockError::InvalidValue`], `seen` has advanced, so that a loop
    /// goes on to the next commit.
    ///
    /// # Examples
    ///
    /// A configuration, and those who watch it:
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    /// #[repr(C)]
    /// struct Settings {
    ///     workers: u32,
    ///     timeout_ms: u32,
    /// }
    ///
    /// let first = Settings { workers: 4, timeout_ms: 500 };
    /// # let name = robust_shm::unique_name("settings");
    /// # let _open = SharedValue::create(&name, first)?;
    /// # std::thread::scope(|scope| -> Result<(), robust_shm::Error> {
    /// # let watcher = scope.spawn(|| -> Result<(), robust_shm::Error> {
    ///
    /// // in each program that uses the settings: a thread that waits for new ones
    /// let settings = SharedValue::open_or_create(&name, first)?;
    /// let mut seen = u64::MAX;
    /// loop {
    ///     let new = settings.wait_newer(&mut seen)?; // the first time, those that there are
    ///     println!("{} workers, {} ms", new.workers, new.timeout_ms);
    ///     # if new.workers == 8 { break }
    /// }
    /// # Ok(())
    /// # });
    ///
    /// // in the tool that changes them
    /// let settings = SharedValue::open_or_create(&name, first)?;
    /// settings.update(|settings| settings.workers = 8)?;
    /// # watcher.join().unwrap()
    /// # })?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn wait_newer(&self, seen: &mut u64) -> Result<T, LockError> {
        self.wait_for_newer(seen, || Wait::Forever)
    }

    /// Like [`wait_newer`](Self::wait_newer), but for at most `timeout`. `Duration::MAX` means no deadline.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`], without a holder; otherwise the same as [`wait_newer`](Self::wait_newer).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use robust_shm::{LockError, SharedValue};
    ///
    /// let value = SharedValue::create(&robust_shm::unique_name("wait-newer-for"), 1)?;
    /// let mut seen = value.commits();
    /// let late = value.wait_newer_for(&mut seen, Duration::from_millis(10));
    /// assert!(matches!(late, Err(LockError::TimedOut { .. })));
    /// value.set(2)?;
    /// assert_eq!(value.wait_newer_for(&mut seen, Duration::from_millis(10))?, 2);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn wait_newer_for(&self, seen: &mut u64, timeout: Duration) -> Result<T, LockError> {
        self.wait_for_newer(seen, || Wait::at_most(timeout))
    }

    /// Like [`wait_newer`](Self::wait_newer), but until `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// The same as [`wait_newer_for`](Self::wait_newer_for).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let value = robust_shm::SharedValue::create(&robust_shm::unique_name("wait-newer-until"), 1)?;
    /// let mut seen = u64::MAX;
    /// assert_eq!(value.wait_newer_until(&mut seen, Instant::now() + Duration::from_secs(1))?, 1);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn wait_newer_until(&self, seen: &mut u64, deadline: Instant) -> Result<T, LockError> {
        self.wait_for_newer(seen, || Wait::until(deadline))
    }

    fn wait_as_long_as(&self, mut condition: impl FnMut(&T) -> bool, wait: Wait) -> Result<T, LockError> {
        loop {
            let (value, commit) = read::latest(self);
            let value = value.ok_or_else(|| self.invalid_value())?;
            if !condition(&value) {
                return Ok(value);
            }
            let mutex = self.segment.mutex();
            if self.commits() != commit && wait.is_over() {
                // Else commits that come quickly would put the end off.
                return Err(mutex.timed_out(Awaited::Change));
            }
            mutex.wait_for_change(wait, &|| self.commits() != commit)?;
        }
    }

    fn wait_for_newer(&self, seen: &mut u64, wait: impl FnOnce() -> Wait) -> Result<T, LockError> {
        self.segment.wait_for_newer(*seen, wait)?;
        let (value, commit) = read::latest(self);
        *seen = commit;
        value.ok_or_else(|| self.invalid_value())
    }
}
