//! What can be told about a segment, and removing it.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};

use robust_shm::{LockKind, SegmentInfo};

use crate::arguments::{text, write};
use crate::code::rshm_code::RSHM_OK;
use crate::code::{Failure, call};
use crate::options::{RSHM_LOCK_FILE, RSHM_LOCK_FUTEX, RSHM_LOCK_OS_MUTEX};

/// What can be told about a segment from outside, at one moment. Begin with `rshm_info info = RSHM_INFO;`.
#[repr(C)]
#[derive(Debug)]
pub struct rshm_info {
    /// `sizeof(rshm_info)`, so that later versions can have more.
    pub size: usize,
    /// `"SharedValue"`, `"SharedArray"`, `"SharedLock"`, `"SharedRwLock"`, `"SharedEvent"` or `"SharedSemaphore"`.
    pub kind: [c_char; 24],
    /// The type's name, or its tag: at most 128 bytes.
    pub type_name: [c_char; 136],
    /// Of how many bytes each element is.
    pub element_size: u64,
    /// How many elements, or permits.
    pub length: u64,
    /// The whole segment.
    pub bytes: u64,
    /// Of a value: how often a new one has been committed.
    pub commits: u64,
    /// The user's number.
    pub owner: u32,
    /// The permission bits.
    pub mode: u32,
    /// One of `RSHM_LOCK_FUTEX`, `RSHM_LOCK_FILE`, `RSHM_LOCK_OS_MUTEX`.
    pub lock_kind: u32,
    /// The process that has created it.
    pub creator: u32,
    /// The process that holds the lock; 0 if nobody does, or it cannot be told.
    pub holder_process: u32,
    /// The thread of it.
    pub holder_thread: u32,
    /// How many use it.
    pub attached: u32,
    /// 1: it stays when nobody uses it any more.
    pub is_persistent: u8,
    /// 1: a holder died, and nobody has repaired since.
    pub is_poisoned: u8,
    /// 1: somebody sleeps for it.
    pub has_sleepers: u8,
    /// 1: of an event, that it is set.
    pub is_set: u8,
    /// Of a semaphore: how many permits nobody has.
    pub available_permits: u32,
    /// How many read side by side.
    pub active_readers: u32,
}

fn fill<const N: usize>(place: &mut [c_char; N], text: &str) {
    *place = [0; N];
    for (to, from) in place[..N - 1].iter_mut().zip(text.bytes()) {
        *to = from as c_char;
    }
}

/// Looks at a segment: locks, changes, and maps nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_info_of(name: *const c_char, info: *mut rshm_info) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let name = unsafe { text(name, "name") }?;
        // SAFETY: the caller's, as the header says.
        let out = unsafe { info.as_mut() }.ok_or_else(|| Failure::invalid("the info is a null pointer"))?;
        if out.size != size_of::<rshm_info>() {
            return Err(Failure::invalid("another rshm_info than this library's: begin with RSHM_INFO"));
        }
        let found = SegmentInfo::of(name)?;
        fill(&mut out.kind, found.kind());
        fill(&mut out.type_name, found.type_name());
        out.element_size = found.element_size();
        out.length = found.length();
        out.bytes = found.bytes();
        out.commits = found.commits().unwrap_or(0);
        out.owner = found.owner();
        out.mode = found.mode();
        out.lock_kind = match found.lock_kind() {
            LockKind::Futex => RSHM_LOCK_FUTEX,
            LockKind::File => RSHM_LOCK_FILE,
            LockKind::OsMutex => RSHM_LOCK_OS_MUTEX,
            _ => 0,
        };
        out.creator = found.creator();
        out.holder_process = found.holder_process().unwrap_or(0);
        out.holder_thread = found.holder_thread().unwrap_or(0);
        out.attached = found.attached().try_into().unwrap_or(u32::MAX);
        out.is_persistent = found.is_persistent().into();
        out.is_poisoned = found.is_poisoned().into();
        out.has_sleepers = found.has_sleepers().into();
        out.is_set = found.is_set().unwrap_or(false).into();
        out.available_permits = found.available_permits().unwrap_or(0) as u32;
        out.active_readers = found.active_readers().unwrap_or(0) as u32;
        Ok(RSHM_OK)
    })
}

/// Removes the name. Those who use the segment keep it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_remove(name: *const c_char) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        robust_shm::remove(unsafe { text(name, "name") }?)?;
        Ok(RSHM_OK)
    })
}

/// Removes what killed programs have left, of this user: never what is in use, or persistent. `removed`, if it is not null, is
/// then how many these were.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_gc(removed: *mut usize) -> c_int {
    call(|| {
        let names = robust_shm::remove_orphans()?;
        // SAFETY: the caller's, as the header says.
        unsafe { write(removed, names.len()) };
        Ok(RSHM_OK)
    })
}

/// The version of this library, as `"0.1.0"`.
#[unsafe(no_mangle)]
pub extern "C" fn rshm_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("a version without a zero in it"),
    };
    VERSION.as_ptr()
}
