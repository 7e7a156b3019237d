//! `%LOCALAPPDATA%\robust-shm`: a directory of regular files, of one user alone.
//!
//! It is in the user's profile, which nobody else may read, and says so by itself, too: made with access for the user,
//! the system and administrators. One that belongs to somebody else, is a link, or lies on another machine is refused.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::fs::MetadataExt;
use std::path::{Component, Path, PathBuf, Prefix};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Globalization::lstrlenW;
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Storage::FileSystem::{CreateDirectoryW, FILE_ATTRIBUTE_REPARSE_POINT, GetDriveTypeW};
use windows_sys::Win32::System::Com::CoTaskMemFree;
use windows_sys::Win32::UI::Shell::{FOLDERID_LocalAppData, KF_FLAG_DEFAULT, SHGetKnownFolderPath};

use super::handle::{done, wide};
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
    if !about.is_dir() || is_link || owner::owner_of_path(&place.verbatim)? != owner::effective_uid() {
        return Err(io::Error::other(format!("{} is no directory of this user alone", place.shown)));
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
    let user = owner::own_sid().ok_or_else(|| io::Error::other("Windows does not say which user this process is"))?;
    // Protected; each entry is inherited by what is made in it: full access.
    let text = format!("D:P(A;OICI;FA;;;{})(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", user.text());
    let mut descriptor = ptr::null_mut();
    // SAFETY: a text that ends with a NUL, room for a pointer, and no wish to know a length.
    done(unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            wide(text.as_ref()).as_ptr(),
            SDDL_REVISION_1,
            &raw mut descriptor,
            ptr::null_mut(),
        )
    })?;
    let attributes = SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: descriptor,
        bInheritHandle: 0,
    };
    // SAFETY: a text that ends with a NUL, and attributes that outlive the call.
    let made = done(unsafe { CreateDirectoryW(wide(path.as_os_str()).as_ptr(), &raw const attributes) });
    // SAFETY: allocated by the call above, and not used any more.
    unsafe { LocalFree(descriptor) };
    made
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

/// The names of all regular files in the directory that could be segments: none where there is no directory. Names that
/// are not Unicode are no names of ours.
pub(crate) fn names() -> io::Result<impl Iterator<Item = io::Result<String>>> {
    check()?;
    let entries = match fs::read_dir(&found()?.verbatim) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries?),
    };
    Ok(entries.into_iter().flatten().filter_map(|entry| match entry {
        Ok(entry) => {
            let regular = entry.file_type().is_ok_and(|kind| kind.is_file());
            entry.file_name().into_string().ok().filter(|_| regular).map(Ok)
        }
        Err(error) => Some(Err(error)),
    }))
}

/// How many names are a few.
const FEW: usize = 64;

/// The names of a few regular files: all of them where there are no more, else those behind `position`, which moves on,
/// and at the end of the directory back to its start. `None` stands for a place at random, so that of many programs that
/// look once each, everything is looked at by some.
pub(crate) fn some_names(position: &mut Option<i64>) -> io::Result<Vec<String>> {
    let all: Vec<String> = names()?.filter_map(Result::ok).collect();
    let start = match *position {
        Some(position) => usize::try_from(position).unwrap_or(0),
        None => super::random_place() as usize % all.len().max(1),
    };
    let start = if all.len() <= FEW || start >= all.len() { 0 } else { start };
    let end = (start + FEW).min(all.len());
    *position = Some(if end == all.len() { 0 } else { end as i64 });
    Ok(all[start..end].to_vec())
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
        assert_eq!(owner::owner_of_path(verbatim().unwrap()).unwrap(), owner::effective_uid());
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
