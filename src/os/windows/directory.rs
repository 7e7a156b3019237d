//! `%LOCALAPPDATA%\robust-shm`: a directory of regular files, of one user alone.
//!
//! It is in the user's profile, which nobody else may read, and says so by itself, too: made with access for the user,
//! the system and administrators, which the files in it inherit. One that belongs to somebody else, gives anybody else access
//! of whatever kind, is a link, or lies on another machine is refused: by the first call of a process that finds it. Of a
//! file in it, only the owner is looked at, because nobody else can have made it, or its access wider, than who may do
//! all that the user may. What is above the directory is the user's own affair, as his environment is.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::fs::MetadataExt;
use std::os::windows::io::AsRawHandle;
use std::path::{Component, Path, PathBuf, Prefix};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::Globalization::lstrlenW;
use windows_sys::Win32::Storage::FileSystem::{CreateDirectoryW, FILE_ATTRIBUTE_REPARSE_POINT, GetDriveTypeW};
use windows_sys::Win32::System::Com::CoTaskMemFree;
use windows_sys::Win32::UI::Shell::{FOLDERID_LocalAppData, KF_FLAG_DEFAULT, SHGetKnownFolderPath};

use super::access::{Access, stranger_to};
use super::handle::{done, wide};
use super::listing::{names_in, some_of};
use super::owner;

const NAME: &str = "robust-shm";

/// Where it is.
struct Place {
    /// With `\\?\` in front, so that nothing in a name is interpreted.
    verbatim: PathBuf,
    shown: String,
}

fn found() -> io::Result<&'static Place> {
    static PLACE: OnceLock<Result<Place, String>> = OnceLock::new();
    PLACE.get_or_init(find).as_ref().map_err(|message| io::Error::other(message.clone()))
}

/// In the words of an error.
fn find() -> Result<Place, String> {
    let told = std::env::var_os("LOCALAPPDATA").filter(|text| !text.is_empty()).map(PathBuf::from);
    let data = told.or_else(known_folder).ok_or("there is no directory for this user's data: set LOCALAPPDATA")?;
    find_in(&data)
}

fn find_in(data: &Path) -> Result<Place, String> {
    let refuse = |why: &str| Err(format!("{} (LOCALAPPDATA) {why}", data.display()));
    let drive = match data.components().next() {
        Some(Component::Prefix(prefix)) => match prefix.kind() {
            Prefix::Disk(drive) | Prefix::VerbatimDisk(drive) => drive,
            _ => return refuse("is no directory of this machine, and only such a one can be mapped and locked"),
        },
        _ => return refuse("does not begin with a drive"),
    };
    if !data.has_root() {
        return refuse("is no absolute path");
    }
    if is_remote(drive) {
        return refuse("is on another machine, whose files cannot be mapped and locked as this machine's can");
    }
    let path = data.join(NAME);
    let shown = path.display().to_string();
    let verbatim = match path.components().next() {
        Some(Component::Prefix(prefix)) if prefix.kind().is_verbatim() => path,
        _ => {
            let path = std::path::absolute(&path).map_err(|error| format!("{shown}: {error}"))?;
            let mut verbatim = OsString::from(r"\\?\");
            verbatim.push(path);
            verbatim.into()
        }
    };
    Ok(Place { verbatim, shown })
}

/// What the system says where the environment does not.
fn known_folder() -> Option<PathBuf> {
    let mut path = ptr::null_mut();
    // SAFETY: the pointers are to a constant, and to room for a pointer.
    let result =
        unsafe { SHGetKnownFolderPath(&FOLDERID_LocalAppData, KF_FLAG_DEFAULT as u32, ptr::null_mut(), &raw mut path) };
    let found = (result >= 0 && !path.is_null()).then(|| {
        // SAFETY: a text that ends with a NUL.
        let len = unsafe { lstrlenW(path) };
        // SAFETY: so long is the text.
        OsString::from_wide(unsafe { std::slice::from_raw_parts(path, len.unsigned_abs() as usize) }).into()
    });
    // SAFETY: allocated by the call, or null, and not used any more.
    unsafe { CoTaskMemFree(path.cast()) };
    found
}

fn is_remote(drive: u8) -> bool {
    const DRIVE_REMOTE: u32 = 4; // `winbase.h`
    let root = [u16::from(drive), u16::from(b':'), u16::from(b'\\'), 0];
    // SAFETY: a text that ends with a NUL.
    unsafe { GetDriveTypeW(root.as_ptr()) == DRIVE_REMOTE }
}

/// The directory's name, for messages.
pub(crate) fn place() -> &'static str {
    found().map_or(r"%LOCALAPPDATA%\robust-shm", |place| &place.shown)
}

/// The path of a file in it.
pub(super) fn path(name: &str) -> io::Result<PathBuf> {
    Ok(found()?.verbatim.join(name))
}

pub(super) fn verbatim() -> io::Result<&'static Path> {
    found().map(|place| &*place.verbatim)
}

