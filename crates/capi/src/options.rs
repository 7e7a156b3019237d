//! `rshm_options`: how segments are created and opened.
#![allow(unsafe_code)]

use std::ffi::c_char;

use robust_shm::{LockKind, Options};

use crate::arguments::optional_text;
use crate::code::Failure;

/// How to create or open a segment. Begin with `rshm_options options = RSHM_OPTIONS;` and change what is to be different: all
/// else is zero, which is what the library does by itself. A null pointer in place of options is the same as that.
#[repr(C)]
#[derive(Debug)]
pub struct rshm_options {
    /// `sizeof(rshm_options)`, so that later versions can have more.
    pub size: usize,
    /// The permission bits of a segment that is created; 0 is 0600.
    pub mode: u32,
    /// 1: it stays when nobody uses it any more, until `rshm_remove`; -1: it must not be so.
    pub persistent: i32,
    /// In place of the type's name: all programs must state the same one.
    pub type_tag: *const c_char,
    /// One of `RSHM_LOCK_FUTEX`, `RSHM_LOCK_FILE`, `RSHM_LOCK_OS_MUTEX`; 0: the system's best.
    pub lock_kind: u32,
    /// 1: nobody's death poisons it; -1: it must not be so. Of arrays and locks.
    pub no_poison: i32,
    /// So many can read side by side; 0: 32, or as the segment has it; -1: nobody. Of arrays and read-write locks.
    pub readers: i32,
    /// 1: memory is not set aside at creation: an access may then fail with SIGBUS when it is full.
    pub no_reserve: i32,
    /// Another user, whose segments are trusted like one's own; 0: nobody's (root's are trusted always).
    pub allow_owner: u32,
}

/// Of `rshm_options`: locks in the memory itself, which the kernel frees when their holder dies.
pub const RSHM_LOCK_FUTEX: u32 = 1;
/// Of `rshm_options`: the same, for systems and sandboxes whose kernel does not do that; others notice within milliseconds.
pub const RSHM_LOCK_FILE: u32 = 2;
/// Of `rshm_options`: a mutex of the C library.
pub const RSHM_LOCK_OS_MUTEX: u32 = 3;

/// # Safety
///
/// It is null, or points to options as above, whose `size` is right.
pub(crate) unsafe fn read<'a>(options: *const rshm_options) -> Result<Option<&'a rshm_options>, Failure> {
    // SAFETY: the caller's.
    match unsafe { options.as_ref() } {
        Some(options) if options.size != size_of::<rshm_options>() => Err(Failure::invalid(format_args!(
            "rshm_options of {} bytes; this library has {}: begin with RSHM_OPTIONS",
            options.size,
            size_of::<rshm_options>()
        ))),
        options => Ok(options),
    }
}

impl rshm_options {
    /// What all kinds of segments have.
    ///
    /// # Safety
    ///
    /// The tag is null, or a string.
    pub(crate) unsafe fn apply<H>(&self, mut options: Options<H>) -> Result<Options<H>, Failure> {
        if self.mode != 0 {
            options = options.mode(self.mode);
        }
        if self.persistent != 0 {
            options = options.persistent(self.persistent > 0);
        }
        // SAFETY: the caller's.
        if let Some(tag) = unsafe { optional_text(self.type_tag, "type_tag") }? {
            options = options.type_tag(tag);
        }
        let kind = match self.lock_kind {
            0 => None,
            RSHM_LOCK_FUTEX => Some(LockKind::Futex),
            RSHM_LOCK_FILE => Some(LockKind::File),
            RSHM_LOCK_OS_MUTEX => Some(LockKind::OsMutex),
            other => return Err(Failure::invalid(format_args!("no lock_kind has the number {other}"))),
        };
        if let Some(kind) = kind {
            options = options.lock_kind(kind);
        }
        if self.no_reserve != 0 {
            options = options.reserve(false);
        }
        if self.allow_owner != 0 {
            options = options.allow_owner(self.allow_owner);
        }
        Ok(options)
    }

    /// `None`: as it is.
    pub(crate) fn poison(&self) -> Option<bool> {
        (self.no_poison != 0).then_some(self.no_poison < 0)
    }

    /// `None`: as it is.
    pub(crate) fn readers(&self) -> Option<usize> {
        (self.readers != 0).then_some(self.readers.max(0) as usize)
    }
}
