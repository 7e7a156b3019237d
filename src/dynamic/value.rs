//! [`DynValue`]: a value whose type is known when the program runs.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::length::check_length;
use crate::error::{Error, LockError};
use crate::face::{Face, methods_of_every_face};
use crate::schema::Schema;
use crate::segment::{AnyValue, Handle, Segment};
use crate::sync::commit::CommitCell;
use crate::sync::mutex::Wait;
use crate::sync::words::Copied;
use crate::value::read::{self, Source};

mod changes;
mod copy;
mod guard;
mod hold;
mod observer;
mod options;

pub use guard::{DynValueGuard, OwnedDynValueGuard};
pub use hold::DynValueHold;
pub use observer::DynValueObserver;

/// A [`SharedValue`](crate::SharedValue) as its bytes, for programs that learn its type when they run: bindings of other
/// languages, tools, interpreters.
///
/// It is the same segment, with the same promises: never torn, whoever is killed. What is written is checked against the
/// [`Schema`], so that no program whose type it is reads what it could not: a `bool` of 7 is refused.
///
/// # Examples
///
/// ```
/// use robust_shm::SharedValue;
/// use robust_shm::dynamic::{DynValue, DynValueGuard};
///
/// let name = robust_shm::unique_name("open-flag");
/// let flag = SharedValue::create(&name, false)?; // usually in another program
///
/// let bytes = DynValue::open(&name)?; // of whatever type
/// assert_eq!(bytes.schema().unwrap().to_string(), "bool");
/// let mut guard = bytes.lock()?;
/// guard.bytes_mut()[0] = 7;
/// let (mut guard, error) = DynValueGuard::commit(guard).unwrap_err(); // still held
/// println!("{error}");
/// guard.bytes_mut()[0] = 1;
/// drop(guard); // commits
/// assert_eq!(flag.get(), true);
/// # Ok::<(), robust_shm::Error>(())
/// ```
#[must_use = "keep it: `let value = ...` (`let _ = ...` drops it at once, and dropping the last handle removes the segment)"]
pub struct DynValue {
    segment: Segment<AnyValue>,
}

impl Face for DynValue {
    type Contents = AnyValue;

    fn from_segment(segment: Segment<AnyValue>) -> Self {
        Self { segment }
    }
}

impl Handle for DynValue {
    type Contents = AnyValue;

    fn segment(&self) -> &Segment<AnyValue> {
        &self.segment
    }
}

