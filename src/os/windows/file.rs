//! Files in the directory of segments.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_CALL_NOT_IMPLEMENTED, ERROR_COMMITMENT_LIMIT, ERROR_DISK_FULL, ERROR_FILE_TOO_LARGE,
    ERROR_HANDLE_DISK_FULL, ERROR_TOO_MANY_OPEN_FILES, GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ALLOCATION_INFO, FILE_ATTRIBUTE_DEVICE, FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_NOT_CONTENT_INDEXED, FILE_ATTRIBUTE_REPARSE_POINT, FILE_ATTRIBUTE_TEMPORARY,
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_ID_INFO, FILE_READ_ATTRIBUTES, FILE_SHARE_DELETE,
    FILE_SHARE_READ, FILE_SHARE_WRITE, FileAllocationInfo, FileIdInfo, FindClose, FindFirstFileW, GetDiskFreeSpaceExW,
    GetFileInformationByHandle, GetFileInformationByHandleEx, MoveFileExW, READ_CONTROL, ReOpenFile,
    SetFileInformationByHandle, WIN32_FIND_DATAW,
};

use super::handle::{done, wide};
use super::{directory, owner};
use crate::name::UNFINISHED;

/// What no other file has while this one is open or mapped: the number of its volume, and its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileId {
    volume: u64,
    number: u128,
}

impl FileId {
    /// Wine 8 does not tell the volume of a file, and says 0, once that has been renamed by another handle.
    pub(super) fn is_same(self, other: Self) -> bool {
        self.number == other.number && (self.volume == other.volume || self.volume == 0 || other.volume == 0)
    }
}

/// What a file tells that matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(super) identity: FileId,
    pub(crate) links: u64,
    pub(crate) len: u64,
    pub(crate) owner: u32,
    /// Always the owner's alone: see [`ensure_mode`].
    pub(crate) mode: u32,
    /// What it is, when it is no regular file.
    pub(crate) strange: Option<&'static str>,
}

/// The only one there is.
const MODE: u32 = 0o600;

impl Status {
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        self.identity.is_same(other.identity)
    }
}

fn strangeness(attributes: u32) -> Option<&'static str> {
    match attributes {
        _ if attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 => Some("a link, or another reparse point"),
        _ if attributes & FILE_ATTRIBUTE_DIRECTORY != 0 => Some("a directory"),
        _ if attributes & FILE_ATTRIBUTE_DEVICE != 0 => Some("a device"),
        _ => None,
    }
}

pub(super) fn identity(file: &File) -> io::Result<FileId> {
    long_identity(file).or_else(|_| information(file).map(|found| short_identity(&found)))
}

/// Files of some systems have numbers of 128 bits.
fn long_identity(file: &File) -> io::Result<FileId> {
    let mut found = MaybeUninit::<FILE_ID_INFO>::zeroed();
    let len = size_of::<FILE_ID_INFO>() as u32;
    // SAFETY: the handle is open, or refused; the pointer is to so much room.
    done(unsafe { GetFileInformationByHandleEx(file.as_raw_handle(), FileIdInfo, found.as_mut_ptr().cast(), len) })?;
    // SAFETY: zero bytes are such a structure, and the call has written one.
    let found = unsafe { found.assume_init() };
    Ok(FileId { volume: found.VolumeSerialNumber, number: u128::from_le_bytes(found.FileId.Identifier) })
}

/// Those of others do not.
fn short_identity(found: &BY_HANDLE_FILE_INFORMATION) -> FileId {
    let number = u64::from(found.nFileIndexHigh) << 32 | u64::from(found.nFileIndexLow);
    FileId { volume: found.dwVolumeSerialNumber.into(), number: number.into() }
}

fn information(file: &File) -> io::Result<BY_HANDLE_FILE_INFORMATION> {
    let mut found = MaybeUninit::<BY_HANDLE_FILE_INFORMATION>::zeroed();
    // SAFETY: the handle is open, or refused; the pointer is to room for the answer.
    done(unsafe { GetFileInformationByHandle(file.as_raw_handle(), found.as_mut_ptr()) })?;
    // SAFETY: zero bytes are such a structure, and the call has written one.
    Ok(unsafe { found.assume_init() })
}

pub(crate) fn status(file: &File) -> io::Result<Status> {
    let found = information(file)?;
    Ok(Status {
        identity: long_identity(file).unwrap_or_else(|_| short_identity(&found)),
        links: found.nNumberOfLinks.into(),
        len: u64::from(found.nFileSizeHigh) << 32 | u64::from(found.nFileSizeLow),
        owner: owner::owner_of(file.as_raw_handle())?,
        mode: MODE,
        strange: strangeness(found.dwFileAttributes),
    })
}

