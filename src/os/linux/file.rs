//! Files in the shared-memory directory, and the kernel's two families of file locks.
//!
//! `flock` (through `std::fs::File`) belongs to an open file description and decides who uses a segment and who is the
//! last. Open file description locks (`fcntl`) never conflict with `flock`. One byte of them guards the removal of a
//! name; the others are a visitors' book, because such locks can be asked for without taking one, which `flock` cannot.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

/// Where POSIX shared memory objects are files on Linux, in glibc and in musl.
pub(super) const DIRECTORY: &str = "/dev/shm";

/// The file that a segment name stands for.
pub(crate) fn path(name: &str) -> impl AsRef<Path> {
    let (start, len) = (DIRECTORY.len() + 1, DIRECTORY.len() + 1 + name.len());
    let mut bytes = [b'/'; LONGEST_PATH];
    bytes[..DIRECTORY.len()].copy_from_slice(DIRECTORY.as_bytes());
    match bytes.get_mut(start..len) {
        Some(rest) => rest.copy_from_slice(name.as_bytes()),
        None => return FilePath::Long(Path::new(DIRECTORY).join(name)),
    }
    FilePath::Short(bytes, len)
}

/// A file's name has 255 bytes at most.
const LONGEST_PATH: usize = DIRECTORY.len() + 1 + 255;

/// Without an allocation: a child opens files while it is being forked, maybe by a signal handler that has interrupted
/// one. (std, too, makes do with the stack for paths of this length.)
#[allow(clippy::large_enum_variant, reason = "on the stack: that is its purpose")]
enum FilePath {
    Short([u8; LONGEST_PATH], usize),
    Long(PathBuf),
}

impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        match self {
            Self::Short(bytes, len) => Path::new(OsStr::from_bytes(&bytes[..*len])),
            Self::Long(path) => path,
        }
    }
}

/// What `fstat` tells that matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) links: u64,
    pub(crate) len: u64,
    pub(crate) owner: u32,
    pub(crate) mode: u32,
    /// What it is, when it is no regular file.
    pub(crate) strange: Option<&'static str>,
}

impl Status {
    fn new(found: &fs::Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            links: found.nlink(),
            len: found.len(),
            owner: found.uid(),
            mode: found.mode() & 0o7777,
            strange: Self::strangeness(found.file_type()),
        }
    }

    fn strangeness(kind: fs::FileType) -> Option<&'static str> {
        match kind {
            _ if kind.is_file() => None,
            _ if kind.is_symlink() => Some("a symbolic link"),
            _ if kind.is_dir() => Some("a directory"),
            _ if kind.is_fifo() => Some("a FIFO"),
            _ if kind.is_socket() => Some("a socket"),
            _ => Some("a device"),
        }
    }

    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

pub(crate) fn status(file: &File) -> io::Result<Status> {
    Ok(Status::new(&file.metadata()?))
}

/// What the name leads to now, symbolic links not followed.
pub(crate) fn status_of(name: &str) -> io::Result<Status> {
    Ok(Status::new(&fs::symlink_metadata(path(name))?))
}

/// Gives the file with this status these permission bits, if it has others: the umask narrows those of a new file, its
/// owner's too.
pub(crate) fn ensure_mode(file: &File, status: &Status, mode: u32) -> io::Result<bool> {
    let differs = status.mode & 0o777 != mode;
    if differs {
        file.set_permissions(PermissionsExt::from_mode(mode))?;
    }
    Ok(differs)
}

/// Opens what the name leads to, whatever it is, without following a symbolic link or waiting for a FIFO's other end.
pub(crate) fn open(name: &str, writable: bool) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).write(writable).custom_flags(flags).open(path(name))
}

/// A file without a name, which the kernel forgets when its creator dies.
pub(crate) fn create_unnamed() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(DIRECTORY)
}

