//! The permits of a semaphore: each is a lock line of its own, so that one that is killed, or whose thread ends, comes back
//! as a lock does; and the bell, on which those sleep who find none free.
//!
//! | step | who wants a permit |
//! |---|---|
//! | 1 | goes over the permits, from the one that its thread had last; takes the first that nobody holds: compare-exchange, link. If permits are free, this is all |
//! | 2 | none: announces itself on each (`W`); one is free by now: back to 1 |
//! | 3 | names the **bell** as pending, and sleeps on the bell and on all permits at once |
//! | 4 | awake: one pass over all permits. It remembers the first free one; if it finds a second, it rings the bell, which wakes one more, before it goes on. Then it tries the first; lost: the same again. None is free: back to 2 |
//!
//! A permit is released as a lock is (`robust_futex.rs`): to nobody, or with the waiters bit to one who sleeps on it; if
//! nobody does, the ring is counted and one is woken who sleeps on that.
//!
//! # Why nobody sleeps beside a free permit
//!
//! Who sleeps on many words is in the queue of each until it runs. So two releases can both wake the same sleeper, and the
//! second wake-up is lost: hence the pass of step 4, which passes on what it does not need. If it is killed before, the
//! kernel does so: the bell is pending, its word never has an owner, and all sleepers sleep on it. Were it a permit that
//! is pending, that could have an owner, and the kernel would wake nobody.
//!
//! It is *one* pass: were the free ones counted first, and one taken afterwards, then it might take one that came free
//! behind the count, and leave the counted one beside a sleeper.
//!
//! # Who is next
//!
//! The kernel wakes those who sleep in the order in which they went to sleep. But one who gives a permit back and wants one again
//! needs 0.1 µs, and one who was woken 20 to 50: so without a rule the first would have it again and again. Whoever has slept and
//! finds none free 1 ms or more after he first went to sleep therefore claims the bell's **reservation** (`reservation.rs`). As
//! long as that is seen, whoever has not slept leaves permits with `W` alone, for 1 ms at most, in which those come for them who were
//! woken. That is advice: he waits by the clock, where nobody wakes him, and no one who was woken ever stands back.
//!
//! # Where one cannot sleep on many words
//!
//! (Linux before 5.16, some sandboxes.) Then the sleeper notes the **ring**, a number, before its pass, and sleeps while it
//! is the same, for [`BEAT`] at most. Each release that finds no sleeper on its permit counts it. Sleepers of both sorts may be
//! side by side. A kill between the count and the wake-up costs those on the ring a beat.
//!
//! # Deaths that the kernel does not report
//!
//! As in `waiting.rs`, with each permit's holder: whenever [`HEARTBEAT`] has passed, and before it is said that the time is up.
//!
//! # Where it reports none
//!
//! With [`LockKind::File`](crate::LockKind::File) no permit is in a list, nothing is named as pending, and a holder's death
//! is that of his process. Who finds no permit free looks at the holders of all of them, by their presence bytes: a try at
//! once, all others before they sleep for the first time, and then as often as `watch.rs` says. A watcher who leaves wakes his successor as the
//! bell does. What is lost with one who dies behind his wake-up, the watcher finds when he looks the next time.

use super::atomic::{AtomicU32, Ordering};
use super::habits::Homes;
use super::interrupts;
use super::poison::Poison;
use super::reservation::{self, Free, Reserved, Token};
use super::robust_futex::{self, Linked};
use super::users::Users;
use super::waiting::{self, DOUBT, Failure, HEARTBEAT, Wait};
use super::watch::Watch;
use super::watched;
use super::word::{LOCKER, TID, WAITERS, high, is_owned, low, pair, says_owner_died};
use crate::fault::point;
use crate::layout::{BellLine, LockLine, MAX_PERMITS};
use crate::os::robust_list::{Interrupted, Node, RobustList};
use crate::os::thread::Thread;
use crate::os::{Deadline, futex};

/// How long one sleeps at most who could miss a wake-up.
const BEAT: std::time::Duration = std::time::Duration::from_millis(100);

/// The lines of a semaphore.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    pub(super) bell: &'a BellLine,
    pub(super) lines: &'a [LockLine],
}