/// The methods that lock, and give such a guard, each with a form whose guard keeps the handle alive.
macro_rules! methods_that_lock {
    ($held:ident: $($(#[$doc:meta])* $lock:ident $lock_owned:ident ($($argument:ident: $type:ty)?) $wait:expr;)*) => {$(
        $(#[$doc])*
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        #[inline(always)] // what is returned is moved slowly otherwise: it is read in other pieces than it was just written in
        pub fn $lock(&self $(, $argument: $type)?) -> Result<$held<&Self>, LockError> {
            $held::new(self, $wait)
        }

        #[doc = concat!("Like [`", stringify!($lock), "`](Self::", stringify!($lock), "), with a guard that keeps the handle alive.")]
        ///
        /// # Errors
        ///
        #[doc = concat!("The same as [`", stringify!($lock), "`](Self::", stringify!($lock), ").")]
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn $lock_owned(self: &Arc<Self> $(, $argument: $type)?) -> Result<$held<Arc<Self>>, LockError> {
            $held::new(Arc::clone(self), $wait)
        }
    )*};
}

impl DynValue {
    /// Creates the segment, with these bytes as its first value.
    ///
    /// # Errors
    ///
    /// As [`SharedValue::create`](crate::SharedValue::create); [`Error::InvalidArgument`] when the schema does not
    /// [allow](Schema::allows) the bytes, or is one of more than 64 KiB.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    /// use robust_shm::dynamic::{DynValue, Schema};
    ///
    /// let name = robust_shm::unique_name("create");
    /// let point = Schema::parse("Point{x:f64,y:f64}")?;
    /// let value = DynValue::create(&name, &point, &[0; 16])?;
    ///
    /// #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    /// #[repr(C)]
    /// struct Point { x: f64, y: f64 }
    /// assert_eq!(SharedValue::<Point>::open(&name)?.get().x, 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(name: &str, schema: &Schema, initial: &[u8]) -> Result<Self, Error> {
        Self::options().create(name, schema, initial)
    }

    /// Opens a value of whatever type, and whatever [tag](crate::Options::type_tag), unless the options state one.
    ///
    /// # Errors
    ///
    /// As [`SharedValue::open`](crate::SharedValue::open); [`Error::TypeMismatch`] when it is no value.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::DynValue;
    ///
    /// let name = robust_shm::unique_name("open");
    /// let value = robust_shm::SharedValue::create(&name, 7u32)?;
    /// assert_eq!(DynValue::open(&name)?.size(), 4);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::options().open(name)
    }

    /// Opens a value of this type: what the segment says of it must [agree](Schema::agrees), or, if it says nothing, the
    /// type's name must be the same.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::TypeMismatch`] names the first field that differs.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::Error;
    /// use robust_shm::dynamic::{DynValue, Schema};
    ///
    /// let name = robust_shm::unique_name("open-as");
    /// let value = robust_shm::SharedValue::create(&name, [7u32; 2])?;
    /// assert!(DynValue::open_as(&name, &Schema::parse("[u32;2]")?).is_ok());
    /// assert!(matches!(DynValue::open_as(&name, &Schema::parse("[i32;2]")?), Err(Error::TypeMismatch { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_as(name: &str, schema: &Schema) -> Result<Self, Error> {
        Self::options().open_as(name, schema)
    }

    /// Opens a value of this type, or creates it with these bytes. Of programs that do this at once, exactly one creates.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create) and [`open_as`](Self::open_as), except `AlreadyExists` and `NotFound`.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::{DynValue, Schema};
    ///
    /// let name = robust_shm::unique_name("either");
    /// let value = DynValue::open_or_create(&name, &Schema::parse("u16")?, &7u16.to_ne_bytes())?;
    /// assert_eq!(robust_shm::SharedValue::<u16>::open(&name)?.get(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(name: &str, schema: &Schema, initial: &[u8]) -> Result<Self, Error> {
        Self::options().open_or_create(name, schema, initial)
    }

    /// Looks at a value without being a user of it: see [`DynValueObserver`].
    ///
    /// # Errors
    ///
    /// As [`SharedValue::observe`](crate::SharedValue::observe), of a value of whatever type.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::DynValue;
    ///
    /// let name = robust_shm::unique_name("observe");
    /// let value = robust_shm::SharedValue::create(&name, 7u8)?;
    /// let observer = DynValue::observe(&name)?; // usually in a monitor
    /// let mut bytes = [0];
    /// observer.get(&mut bytes);
    /// assert_eq!(bytes, [7]);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn observe(name: &str) -> Result<DynValueObserver, Error> {
        Self::options().observe(name)
    }

    methods_of_every_face!("value": "dynamic::DynValue"("&name, &\"u8\".parse().unwrap(), &[7]"));

    /// What the value is made of, if the segment says it, or [`open_as`](Self::open_as) did.
    #[must_use]
    #[inline]
    pub fn schema(&self) -> Option<&Schema> {
        self.segment.schema()
    }

    /// How many bytes the value has.
    #[must_use]
    #[inline]
    pub fn size(&self) -> usize {
        self.segment.extent().0
    }

    /// Copies the value: a consistent copy of the last commit. It takes no lock, and never waits for a writer that is slow,
    /// stopped or dead.
    ///
    /// # Panics
    ///
    /// When `into` has another length than [`size`](Self::size).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::DynValue;
    ///
    /// let name = robust_shm::unique_name("get");
    /// let value = robust_shm::SharedValue::create(&name, 7u32)?;
    /// let mut bytes = [0; 4];
    /// DynValue::open(&name)?.get(&mut bytes);
    /// assert_eq!(bytes, 7u32.to_ne_bytes());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn get(&self, into: &mut [u8]) {
        check_length(into.len(), self.size());
        read::copy(self, into);
    }

    /// Copies the value if there has been a commit since the one numbered `seen`, which is then set to its number. `false`
    /// while the number of commits is still `seen`. A `seen` of `u64::MAX` means "I have seen none yet".
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn get_if_changed(&self, seen: &mut u64, into: &mut [u8]) -> bool {
        check_length(into.len(), self.size());
        if self.commits() == *seen {
            return false;
        }
        *seen = read::copy(self, into).1;
        true
    }

    /// How many commits all programs have made since the creation; 0 at first.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.segment.commits()
    }

    /// Replaces the value.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidValue`] when the schema does not [allow](Schema::allows) the bytes, or there is none; otherwise
    /// the same as [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::DynValue;
    ///
    /// let name = robust_shm::unique_name("set");
    /// let letter = robust_shm::SharedValue::create(&name, 'a')?;
    /// let value = DynValue::open(&name)?;
    /// value.set(&u32::from('b').to_ne_bytes())?;
    /// assert!(value.set(&u32::MAX.to_ne_bytes()).is_err()); // which is no letter
    /// assert_eq!(letter.get(), 'b');
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[track_caller]
    pub fn set(&self, bytes: &[u8]) -> Result<(), LockError> {
        check_length(bytes.len(), self.size());
        self.check(bytes)?;
        self.set_bytes(bytes)
    }

    /// Replaces the value by any bytes, also where there is no schema. **Whoever calls this answers for the bytes**: a program
    /// whose type they are not gets [`LockError::InvalidValue`], or a panic from
    /// [`get`](crate::SharedValue::get); no memory of its is at risk.
    ///
    /// # Errors
    ///
    /// The same as [`lock`](Self::lock).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    #[track_caller]
    pub fn set_bytes(&self, bytes: &[u8]) -> Result<(), LockError> {
        check_length(bytes.len(), self.size());
        let locked = self.segment.lock(Wait::Forever)?;
        locked.commit_and_release(bytes, 1);
        Ok(())
    }

    methods_that_lock! {
        DynValueGuard:

        /// Waits for the lock and gives a private copy of the value.
        ///
        /// # Errors
        ///
        /// As [`SharedValue::lock`](crate::SharedValue::lock), but for `InvalidValue`: the copy is what stands there.
        ///
        /// # Examples
        ///
        /// ```
        /// use std::sync::Arc;
        ///
        /// use robust_shm::dynamic::{DynValue, OwnedDynValueGuard};
        ///
        /// let name = robust_shm::unique_name("lock");
        /// let value = Arc::new(DynValue::create(&name, &"u8".parse().unwrap(), &[7])?);
        /// value.lock()?.bytes_mut()[0] += 1;
        ///
        /// struct InABinding {
        ///     guard: OwnedDynValueGuard, // no lifetime
        /// }
        /// let mut held = InABinding { guard: value.lock_owned()? };
        /// held.guard.bytes_mut()[0] += 1;
        /// drop((held, value));
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        lock lock_owned() Wait::Forever;

        /// Like [`lock`](Self::lock), but does not wait.
        ///
        /// # Errors
        ///
        /// [`LockError::WouldBlock`] when anybody holds the lock; otherwise the same as [`lock`](Self::lock).
        try_lock try_lock_owned() Wait::No;

        /// Like [`lock`](Self::lock), but waits for at most `timeout`. `Duration::MAX` means no deadline.
        ///
        /// # Errors
        ///
        /// [`LockError::TimedOut`] with the holder's thread id; otherwise the same as [`lock`](Self::lock).
        try_lock_for try_lock_owned_for(timeout: Duration) Wait::at_most(timeout);

        /// Like [`lock`](Self::lock), but waits until `deadline` at the latest.
        ///
        /// # Errors
        ///
        /// The same as [`try_lock_for`](Self::try_lock_for).
        try_lock_until try_lock_owned_until(deadline: Instant) Wait::until(deadline);
    }

    methods_that_lock! {
        DynValueHold:

        /// Waits for the lock, and copies nothing: see [`DynValueHold`].
        ///
        /// # Errors
        ///
        /// The same as [`lock`](Self::lock).
        hold hold_owned() Wait::Forever;

        /// Like [`hold`](Self::hold), but does not wait.
        ///
        /// # Errors
        ///
        /// The same as [`try_lock`](Self::try_lock).
        try_hold try_hold_owned() Wait::No;

        /// Like [`hold`](Self::hold), but waits for at most `timeout`. `Duration::MAX` means no deadline.
        ///
        /// # Errors
        ///
        /// The same as [`try_lock_for`](Self::try_lock_for).
        try_hold_for try_hold_owned_for(timeout: Duration) Wait::at_most(timeout);

        /// Like [`hold`](Self::hold), but waits until `deadline` at the latest.
        ///
        /// # Errors
        ///
        /// The same as [`try_lock_for`](Self::try_lock_for).
        try_hold_until try_hold_owned_until(deadline: Instant) Wait::until(deadline);
    }

    /// Could a program whose type it is read these bytes?
    #[inline]
    fn check(&self, bytes: &[u8]) -> Result<(), LockError> {
        if self.schema().is_some_and(|schema| schema.allows(bytes)) { Ok(()) } else { Err(self.not_allowed()) }
    }

    #[cold]
    fn not_allowed(&self) -> LockError {
        let expected = match self.schema() {
            Some(_) => "value of its schema",
            None => "value of a known type, because the segment has no schema (set_bytes writes any)",
        };
        LockError::InvalidValue { name: self.segment.shared_name(), expected }
    }
}

impl Source for DynValue {
    #[inline(always)]
    fn cell(&self) -> (CommitCell<'_>, bool) {
        (self.segment.cell(), true) // while it is used, nobody makes another in its place
    }

    #[inline(always)]
    fn is_there(&self) -> bool {
        true
    }

    #[inline(always)]
    fn read_among_writers(&self, bytes: &mut impl Copied) -> u64 {
        self.segment.read_among_writers(bytes)
    }

    #[cold]
    fn no_value(&self) -> LockError {
        LockError::InvalidValue { name: self.segment.shared_name(), expected: "value of its schema" }
    }
}

/// Shows the name and the value; never waits.
impl fmt::Debug for DynValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![0; self.size()];
        self.get(&mut bytes);
        let value = super::length::Shown { schema: self.schema(), bytes: &bytes };
        f.debug_struct("DynValue").field("name", &self.name()).field("value", &value).finish_non_exhaustive()
    }
}
