//! [`DynValueObserver`]: a value of whatever type, for looking only.

use std::fmt;

use crate::dynamic::length::{Shown, check_length};
use crate::error::{Error, LockError};
use crate::observer::methods_of_every_observer;
use crate::options::Settings;
use crate::schema::Schema;
use crate::segment::{AnyValue, Observed};
use crate::sync::commit::CommitCell;
use crate::sync::words::Copied;
use crate::value::read::{self, Source};

/// A look at a [`DynValue`](super::DynValue) by one who is no user of it, as a [`ValueObserver`](crate::ValueObserver) is of a
/// value: it changes nothing, hinders nobody, and keeps nothing alive.
///
/// # Examples
///
/// ```
/// use robust_shm::dynamic::DynValue;
///
/// let name = robust_shm::unique_name("observed");
/// let value = robust_shm::SharedValue::create(&name, [0.5f64, 1.5])?;
/// let observer = DynValue::observe(&name)?;
/// let mut bytes = vec![0; observer.size()];
/// observer.get(&mut bytes);
/// assert_eq!(observer.schema().unwrap().show(&bytes).to_string(), "[0.5, 1.5]");
/// # Ok::<(), robust_shm::Error>(())
/// ```
#[must_use = "an observer that is dropped at once has observed nothing"]
pub struct DynValueObserver {
    observed: Observed<AnyValue>,
}

impl DynValueObserver {
    pub(crate) fn open(name: &str, settings: &Settings) -> Result<Self, Error> {
        Ok(Self { observed: Observed::open(name, settings, &None)? })
    }

    /// What the value is made of, if the segment says it.
    #[must_use]
    pub fn schema(&self) -> Option<&Schema> {
        self.observed.schema()
    }

    /// How many bytes the value has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.observed.element_size()
    }

    /// Copies the value: a consistent copy of the last commit. It never waits.
    ///
    /// # Panics
    ///
    /// When `into` has another length than [`size`](Self::size). And when the segment, which its killed users had left to
    /// another user who could not remove it, was made anew in its place: it is [removed](Self::is_removed) then.
    #[track_caller]
    pub fn get(&self, into: &mut [u8]) {
        check_length(into.len(), self.size());
        let (is_there, _) = read::copy(self, into);
        assert!(is_there, "{}", self.no_value());
    }

    /// Copies the value if there has been a commit since the one numbered `seen`, which is then set to its number. A `seen` of
    /// `u64::MAX` means "I have seen none yet".
    ///
    /// # Panics
    ///
    /// The same as [`get`](Self::get).
    #[track_caller]
    pub fn get_if_changed(&self, seen: &mut u64, into: &mut [u8]) -> bool {
        check_length(into.len(), self.size());
        if self.commits() == *seen {
            return false;
        }
        let (is_there, commit) = read::copy(self, into);
        assert!(is_there, "{}", self.no_value());
        *seen = commit;
        true
    }

    /// How many commits all programs have made since the creation; 0 at first.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.observed.cell().0.commits()
    }

    methods_of_every_observer!("SharedValue::create(&name, 7u64)", "dynamic::DynValue::observe");
}

impl Source for DynValueObserver {
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
        self.observed.is_another()
    }
}

/// Shows the name and the value.
impl fmt::Debug for DynValueObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![0; self.size()];
        let mut out = f.debug_struct("DynValueObserver");
        out.field("name", &self.name());
        match read::copy(self, &mut bytes).0 {
            true => out.field("value", &Shown { schema: self.schema(), bytes: &bytes }),
            false => out.field("value", &format_args!("<removed>")),
        };
        out.finish_non_exhaustive()
    }
}
