//! [`Any`] and [`AnyObserver`]: a segment, whatever it is.

use super::{DynSlice, DynSliceObserver, DynValue, DynValueObserver};
use crate::error::Error;
use crate::event::{EventObserver, SharedEvent};
use crate::face::Face;
use crate::kind::Kind;
use crate::lock::SharedLock;
use crate::name::Name;
use crate::options::Options;
use crate::rwlock::SharedRwLock;
use crate::segment;
use crate::semaphore::{SemaphoreObserver, SharedSemaphore};

/// A segment that was opened as what it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Any {
    /// A value.
    Value(DynValue),
    /// An array or a slice.
    Slice(DynSlice),
    /// A lock.
    Lock(SharedLock),
    /// A read-write lock.
    RwLock(SharedRwLock),
    /// An event.
    Event(SharedEvent),
    /// A semaphore.
    Semaphore(SharedSemaphore),
}

/// A segment that is looked at as what it is. Locks cannot be: there is nothing to see but
/// [`SegmentInfo`](crate::SegmentInfo).
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyObserver {
    /// A value.
    Value(DynValueObserver),
    /// An array or a slice.
    Slice(DynSliceObserver),
    /// An event.
    Event(EventObserver),
    /// A semaphore.
    Semaphore(SemaphoreObserver),
}

/// How often a name may come to lead to a segment of another kind while it is opened. Who does that each time does so on
/// purpose.
const ATTEMPTS: usize = 100;

/// Opens a segment, whatever it is: kind, type, length and tag.
///
/// # Errors
///
/// As [`SharedValue::open`](crate::SharedValue::open), without `TypeMismatch`.
///
/// # Examples
///
/// ```
/// use robust_shm::dynamic::{self, Any};
///
/// let name = robust_shm::unique_name("any");
/// let value = robust_shm::SharedValue::create(&name, [1u16, 2])?;
/// match dynamic::open(&name)? {
///     Any::Value(value) => {
///         let mut bytes = vec![0; value.size()];
///         value.get(&mut bytes);
///         assert_eq!(value.schema().unwrap().show(&bytes).to_string(), "[1, 2]");
///     }
///     other => println!("{other:?}"),
/// }
/// # Ok::<(), robust_shm::Error>(())
/// ```
pub fn open(name: &str) -> Result<Any, Error> {
    by_kind(name, |kind| match kind {
        Kind::Value => DynValue::open(name).map(Any::Value),
        Kind::Array => DynSlice::open(name).map(Any::Slice),
        Kind::Lock => of_any_tag().open(name).map(Any::Lock),
        Kind::RwLock => of_any_tag().open(name).map(Any::RwLock),
        Kind::Event => of_any_tag().open(name).map(Any::Event),
        Kind::Semaphore => of_any_tag().open(name).map(Any::Semaphore),
    })
}

/// Looks at a segment, whatever it is, without being a user of it.
///
/// # Errors
///
/// As [`SharedValue::observe`](crate::SharedValue::observe); [`Error::TypeMismatch`] for a lock, at which there is nothing to
/// be seen.
///
/// # Examples
///
/// ```
/// use robust_shm::dynamic::{self, AnyObserver};
///
/// let name = robust_shm::unique_name("any");
/// let event = robust_shm::SharedEvent::create(&name)?;
/// assert!(matches!(dynamic::observe(&name)?, AnyObserver::Event(event) if !event.is_set()));
/// # Ok::<(), robust_shm::Error>(())
/// ```
pub fn observe(name: &str) -> Result<AnyObserver, Error> {
    let observed = by_kind(name, |kind| match kind {
        Kind::Value => DynValue::observe(name).map(|value| Ok(AnyObserver::Value(value))),
        Kind::Array => DynSlice::observe(name).map(|slice| Ok(AnyObserver::Slice(slice))),
        Kind::Event => of_any_tag::<SharedEvent>().observe(name).map(|event| Ok(AnyObserver::Event(event))),
        Kind::Semaphore => of_any_tag::<SharedSemaphore>().observe(name).map(|it| Ok(AnyObserver::Semaphore(it))),
        Kind::Lock | Kind::RwLock => Ok(Err(kind)),
    });
    observed?.map_err(|kind| {
        let expected = "a value, an array, an event or a semaphore, which can be observed".to_owned();
        Error::TypeMismatch { name: name.into(), expected, found: kind.name().to_owned() }
    })
}

/// Opens it as what it is; and again, if it is no such any more by then: of a kind, whatever there is matches.
fn by_kind<R>(name: &str, open: impl Fn(Kind) -> Result<R, Error>) -> Result<R, Error> {
    let valid = Name::new(name)?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let Some(kind) = segment::kind_of(&valid)? else { return Err(Error::NotFound { name: valid.shared() }) };
        match open(kind) {
            Err(Error::TypeMismatch { .. }) if attempt < ATTEMPTS => {}
            result => return result,
        }
    }
}

#[allow(private_bounds)]
fn of_any_tag<H: Face>() -> Options<H> {
    let mut options = Options::new();
    options.settings.any_tag = true;
    options
}
