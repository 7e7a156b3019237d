//! A lock that is a file: who has the file open and locked, while its name leads to it, has the lock.
//!
//! Locks on parts of a file that belong to a description are not to be had everywhere (FreeBSD), or are of one family with
//! `flock` (macOS), so that a user's own lock on the segment would be in their way. So what is to be locked beside a segment
//! is a file beside it. The kernel unlocks it when its owner dies, by whatever death.
//!
//! **Only who has the lock removes the name**, and it is the lock only if the name leads to it when it has been locked. So
//! the name cannot be taken from whoever has the lock; and who opens the file just before it goes locks what has no name, sees
//! that, and begins again. What the dead have left behind is removed in the same way by whoever finds it: it is locked first.
//!
//! Names begin as those of unfinished segments do, so that nobody takes them for segments.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use super::flock::{try_exclude, try_share, unlock};
use super::standard::above_standard;
use super::{directory, file};
use crate::name::UNFINISHED;

/// What a lock is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its owner is a user of the segment.
    Life,
    /// Its owner removes the segment's name.
    Guard,
    /// Its owner looks for deaths.
    Watch,
}

impl Kind {
    pub(super) fn of(number: u32) -> Self {
        [Self::Guard, Self::Watch].into_iter().find(|kind| *kind as u32 == number).unwrap_or(Self::Life)
    }

    fn text(self) -> &'static str {
        match self {
            Self::Life => "life",
            Self::Guard => "guard",
            Self::Watch => "watch",
        }
    }
}

/// Which lock: for what, beside the file of which inode, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LockName {
    pub(super) kind: Kind,
    pub(super) beside: u64,
    pub(super) number: u32,
}

/// On the stack: a forked child makes one, maybe in a signal handler that has interrupted an allocation.
struct Text {
    bytes: [u8; 96],
    len: usize,
}

impl Text {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl LockName {
    fn text(self) -> Text {
        let mut bytes = [0; 96];
        let room = bytes.len();
        let mut rest = &mut bytes[..];
        let written = write!(rest, "{UNFINISHED}-{}-{:x}-{:x}", self.kind.text(), self.beside, self.number);
        let len = room - rest.len();
        debug_assert!(written.is_ok(), "no kind makes it longer");
        Text { bytes, len }
    }

    /// The lock whose file has this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(UNFINISHED)?.strip_prefix('-')?.split('-');
        let kind = parts.next()?;
        let kind = [Kind::Life, Kind::Guard, Kind::Watch].into_iter().find(|known| known.text() == kind)?;
        let beside = u64::from_str_radix(parts.next()?, 16).ok()?;
        let number = u32::from_str_radix(parts.next()?, 16).ok()?;
        parts.next().is_none().then_some(Self { kind, beside, number })
    }
}

/// The umask takes nothing from it.
const MODE: u32 = 0o600;

/// Others would have to remove the name under our hands so many times.
const ATTEMPTS: usize = 100;

/// Takes the lock without waiting; `None` when another description has it, or looks for a moment whether it is a dead one's.
pub(super) fn take(name: LockName) -> io::Result<Option<File>> {
    directory::prepare()?;
    for _ in 0..ATTEMPTS {
        let file = open(name, options().write(true).create(true).mode(MODE))?;
        file::ensure_mode(&file, &file::status(&file)?, MODE)?;
        if !try_exclude(&file)? {
            return Ok(None);
        }
        if leads_to(name, &file)? {
            return above_standard(file).map(Some);
        }
    }
    Ok(None)
}