/// Is this how a file without a name is refused, where one with a name may be allowed?
pub(crate) fn wants_a_name(error: &io::Error) -> bool {
    // open(2), O_TMPFILE: EOPNOTSUPP from the file system, EISDIR from a kernel that does not know the flag. Linking:
    // ENOENT without /proc. Either: what sandboxes say, whose rules are about names.
    matches!(
        error.raw_os_error(),
        Some(
            libc::EOPNOTSUPP
                | libc::EISDIR
                | libc::EINVAL
                | libc::ENOENT
                | libc::ENOSYS
                | libc::EXDEV
                | libc::EACCES
                | libc::EPERM
        )
    )
}

/// A file with a private name, where there are no files without one.
pub(crate) fn create_private(name: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path(name))
}

/// Gives an unnamed file its name; `AlreadyExists` when somebody was first.
pub(crate) fn link(file: &File, name: &CStr) -> io::Result<()> {
    let target = c_path(name)?;
    // By descriptor, which spares a walk through /proc. Before Linux 6.10 that was a privilege, and NotFound without.
    match link_to(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH, &target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let source = format!("/proc/self/fd/{}\0", file.as_raw_fd());
    let source = CStr::from_bytes_with_nul(source.as_bytes()).map_err(io::Error::other)?;
    link_to(libc::AT_FDCWD, source, libc::AT_SYMLINK_FOLLOW, &target)
}

/// Gives a file with a private name its other name; `AlreadyExists` when somebody was first.
pub(crate) fn link_private(private: &str, name: &str) -> io::Result<()> {
    fs::hard_link(path(private), path(name))
}

fn link_to(directory: RawFd, source: &CStr, flags: libc::c_int, target: &CStr) -> io::Result<()> {
    // SAFETY: both paths end with NUL and outlive the call.
    let result = unsafe { libc::linkat(directory, source.as_ptr(), libc::AT_FDCWD, target.as_ptr(), flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn c_path(name: &CStr) -> io::Result<CString> {
    CString::new([DIRECTORY.as_bytes(), b"/", name.to_bytes()].concat()).map_err(io::Error::other)
}

pub(crate) fn unlink(name: &str) -> io::Result<()> {
    fs::remove_file(path(name))
}

/// Is a file of `len` bytes more than this process may write? The kernel would not only refuse: it sends `SIGXFSZ`,
/// which kills.
pub(crate) fn check_limit(len: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to room for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    if len <= limit.rlim_cur {
        return Ok(());
    }
    let text = format!(
        "files of at most {} bytes are allowed to this process, and {len} are needed: raise RLIMIT_FSIZE (`ulimit -f`)",
        limit.rlim_cur
    );
    Err(io::Error::new(io::ErrorKind::FileTooLarge, text))
}

/// Reserves the pages of the first `len` bytes, in pieces: fallocate(2) undoes all of an interrupted call, so an
/// interrupted piece is halved. What cannot succeed is not begun, lest the pieces that do fit starve the machine in the
/// meantime.
pub(crate) fn reserve(file: &File, len: u64) -> io::Result<()> {
    const LARGEST: u64 = 16 << 20;
    const SMALLEST: u64 = 4 << 10;
    let mut largest = LARGEST;
    if len > LARGEST && available_space().is_some_and(|available| len > available) {
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    let mut start = 0;
    while start < len {
        let piece = largest.min(len - start);
        // SAFETY: takes integers only; the descriptor is open.
        let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, to_offset(start)?, to_offset(piece)?) };
        if result != 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => largest = (piece / 2).max(SMALLEST),
                Some(libc::EOPNOTSUPP) => return write_zeros(file, start, len),
                _ => return Err(error),
            }
        } else {
            start += piece;
        }
    }
    Ok(())
}

/// Takes the pages of a new file where the file system knows no `fallocate`, as ramfs.
fn write_zeros(file: &File, mut start: u64, len: u64) -> io::Result<()> {
    const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
    while start < len {
        let piece = ZEROS.len().min(usize::try_from(len - start).unwrap_or(usize::MAX));
        file.write_all_at(&ZEROS[..piece], start)?;
        start += piece as u64;
    }
    Ok(())
}

fn to_offset(bytes: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))
}

/// Maps the first `len` bytes of the file, shared, for reading and writing.
pub(crate) fn map(file: &File, len: usize) -> io::Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, at a place that the kernel chooses.
    let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap has mapped at address 0"))
}

