//! Files in the directory of segments.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt, OpenOptionsExt};
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_CALL_NOT_IMPLEMENTED, ERROR_COMMITMENT_LIMIT, ERROR_DISK_FULL, ERROR_FILE_TOO_LARGE,
    ERROR_HANDLE_DISK_FULL, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY,
    ERROR_TOO_MANY_OPEN_FILES, GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_ALLOCATION_INFO, FILE_ATTRIBUTE_NOT_CONTENT_INDEXED, FILE_ATTRIBUTE_TEMPORARY, FILE_FLAG_OPEN_REPARSE_POINT,
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FileAllocationInfo, GetDiskFreeSpaceExW, MoveFileExW,
    ReOpenFile, SetFileInformationByHandle,
};

use super::directory;
use super::handle::{done, wide};
use super::zeros::write_zeros;
use crate::name::UNFINISHED;

mod status;

pub(super) use status::identity;
use status::{MODE, is_strange, open_attributes};
pub(crate) use status::{Status, status, status_of};

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
            let is_strange = open_attributes(&path).and_then(|there| is_strange(&there));
            return Err(if matches!(is_strange, Ok(true)) { OpenError::NotAFile } else { OpenError::Other(error) });
        }
        Err(error) => return Err(error.into()),
    };
    if is_strange(&file)? { Err(OpenError::NotAFile) } else { Ok(file) }
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
    write_zeros(|bytes, at| write_at(file, bytes, at), start, status(file)?.len)
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

/// Can there be a file of `len` bytes? Asked before one is begun that is large: how a file system refuses what no file of
/// its can be, differs.
pub(crate) fn check_limit(len: u64) -> io::Result<()> {
    const LARGE: u64 = 16 << 20;
    if len > LARGE && available_space().is_some_and(|available| len > available) {
        return Err(io::Error::from_raw_os_error(ERROR_DISK_FULL.cast_signed()));
    }
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
        Err(error) if error.raw_os_error() == Some(ERROR_CALL_NOT_IMPLEMENTED.cast_signed()) => {
            write_zeros(|bytes, at| write_at(file, bytes, at), 0, len)
        }
        result => result,
    }
}

/// Is this the error of a full drive?
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    const CODES: [u32; 7] = [
        ERROR_DISK_FULL,
        ERROR_HANDLE_DISK_FULL,
        ERROR_FILE_TOO_LARGE, // more than any file can be
        ERROR_COMMITMENT_LIMIT,
        ERROR_NOT_ENOUGH_MEMORY, // the system's own bookkeeping; Wine says it of what no file can be
        ERROR_OUTOFMEMORY,
        ERROR_NO_SYSTEM_RESOURCES,
    ];
    CODES.iter().any(|code| error.raw_os_error() == Some(code.cast_signed()))
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

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::Scratch;
