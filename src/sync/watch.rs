//! Looking for the deaths of which nobody is told: how often each of those does it who sleep behind a holder.
//!
//! The kernel tells by the presence bytes who is alive (`users.rs`), but only who asks. If all who wait asked each
//! millisecond, hundreds of them would leave the holder no processor. So one of them does it for all:
//!
//! * **Everybody** looks before his first sleep, and once more a millisecond later. Most waits are over by then.
//! * Then he tries to become **the watcher**, which only one process can be at a time: that one has a byte of the segment's
//!   locks, as it has its presence byte. The watcher looks each millisecond ([`OFTEN`]).
//! * **The others** rely on him. They look after 2 ms, then less and less often ([`SELDOM`]), and try again to be the watcher
//!   each time they are awake for whatever reason.
//! * When the watcher has the lock, or gives up, he wakes one of the others, who then is the next.
//!
//! To look is to look at the word, too. So whatever else is lost with somebody who dies, as a wake-up that has just reached
//! him, the watcher finds it.
//!
//! **A watcher that dies** gives his byte back by that, and one that is stopped keeps it. In either case the others find what
//! there is to find by themselves, [`SELDOM`] after they last looked at the latest. So do those who went to sleep between a
//! watcher's leaving and his wake-up for the next one: they look again after 2 ms.
//!
//! **Where a sleep for a lock is ended by the holder's death** ([`TELLS_OF_DEATHS`]), nobody watches it: the first of those who sleep is told,
//! and if he dies, the next one is the first. Everybody looks by himself after 16 ms, then less and less often, in case
//! that the first is stopped.
//!
//! **Threads that wait by one handle** have one description, whose byte cannot tell them apart: the handle remembers that one
//! of them watches.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::users::Users;
use crate::os::Deadline;
use crate::os::place::TELLS_OF_DEATHS;

/// How long the watcher sleeps, and everybody at first.
pub(super) const OFTEN: Duration = Duration::from_millis(1);
/// How long the others sleep at first, and at most.
const SELDOM: RangeInclusive<Duration> = Duration::from_millis(2)..=Duration::from_millis(128);
/// How long everybody sleeps at first, and at most, where the first is told.
const TOLD: RangeInclusive<Duration> = Duration::from_millis(16)..=Duration::from_secs(1);

/// One waiter's part in it.
#[derive(Debug)]
pub(super) struct Watch {
    /// When to look again.
    next: Option<Deadline>,
    /// It has not slept for a millisecond yet.
    is_new: bool,
    is_watcher: bool,
    /// How long it will rely on another.
    relies_for: Duration,
    /// It sleeps where it is told of deaths, or another is who then wakes it.
    is_told: bool,
}

impl Watch {
    /// Of one who sleeps for the lock.
    pub(super) fn of_a_lock() -> Self {
        Self { is_told: TELLS_OF_DEATHS, ..Self::of_what_nobody_holds_alone() }
    }

    /// Of one who sleeps for one of many permits: nobody's end is told there, on any system.
    pub(super) fn of_what_nobody_holds_alone() -> Self {
        Self { next: None, is_new: true, is_watcher: false, relies_for: *SELDOM.start(), is_told: false }
    }

    /// The caller has looked, and is about to sleep: until when, at the latest?
    pub(super) fn next_look(&mut self, users: &Users) -> Deadline {
        if self.is_told {
            return self.next_look_of_one_who_is_told();
        }
        if self.is_new {
            return *self.next.get_or_insert_with(|| Deadline::soon(OFTEN));
        }
        if !self.is_watcher && users.try_watch() {
            (self.is_watcher, self.next) = (true, None);
        }
        if let Some(next) = self.next {
            return next;
        }
        let next = Deadline::soon(if self.is_watcher { OFTEN } else { self.relies_for });
        if !self.is_watcher {
            self.relies_for = (self.relies_for * 2).min(*SELDOM.end());
        }
        *self.next.insert(next)
    }

    /// The same where the first of those who sleep is woken by a death: for the others, and for the case that he is stopped.
    fn next_look_of_one_who_is_told(&mut self) -> Deadline {
        let relies_for = &mut self.relies_for;
        *self.next.get_or_insert_with(|| {
            *relies_for = (*relies_for * 2).clamp(*TOLD.start(), *TOLD.end());
            Deadline::soon(*relies_for)
        })
    }

    /// The caller has slept. By the clock, and not by what ended the sleep: signals that come again and again must not put
    /// the look off.
    pub(super) fn has_slept(&mut self, now: Deadline) {
        if self.next.is_some_and(|next| next <= now) {
            (self.next, self.is_new) = (None, false);
        }
    }

    /// The caller waits no more. Was it the watcher? Then another one must be woken.
    pub(super) fn end(&mut self, users: &Users) -> bool {
        let was_watcher = std::mem::take(&mut self.is_watcher);
        if was_watcher {
            users.stop_watching();
        }
        was_watcher
    }
}