impl Places<'_> {
    /// Takes a permit in all cases but the simplest, or says why not.
    #[cold]
    pub(super) fn acquire(
        self,
        me: &Thread,
        users: &Users,
        homes: &Homes,
        wait: Wait,
    ) -> Result<(usize, Linked), Failure> {
        Seeker::new(self, me, users, homes, wait).acquire()
    }

    /// Gives back a permit, which `owner` has, who is this thread.
    pub(super) fn release(self, line: &LockLine, owner: u64, list: RobustList, linked: Linked) {
        robust_futex::unlock_with(line, owner, list, linked, || self.wake_for(line, owner));
    }

    /// [`release`](Self::release) of one that is in no list.
    pub(super) fn release_watched(self, line: &LockLine, owner: u64) {
        watched::unlock_with(line, owner, || self.wake_for(line, owner));
    }

    /// Releases a permit on which somebody may sleep, and wakes one.
    #[cold]
    pub(super) fn wake_for(self, line: &LockLine, owner: u64) {
        let Some((free, _)) = robust_futex::release_to_sleepers(line, owner) else { return };
        // Who sleeps on many words is in every class.
        if !matches!(futex::wake_one(&line.word, LOCKER), Ok(false)) || self.ring() {
            return;
        }
        robust_futex::clear_waiters(line, free);
    }

    /// Wakes one of those who sleep on the ring. Was there one?
    fn ring(self) -> bool {
        // After the store that has freed the permit; whoever sleeps has noted it before he looked.
        self.bell.ring.fetch_add(1, Ordering::SeqCst);
        point!("permit: ring counted");
        !matches!(futex::wake_one_on(&self.bell.ring), Ok(false))
    }

    /// Wakes one more: there is another free permit.
    fn ring_the_bell(self) {
        if matches!(futex::wake_one_on(&self.bell.zero), Ok(false)) {
            self.ring();
        }
        point!("permit: bell rung");
    }
}

/// Does nobody hold it?
pub(super) fn is_free(seen: u64, users: &Users) -> bool {
    !is_owned(seen) && !users.may_live(seen)
}

/// As [`is_free`]; or has he died, of whom nobody has said so yet?
pub(super) fn has_no_holder(seen: u64, users: &Users) -> bool {
    is_free(seen, users) || users.has_lost_its_holder(seen)
}

impl Reserved for BellLine {
    fn reservation(&self) -> &AtomicU32 {
        &self.reservation
    }
}

/// One who wants a permit.
struct Seeker<'a> {
    places: Places<'a>,
    me: &'a Thread,
    users: &'a Users,
    owner: u64,
    homes: &'a Homes,
    wait: Wait,
    /// A wake-up may have come to this thread, which it must act on or pass on.
    may_owe: bool,
    /// Has the last sleep been ended by a wake-up?
    was_woken: bool,
    time_is_up: bool,
    /// Has it slept since it last asked whether to give up?
    asks: bool,
    token: Token,
    /// When it asks to be preferred: some time after it has first slept.
    starved_at: Option<Deadline>,
    /// It has slept, or left permits to those who have.
    is_in_turn: bool,
    heartbeat: Option<Deadline>,
    looks_up: bool,
    /// In the place of the heartbeat where nobody is told of deaths.
    watch: Watch,
}

impl<'a> Seeker<'a> {
    fn new(places: Places<'a>, me: &'a Thread, users: &'a Users, homes: &'a Homes, wait: Wait) -> Self {
        Self {
            places,
            me,
            users,
            owner: pair(me.tid, users.slot()),
            homes,
            wait,
            may_owe: false,
            was_woken: false,
            time_is_up: false,
            asks: false,
            token: Token::of(pair(me.tid, users.slot())),
            starved_at: None,
            is_in_turn: false,
            heartbeat: None,
            looks_up: users.are_watched(),
            watch: Watch::of_what_nobody_holds_alone(),
        }
    }

    fn acquire(mut self) -> Result<(usize, Linked), Failure> {
        let (bell, token) = (self.places.bell, self.token);
        let result = self.acquire_of_kind();
        // In the child, the claim is the parent's.
        if !matches!(result, Err(Failure::Forked)) {
            reservation::withdraw(bell, token);
        }
        result
    }

    fn acquire_of_kind(&mut self) -> Result<(usize, Linked), Failure> {
        let list = self.me.list;
        if self.users.are_watched() {
            return self.acquire_watched().map(|index| (index, Linked::AmongOthers));
        }
        if list.is_full() {
            return Err(robust_futex::too_many());
        }
        let interrupted = robust_futex::interrupt(self.me);
        self.users.enter();
        match self.seek() {
            Ok(index) => Ok((index, self.link(index, interrupted))),
            // The list is the child's now, and the fork has emptied it.
            Err(Failure::Forked) => Err(Failure::Forked),
            Err(failure) => {
                list.resume(interrupted);
                Err(failure)
            }
        }
    }

