//! Sleeping on a word in shared memory where the system has no call for that: a bounded back-off.
//!
//! Nobody is woken. Who sleeps looks at the word by himself, soon and then less soon. So whoever releases the lock is told
//! that there is nobody to wake, and the word loses the mark of sleepers; they set it again when they find the lock held.
//! But those of a class of their own are as good as awake: what is kept for them must wait for them.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::Deadline;
use super::doze::doze;

/// In a lock word: somebody may sleep on it.
pub(crate) const WAITERS: u32 = 1 << 31;
/// The owner died.
pub(crate) const OWNER_DIED: u32 = 1 << 30;
/// The owner's thread id.
pub(crate) const TID: u32 = OWNER_DIED - 1;

/// The class that everybody belongs to.
pub(super) const ALL: u32 = 1;
const SHORTEST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(1);
/// For one of a class of his own: what is kept for him is not kept for long.
const LONGEST_OF_FEW: Duration = Duration::from_micros(200);

/// Sleeps, as one of these classes (a bit set), while the lower half of `word` is `expected`, until a signal or `deadline`.
/// Nobody is woken: so `false`.
#[allow(clippy::unnecessary_wraps, reason = "as where there is a call")]
pub(crate) fn wait(word: &AtomicU64, expected: u32, classes: u32, deadline: Deadline) -> io::Result<bool> {
    let longest = if classes == ALL { LONGEST } else { LONGEST_OF_FEW };
    // Relaxed, here and below: a hint. The caller looks at the word before it does anything.
    doze_while(|| word.load(Ordering::Relaxed) as u32 == expected, longest, deadline);
    Ok(false)
}

fn doze_while(is_same: impl Fn() -> bool, longest: Duration, deadline: Deadline) {
    let mut pause = SHORTEST;
    while is_same() {
        let left = deadline.remaining();
        if left.is_zero() {
            return;
        }
        if !doze(pause.min(left)) {
            return;
        }
        pause = (pause * 2).min(longest);
    }
}

/// Would wake all who sleep: they look for themselves.
#[allow(clippy::unnecessary_wraps, reason = "as above")]
pub(crate) fn wake_all(_word: &AtomicU64) -> io::Result<()> {
    Ok(())
}

/// [`wait`] on a word of 32 bits, in no class.
#[allow(clippy::unnecessary_wraps, reason = "as above")]
pub(crate) fn wait_on(word: &AtomicU32, expected: u32, deadline: Deadline) -> io::Result<bool> {
    doze_while(|| word.load(Ordering::Relaxed) == expected, LONGEST, deadline);
    Ok(false)
}

/// [`wait`] on a word of 32 bits.
pub(crate) fn wait_in(word: &AtomicU32, expected: u32, _classes: u32, deadline: Deadline) -> io::Result<bool> {
    wait_on(word, expected, deadline)
}

/// Would wake all of these classes: they look for themselves.
#[allow(clippy::unnecessary_wraps, reason = "as above")]
pub(crate) fn wake_all_of(_word: &AtomicU64, _classes: u32) -> io::Result<()> {
    Ok(())
}

/// Would move those who sleep: they see by themselves that `from` is not what it was.
#[allow(clippy::unnecessary_wraps, reason = "as above")]
pub(crate) fn move_all(_from: &AtomicU32, _expected: u32, _to: &AtomicU64) -> io::Result<()> {
    Ok(())
}

/// [`wake_one`] on a word of 32 bits, of any class.
#[allow(clippy::unnecessary_wraps, reason = "as above")]
pub(crate) fn wake_one_on(_word: &AtomicU32) -> io::Result<bool> {
    Ok(false)
}

/// Can [`wait_for_any`] be called? There is no need: [`wait_on`] is as good.
pub(crate) fn can_wait_for_many() -> bool {
    false
}

/// Sleeps while `zero` is 0 and the lower half of each word is what stands beside it, as [`wait`].
pub(crate) fn wait_for_any<'a>(
    zero: &AtomicU32,
    _words: impl Iterator<Item = (&'a AtomicU64, u32)>,
    deadline: Deadline,
) -> io::Result<bool> {
    wait_on(zero, 0, deadline)
}
