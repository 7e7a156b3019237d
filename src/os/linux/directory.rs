//! What stands in the shared-memory directory: all of it, or as much as one look in passing may cost.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;

/// Where POSIX shared memory objects are files on Linux, in glibc and in musl.
const DIRECTORY: &str = "/dev/shm";

/// The directory's name, for messages.
pub(crate) fn place() -> &'static str {
    DIRECTORY
}

/// Is it a directory in which strangers can change nothing that is not theirs? Its sticky bit is the administrator's care.
#[allow(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(super) fn check() -> io::Result<()> {
    Ok(())
}

/// To be called before something is created there.
#[allow(clippy::unnecessary_wraps, reason = "as above")]
pub(super) fn prepare() -> io::Result<()> {
    Ok(())
}

/// What to do when there is no room in it, for messages.
pub(crate) const HOW_TO_ENLARGE: &str = "enlarge it (mount -o remount,size=.. /dev/shm)";

/// Says what is the matter when the directory itself is not there.
pub(super) fn explained(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::NotFound {
        return error;
    }
    io::Error::new(error.kind(), format!("there is no directory {DIRECTORY}: mount a tmpfs there"))
}

/// The names of all regular files in the shared-memory directory that could be segments. Names that are not UTF-8 are
/// no names of ours.
pub(crate) fn names() -> io::Result<impl Iterator<Item = io::Result<String>>> {
    Ok(fs::read_dir(DIRECTORY).map_err(explained)?.filter_map(|entry| match entry {
        Ok(entry) => {
            let regular = entry.file_type().is_ok_and(|kind| kind.is_file());
            entry.file_name().into_string().ok().filter(|_| regular).map(Ok)
        }
        Err(error) => Some(Err(error)),
    }))
}

/// So many bytes of directory at a time: some fifty to a hundred names.
const BUDGET: usize = 4096;
/// The longest record: 19 bytes, a name of 255 and its end, in whole words.
const LONGEST_RECORD: usize = 280;

/// The names of a few regular files: all of them where they fit into the budget, else those behind `position`, which
/// moves on, and at the end of the directory back to its start. `None` stands for a place at random, so that of many
/// programs that look once each, everything is looked at by some.
pub(crate) fn some_names(position: &mut Option<i64>) -> io::Result<Vec<String>> {
    let directory = File::open(DIRECTORY)?;
    let mut records = Records::default();
    records.read_from(&directory, 0, BUDGET)?;
    if records.is_end {
        *position = Some(0);
        return Ok(records.names());
    }
    let from = position.unwrap_or_else(|| random_position(&directory));
    if from != 0 {
        let mut behind = Records::default();
        behind.read_from(&directory, from, BUDGET)?;
        if behind.len > 0 {
            records = behind;
        }
    }
    *position = Some(if records.is_end { 0 } else { records.next });
    Ok(records.names())
}

/// A position at random in a directory that does not tell how long it is. Positions are numbers that grow, or hashes; so
/// twice the length is found by doubling. That some of it has nothing behind it does no harm.
fn random_position(directory: &File) -> i64 {
    let is_behind_all = |position: i64| {
        let mut records = Records::default();
        records.read_from(directory, position, LONGEST_RECORD).is_err() || records.len == 0
    };
    let bits = (7..62).find(|bits| is_behind_all(1 << bits)).unwrap_or(62);
    (super::random_place() & ((1 << bits) - 1)).cast_signed()
}

/// What getdents64(2) has written.
struct Records {
    buffer: [u64; BUDGET / 8],
    len: usize,
    /// Where the next record stands in the directory.
    next: i64,
    /// There is no next record.
    is_end: bool,
}

impl Default for Records {
    fn default() -> Self {
        Self { buffer: [0; BUDGET / 8], len: 0, next: 0, is_end: false }
    }
}

impl Records {
    fn read_from(&mut self, directory: &File, position: i64, budget: usize) -> io::Result<()> {
        // SAFETY: takes integers; the descriptor is open.
        if unsafe { libc::lseek(directory.as_raw_fd(), position, libc::SEEK_SET) } < 0 {
            return Err(io::Error::last_os_error());
        }
        loop {
            let room = &mut bytemuck::bytes_of_mut(&mut self.buffer)[self.len..budget];
            // SAFETY: the pointer and the length describe the rest of the buffer.
            let got =
                unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), room.as_mut_ptr(), room.len()) };
            match usize::try_from(got) {
                Ok(0) => {
                    self.is_end = true;
                    return Ok(());
                }
                Ok(len) => self.len += len,
                // EINVAL: the next record has no room any more.
                Err(_) => match io::Error::last_os_error() {
                    error if error.raw_os_error() == Some(libc::EINVAL) && self.len > 0 => break,
                    error => return Err(error),
                },
            }
        }
        self.next = self.iter().last().map_or(0, |record| record.next);
        Ok(())
    }

    fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = &bytemuck::bytes_of(&self.buffer)[..self.len];
        std::iter::from_fn(move || {
            let record = Record::parse(rest)?;
            rest = &rest[record.len..];
            Some(record)
        })
    }

    fn names(&self) -> Vec<String> {
        let could_be_ours = |record: &Record<'_>| matches!(record.kind, libc::DT_REG | libc::DT_UNKNOWN);
        self.iter().filter(could_be_ours).filter_map(|record| Some(record.name.to_str().ok()?.to_owned())).collect()
    }
}

/// A `struct linux_dirent64`: inode (8 bytes), next position (8), length (2), kind (1), name.
struct Record<'a> {
    next: i64,
    len: usize,
    kind: u8,
    name: &'a CStr,
}

impl<'a> Record<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let next = i64::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
        let len = usize::from(u16::from_ne_bytes(*bytes.get(16..)?.first_chunk()?));
        let name = CStr::from_bytes_until_nul(bytes.get(19..len)?).ok()?;
        Some(Self { next, len, kind: bytes[18], name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a directory of its own, `Records` alone.
    #[test]
    fn parts_of_a_directory_make_up_the_whole() {
        let path = std::env::temp_dir().join(crate::unique_name("robust-shm-directory"));
        fs::create_dir(&path).unwrap();
        for which in 0..1_000 {
            File::create(path.join(format!("file-{which}"))).unwrap();
        }
        let directory = File::open(&path).unwrap();
        let (mut found, mut position) = (std::collections::BTreeSet::new(), 0);
        loop {
            let mut records = Records::default();
            records.read_from(&directory, position, BUDGET).unwrap();
            let names = records.names();
            assert!(names.len() < 200, "{} are too many for one look", names.len());
            found.extend(names);
            if records.is_end {
                break;
            }
            position = records.next;
        }
        let starts: std::collections::BTreeSet<_> = (0..50)
            .filter_map(|_| {
                let mut records = Records::default();
                records.read_from(&directory, random_position(&directory), BUDGET).unwrap();
                records.names().into_iter().next()
            })
            .collect();
        fs::remove_dir_all(&path).unwrap();
        assert_eq!(found.len(), 1_000);
        assert!(starts.len() > 5, "not at random: {starts:?}");
    }
}