/// Undoes a [`map`].
///
/// # Safety
///
/// That gave `start` for this `len`, and nothing refers to it any more.
pub(crate) unsafe fn unmap(start: NonNull<u8>, len: usize) {
    // SAFETY: by the contract of this function.
    unsafe { libc::munmap(start.as_ptr().cast(), len) };
}

/// Is this the error of a full file system?
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    // EFBIG: more than any file can be; ENOMEM: the kernel's own bookkeeping, or a memory limit.
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EFBIG | libc::ENOMEM))
}

/// Free bytes in the shared-memory directory's file system; `None` when it does not tell, or knows no limit (ramfs, and
/// tmpfs with `size=0`, report a size of 0).
pub(crate) fn available_space() -> Option<u64> {
    let mut found = MaybeUninit::<libc::statvfs>::zeroed();
    let path = c_path(c"").ok()?;
    // SAFETY: the path ends with NUL; the pointer is to room for the answer.
    let result = unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) };
    // SAFETY: all-zero bytes are a statvfs, whether or not the call has written one.
    let found = unsafe { found.assume_init() };
    (result == 0 && found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(found.f_frsize))
}

/// Takes or converts to a shared `flock`, without waiting; `false` when somebody holds it exclusively.
pub(crate) fn try_share(file: &File) -> io::Result<bool> {
    retry(|| file.try_lock_shared())
}

/// Takes or converts to an exclusive `flock`, without waiting; `false` when somebody else holds it. A shared lock that
/// was held before is then lost (flock(2): "the original lock lost").
pub(crate) fn try_exclude(file: &File) -> io::Result<bool> {
    retry(|| file.try_lock())
}

