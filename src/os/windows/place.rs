//! A waiter's place among those who want a lock: a queue, of which the first sleeps for the lock, and the others for his place.
//!
//! # The objects
//!
//! A word on which somebody has slept has a number at random in its line, by which the objects are named; whoever cannot read
//! the segment does not know them.
//!
//! | object | is |
//! |---|---|
//! | the *queue*, a mutex | the place of the first. The kernel hands it on in order, and also when its owner dies |
//! | *told*, an event for one | set by whoever releases the lock to sleepers, for the first |
//! | *over*, an event for all | set when the queue has been given up for the next one: see below |
//! | the holder's *life*, a mutex | becomes free when he ends: `life.rs` |
//!
//! Who waits takes the queue's mutex, then says that he has heard all that was told, **looks at the word again**, and sleeps
//! until told, over, or the end of the holder that the word names. He keeps his place until he has the lock, or
//! gives up. Then the next one is the first, and does the same.
//!
//! # Why nobody sleeps for ever
//!
//! **Only the first sleeps on the word**, and so he alone can take what was told away with him when he is killed: but then
//! the next one has his place, and looks. **He sleeps on the right holder**: each release to sleepers wakes him, and with the
//! lock taken by another meanwhile, he sleeps on that one.
//!
//! **Does anybody sleep?** Who releases needs to know it, or the lock would cost a system call for ever after a
//! sleeper was killed. If what was told the last time has not been heard yet, he tries the queue's mutex: if he gets it, nobody
//! sleeps. Those who are on their way to sleep look at the word when they have the queue, which is after that.
//!
//! # A first that is stopped
//!
//! The kernel wakes no stopped thread, and gives it nothing: so those who are stopped while they sleep for the queue
//! hurt nobody. The first, if he is stopped (`SuspendThread`, a debugger), has the queue. Then
//!
//! * **who releases** and finds that for [`PATIENCE`] nobody has heard what was told, gives the queue up;
//! * **the others** look at the word by themselves, after 16 ms, then less and less often, to a second (`sync/watch.rs`), and
//!   take a lock that is free, or whose holder is dead. Who has it in this way, and sees that what was told is older than
//!   [`PATIENCE`], or that the first has not seen a death, gives the queue up.
//!
//! **To give it up** is to set *over*, and then to count the line's number of the queue up, by which the next queue's objects
//! are named. All who sleep for the old one wake, and go to the new. Whoever wakes by *over* counts, too: so it does not matter
//! who dies in between. If the first was not stopped, but late, he goes to the new queue like all others.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::life::{self, Life};
use super::objects::{Event, Mutex, Object, wait_for_any};
use super::random::random_place;
use super::{Deadline, back_off, monotonic_nanos, thread};

/// Is the first of those who sleep for a lock woken when its holder ends, and the next one when the first does?
pub(crate) const TELLS_OF_DEATHS: bool = true;

/// As long may the first take to hear what he is told, in units of 2^20 ns: a quarter of a second.
const PATIENCE: u32 = 238;
const UNIT_BITS: u32 = 20;

/// What a word has in its line for those who sleep.
struct Room<'a> {
    word: &'a AtomicU64,
}

impl<'a> Room<'a> {
    /// # Safety
    ///
    /// The word must be that of a lock line in a segment: with [`Place::ROOM`] behind it, in the same mapping, for as long as it
    /// is borrowed, and nothing in that but what this file puts there.
    unsafe fn of(word: &'a AtomicU64) -> Self {
        Self { word }
    }

    /// # Safety
    ///
    /// `T` must be an atomic that is in the room at this offset, which it is aligned to.
    unsafe fn at<T>(&self, offset: usize) -> &'a T {
        let address = self.word.as_ptr().addr() + Place::ROOM.start as usize + offset;
        // With the provenance of the mapping: that of the reference ends with the word.
        // SAFETY: by the contracts of this function and of `of`, there is such an atomic, mapped for as long as the word. Whatever
        // bytes are there are one, and nobody accesses them otherwise.
        unsafe { &*std::ptr::with_exposed_provenance(address) }
    }

    /// By which the objects are named; 0: nobody has slept here.
    fn number(&self) -> &'a AtomicU64 {
        // SAFETY: the first 8 of 16 bytes, which are aligned as the word.
        unsafe { self.at(0) }
    }

    /// Which queue is in use.
    fn queue(&self) -> &'a AtomicU32 {
        // SAFETY: the next 4.
        unsafe { self.at(8) }
    }

    /// When somebody first told the first what he has not heard yet; 0: he has.
    fn told(&self) -> &'a AtomicU32 {
        // SAFETY: the last 4.
        unsafe { self.at(12) }
    }

    fn number_it(&self) -> u64 {
        let found = self.number().load(Ordering::SeqCst);
        if found != 0 {
            return found;
        }
        let new = random_place() | 1;
        self.number().compare_exchange(0, new, Ordering::SeqCst, Ordering::SeqCst).map_or_else(|found| found, |_| new)
    }

    /// Counts the queue, if it is still this one.
    fn count_from(&self, queue: u32) {
        let _ = self.queue().compare_exchange(queue, queue.wrapping_add(1), Ordering::SeqCst, Ordering::SeqCst);
    }

    fn is_out_of_patience(&self) -> bool {
        let told = self.told().load(Ordering::SeqCst);
        told != 0 && clock().wrapping_sub(told) > PATIENCE
    }
}

