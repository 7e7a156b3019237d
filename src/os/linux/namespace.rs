//! Which PID namespace this process is in: thread ids mean nothing outside of it.
//!
//! It is read from a link in `/proc` (`readlink` and not `stat`, whose inode is another at each look under gVisor), or,
//! since Linux 6.11, asked of a descriptor of the process itself. A forked child is in the namespace of its parent if it
//! can see its parent: so whoever knows it may go into a jail without `/proc`, and its children know it still.
//!
//! **Unknown is not a value.** Where nothing tells, a process gets a number of its own that no namespace has, and its
//! children in the same namespace inherit it. So they share a lock, and nobody else is let in.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::generation;

/// In numbers that stand for a namespace that could not be found out. Inodes of namespaces have 32 bits.
const UNKNOWN: u64 = 1 << 63;

static KNOWN: AtomicU64 = AtomicU64::new(0);
/// The generation in which `KNOWN` is right.
static KNOWN_IN: AtomicU32 = AtomicU32::new(0);

/// The inode of this process's PID namespace, or a number that stands for one that cannot be found out. Looked up once in
/// each generation.
pub(crate) fn pid_namespace() -> u64 {
    // By whoever has found it out, this process was numbered.
    let known = generation::generation_if_numbered();
    if known != 0 && KNOWN_IN.load(Ordering::Acquire) == known {
        return KNOWN.load(Ordering::Relaxed);
    }
    let generation = generation::generation();
    let found = from_link().or_else(from_descriptor).unwrap_or_else(|| made_up(generation));
    KNOWN.store(found, Ordering::Relaxed);
    KNOWN_IN.store(generation, Ordering::Release); // pairs with the Acquire above: the number is seen first
    found
}

/// Does this number stand for a namespace that could not be found out? (0: a segment of a version that wrote 0 then.)
pub(crate) fn is_unknown(namespace: u64) -> bool {
    namespace == 0 || namespace & UNKNOWN != 0
}

/// From `/proc`: "pid:[4026531836]".
fn from_link() -> Option<u64> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    let inode = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?;
    inode.parse().ok().filter(|inode| !is_unknown(*inode))
}

/// From the kernel, without `/proc`.
fn from_descriptor() -> Option<u64> {
    // `_IO(0xff, 5)`; the bits for "no data" are 0 but on these.
    const NO_DATA: u32 =
        if cfg!(any(target_arch = "powerpc64", target_arch = "mips64", target_arch = "sparc64")) { 1 << 29 } else { 0 };
    const PIDFD_GET_PID_NAMESPACE: u32 = NO_DATA | 0xff05;
    // SAFETY: takes integers.
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, std::process::id(), 0) };
    let process = descriptor(process).ok()?;
    // SAFETY: the descriptor is open; the request takes no argument.
    let namespace = unsafe { libc::ioctl(process.as_raw_fd(), PIDFD_GET_PID_NAMESPACE as _, 0) };
    descriptor(namespace.into()).ok()?.metadata().ok().map(|found| found.ino())
}

fn descriptor(result: libc::c_long) -> io::Result<File> {
    match libc::c_int::try_from(result) {
        // SAFETY: a descriptor that a system call has just made for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { File::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A number for this process, the same for all of its threads.
fn made_up(generation: u32) -> u64 {
    /// The generation in the upper half.
    static MADE_UP: AtomicU64 = AtomicU64::new(0);
    let of = |cell: u64| (cell >> 32 == u64::from(generation)).then_some(UNKNOWN | cell & 0xffff_ffff);
    let stale = MADE_UP.load(Ordering::Relaxed);
    of(stale).unwrap_or_else(|| {
        let fresh = u64::from(generation) << 32 | super::random_id()[0] >> 32;
        // Relaxed: a number, and no data behind it.
        let written = MADE_UP.compare_exchange(stale, fresh, Ordering::Relaxed, Ordering::Relaxed);
        of(written.map_or_else(|first| first, |_| fresh)).unwrap_or(UNKNOWN)
    })
}

/// Is the process in the PID namespace in which it, or its first forebear, was numbered?
pub(super) fn is_at_home() -> bool {
    static HOME: AtomicU64 = AtomicU64::new(0);
    let here = pid_namespace();
    // Relaxed: a number, and no data behind it. The first process sets it before it can lock, and so before it forks.
    HOME.compare_exchange(0, here, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|home| home == here, |_| true)
}

/// Before a fork: what was known of a parent is no answer for the children of a raw clone of it.
pub(super) fn prepare_fork() {
    if KNOWN_IN.load(Ordering::Relaxed) != 0 {
        let _ = pid_namespace();
    }
}

/// In a child of `fork` that has got its number: what its parent knew is true for it, if they are in one namespace. They
/// are if the child can see its parent, which never is in a deeper one. (If the parent has ended already, its heir lives
/// in the parent's namespace or further outside.)
pub(super) fn inherit(parent: u32, generation: u32) {
    if KNOWN_IN.load(Ordering::Relaxed) == parent && sees_its_parent() {
        KNOWN_IN.store(generation, Ordering::Relaxed);
    }
}

fn sees_its_parent() -> bool {
    // SAFETY: takes nothing. (A sandbox may refuse: that is no.)
    unsafe { libc::getppid() > 0 }
}
