//! What a file tells of itself.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::Path;

use windows_sys::Win32::Foundation::{ERROR_NO_MORE_FILES, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ATTRIBUTE_DEVICE, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT,
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_ID_INFO, FILE_READ_ATTRIBUTES, FileIdInfo,
    FindClose, FindFirstFileW, GetFileInformationByHandle, GetFileInformationByHandleEx, READ_CONTROL,
    WIN32_FIND_DATAW,
};

use super::super::handle::{done, wide};
use super::super::{directory, owner};

/// What no other file has while this one is open or mapped: the number of its volume, and its own.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct FileId {
    volume: u64,
    number: u128,
}

impl FileId {
    /// Wine 8 does not tell the volume of a file, and says 0, once that has been renamed by another handle.
    pub(in super::super) fn is_same(self, other: Self) -> bool {
        self.number == other.number && (self.volume == other.volume || self.volume == 0 || other.volume == 0)
    }
}

/// What a file tells that matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(in super::super) identity: FileId,
    pub(crate) links: u64,
    pub(crate) len: u64,
    pub(crate) owner: u32,
    /// Always the owner's alone: see [`ensure_mode`](super::ensure_mode).
    pub(crate) mode: u32,
    /// What it is, when it is no regular file.
    pub(crate) strange: Option<&'static str>,
}

/// The only one there is.
pub(super) const MODE: u32 = 0o600;

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

/// Is what is open something else than a regular file?
pub(super) fn is_strange(file: &File) -> io::Result<bool> {
    Ok(strangeness(information(file)?.dwFileAttributes).is_some())
}

pub(in super::super) fn identity(file: &File) -> io::Result<FileId> {
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

pub(super) fn open_attributes(path: &Path) -> io::Result<File> {
    let flags = FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS; // the second: directories, too
    OpenOptions::new().access_mode(FILE_READ_ATTRIBUTES | READ_CONTROL).custom_flags(flags).open(path)
}

/// Windows takes "Name" and "name" for one, and a short form that it gives to long names for those.
fn check_spelling(name: &str, path: &Path) -> io::Result<()> {
    let mut found = MaybeUninit::<WIN32_FIND_DATAW>::zeroed();
    // SAFETY: a text that ends with a NUL, without wildcards, and room for the answer.
    let search = unsafe { FindFirstFileW(wide(path.as_os_str()).as_ptr(), found.as_mut_ptr()) };
    if search == INVALID_HANDLE_VALUE {
        return Err(match io::Error::last_os_error() {
            // Gone since it was opened, and the last that was looked at.
            error if error.raw_os_error() == Some(ERROR_NO_MORE_FILES.cast_signed()) => io::ErrorKind::NotFound.into(),
            error => error,
        });
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
