//! A directory of regular files, of one user alone, where the system's shared memory objects are not files.
//!
//! What is found in it is as safe as what its owner does there: so a directory of that name that belongs to somebody else,
//! or that others may write to, is refused.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::listing::{names_in, some_of};
use super::owner::effective_uid;

/// The directory's name. It is that of the user that this process was when it first asked.
pub(crate) fn place() -> &'static str {
    // Not a lazy cell: a fork by another thread would leave it locked in the child.
    static PLACE: AtomicPtr<String> = AtomicPtr::new(ptr::null_mut());
    let known = PLACE.load(Ordering::Acquire); // pairs with the Release below
    // SAFETY: null, or what the exchange below has published, and that is never freed.
    if let Some(place) = unsafe { known.as_ref() } {
        return place;
    }
    let fresh = Box::into_raw(Box::new(of_this_user()));
    match PLACE.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: just made, published, and never freed.
        Ok(_) => unsafe { &*fresh },
        Err(first) => {
            // SAFETY: just made, and nobody else's.
            drop(unsafe { Box::from_raw(fresh) });
            // SAFETY: what another thread has published, and that is never freed.
            unsafe { &*first }
        }
    }
}

/// Where nothing is private to begin with, the name is. (macOS may clear its temporary directories while a file there is in
/// use: see `confstr(3)` of the other one.)
fn of_this_user() -> String {
    let base = caches();
    match base.as_deref() {
        Some(base) => format!("{}/robust-shm", base.trim_end_matches('/')),
        None => format!("/tmp/robust-shm-{}", effective_uid()),
    }
}

/// A directory that the system has made for this user's files, in which they stay as long as they are in use.
fn caches() -> Option<String> {
    #[cfg(target_os = "macos")]
    return configured(libc::_CS_DARWIN_USER_CACHE_DIR);
    // Here it is nowhere, so that the question is asked, and the answer is the one that FreeBSD has.
    #[cfg(not(target_os = "macos"))]
    return configured(-1);
}

/// What the system says of itself, by `confstr`; `None` where it has nothing to say.
fn configured(question: libc::c_int) -> Option<String> {
    let mut text = [0u8; 1024];
    // SAFETY: the pointer and the length describe `text`.
    let len = unsafe { libc::confstr(question, text.as_mut_ptr().cast(), text.len()) };
    let text = text.get(..len.checked_sub(1)?)?; // the length counts the NUL
    Some(std::str::from_utf8(text).ok()?.to_owned()).filter(|text| text.starts_with('/'))
}

/// Is it a directory in which strangers can change nothing? One that is not there is.
pub(super) fn check() -> io::Result<()> {
    look(place()).map(|_| ())
}

fn look(place: &str) -> io::Result<Option<Metadata>> {
    let found = match fs::symlink_metadata(place) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_ours = found.is_dir() && found.uid() == effective_uid() && found.mode() & 0o022 == 0;
    if is_ours { Ok(Some(found)) } else { Err(io::Error::other(format!("{place} is no directory of this user alone"))) }
}

/// To be called before something is created there.
pub(super) fn prepare() -> io::Result<()> {
    make(place())
}

fn make(place: &str) -> io::Result<()> {
    match DirBuilder::new().mode(MODE).create(place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The umask may have taken it away, also from one that has not come to this line yet, or was killed before it.
    match look(place)? {
        Some(found) if found.mode() & MODE != MODE => fs::set_permissions(place, PermissionsExt::from_mode(MODE)),
        _ => Ok(()),
    }
}

/// What its owner may do in it, and nobody else.
const MODE: u32 = 0o700;

/// What to do when there is no room in it, for messages.
pub(crate) const HOW_TO_ENLARGE: &str = "make room in its file system";

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
    names_in(Path::new(place()))
}

/// What `os` says of it.
pub(crate) fn some_names(position: &mut Option<i64>) -> io::Result<Vec<String>> {
    let all: Vec<String> = names()?.filter_map(Result::ok).collect();
    Ok(some_of(&all, position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_of_itself_is_read_to_its_end() {
        const CS_PATH: libc::c_int = if cfg!(target_os = "linux") { 0 } else { 1 }; // "/bin:/usr/bin"
        let path = configured(CS_PATH).unwrap();
        assert!(path.contains("/bin") && !path.contains('\0'), "{path:?}");
        assert_eq!(configured(-1), None);
    }

    /// Once, an umask that takes the owner's bits left a directory that nobody could use.
    #[test]
    fn a_directory_that_its_owner_may_not_use_is_opened_to_him() {
        let place = std::env::temp_dir().join(crate::unique_name("robust-shm-directory"));
        for mode in [0, 0o500, 0o700] {
            DirBuilder::new().mode(mode).create(&place).unwrap();
            make(place.to_str().unwrap()).unwrap();
            let found = fs::symlink_metadata(&place).unwrap().mode() & 0o777;
            fs::remove_dir(&place).unwrap();
            assert_eq!(found, MODE, "{mode:o}");
        }
    }

    #[test]
    fn the_directory_is_one_of_this_user() {
        assert!(place().contains("robust-shm") && place().starts_with('/'), "{}", place());
        prepare().unwrap();
        check().unwrap();
    }
}
