//! Names of segments that are removed whatever happens, and where they lead.

use std::path::PathBuf;

/// A fresh segment name that is removed at the end, whatever happened in between. Bind it: a temporary takes the segment
/// away at the end of the statement. All names of a run begin with `ROBUST_SHM_TEST_PREFIX`, by which it finds its own.
pub struct Scratch(pub String);

impl Scratch {
    pub fn new(prefix: &str) -> Self {
        let run = std::env::var("ROBUST_SHM_TEST_PREFIX").unwrap_or_default();
        Self(robust_shm::unique_name(&format!("{run}{prefix}")))
    }
}

impl std::ops::Deref for Scratch {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        discard(&self.0);
    }
}

/// Removes what has this name, whatever it is.
fn discard(name: &str) {
    let removed = std::fs::remove_file(path(name));
    // What is mapped cannot be removed by its name everywhere; the crate can.
    if cfg!(windows) && removed.is_err() {
        let _ = robust_shm::remove(name);
    }
}

/// Where segments are files.
#[cfg(all(target_os = "linux", not(robust_shm_unix)))]
pub fn directory() -> PathBuf {
    "/dev/shm".into()
}

/// Where segments are files: in a directory of this user alone.
#[cfg(any(target_os = "freebsd", all(target_os = "linux", robust_shm_unix)))]
pub fn directory() -> PathBuf {
    // SAFETY: takes nothing.
    #[allow(unsafe_code)]
    let me = unsafe { libc::geteuid() };
    made(format!("/tmp/robust-shm-{me}").into())
}

/// Where segments are files: in a directory of this user alone.
#[cfg(target_os = "macos")]
pub fn directory() -> PathBuf {
    let mut text = [0u8; 1024];
    // SAFETY: room for so many bytes.
    #[allow(unsafe_code)]
    let len = unsafe { libc::confstr(libc::_CS_DARWIN_USER_CACHE_DIR, text.as_mut_ptr().cast(), text.len()) };
    assert!((1..text.len()).contains(&len));
    made(PathBuf::from(std::str::from_utf8(&text[..len - 1]).unwrap()).join("robust-shm"))
}

/// Where segments are files: in the profile of the user.
#[cfg(windows)]
pub fn directory() -> PathBuf {
    let directory = PathBuf::from(std::env::var_os("LOCALAPPDATA").unwrap()).join("robust-shm");
    if !directory.exists() {
        // By those who know for whom it is.
        drop(robust_shm::SharedLock::create(&robust_shm::unique_name("directory")).unwrap());
    }
    directory
}

/// Tests put things there before there is a segment.
#[cfg(all(unix, any(not(target_os = "linux"), robust_shm_unix)))]
fn made(directory: PathBuf) -> PathBuf {
    let _ = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&directory);
    directory
}

pub fn path(name: &str) -> PathBuf {
    directory().join(name)
}

pub fn exists(name: &str) -> bool {
    std::fs::symlink_metadata(path(name)).is_ok()
}

/// Names that begin alike, for tests with many segments; all of them are removed at the end.
pub struct Family(Scratch);

impl Family {
    pub fn new(prefix: &str) -> Self {
        Self(Scratch::new(prefix))
    }

    /// The name to give to children, which call [`member`] with it.
    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn member(&self, which: usize) -> String {
        member(self.name(), which)
    }

    /// The members that exist.
    pub fn living(&self) -> Vec<String> {
        let prefix = format!("{}.", self.name());
        let entries = std::fs::read_dir(directory()).unwrap().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(&prefix))
            .collect()
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for name in self.living() {
            discard(&name);
        }
    }
}

/// A member of the [`Family`] of this name.
pub fn member(family: &str, which: usize) -> String {
    format!("{family}.{which}")
}