/// What the name leads to now, links not followed. Opens it for its attributes only, which is in nobody's way.
pub(crate) fn status_of(name: &str) -> io::Result<Status> {
    directory::check()?;
    let path = directory::path(name)?;
    let found = status(&open_attributes(&path)?)?;
    check_spelling(name, &path)?;
    Ok(found)
}

/// The number of the owner of what is there.
pub(super) fn owner_of_path(path: &Path) -> io::Result<u32> {
    owner::owner_of(open_attributes(path)?.as_raw_handle())
}

fn open_attributes(path: &Path) -> io::Result<File> {
    let flags = FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS; // the second: directories, too
    OpenOptions::new().access_mode(FILE_READ_ATTRIBUTES | READ_CONTROL).custom_flags(flags).open(path)
}

/// Windows takes "Name" and "name" for one, and a short form that it gives to long names for those.
fn check_spelling(name: &str, path: &Path) -> io::Result<()> {
    let mut found = MaybeUninit::<WIN32_FIND_DATAW>::zeroed();
    // SAFETY: a text that ends with a NUL, without wildcards, and room for the answer.
    let search = unsafe { FindFirstFileW(wide(path.as_os_str()).as_ptr(), found.as_mut_ptr()) };
    if search == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: opened by the call above.
    unsafe { FindClose(search) };
    // SAFETY: zero bytes are such a structure, and the call has written one.
    let found = unsafe { found.assume_init() };
    let spelling = found.cFileName.split(|unit| *unit == 0).next().unwrap_or_default();
    if name.encode_utf16().eq(spelling.iter().copied()) {
        return Ok(());
    }
    let spelling = String::from_utf16_lossy(spelling);
    let text = format!("Windows takes this name for that of the file {spelling:?}, and does not tell the two apart");
    Err(io::Error::new(io::ErrorKind::InvalidFilename, text))
}

/// Files belong to one user, and nobody else may open them: a mode that lets others in is refused.
pub(crate) fn ensure_mode(_: &File, _: &Status, mode: u32) -> io::Result<bool> {
    if mode == MODE {
        return Ok(false);
    }
    let text = format!("on Windows a segment is its user's alone (mode {MODE:#o}): there is no mode {mode:#o}");
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// How all files are opened: others may read, write and rename them meanwhile.
const SHARED: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

/// Another description of an open file.
pub(crate) fn reopen(file: &File) -> io::Result<File> {
    // SAFETY: the handle is open; takes integers.
    let again = unsafe { ReOpenFile(file.as_raw_handle(), GENERIC_READ | GENERIC_WRITE, SHARED, 0) };
    if again == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a handle that the call has just made for us.
    Ok(unsafe { File::from_raw_handle(again) })
}

/// Opens the file with this status by its name; `None` when the name leads to another one by now, or to none.
pub(super) fn open_same(name: &str, status: &Status) -> io::Result<Option<File>> {
    match open(name, true) {
        Ok(file) => Ok(identity(&file)?.is_same(status.identity).then_some(file)),
        Err(OpenError::NotFound | OpenError::NotAFile) => Ok(None),
        Err(OpenError::NoDescriptor(error) | OpenError::Other(error)) => Err(error),
    }
}

/// Why a name could not be opened.
#[derive(Debug)]
pub(crate) enum OpenError {
    NotFound,
    /// A link or a directory.
    NotAFile,
    /// This process, or the system, has as many files open as it may.
    NoDescriptor(io::Error),
    Other(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        const TOO_MANY: i32 = ERROR_TOO_MANY_OPEN_FILES.cast_signed();
        match error.raw_os_error() {
            Some(TOO_MANY) => Self::NoDescriptor(error),
            _ if error.kind() == io::ErrorKind::NotFound => Self::NotFound,
            _ => Self::Other(error),
        }
    }
}

/// Opens what the name leads to, if that is a file, without following a link.
pub(crate) fn open(name: &str, writable: bool) -> Result<File, OpenError> {
    directory::check()?;
    let path = directory::path(name)?;
    let opened = OpenOptions::new()
        .read(true)
        .write(writable)
        .share_mode(SHARED)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(&path);
    let file = match opened {
        Ok(file) => file,
        // This is how a directory is refused, too.
        Err(error) if error.raw_os_error() == Some(ERROR_ACCESS_DENIED.cast_signed()) => {
            let there = open_attributes(&path).and_then(|there| information(&there));
            let is_strange = there.is_ok_and(|there| strangeness(there.dwFileAttributes).is_some());
            return Err(if is_strange { OpenError::NotAFile } else { OpenError::Other(error) });
        }
        Err(error) => return Err(error.into()),
    };
    match strangeness(information(&file)?.dwFileAttributes) {
        Some(_) => Err(OpenError::NotAFile),
        None => Ok(file),
    }
}

/// Reads what there is from `offset` on, until the buffer is full or the file ends.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.seek_read(&mut buffer[len..], offset + len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    Ok(len)
}