fn clock() -> u32 {
    ((monotonic_nanos() >> UNIT_BITS) as u32).max(1)
}

/// The objects of one queue.
#[derive(Debug)]
struct Meeting {
    number: u64,
    queue: u32,
    first: Mutex,
    told: Event,
    over: Event,
}

impl Meeting {
    fn open(number: u64, queue: u32) -> io::Result<Self> {
        let name = |what: &str| format!("{number:016x}-{queue:x}-{what}");
        let (told, over) = (Event::of(&name("told"), false)?, Event::of(&name("over"), true)?);
        Ok(Self { number, queue, first: Mutex::of(&name("queue"))?, told, over })
    }

    /// The one that this process has open, or else opens now.
    fn of(number: u64, queue: u32) -> io::Result<Arc<Self>> {
        if let Some(meeting) = found_among(&mut known(), number, queue) {
            return Ok(meeting);
        }
        let opened = Arc::new(Self::open(number, queue)?);
        let mut known = known();
        // Another thread may have opened it meanwhile.
        if let Some(meeting) = found_among(&mut known, number, queue) {
            return Ok(meeting);
        }
        if known.len() >= KEPT {
            let unused = known.iter().position(|meeting| Arc::strong_count(meeting) == 1);
            unused.map(|unused| known.remove(unused));
        }
        known.push(Arc::clone(&opened));
        Ok(opened)
    }

    /// Everybody is to go to the next queue.
    fn give_up(&self, room: &Room<'_>) -> io::Result<()> {
        self.over.set()?;
        room.count_from(self.queue);
        Ok(())
    }
}

/// So many are kept open for the next wait or release, and more only while more are in use.
const KEPT: usize = 64;

/// Puts it behind those that were asked for before.
fn found_among(known: &mut [Arc<Meeting>], number: u64, queue: u32) -> Option<Arc<Meeting>> {
    let at = known.iter().position(|meeting| (meeting.number, meeting.queue) == (number, queue))?;
    known[at..].rotate_left(1);
    known.last().cloned()
}

/// The open ones, of which the last was asked for last.
fn known() -> MutexGuard<'static, Vec<Arc<Meeting>>> {
    static KNOWN: std::sync::Mutex<Vec<Arc<Meeting>>> = std::sync::Mutex::new(Vec::new());
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of one wait for one lock.
#[derive(Debug)]
pub(crate) struct Place {
    /// Whose first this thread is.
    first_of: Option<Arc<Meeting>>,
    /// The thread whose end has woken this one, or that was nowhere to be found.
    ended: u32,
    /// The last sleep was one for the queue, and its time was up.
    has_overslept: bool,
    /// Of the holder that was slept on last.
    life: Option<(u32, Life)>,
}

impl Place {
    /// Where a word has room for those who sleep, relative to it.
    pub(crate) const ROOM: std::ops::Range<isize> = 8..24;

    pub(crate) const fn new() -> Self {
        Self { first_of: None, ended: 0, has_overslept: false, life: None }
    }

    /// Sleeps for the lock while the lower half of `word` is `expected`, until told, until the holder ends, or until then.
    /// Was it told, as the first of all? Then it is for this thread to take the lock, or to leave its place.
    pub(crate) fn wait(&mut self, word: &AtomicU64, expected: u32, _classes: u32, until: Deadline) -> io::Result<bool> {
        // SAFETY: who waits for a lock passes the word of its line, which stays mapped as long as he waits.
        let room = unsafe { Room::of(word) };
        let was_not_found = std::mem::take(&mut self.ended);
        let (number, queue) = (room.number_it(), room.queue().load(Ordering::SeqCst));
        let Some(meeting) = self.come_first(&room, number, queue, until)? else { return Ok(false) };
        // SeqCst: before the looks, as who releases looks at it after the release.
        room.told().store(0, Ordering::SeqCst);
        if room.queue().load(Ordering::SeqCst) != queue || word.load(Ordering::SeqCst) as u32 != expected {
            return Ok(false);
        }
        let holder = expected & back_off::TID;
        if holder == 0 {
            return self.sleep(&room, &meeting, None, until);
        }
        if self.life.as_ref().is_none_or(|(of, _)| *of != holder) {
            // One's own number in the word is a dead namesake's.
            let found = if holder == thread::number() { Ok(None) } else { life::of(holder) };
            // An error means that a stranger has made something of this name. He may keep the holder's end from being heard of,
            // and not a release: so it is as with a holder whose objects are others.
            self.life = found.unwrap_or(None).map(|life| (holder, life));
        }
        if self.life.is_some() {
            return self.sleep(&room, &meeting, Some(holder), until);
        }
        if was_not_found == holder {
            // The caller has asked, and his process's files are not closed yet.
            self.sleep(&room, &meeting, None, until.min(Deadline::soon(Duration::from_millis(1))))?;
        }
        self.ended = holder;
        Ok(false)
    }

