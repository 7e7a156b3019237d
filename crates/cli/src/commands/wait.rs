//! `wait`: asleep, until something is so.

use std::time::{Duration, Instant};

use robust_shm::dynamic::{DynSlice, DynValue, DynValueGuard, interruptible};
use robust_shm::{Error, LockError, LockKind, SegmentInfo, SharedEvent, SharedLock, SharedRwLock, SharedSemaphore};

use crate::arguments::{Until, Wait};
use crate::failure::{Failure, LATE, WRONG_TYPE};
use crate::kind::Kind;
use crate::sys::{self, Caught, Watch};

/// How long to sleep before the next look, when nothing more is heard: the file of a killed user is closed a moment before
/// his locks go, and the system tells of the first only.
const SETTLING: [Duration; 4] =
    [Duration::from_millis(1), Duration::from_millis(10), Duration::from_millis(100), Duration::from_secs(1)];

pub(crate) fn run(arguments: &Wait) -> Result<u8, Failure> {
    let Wait { name, until, timeout } = arguments;
    match until {
        Until::Exists => watch(name, *timeout, true),
        Until::Gone => watch(name, *timeout, false),
        Until::Free => until_free(name, *timeout),
        Until::Changed => {
            let value = DynValue::open(name)?;
            let (mut seen, mut bytes) = (value.commits(), vec![0; value.size()]);
            match timeout {
                None => at_most(None, || value.wait_newer(&mut seen, &mut bytes), |_| Ok(())),
                Some(most) => at_most(None, || value.wait_newer_for(&mut seen, &mut bytes, *most), |_| Ok(())),
            }
        }
        Until::Set => {
            let event = SharedEvent::open(name)?;
            at_most(*timeout, || event.wait(), |timeout| event.wait_for(timeout))
        }
    }?;
    Ok(0)
}

/// Has a signal give the wait up instead of ending this program, which could have got the lock at the same moment, and
/// would leave it poisoned. The C library's waits go on after a signal: there it ends it.
pub(crate) fn catch(info: &SegmentInfo) -> Result<Option<Caught>, Failure> {
    if info.lock_kind() == LockKind::OsMutex {
        return Ok(None);
    }
    Caught::begin().map(Some).map_err(Failure::system("could not catch signals"))
}

/// Waits without an end, or for so long. If a signal of [`Caught`] comes, there is nothing to wait for any more.
pub(crate) fn at_most<R>(
    timeout: Option<Duration>,
    forever: impl FnOnce() -> Result<R, LockError>,
    limited: impl FnOnce(Duration) -> Result<R, LockError>,
) -> Result<R, Failure> {
    let result = interruptible(&mut || Caught::noted().is_some(), || timeout.map_or_else(forever, limited));
    sys::die_at("waited", std::process::id());
    match (result, Caught::noted()) {
        (_, Some(signal)) => Err(Failure::Signal(signal)),
        (Err(error @ LockError::TimedOut { .. }), None) => Err(Failure::new(LATE, error)),
        (result, None) => result.map_err(Failure::from),
    }
}

/// Sleeps until there is such a segment, or none. It is no user of it.
fn watch(name: &str, timeout: Option<Duration>, wanted: bool) -> Result<(), Failure> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut watch = Watch::new().map_err(Failure::system("could not watch the segments"))?;
    let mut pauses = SETTLING.iter();
    loop {
        watch.add(name);
        if is_there(name)? == wanted {
            return Ok(());
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            let state = if wanted { "not there" } else { "there" };
            return Err(Failure::new(LATE, format_args!("segment {name:?} is still {state}")));
        }
        let pause = pauses.next().and_then(|pause| Instant::now().checked_add(*pause));
        let until = [pause, deadline].into_iter().flatten().min();
        if watch.wait_for(name, until).map_err(Failure::system("could not wait for a change of the segments"))? {
            pauses = SETTLING.iter();
        }
    }
}

/// What killed users have left is as good as gone.
fn is_there(name: &str) -> Result<bool, Failure> {
    match SegmentInfo::of(name) {
        Ok(info) => Ok(!info.is_orphan()),
        Err(Error::NotFound { .. } | Error::NotASegment { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Comes to it as all others do, by their turn, and gives it back at once; poison stays.
fn until_free(name: &str, timeout: Option<Duration>) -> Result<(), Failure> {
    let info = SegmentInfo::of(name)?;
    let _caught = catch(&info)?;
    match Kind::of(&info) {
        Some(Kind::Lock) => {
            let lock = SharedLock::open(name)?;
            at_most(timeout, || lock.lock_ignoring_poison(), |most| lock.try_lock_ignoring_poison_for(most)).map(drop)
        }
        Some(Kind::RwLock) => {
            let lock = SharedRwLock::open(name)?;
            at_most(timeout, || lock.write_ignoring_poison(), |most| lock.try_write_ignoring_poison_for(most)).map(drop)
        }
        Some(Kind::Semaphore) => {
            let semaphore = SharedSemaphore::open(name)?;
            at_most(timeout, || semaphore.acquire(), |most| semaphore.try_acquire_for(most)).map(drop)
        }
        Some(Kind::Value) => {
            let value = DynValue::open(name)?;
            at_most(timeout, || value.lock(), |most| value.try_lock_for(most)).map(DynValueGuard::discard)
        }
        Some(Kind::Array) => {
            let slice = DynSlice::open(name)?;
            at_most(timeout, || slice.lock_ignoring_poison(), |most| slice.try_lock_ignoring_poison_for(most)).map(drop)
        }
        _ => Err(Failure::new(WRONG_TYPE, format_args!("segment {name:?} has nothing that could be free"))),
    }
}