/// Has another description the lock? Asked by a lock for reading: those who ask at once are not in each other's way. What a
/// dead one has left is removed.
pub(super) fn is_taken(name: LockName) -> io::Result<bool> {
    match open(name, &options()) {
        Ok(file) => {
            let is_taken = !try_share(&file)?;
            drop(file);
            if !is_taken {
                let _ = remove_if_free(name); // else the next one does
            }
            Ok(is_taken)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives the lock back, whoever else has the description, and takes the name along.
pub(super) fn give_back(name: LockName, lock: &File) -> io::Result<()> {
    let unlinked =
        leads_to(name, lock).and_then(|is_there| if is_there { file::unlink(name.text().as_str()) } else { Ok(()) });
    unlock(lock).and(unlinked)
}

/// Removes the name of a lock that nobody has any more.
///
/// A life is asked for by others, to whom it must not look taken meanwhile. So it is locked for reading only, by one who removes
/// it at a time.
pub(super) fn remove_if_free(name: LockName) -> io::Result<()> {
    let lock = match open(name, options().write(true)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        lock => lock?,
    };
    if name.kind != Kind::Life {
        return if try_exclude(&lock)? { give_back(name, &lock) } else { Ok(()) };
    }
    let of_removal = LockName { kind: Kind::Guard, ..name };
    if !try_share(&lock)? {
        return Ok(());
    }
    let Some(guard) = take(of_removal)? else { return Ok(()) };
    let removed = give_back(name, &lock);
    give_back(of_removal, &guard).and(removed)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    options
}

/// A file without permission for its owner is one that somebody with such a umask is making just now, or was killed in
/// the middle of it.
fn open(name: LockName, options: &OpenOptions) -> io::Result<File> {
    let text = name.text();
    let path = file::path(text.as_str());
    match options.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(&path, PermissionsExt::from_mode(MODE))?;
            options.open(&path)
        }
        opened => opened,
    }
}

fn leads_to(name: LockName, file: &File) -> io::Result<bool> {
    match file::status_of(name.text().as_str()) {
        Ok(there) => Ok(there.is_same_file(&file::status(file)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use super::*;

    /// Of no file's: nobody else has these names.
    fn fresh(kind: Kind) -> LockName {
        LockName { kind, beside: crate::os::random_id()[0] | 1 << 63, number: 7 }
    }

    fn exists(name: LockName) -> bool {
        file::status_of(name.text().as_str()).is_ok()
    }

    #[test]
    fn a_lock_is_one_descriptions_until_it_is_given_back() {
        let name = fresh(Kind::Watch);
        assert!(!is_taken(name).unwrap());
        let lock = take(name).unwrap().unwrap();
        assert!(is_taken(name).unwrap() && take(name).unwrap().is_none());
        remove_if_free(name).unwrap();
        assert!(is_taken(name).unwrap() && exists(name));
        give_back(name, &lock).unwrap();
        assert!(!is_taken(name).unwrap() && !exists(name));
        assert!(take(name).unwrap().is_some_and(|lock| give_back(name, &lock).is_ok()));
    }

    /// As the kernel closes what a killed process has.
    #[test]
    fn what_the_dead_leave_is_free_and_goes_when_it_is_found() {
        let name = fresh(Kind::Life);
        drop(take(name).unwrap());
        assert!(exists(name) && !is_taken(name).unwrap());
        assert!(!exists(name));
        drop(take(name).unwrap());
        let lock = take(name).unwrap().unwrap();
        give_back(name, &lock).unwrap();
    }

    /// A creator was killed before he could give it its permissions.
    #[test]
    fn a_lock_without_permissions_gets_them_by_who_wants_it() {
        let name = fresh(Kind::Watch);
        let dead = take(name).unwrap().unwrap();
        dead.set_permissions(PermissionsExt::from_mode(0o000)).unwrap();
        drop(dead);
        let lock = take(name).unwrap().unwrap();
        assert_eq!(file::status(&lock).unwrap().mode, MODE);
        give_back(name, &lock).unwrap();
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in [Kind::Life, Kind::Guard, Kind::Watch] {
            let name = LockName { kind, beside: u64::MAX, number: u32::MAX };
            assert_eq!(LockName::parse(name.text().as_str()), Some(name));
            assert!(crate::name::is_private(name.text().as_str()));
            assert_eq!(Kind::of(kind as u32), kind);
        }
        for other in ["", "-life-7", "-life-7-7-7", "-death-7-7", "-life-x-7", "7-life-7-7"] {
            assert_eq!(LockName::parse(&format!("{UNFINISHED}{other}")), None, "{other}");
        }
        assert_eq!(LockName::parse(&format!("x{UNFINISHED}-life-7-7")), None);
    }

    /// The name goes and comes all the time: by those who have the lock, by those who take it for a dead one's, and as
    /// dead ones leave it.
    fn contend_for(name: LockName) {
        const TURNS: u32 = 2_000;
        let (inside, had, ended) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        remove_if_free(name).unwrap();
                    }
                });
            }
            let takers: Vec<_> = (0..4)
                .map(|which| {
                    let (inside, had) = (&inside, &had);
                    scope.spawn(move || {
                        for turn in 0..TURNS {
                            let Some(lock) = take(name).unwrap() else { continue };
                            let others = inside.fetch_add(1, Ordering::SeqCst);
                            let is_still = leads_to(name, &lock).unwrap();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            assert_eq!((others, is_still), (0, true));
                            had.fetch_add(1, Ordering::Relaxed);
                            if (turn + which) % 3 > 0 {
                                give_back(name, &lock).unwrap();
                            }
                        }
                    })
                })
                .collect();
            let all: Vec<_> = takers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            ended.store(true, Ordering::Relaxed);
            assert!(all.iter().all(Result::is_ok), "two had it, or its name was taken away");
        });
        remove_if_free(name).unwrap();
        assert!(!exists(name) && had.load(Ordering::Relaxed) > TURNS / 20, "{had:?}");
    }

    #[test]
    fn nobody_has_a_lock_that_another_has() {
        contend_for(fresh(Kind::Watch));
        contend_for(fresh(Kind::Life));
    }

    #[test]
    fn who_removes_what_a_dead_one_has_left_does_not_make_it_look_alive() {
        let name = fresh(Kind::Life);
        for _ in 0..300 {
            drop(take(name).unwrap().unwrap());
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| remove_if_free(name).unwrap());
                }
                for _ in 0..20 {
                    let found = options().open(file::path(name.text().as_str()));
                    assert!(found.map_or(true, |file| try_share(&file).unwrap()));
                }
            });
            remove_if_free(name).unwrap();
            assert!(!exists(name));
        }
    }
}