    /// Sleeps until this thread is the first, which it may be already.
    fn come_first(
        &mut self,
        room: &Room<'_>,
        number: u64,
        queue: u32,
        until: Deadline,
    ) -> io::Result<Option<Arc<Meeting>>> {
        self.has_overslept = false;
        if let Some(meeting) = &self.first_of
            && (meeting.number, meeting.queue) == (number, queue)
        {
            return Ok(Some(Arc::clone(meeting)));
        }
        self.leave();
        let meeting = Meeting::of(number, queue)?;
        match wait_for_any(&[&meeting.over, &meeting.first], until)? {
            None => self.has_overslept = true,
            Some(0) => room.count_from(queue),
            Some(_) => self.first_of = Some(Arc::clone(&meeting)),
        }
        Ok(self.first_of.is_some().then_some(meeting))
    }

    /// The first's sleep.
    fn sleep(&mut self, room: &Room<'_>, meeting: &Meeting, holder: Option<u32>, until: Deadline) -> io::Result<bool> {
        let life = self.life.as_ref().filter(|_| holder.is_some());
        let mut objects: [&dyn Object; 3] = [&meeting.told, &meeting.over, &meeting.over];
        let count = if let Some((_, life)) = life {
            objects[2] = life.as_object();
            3
        } else {
            2
        };
        match wait_for_any(&objects[..count], until)? {
            Some(0) => return Ok(true),
            Some(1) => {
                room.count_from(meeting.queue);
                self.leave();
            }
            Some(_) => {
                if let Some((of, life)) = life {
                    life.pass_on();
                    self.ended = *of;
                }
            }
            None => {}
        }
        Ok(false)
    }

    /// May this waiter ask to be preferred? Who is told is the first.
    pub(crate) fn may_be_preferred(&self) -> bool {
        self.first_of.is_some()
    }

    /// Was it woken because there is no thread of this number any more?
    pub(crate) fn heard_of_the_end_of(&self, number: u32) -> bool {
        self.ended == number
    }

    /// Another is to be the first; for one who will be away.
    pub(crate) fn leave(&mut self) {
        if let Some(meeting) = self.first_of.take() {
            meeting.first.give_back();
        }
    }

    /// The wait is over; the lock was taken from this word, or not at all.
    pub(crate) fn end(&mut self, word: &AtomicU64, taken_from: Option<u64>) {
        // SAFETY: as in `wait`.
        let room = unsafe { Room::of(word) };
        if let Some(seen) = taken_from
            && self.has_overslept
            && (seen as u32 & back_off::OWNER_DIED != 0 || room.is_out_of_patience())
        {
            // Without it, the others look by themselves.
            let meeting = Meeting::of(room.number_it(), room.queue().load(Ordering::SeqCst));
            let _ = meeting.and_then(|meeting| meeting.give_up(&room));
        }
        self.leave();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Tells the first of those who sleep for the lock, after the release. Was there one?
pub(super) fn tell(word: &AtomicU64) -> io::Result<bool> {
    // SAFETY: all whom `futex::wake_one` wakes sleep on the word of a line: there is no such call for other words.
    let room = unsafe { Room::of(word) };
    // SeqCst, and what follows as well: after the release.
    let number = room.number().load(Ordering::SeqCst);
    if number == 0 {
        return Ok(false);
    }
    let meeting = Meeting::of(number, room.queue().load(Ordering::SeqCst))?;
    let was_heard = room.told().compare_exchange(0, clock(), Ordering::SeqCst, Ordering::SeqCst).is_ok();
    if !was_heard {
        if meeting.first.try_take()? {
            meeting.first.give_back();
            return Ok(false);
        }
        if room.is_out_of_patience() {
            room.told().store(clock(), Ordering::SeqCst);
            meeting.give_up(&room)?;
            return Ok(true);
        }
    }
    meeting.told.set()?;
    Ok(true)
}

#[cfg(test)]
mod tests;