/// std does not retry interrupted calls.
fn retry(mut attempt: impl FnMut() -> Result<(), TryLockError>) -> io::Result<bool> {
    loop {
        match attempt() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// A byte range of open-file-description locks. It has nothing to do with the data at that offset.
#[derive(Clone, Copy, Debug)]
struct LockRange {
    start: libc::off_t,
    len: libc::off_t,
}

/// Who removes the name holds this one.
const NAME_GUARD: LockRange = LockRange { start: 0, len: 1 };
/// The visitors' book: each user holds one byte in it.
const ATTENDANCE: LockRange = LockRange { start: 1, len: 1 << 62 };

/// Takes the lock that guards the name of this file, without waiting; `false` when another description has it. It goes
/// when the description is closed, or by [`release_name`].
pub(crate) fn try_guard_name(file: &File) -> io::Result<bool> {
    try_lock_range(file, NAME_GUARD)
}

pub(crate) fn release_name(file: &File) -> io::Result<()> {
    set_description_lock(file, libc::F_UNLCK, NAME_GUARD)
}

/// Writes the description into the visitors' book: a byte at random, for itself alone. `false` when a stranger seems to
/// have locked all of them.
pub(crate) fn mark_present(file: &File) -> io::Result<bool> {
    const ATTEMPTS: usize = 16;
    for _ in 0..ATTEMPTS {
        let start = ATTENDANCE.start + (super::random_place() % (1 << 62)).cast_signed();
        if try_lock_range(file, LockRange { start, len: 1 })? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Strikes the description out of the visitors' book. Closing it does the same, unless a forked child has it, too.
pub(crate) fn mark_absent(file: &File) -> io::Result<()> {
    set_description_lock(file, libc::F_UNLCK, ATTENDANCE)
}

/// How many other descriptions stand in the visitors' book, of processes in any namespace. Takes no lock.
pub(crate) fn count_present(file: &File) -> io::Result<usize> {
    let mut count = 0;
    let mut unasked = vec![ATTENDANCE];
    while let Some(range) = unasked.pop() {
        let Some(found) = someone_in(file, range)? else { continue };
        count += 1;
        let behind = found.start + found.len;
        unasked.push(LockRange { start: range.start, len: found.start - range.start });
        unasked.push(LockRange { start: behind, len: range.start + range.len - behind });
        unasked.retain(|range| range.len > 0); // a length of 0 would mean "to the end of all files"
    }
    Ok(count)
}

/// One of the locks that other descriptions hold in this range.
fn someone_in(file: &File, range: LockRange) -> io::Result<Option<LockRange>> {
    let mut lock = description_lock(libc::F_WRLCK, range);
    // SAFETY: the descriptor is open, and the structure outlives the call, which writes its answer there.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // A stranger may hold more than a byte: what lies outside the range is not ours to count.
    let end = range.start + range.len;
    let start = lock.l_start.clamp(range.start, end - 1);
    let len = if lock.l_len == 0 { end - start } else { (lock.l_start + lock.l_len).min(end) - start };
    Ok((libc::c_int::from(lock.l_type) != libc::F_UNLCK).then_some(LockRange { start, len: len.max(1) }))
}

fn try_lock_range(file: &File, range: LockRange) -> io::Result<bool> {
    match set_description_lock(file, libc::F_WRLCK, range) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn set_description_lock(file: &File, kind: libc::c_int, range: LockRange) -> io::Result<()> {
    let lock = description_lock(kind, range);
    // SAFETY: the descriptor is open, and the structure outlives the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn description_lock(kind: libc::c_int, range: LockRange) -> libc::flock {
    // SAFETY: all-zero bytes are a flock structure; fcntl wants l_pid to be 0.
    let mut lock: libc::flock = unsafe { MaybeUninit::zeroed().assume_init() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = range.start;
    lock.l_len = range.len;
    lock
}

/// The processes that hold a `flock` on this file, one entry for each lock, with 0 for those that this PID namespace
/// cannot name. `None` without `/proc`. Good for a message only: the kernel leaves some out, and tells in pieces.
pub(crate) fn lockers(of: &Status) -> Option<Vec<Locker>> {
    // proc_locks(5): "1: FLOCK  ADVISORY  READ  5433 08:01:7864448 0 EOF": the device in hexadecimal, then the inode.
    let (major, minor) = (libc::major(of.device), libc::minor(of.device));
    let id = format!("{major:02x}:{minor:02x}:{}", of.inode);
    let table = fs::read_to_string("/proc/locks").ok()?;
    let found = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match fields[..] {
            [_, "FLOCK", _, access, pid, file, ..] if file == id => {
                Some(Locker { pid: pid.parse().unwrap_or(0), exclusive: access == "WRITE" })
            }
            _ => None,
        }
    });
    Some(found.collect())
}

/// One `flock` on a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Locker {
    pub(crate) pid: u32,
    pub(crate) exclusive: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a name if that is possible: a sweep of another test would look at it.
    fn new_file() -> File {
        create_unnamed().unwrap_or_else(|_| {
            let name = crate::unique_name("robust-shm-file");
            let file = create_private(&name);
            unlink(&name).unwrap();
            file.unwrap()
        })
    }

    /// Else a child that was forked meanwhile, and has the description, would guard it for as long as it lives.
    #[test]
    fn a_name_may_be_guarded_again_when_it_has_been_released() {
        let one = new_file();
        let same = format!("/proc/self/fd/{}", one.as_raw_fd());
        let other = OpenOptions::new().read(true).write(true).open(same).unwrap();
        assert!(try_guard_name(&one).unwrap());
        assert!(!try_guard_name(&other).unwrap());
        release_name(&one).unwrap();
        assert!(try_guard_name(&other).unwrap());
    }

    #[test]
    fn who_shares_a_file_is_not_said_to_hold_it_exclusively() {
        let file = new_file();
        let status = status(&file).unwrap();
        if lockers(&status).is_none() {
            return; // without /proc, messages name nobody
        }
        // The table is told in pieces, and others come and go: so until this lock has been told once.
        let is_exclusive = || {
            (0..10_000).find_map(|_| match lockers(&status)?[..] {
                [Locker { exclusive, .. }] => Some(exclusive),
                _ => None,
            })
        };
        assert!(try_share(&file).unwrap());
        assert_eq!(is_exclusive(), Some(false));
        assert!(try_exclude(&file).unwrap());
        assert_eq!(is_exclusive(), Some(true));
    }
}
