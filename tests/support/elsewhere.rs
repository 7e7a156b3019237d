//! Who sleeps and who works, where no `/proc` says so: a waiter is known by its segment, and by the time that it has had.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::{Role, until};

/// In which one goes to sleep who is about to. A test that is quicker than its waiters shows less, and does not fail.
const A_MOMENT: Duration = Duration::from_millis(100);

/// The calling thread, as the system names it.
pub fn own_tid() -> i32 {
    #[allow(unsafe_code)] // to say that there is such a function
    #[cfg(windows)]
    #[link(name = "kernel32")]
    unsafe extern "system" {
        safe fn GetCurrentThreadId() -> u32;
    }
    #[cfg(windows)]
    return GetCurrentThreadId().cast_signed();
    #[cfg(not(windows))]
    std::process::id().cast_signed()
}

/// Lets a thread go to sleep, and all others of whom the caller asks at once. How often they have done so, nobody says.
pub fn asleep(_thread: i32) -> Option<u64> {
    const A_SHORT_ONE: Duration = Duration::from_millis(10);
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    if LAST.get().is_none_or(|last| last.elapsed() > A_SHORT_ONE / 10) {
        std::thread::sleep(A_SHORT_ONE);
    }
    LAST.set(Some(Instant::now()));
    Some(0)
}

/// Waits until somebody sleeps at the child's segment, or one of its family, and then a moment: for the child, if another
/// sleeps there, too.
pub fn until_it_waits(child: &Role) {
    let family = format!("{}.", child.name);
    let is_meant = |name: &str| name == child.name || name.starts_with(&family);
    let sleepers = || robust_shm::segments().flatten().any(|info| is_meant(info.name()) && info.has_sleepers());
    until(&format!("a sleeper beside child {:?}", child.role), || sleepers().then_some(()));
    std::thread::sleep(A_MOMENT);
}

/// Who does what is not known here, so only the limit of time ends a wait.
pub(super) fn tells_of_children() -> bool {
    false
}

pub(super) fn others_work() -> Duration {
    Duration::ZERO
}

pub(super) fn all_work() -> Duration {
    Duration::ZERO
}

pub fn each_death_wakes() -> bool {
    true
}

pub fn kernel_has_robust_lists() -> bool {
    false
}