/// Is it a directory in which strangers can change nothing? One that is not there is. Asked until it has been so once: who
/// could change that is the user himself.
pub(super) fn check() -> io::Result<()> {
    static IS_OURS: AtomicBool = AtomicBool::new(false);
    if IS_OURS.load(Ordering::Relaxed) {
        return Ok(());
    }
    let place = found()?;
    let about = match fs::symlink_metadata(&place.verbatim) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_link = about.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0;
    if !about.is_dir() || is_link {
        return Err(io::Error::other(format!("{} is no directory", place.shown)));
    }
    let there = owner::open_to_ask(&place.verbatim)?;
    let refuse =
        |why: String| Err(io::Error::other(format!("{} is no directory of this user alone: {why}", place.shown)));
    if owner::owner_of(there.as_raw_handle())? != owner::effective_uid() {
        return refuse("it is somebody else's".to_owned());
    }
    if let Some(stranger) = stranger_to(there.as_raw_handle())? {
        return refuse(format!(
            "it gives access to {stranger}. Take that away (icacls), or remove the directory: it is made anew"
        ));
    }
    IS_OURS.store(true, Ordering::Relaxed);
    Ok(())
}

/// To be called before something is created there.
pub(super) fn prepare() -> io::Result<()> {
    let place = found()?;
    match create(&place.verbatim) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = format!("there is no directory for {}: is LOCALAPPDATA right?", place.shown);
            return Err(io::Error::new(error.kind(), text));
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    check()
}

/// With access for the user, the system and administrators, and for nobody else, whatever the directory above says.
fn create(path: &Path) -> io::Result<()> {
    // Full access, which what is made in it inherits.
    let access = Access::of("(A;OICI;FA;;;{user})(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)")?;
    // SAFETY: a text that ends with a NUL, and attributes that outlive the call.
    done(unsafe { CreateDirectoryW(wide(path.as_os_str()).as_ptr(), access.attributes()) })
}

/// What to do when there is no room in it, for messages.
pub(crate) const HOW_TO_ENLARGE: &str = "make room on its drive";

/// Says what is the matter when the directory itself is not there.
pub(super) fn explained(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::NotFound {
        return error;
    }
    io::Error::new(error.kind(), format!("somebody has just removed the directory {}", place()))
}

/// What `os` says of it: none where there is no directory.
pub(crate) fn names() -> io::Result<impl Iterator<Item = io::Result<String>>> {
    check()?;
    names_in(&found()?.verbatim)
}

/// What `os` says of it.
pub(crate) fn some_names(position: &mut Option<i64>) -> io::Result<Vec<String>> {
    let all: Vec<String> = names()?.filter_map(Result::ok).collect();
    Ok(some_of(&all, position))
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn the_system_says_what_the_environment_does() {
        let told = PathBuf::from(std::env::var_os("LOCALAPPDATA").unwrap());
        assert_eq!(known_folder(), Some(told));
    }

    #[test]
    fn the_directory_is_on_a_drive_of_this_machine() {
        for (data, place) in [
            (r"C:\Users\a\AppData\Local", r"C:\Users\a\AppData\Local\robust-shm"),
            ("C:/x", r"C:\x\robust-shm"),
            (r"\\?\C:\x", r"C:\x\robust-shm"),
        ] {
            let found = find_in(Path::new(data)).unwrap();
            assert_eq!(found.verbatim.to_str(), Some(format!(r"\\?\{place}").as_str()));
            assert!(found.shown.ends_with("robust-shm") && found.shown.starts_with(data), "{}", found.shown);
        }
        for (data, why) in [
            (r"\\server\share\x", "of this machine"),
            (r"\\?\UNC\server\share", "of this machine"),
            (r"\\.\pipe", "of this machine"),
            (r"C:x", "absolute"),
            (r"x\y", "drive"),
            (r"\x", "drive"),
        ] {
            let refused = find_in(Path::new(data)).err().unwrap();
            assert!(refused.contains(why) && refused.contains("LOCALAPPDATA"), "{data}: {refused}");
        }
    }

    #[test]
    fn it_is_made_when_it_is_needed_and_is_this_users() {
        prepare().unwrap();
        prepare().unwrap();
        assert!(place().ends_with(NAME) && Path::new(place()).is_dir());
        let there = owner::open_to_ask(verbatim().unwrap()).unwrap();
        assert_eq!(owner::owner_of(there.as_raw_handle()).unwrap(), owner::effective_uid());
        assert_eq!(stranger_to(there.as_raw_handle()).unwrap(), None);
    }

    #[test]
    fn a_few_names_at_a_time_are_all_of_them() {
        prepare().unwrap();
        let name = crate::unique_name("robust-shm-directory");
        let scratch = file::Scratch::new(&name, 0);
        let (mut found, mut position) = (Vec::new(), Some(0));
        loop {
            found.extend(some_names(&mut position).unwrap());
            if position == Some(0) {
                break;
            }
        }
        assert!(found.contains(&name));
        drop(scratch);
        assert!(!names().unwrap().any(|found| found.unwrap() == name));
    }
}