/// Writes all of it.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut len = 0;
    while len < bytes.len() {
        match file.seek_write(&bytes[len..], offset + len as u64)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => len += written,
        }
    }
    Ok(())
}

/// Gives the file this length; new bytes are zero.
pub(crate) fn set_len(file: &File, len: u64) -> io::Result<()> {
    file.set_len(len)
}

/// Makes all of the file zero from `start` on, and not shorter: it may be mapped.
pub(crate) fn clear(file: &File, start: u64) -> io::Result<()> {
    clear_to(file, start, status(file)?.len)
}

fn clear_to(file: &File, mut start: u64, end: u64) -> io::Result<()> {
    const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
    while start < end {
        let piece = ZEROS.len().min(usize::try_from(end - start).unwrap_or(usize::MAX));
        write_at(file, &ZEROS[..piece], start)?;
        start += piece as u64;
    }
    Ok(())
}

/// A file with a private name: there are no files without one. Its pages are to stay in memory as long as there is room,
/// and nobody is to look for words in it.
pub(crate) fn create_private(name: &str) -> io::Result<File> {
    directory::prepare()?;
    let made = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .share_mode(SHARED)
        .attributes(FILE_ATTRIBUTE_TEMPORARY | FILE_ATTRIBUTE_NOT_CONTENT_INDEXED)
        .open(directory::path(name)?);
    made.map_err(directory::explained)
}

/// Gives a file with a private name its other name instead; `AlreadyExists` when somebody was first.
pub(crate) fn link_private(private: &str, name: &str) -> io::Result<()> {
    rename(private, name)
}

/// Never replaces another file.
fn rename(from: &str, to: &str) -> io::Result<()> {
    let (from, to) = (directory::path(from)?, directory::path(to)?);
    // SAFETY: texts that end with a NUL.
    done(unsafe { MoveFileExW(wide(from.as_os_str()).as_ptr(), wide(to.as_os_str()).as_ptr(), 0) })
}

/// A file that is open or mapped may keep its name until it is not. So it gets a private one first, by which whoever
/// comes by removes it when it has no users any more.
pub(crate) fn unlink(name: &str) -> io::Result<()> {
    const REMOVED: &str = "-removed-";
    if name.strip_prefix(UNFINISHED).is_some_and(|rest| rest.starts_with(REMOVED)) {
        return fs::remove_file(directory::path(name)?);
    }
    let [one, other] = super::random_id();
    let junk = format!("{UNFINISHED}{REMOVED}{one:016x}{other:016x}");
    rename(name, &junk)?;
    let _ = fs::remove_file(directory::path(&junk)?); // else later
    Ok(())
}

/// May this process write a file of `len` bytes? There are no such limits.
#[allow(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(crate) fn check_limit(_len: u64) -> io::Result<()> {
    Ok(())
}

/// Reserves room for the first `len` bytes.
pub(crate) fn reserve(file: &File, len: u64) -> io::Result<()> {
    let wanted = FILE_ALLOCATION_INFO { AllocationSize: i64::try_from(len).map_err(io::Error::other)? };
    let size = size_of_val(&wanted) as u32;
    // SAFETY: the handle is open; the structure is what is announced, and outlives the call.
    let reserved = done(unsafe {
        SetFileInformationByHandle(file.as_raw_handle(), FileAllocationInfo, (&raw const wanted).cast(), size)
    });
    match reserved {
        // Wine 8.
        Err(error) if error.raw_os_error() == Some(ERROR_CALL_NOT_IMPLEMENTED.cast_signed()) => clear_to(file, 0, len),
        result => result,
    }
}

/// Is this the error of a full drive?
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    // The last two: more than any file can be, and than there is memory to tell of.
    [ERROR_DISK_FULL, ERROR_HANDLE_DISK_FULL, ERROR_FILE_TOO_LARGE, ERROR_COMMITMENT_LIMIT]
        .iter()
        .any(|code| error.raw_os_error() == Some(code.cast_signed()))
}

/// Free bytes for this user on the drive of the directory; `None` when that is not told.
pub(crate) fn available_space() -> Option<u64> {
    let mut available = 0;
    let place = directory::verbatim().ok()?;
    let place = wide(place.parent()?.as_os_str()); // which is there
    // SAFETY: a text that ends with a NUL, and room for one of the answers.
    let asked = unsafe { GetDiskFreeSpaceExW(place.as_ptr(), &raw mut available, ptr::null_mut(), ptr::null_mut()) };
    done(asked).ok().map(|()| available)
}
