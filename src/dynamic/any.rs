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
    by_kind(name, |kind| {
        Ok(match kind {
            Kind::Value => Any::Value(DynValue::open(name)?),
            Kind::Array => Any::Slice(DynSlice::open(name)?),
            Kind::Lock => Any::Lock(of_any_tag().open(name)?),
            Kind::RwLock => Any::RwLock(of_any_tag().open(name)?),
            Kind::Event => Any::Event(of_any_tag().open(name)?),
            Kind::Semaphore => Any::Semaphore(of_any_tag().open(name)?),
        })
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
    by_kind(name, |kind| {
        Ok(match kind {
            Kind::Value => AnyObserver::Value(DynValue::observe(name)?),
            Kind::Array => AnyObserver::Slice(DynSlice::observe(name)?),
            Kind::Event => AnyObserver::Event(of_any_tag::<SharedEvent>().observe(name)?),
            Kind::Semaphore => AnyObserver::Semaphore(of_any_tag::<SharedSemaphore>().observe(name)?),
            Kind::Lock | Kind::RwLock => {
                let expected = "a value, an array, an event or a semaphore, which can be observed".to_owned();
                return Err(Error::TypeMismatch { name: name.into(), expected, found: kind.name().to_owned() });
            }
        })
    })
}

/// Opens it as what it is; and again, if it has become something else in between.
fn by_kind<R>(name: &str, open: impl Fn(Kind) -> Result<R, Error>) -> Result<R, Error> {
    let valid = Name::new(name)?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let Some(kind) = segment::kind_of(&valid)? else { return Err(Error::NotFound { name: valid.shared() }) };
        match open(kind) {
            Err(Error::TypeMismatch { .. }) if attempt < ATTEMPTS && segment::kind_of(&valid)? != Some(kind) => {}
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
