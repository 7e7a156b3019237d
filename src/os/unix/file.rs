//! Files in the shared-memory directory.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::directory;
pub(crate) use super::kernel::reopen;
use super::room;
pub(crate) use super::room::clear;

/// The file that a segment name stands for.
pub(crate) fn path(name: &str) -> impl AsRef<Path> {
    let directory = directory::place();
    let (start, len) = (directory.len() + 1, directory.len() + 1 + name.len());
    if len > LONGEST_PATH {
        return FilePath::Long(Path::new(directory).join(name));
    }
    let mut bytes = [b'/'; LONGEST_PATH];
    bytes[..directory.len()].copy_from_slice(directory.as_bytes());
    bytes[start..len].copy_from_slice(name.as_bytes());
    FilePath::Short(bytes, len)
}

/// A file's name has 255 bytes at most, and the directory's is short. With a NUL behind it, std has no more on the stack.
const LONGEST_PATH: usize = 383;

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
    pub(super) fn new(found: &fs::Metadata) -> Self {
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
    directory::check()?;
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

/// Opens the file with this status by its name; `None` when the name leads to another one by now, or to none.
pub(super) fn open_same(name: &str, status: &Status) -> io::Result<Option<File>> {
    match open(name, true) {
        Ok(file) => Ok(self::status(&file)?.is_same_file(status).then_some(file)),
        Err(OpenError::NotFound | OpenError::NotAFile) => Ok(None),
        Err(OpenError::NoDescriptor(error) | OpenError::Other(error)) => Err(error),
    }
}

/// Why a name could not be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    NotFound,
    /// A symbolic link, a directory, a socket or a device.
    NotAFile,
    /// This process, or the system, has as many files open as it may.
    NoDescriptor(io::Error),
    Other(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOENT) => Self::NotFound,
            // A link: ELOOP, on FreeBSD EMLINK. A socket: ENXIO, on other systems EOPNOTSUPP.
            Some(libc::ELOOP | libc::EMLINK | libc::EISDIR | libc::ENXIO | libc::EOPNOTSUPP | libc::ENODEV) => {
                Self::NotAFile
            }
            Some(libc::EMFILE | libc::ENFILE) => Self::NoDescriptor(error),
            _ => Self::Other(error),
        }
    }
}

/// Opens what the name leads to, whatever it is, without following a symbolic link or waiting for a FIFO's other end.
pub(crate) fn open(name: &str, writable: bool) -> Result<File, OpenError> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    directory::check()?;
    Ok(OpenOptions::new().read(true).write(writable).custom_flags(flags).open(path(name))?)
}

/// Reads what there is from `offset` on, until the buffer is full or the file ends.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read_at(&mut buffer[len..], offset + len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Writes all of it.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Gives the file this length; new bytes are zero.
pub(crate) fn set_len(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)
}

/// A file with a private name, where there are no files without one.
pub(crate) fn create_private(name: &str) -> io::Result<File> {
    directory::prepare()?;
    let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path(name));
    made.map_err(directory::explained)
}

/// Gives a file with a private name its other name; `AlreadyExists` when somebody was first.
pub(crate) fn link_private(private: &str, name: &str) -> io::Result<()> {
    fs::hard_link(path(private), path(name))
}

pub(super) fn c_path(name: &CStr) -> io::Result<CString> {
    CString::new([directory::place().as_bytes(), b"/", name.to_bytes()].concat()).map_err(io::Error::other)
}

pub(crate) fn unlink(name: &str) -> io::Result<()> {
    fs::remove_file(path(name))
}

/// Is a file of `len` bytes more than this process may write? The kernel would not only refuse: it sends `SIGXFSZ`,
/// which kills.
#[allow(clippy::unnecessary_cast, reason = "on FreeBSD the limit has a sign")]
pub(crate) fn check_limit(len: u64) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to room for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    let most = limit.rlim_cur as u64;
    if len <= most {
        return Ok(());
    }
    let text = format!(
        "files of at most {most} bytes are allowed to this process, and {len} are needed: raise RLIMIT_FSIZE (`ulimit -f`)"
    );
    Err(io::Error::new(io::ErrorKind::FileTooLarge, text))
}

/// Sees to it that the first `len` bytes, which are zero, have their pages. What cannot succeed is not begun, lest the part
/// that does fit starve the machine in the meantime.
pub(crate) fn reserve(file: &File, len: u64) -> io::Result<()> {
    const SMALL: u64 = 16 << 20;
    if len > SMALL && available_space().is_some_and(|available| len > available) {
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    room::reserve(file, len)
}

/// Is this the error of a full file system?
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    // EFBIG: more than any file can be; ENOMEM: the kernel's own bookkeeping, or a memory limit.
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EFBIG | libc::ENOMEM))
}

/// Free bytes in the shared-memory directory's file system; `None` when it does not tell, or knows no limit (ramfs, and
/// tmpfs with `size=0`, report a size of 0).
#[allow(clippy::unnecessary_cast, reason = "on other systems these numbers are narrower")]
pub(crate) fn available_space() -> Option<u64> {
    let mut found = MaybeUninit::<libc::statvfs>::zeroed();
    let path = c_path(c"").ok()?;
    // SAFETY: the path ends with NUL; the pointer is to room for the answer.
    let result = unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) };
    // SAFETY: all-zero bytes are a statvfs, whether or not the call has written one.
    let found = unsafe { found.assume_init() };
    (result == 0 && found.f_blocks > 0).then(|| (found.f_bavail as u64).saturating_mul(found.f_frsize as u64))
}