    fn acquire_watched(&mut self) -> Result<usize, Failure> {
        self.users.enter();
        let result = self.seek();
        // In the child, the watch is the parent's.
        if !matches!(result, Err(Failure::Forked)) {
            let was_watcher = self.watch.end(self.users);
            if was_watcher || self.was_woken && result.is_err() {
                self.places.ring_the_bell();
            }
        }
        result
    }

    fn link(&self, index: usize, interrupted: Interrupted) -> Linked {
        let (list, node) = (self.me.list, self.node(index));
        if interrupted.is_nothing() && list.is_empty() {
            list.link_alone(node);
            return Linked::Alone;
        }
        list.link(node);
        list.resume(interrupted);
        Linked::AmongOthers
    }

    /// Takes a permit, which is named as pending then.
    fn seek(&mut self) -> Result<usize, Failure> {
        loop {
            let ring = self.places.bell.ring.load(Ordering::Acquire); // before the look at the permits
            if let Some((index, seen)) = self.first_free() {
                self.check_process()?;
                if let Some(until) = self.is_kept(seen) {
                    self.stand_back(until)?;
                    continue;
                }
                self.name(self.node(index));
                if waiting::take(&self.places.lines[index], seen, self.owner, Poison::Never) {
                    return Ok(index);
                }
                self.name_bell();
                continue;
            }
            if matches!(self.wait, Wait::No) {
                if self.users.are_watched() && self.marks_dead(&self.words()) {
                    continue;
                }
                return Err(Failure::WouldBlock);
            }
            let mut words = [0; MAX_PERMITS];
            let Some(doubted) = self.announce(&mut words) else { continue };
            if self.marks_dead(&words) {
                continue;
            }
            if self.holds_all(&words) {
                return Err(Failure::WouldDeadlock);
            }
            if self.time_is_up {
                return Err(Failure::TimedOut { holder: 0 });
            }
            self.ask()?;
            self.ask_to_be_preferred();
            self.sleep(&words, ring, doubted)?;
        }
    }

    /// For whoever has not slept: is this permit, which is free, left for a moment to those who have? A death is handed over
    /// at once; and who has no time left takes it.
    fn is_kept(&self, seen: u64) -> Option<Deadline> {
        if self.is_in_turn || self.time_is_up || low(seen) != WAITERS {
            return None;
        }
        match reservation::look(self.places.bell, self.token) {
            Free::KeptUntil(until) => Some(until),
            Free::ForAll => None,
        }
    }

    /// Leaves it to those who sleep, one of whom is on his way. Nobody wakes this thread meanwhile, so nothing is lost.
    #[cold]
    fn stand_back(&mut self, until: Deadline) -> Result<(), Failure> {
        if matches!(self.wait, Wait::No) {
            return Err(Failure::WouldBlock);
        }
        let own = AtomicU32::new(0);
        let until = self.wait.deadline().map_or(until, |deadline| deadline.min(until));
        while !until.has_passed() {
            futex::wait_on(&own, 0, until).map_err(Failure::Os)?;
            self.check_process()?;
        }
        self.is_in_turn = true;
        self.time_is_up = self.wait.deadline().is_some_and(Deadline::has_passed);
        Ok(())
    }

