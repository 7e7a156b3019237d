//! Being a user of a segment: a shared `flock` on an open file description that belongs to one handle.
//!
//! A forked child shares its parent's descriptions, and either's leaving would count for both. So every handle that is
//! alive at a fork gets a second description, locked before the fork; the child puts it in the place of the first.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::removal;
use crate::fault::point;
use crate::name::Name;
use crate::os::file::Status;
use crate::os::{file, process};

/// One handle's place among the users of its segment. The description in it holds a shared lock, and stands in the
/// visitors' book.
#[derive(Debug)]
pub(super) struct Presence {
    file: File,
    name: Name,
    /// The last one out leaves the name where it is.
    keeps_name: AtomicBool,
    /// The fork generation that the description belongs to.
    generation: AtomicU32,
}

impl Presence {
    pub(super) fn new(file: File, name: Name, persistent: bool) -> Self {
        let generation = AtomicU32::new(process::generation());
        Self { file, name, keeps_name: AtomicBool::new(persistent), generation }
    }

    /// Leaves; the last one out takes the name along. Errors have nobody to go to: what remains is an orphan, and goes
    /// when its name is used, or with the next sweep.
    fn leave(&self) {
        // After a raw `clone`, which runs no handlers, the description is the parent's: leaving is its business.
        if self.generation.load(Ordering::Relaxed) != process::generation() {
            return;
        }
        if self.keeps_name.load(Ordering::Relaxed) {
            // Explicitly, because a child in the middle of its fork may have the description, too.
            let _ = self.file.unlock();
            point!("close: unlocked");
        } else if file::try_exclude(&self.file).unwrap_or(false) {
            point!("close: excluded");
            let _ = removal::unlink_exact(&self.file, &self.name);
        }
        point!("close: no user any more");
        if process::has_forked() {
            let _ = file::stop_attending(&self.file); // explicitly, for the same reason
            point!("close: left");
        }
    }
}

/// A presence that fork and exit know of. Dropping it leaves.
#[derive(Debug)]
pub(super) struct Registered {
    key: u64,
    presence: Arc<Presence>,
}

impl Registered {
    pub(super) fn new(presence: Presence) -> io::Result<Self> {
        let presence = Arc::new(presence);
        let mut registry = registry();
        // From here on dropping `registered` leaves, also when the hooks cannot be installed.
        let key = registry.next_key;
        registry.next_key += 1;
        registry.live.insert(key, Arc::clone(&presence));
        point!("register: listed");
        let registered = Self { key, presence };
        if !registry.hooks_installed {
            if let Err(error) = install_hooks() {
                drop(registry);
                return Err(error);
            }
            registry.hooks_installed = true;
            point!("register: hooks installed");
        }
        Ok(registered)
    }

    /// Leaves a segment whose creation did not succeed: the name goes, persistent or not, unless somebody has opened it
    /// meanwhile.
    pub(super) fn retract(self) {
        self.presence.keeps_name.store(false, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> io::Result<Status> {
        file::status(&self.presence.file)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        registry().live.remove(&self.key);
        point!("close: not listed any more");
        self.presence.leave();
    }
}

/// Every handle of this process.
struct Registry {
    next_key: u64,
    hooks_installed: bool,
    live: BTreeMap<u64, Arc<Presence>>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { next_key: 0, hooks_installed: false, live: BTreeMap::new() });

fn registry() -> MutexGuard<'static, Registry> {
    // A panic in between leaves the map whole: it is changed by single calls.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install_hooks() -> io::Result<()> {
    process::on_fork(before_fork, after_fork_in_parent, after_fork_in_child)?;
    process::on_exit(at_exit)
}

/// What is kept from before a fork until after it: the registry stays locked, so that the child finds it whole.
struct Forking {
    registry: MutexGuard<'static, Registry>,
    /// A second description for each live handle, in the registry's order; `None` where there was no room for one.
    copies: Vec<Option<File>>,
}

thread_local! {
    static FORKING: RefCell<Option<Forking>> = const { RefCell::new(None) };
}

extern "C" fn before_fork() {
    process::note_fork();
    // A thread whose thread-locals are being destroyed forks without copies: its child then shares the descriptions,
    // and leaves the leaving to the parent.
    let _ = FORKING.try_with(|forking| {
        let registry = registry();
        point!("fork: registry locked");
        let copies = registry.live.values().map(|presence| copy(presence).ok().flatten()).collect();
        *forking.borrow_mut() = Some(Forking { registry, copies });
        point!("fork: copies made");
    });
}

fn copy(presence: &Presence) -> io::Result<Option<File>> {
    let copy = file::reopen(&presence.file)?;
    point!("fork: copy opened");
    if !file::attend(&copy)? {
        return Ok(None);
    }
    point!("fork: copy attending");
    Ok(file::try_share(&copy)?.then_some(copy))
}

extern "C" fn after_fork_in_parent() {
    // Closes the copies: the child has its own descriptors for them.
    point!("fork: parent");
    let _ = FORKING.try_with(|forking| drop(forking.borrow_mut().take()));
    point!("fork: parent has closed the copies");
}

extern "C" fn after_fork_in_child() {
    point!("fork: child");
    let _ = FORKING.try_with(|forking| {
        let Some(Forking { registry, copies }) = forking.borrow_mut().take() else { return };
        for (presence, copy) in registry.live.values().zip(copies) {
            let in_place = copy.map(|copy| file::put_in_place(copy, presence.file.as_raw_fd()));
            if let Some(Ok(())) = in_place {
                point!("fork: copy in place");
                presence.generation.store(process::generation(), Ordering::Relaxed);
            }
        }
        point!("fork: child has its own");
    });
}

/// Leaves for the handles that no destructor reaches: those in statics, and those of threads that are still running.
extern "C" fn at_exit() {
    point!("exit: begun");
    // Never wait for good: `exit` may have been called by a signal handler that interrupted a registration.
    for _ in 0..1_000 {
        match REGISTRY.try_lock() {
            Ok(registry) => return registry.live.values().for_each(|presence| presence.leave()),
            Err(TryLockError::Poisoned(poisoned)) => {
                return poisoned.into_inner().live.values().for_each(|presence| presence.leave());
            }
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
}
