//! [`ValueObserver`]: a value, for reading only.

use std::fmt;

use super::read::{self, Source, invalid_value};
use crate::error::{Error, LockError};
use crate::observer::methods_of_every_observer;
use crate::options::Settings;
use crate::segment::{Observed, ValueOf};
use crate::shareable::Shareable;
use crate::sync::commit::CommitCell;
use crate::sync::words::Copied;

/// A look at a [`SharedValue`](crate::SharedValue) by one who is no user of it: a monitor, an exporter of metrics, a
/// program of another user who may only read (the creator's `mode(0o644)`), or one that sees `/dev/shm` mounted for reading
/// only. Made by [`SharedValue::observe`](crate::SharedValue::observe).
///
/// Reading costs what it costs a user, and gives whole values only, whoever is killed. An observer
///
/// * **changes nothing and hinders nobody**: it maps the segment for reading only, and takes no lock of any kind, so that
///   nobody waits for it, or takes it for a user;
/// * **keeps nothing alive**: when the last user leaves, the name goes. The observer then has what was last committed, and
///   [`is_removed`](Self::is_removed) says so: observe the name again when there is a new one;
/// * **may come late**: what killed users have left can be looked at, until somebody removes it.
///   [`attached`](Self::attached) is 0 then.
///
/// It cannot wait for a change, because writers do not know of it: ask [`get_if_changed`](Self::get_if_changed) now and
/// then. For arrays and slices there are no observers: without their lock, what is read could be half-changed.
///
/// The segment must belong to this process's own effective user, or to one that was
/// [allowed](crate::Options::allow_owner): against those who squat on a name. To an owner whom only observers allow, that
/// gives no power over them but to end them, by shortening the file (`SIGBUS`).
///
/// # Examples
///
/// ```
/// use robust_shm::{Error, SharedValue, ValueObserver};
///
/// # let name = robust_shm::unique_name("load");
/// // the service, once
/// let load = SharedValue::<[f64; 2]>::options().mode(0o644).create(&name, [0.25, 1.5])?;
///
/// // a monitor, now and then; whether the service runs or not
/// fn show(name: &str, last: &mut Option<ValueObserver<[f64; 2]>>) -> Result<(), Error> {
///     if last.as_ref().is_none_or(ValueObserver::is_removed) {
///         *last = match SharedValue::observe(name) {
///             Ok(observer) => Some(observer),
///             Err(Error::NotFound { .. }) => return Ok(println!("not running")),
///             Err(error) => return Err(error),
///         };
///     }
///     if let Some(observer) = last {
///         println!("{:?}, {} users", observer.get(), observer.attached()?);
///     }
///     Ok(())
/// }
///
/// let mut last = None;
/// show(&name, &mut last)?;
/// # assert!(last.is_some());
/// drop(load);
/// show(&name, &mut last)?;
/// # Ok::<(), Error>(())
/// ```
#[must_use = "an observer that is dropped at once has observed nothing"]
pub struct ValueObserver<T> {
    observed: Observed<ValueOf<T>>,
}

impl<T: Shareable> ValueObserver<T> {
    pub(super) fn open(name: &str, settings: &Settings) -> Result<Self, Error> {
        Ok(Self { observed: Observed::open(name, settings, &())? })
    }

    /// The value: a consistent copy of the last commit. It never waits for a writer that is slow, stopped or dead.
    ///
    /// # Panics
    ///
    /// As [`SharedValue::get`](crate::SharedValue::get): when the bytes in the segment are not a valid `T`. And when the
    /// segment, which its killed users had left to another user who could not remove it, was made anew in its place: it is
    /// [removed](Self::is_removed) then, with what stood in it. [`try_get`](Self::try_get) returns an error instead.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("get");
    /// let value = SharedValue::create(&name, true)?;
    /// assert_eq!(SharedValue::<bool>::observe(&name)?.get(), true);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn get(&self) -> T {
        read::get(self)
    }

    /// Like [`get`](Self::get), but returns an error where that panics.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidValue`] when the bytes in the segment are not a valid `T`; [`LockError::Io`] when the segment was
    /// made anew in its place.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("try-get");
    /// let value = SharedValue::create(&name, 'x')?;
    /// assert_eq!(SharedValue::<char>::observe(&name)?.try_get()?, 'x');
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    pub fn try_get(&self) -> Result<T, LockError> {
        read::try_get(self)
    }

    /// The value, if there has been a commit since the one numbered `seen`; `seen` is then set to its number. `None`
    /// while the number of commits is still `seen`. A `seen` of `u64::MAX` means "I have seen none yet".
    ///
    /// # Panics
    ///
    /// The same as [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("changed");
    /// let value = SharedValue::create(&name, 1)?;
    /// let observer = SharedValue::observe(&name)?;
    /// let mut seen = u64::MAX;
    /// assert_eq!(observer.get_if_changed(&mut seen), Some(1));
    /// assert_eq!(observer.get_if_changed(&mut seen), None);
    /// value.set(2)?;
    /// assert_eq!(observer.get_if_changed(&mut seen), Some(2));
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn get_if_changed(&self, seen: &mut u64) -> Option<T> {
        read::get_if_changed(self, seen)
    }

    /// How many commits all programs have made since the creation; 0 at first.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("commits");
    /// let value = SharedValue::create(&name, 1)?;
    /// value.set(2)?;
    /// assert_eq!(SharedValue::<i32>::observe(&name)?.commits(), 1);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[inline]
    pub fn commits(&self) -> u64 {
        self.observed.cell().0.commits()
    }

    methods_of_every_observer!("SharedValue::create(&name, 7u64)", "SharedValue::<u64>::observe");
}

impl<T: Shareable> Source for ValueObserver<T> {
    #[inline(always)]
    fn cell(&self) -> (CommitCell<'_>, bool) {
        self.observed.cell()
    }

    #[inline(always)]
    fn is_there(&self) -> bool {
        self.observed.is_there()
    }

    #[inline(always)]
    fn read_among_writers(&self, bytes: &mut impl Copied) -> u64 {
        self.observed.read_among_writers(bytes)
    }

    #[cold]
    fn no_value(&self) -> LockError {
        if self.observed.is_there() {
            return invalid_value::<T>(self.observed.shared_name());
        }
        self.observed.is_another()
    }
}

/// Shows the name and the value.
impl<T: Shareable + fmt::Debug> fmt::Debug for ValueObserver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("ValueObserver");
        out.field("name", &self.name());
        match self.try_get() {
            Ok(value) => out.field("value", &value),
            Err(LockError::InvalidValue { .. }) => out.field("value", &format_args!("<invalid>")),
            Err(_) => out.field("value", &format_args!("<removed>")),
        };
        out.finish_non_exhaustive()
    }
}