    /// About to sleep, perhaps again, and no permit is free: gives up if the program says so.
    fn ask(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.asks) || !interrupts::are_asked() {
            return Ok(());
        }
        interrupts::ask()?;
        self.check_process()
    }

    /// About to sleep, perhaps again.
    fn ask_to_be_preferred(&mut self) {
        let starved_at = *self.starved_at.get_or_insert_with(|| Deadline::soon(reservation::STARVED));
        if self.is_in_turn && starved_at.has_passed() {
            reservation::claim(self.places.bell, self.token);
        }
    }

    fn indices(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.places.lines.len();
        let home = self.homes.get(self.owner, count);
        (home..count).chain(0..home)
    }

    /// The first free permit. One who may owe a wake-up passes it on if there is a second one.
    fn first_free(&self) -> Option<(usize, u64)> {
        let words = self.indices().map(|index| (index, self.places.lines[index].word.load(Ordering::Relaxed)));
        let mut free = words.filter(|(_, seen)| is_free(*seen, self.users));
        let first = free.next()?;
        if self.may_owe && free.next().is_some() {
            self.places.ring_the_bell();
        }
        Some(first)
    }

    /// Sets the waiters bit of each, and notes what each says then. `None`: one is free by now. Does any say that its
    /// holder has died, who may live?
    fn announce(&self, words: &mut [u64; MAX_PERMITS]) -> Option<bool> {
        let mut doubted = false;
        for (line, noted) in self.places.lines.iter().zip(words) {
            let seen = line.word.load(Ordering::Relaxed);
            if is_free(seen, self.users) || low(seen) & WAITERS == 0 && !waiting::announce_waiter(line, seen) {
                return None;
            }
            doubted |= says_owner_died(seen);
            *noted = seen | u64::from(WAITERS);
        }
        point!("permit: announced on all");
        Some(doubted)
    }

    /// What each says.
    fn words(&self) -> [u64; MAX_PERMITS] {
        let word = |index| self.places.lines.get(index).map_or(0, |line: &LockLine| line.word.load(Ordering::Relaxed));
        std::array::from_fn(word)
    }

    /// Looks whether the holders are there, if it is time for that, and frees the permits of those who are not.
    fn marks_dead(&mut self, words: &[u64]) -> bool {
        let looks_up = std::mem::take(&mut self.looks_up) || self.time_is_up;
        let mut any = false;
        for (line, seen) in self.places.lines.iter().zip(words).filter(|(_, seen)| looks_up && is_owned(**seen)) {
            let holder = pair(low(*seen) & TID, high(*seen));
            if holder != self.owner && self.users.is_gone(holder, true) {
                waiting::mark_dead(line, *seen);
                any = true;
            }
        }
        self.may_owe |= any; // more than one may be free by that, and nobody else is told
        any
    }

    /// Are all permits this thread's?
    fn holds_all(&self, words: &[u64]) -> bool {
        let is_own = |index, seen| {
            if self.users.are_watched() { self.users.is_own(seen) } else { self.me.list.contains(self.node(index)) }
        };
        let held = |(index, seen): (usize, &u64)| low(*seen) & TID == self.me.tid && is_own(index, *seen);
        words.iter().take(self.places.lines.len()).enumerate().all(held)
    }

    fn sleep(&mut self, words: &[u64; MAX_PERMITS], ring: u32, doubted: bool) -> Result<(), Failure> {
        let beat = if self.users.are_watched() {
            self.watch.next_look(self.users)
        } else {
            *self.heartbeat.get_or_insert_with(|| Deadline::soon(HEARTBEAT))
        };
        let mut until = self.wait.deadline().map_or(beat, |deadline| deadline.min(beat));
        if doubted {
            until = until.min(Deadline::soon(*DOUBT.end()));
        }
        self.name_bell();
        self.may_owe = true;
        point!("permit: about to sleep");
        let slept = if futex::can_wait_for_many() {
            let words = self.places.lines.iter().map(|line| &line.word).zip(words.iter().map(|word| low(*word)));
            futex::wait_for_any(&self.places.bell.zero, words, until)
        } else {
            futex::wait_on(&self.places.bell.ring, ring, until.min(Deadline::soon(BEAT)))
        };
        self.was_woken = slept.map_err(Failure::Os)?;
        self.check_process()?;
        (self.is_in_turn, self.asks) = (true, true);
        self.name_bell(); // again: a signal handler that used a robust mutex of libc's has overwritten it
        point!("permit: awake");
        let now = Deadline::now();
        self.watch.has_slept(now);
        if beat <= now {
            (self.heartbeat, self.looks_up) = (None, true);
        }
        self.time_is_up = self.wait.deadline().is_some_and(|deadline| deadline <= now);
        Ok(())
    }

    fn check_process(&self) -> Result<(), Failure> {
        if self.me.is_current() { Ok(()) } else { Err(Failure::Forked) }
    }

    fn name_bell(&self) {
        self.name(RobustList::node_of(self.places.bell.word_address()));
    }

    /// As pending, where there is a list.
    fn name(&self, node: Node) {
        if self.me.list.is_known() {
            self.me.list.begin(node, high(self.owner));
        }
    }

    fn node(&self, index: usize) -> Node {
        RobustList::node(&self.places.lines[index].word)
    }
}
