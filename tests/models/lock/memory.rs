//! Memory as the language promises it, and no stronger.
//!
//! Each atomic location has all its values since the start, in the order in which they were written; each value has
//! the *view* that it publishes, which is, for every location, the oldest value that whoever reads it with Acquire may
//! still get, and, for every thread, how much of what that thread did is known. A relaxed load may get any value that
//! the thread's view allows; a read-modify-write gets the last one and hands the view that it found on. A SeqCst fence
//! joins a view that all such fences have in common. Stronger than the language in two things: a store goes to the end
//! of its location's order, and nothing is read before it is written. A SeqCst access counts as Acquire and Release, and
//! the order that all of them have in common is that of the steps: a SeqCst load gets the last SeqCst store, or a later one.
//!
//! Plain data (what the lock protects, and the links of the robust lists) have no such values: whoever touches them must
//! know of the last change.

use std::sync::atomic::Ordering;

use crate::run::{Run, Thread, with};
use crate::stubs::Lines;

/// How many locations and threads there may be.
pub(crate) const VIEW: usize = 40;
/// The first component of a line's plain data.
const DATA: usize = 36;

/// The component of plain data: a line's; or, behind all of these, what belongs to none, as far as there is room in front of
/// them.
fn plain(which: usize) -> usize {
    if which < Lines::MOST { DATA + which } else { DATA - 1 - (which - Lines::MOST) }
}

/// For each location the index of a value; for the plain data of each line, which of its changes are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View(pub(crate) [u8; VIEW]);

impl Default for View {
    fn default() -> Self {
        Self([0; VIEW])
    }
}

impl View {
    pub(crate) fn join(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = theirs.max(*mine);
        }
    }

    /// The view without what cannot matter any more: a number for each location, counted from its base, and whether the
    /// last change of the data is known; or which one, where earlier ones matter, too.
    pub(crate) fn essence(&self, bases: &[u8], changes: &[u8], is_exact: bool) -> [u8; VIEW] {
        let mut essence = [0; VIEW];
        for ((essence, index), base) in essence.iter_mut().zip(self.0).zip(bases) {
            *essence = index.saturating_sub(*base);
        }
        for (line, change) in changes.iter().enumerate() {
            let known = self.0[plain(line)];
            essence[plain(line)] = if is_exact { known } else { u8::from(known == *change) };
        }
        essence
    }
}

/// A value of a location.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) value: u64,
    pub(crate) view: View,
    pub(crate) author: usize,
    /// By a SeqCst store.
    pub(crate) is_sc: bool,
}

pub(crate) fn acquires(order: Ordering) -> bool {
    matches!(order, Ordering::Acquire | Ordering::AcqRel | Ordering::SeqCst)
}

pub(crate) fn releases(order: Ordering) -> bool {
    matches!(order, Ordering::Release | Ordering::AcqRel | Ordering::SeqCst)
}

impl Thread {
    fn reads(&mut self, place: usize, index: usize, view: &View, order: Ordering) {
        self.view.0[place] = self.view.0[place].max(index as u8);
        self.acquired.join(view);
        if acquires(order) {
            self.view.join(view);
        }
    }
}

impl Run {
    pub(crate) fn last(&self, place: usize) -> Message {
        *self.places[place].last().expect("begins with a value")
    }

    /// A load by the current thread.
    fn load(&mut self, place: usize, order: Ordering) -> u64 {
        let newest = self.places[place].len() - 1;
        let mut oldest = usize::from(self.me().view.0[place]);
        if order == Ordering::SeqCst && self.budget.stale > 0 {
            let last = self.places[place].iter().rposition(|message| message.is_sc);
            oldest = oldest.max(last.unwrap_or_default());
        }
        let mut index = newest;
        if self.budget.stale > 0 && oldest < newest {
            index -= self.choose(newest - oldest + 1);
            if index < newest {
                self.budget.stale -= 1;
            }
        }
        let message = self.places[place][index];
        let deadline = self.ghost.deadline[self.current];
        let is_unnoticed = self.world.unnoticed;
        let is_word = self.is_word(place);
        let is_ring = self.world.permits > 0 && self.reader_field(place).is_some();
        let me = self.me();
        if me.seeks && !me.is_amid && is_word && !is_unnoticed {
            me.looks_again(deadline);
        }
        // With a look at the ring each pass over the permits begins.
        if is_ring {
            me.looks_again(deadline);
        }
        me.reads(place, index, &message.view, order);
        me.learns(message.value);
        self.note_read(place, index);
        self.say(|run| {
            format!(
                "loads {} {}{}",
                run.place_name(place),
                run.shown(place, message.value),
                if index < newest { " (not the last)" } else { "" }
            )
        });
        message.value
    }

    /// A store by the current thread.
    fn store(&mut self, place: usize, value: u64, order: Ordering) {
        let me = self.me();
        let view = if releases(order) { me.view } else { me.released };
        self.say(|run| format!("stores {} {} ({order:?})", run.place_name(place), run.shown(place, value)));
        self.append(place, value, view, order);
    }

    fn append(&mut self, place: usize, value: u64, mut view: View, order: Ordering) {
        let index = self.places[place].len();
        if index == 255 {
            self.fail("runs in circles".to_owned());
            return;
        }
        view.0[place] = index as u8;
        let author = self.current;
        self.me().view.0[place] = index as u8;
        let before = self.last(place).value;
        self.places[place].push(Message { value, view, author, is_sc: order == Ordering::SeqCst });
        self.write_real(place, value);
        self.note_write(place, before, value);
    }

    /// A read-modify-write by the current thread: what was there, and whether it was changed.
    pub(crate) fn modify(
        &mut self,
        place: usize,
        change: impl FnOnce(u64) -> Option<u64>,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        let index = self.places[place].len() - 1;
        let message = self.last(place);
        let new = change(message.value);
        let me = self.me();
        me.reads(place, index, &message.view, if new.is_some() { success } else { failure });
        me.learns(message.value);
        let Some(new) = new else {
            self.say(|run| format!("tries {}: finds {}", run.place_name(place), run.shown(place, message.value)));
            return Err(message.value);
        };
        let mut view = if releases(success) { me.view } else { me.released };
        view.join(&message.view);
        self.say(|run| {
            format!(
                "changes {} {} to {} ({success:?})",
                run.place_name(place),
                run.shown(place, message.value),
                run.shown(place, new)
            )
        });
        self.append(place, new, view, success);
        Ok(message.value)
    }

    pub(crate) fn fence(&mut self, order: Ordering) {
        let mut all = self.fences;
        let me = self.me();
        if acquires(order) {
            let acquired = me.acquired;
            me.view.join(&acquired);
        }
        if order == Ordering::SeqCst {
            me.view.join(&all);
            all = me.view;
        }
        if releases(order) {
            me.released = me.view;
        }
        self.fences = all;
    }

    /// Which change of a line's data the current thread knows of.
    pub(crate) fn known(&mut self, line: usize) -> u8 {
        self.me().view.0[plain(line)]
    }

    /// An access by the current thread to what the line's lock protects. Each must know of the last change.
    pub(crate) fn access(&mut self, line: usize, writes: bool) {
        let last = self.changes[line];
        let known = &mut self.me().view.0[plain(line)];
        let is_race = *known != last;
        if writes {
            *known = last + 1;
            self.changes[line] = last + 1;
        }
        if is_race {
            self.fail("RACE: the last holder's changes need not be seen".to_owned());
        }
    }
}

/// A load from the robust list.
///
/// # Safety
///
/// As for `ptr::read_unaligned`.
pub(crate) unsafe fn read(link: *const usize) -> usize {
    with(|run| run.list_access(link.addr(), false));
    // SAFETY: by this function's contract.
    unsafe { link.read_unaligned() }
}

/// A store to the robust list: a thread may die before it, or be interrupted.
///
/// # Safety
///
/// As for `ptr::write_unaligned`.
pub(crate) unsafe fn write(link: *mut usize, value: usize) {
    crate::run::private_step();
    with(|run| {
        // Before its first step it is not there, and its death is nothing.
        run.ghost.may_die[run.current] = true;
        run.list_access(link.addr(), true);
        run.say(|run| format!("    {} = {}", run.address_name(link.addr()), run.address_name(value)));
    });
    // SAFETY: by this function's contract.
    unsafe { link.write_unaligned(value) };
    with(crate::successor::check_lists);
}

impl Run {
    fn list_access(&mut self, address: usize, writes: bool) {
        let successor = || self.successor_of(address).map(|(line, offset)| (self.world.lines + line, offset));
        match self.line_of(address).or_else(successor) {
            Some((line, offset)) if Lines::LINKS.contains(&offset) => {
                self.access(line, writes);
            }
            Some(_) => self.fail("the robust list is outside of its place in the lock line".to_owned()),
            None if self.is_in_heads(address) => {}
            None => {
                let what = if writes { "stores" } else { "loads" };
                self.fail(format!("the robust list {what} through {address:#x}"));
                crate::run::stop();
            }
        }
    }
}

/// What the copies have in place of `std::sync::atomic`.
pub(crate) mod atomic {
    use std::cell::UnsafeCell;

    pub(crate) use std::sync::atomic::{Ordering, compiler_fence};

    use crate::run::{private_step, step, with};

    pub(crate) fn fence(order: Ordering) {
        // With loads of the last values only, it makes no difference when it comes.
        if with(|run| run.world.budget.stale > 0) {
            step();
        }
        with(|run| run.fence(order));
    }

    macro_rules! atomics {
        ($($name:ident $int:ty;)*) => {$(
            /// The memory holds the last value; all of them are in the checker.
            #[repr(transparent)]
            #[derive(Debug, Default)]
            pub(crate) struct $name(UnsafeCell<$int>);

            // SAFETY: only one coroutine runs at a time, all of them on one thread; what is not in a lock line is only
            // used there, too.
            unsafe impl Sync for $name {}

            #[allow(dead_code, reason = "one for all")]
            impl $name {
                pub(crate) const fn new(value: $int) -> Self {
                    Self(UnsafeCell::new(value))
                }

                pub(crate) const fn as_ptr(&self) -> *mut $int {
                    self.0.get()
                }

                /// The step before an access; `None`: to what belongs to the step before, because only one thread comes
                /// to it.
                fn comes_to(&self) -> Option<usize> {
                    let address = self.0.get().addr();
                    let place = with(|run| run.place(address));
                    match place {
                        Some(place) if with(|run| run.is_contended(place)) => step(),
                        Some(_) => private_step(),
                        None => assert!(with(|run| run.is_unknown(address)), "an atomic of a lock line"),
                    }
                    place
                }

                fn plain(&self) -> $int {
                    // SAFETY: only one coroutine runs at a time.
                    unsafe { *self.0.get() }
                }

                fn set_plain(&self, value: $int) {
                    // SAFETY: as above.
                    unsafe { *self.0.get() = value }
                }

                /// A load that belongs to the step before.
                pub(crate) fn look_again(&self, order: Ordering) -> $int {
                    let place = with(|run| run.place(self.0.get().addr())).expect("an atomic of a lock line");
                    with(|run| run.load(place, order)) as $int
                }

                pub(crate) fn load(&self, order: Ordering) -> $int {
                    match self.comes_to() {
                        Some(place) => with(|run| run.load(place, order)) as $int,
                        None => self.plain(),
                    }
                }

                pub(crate) fn store(&self, value: $int, order: Ordering) {
                    match self.comes_to() {
                        Some(place) => with(|run| run.store(place, u64::from(value), order)),
                        None => self.set_plain(value),
                    }
                }

                fn modify(
                    &self,
                    change: impl FnOnce($int) -> Option<$int>,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$int, $int> {
                    let Some(place) = self.comes_to() else {
                        let found = self.plain();
                        return match change(found) {
                            Some(new) => {
                                self.set_plain(new);
                                Ok(found)
                            }
                            None => Err(found),
                        };
                    };
                    let change = |value: u64| change(value as $int).map(u64::from);
                    with(|run| run.modify(place, change, success, failure)).map(|v| v as $int).map_err(|v| v as $int)
                }

                pub(crate) fn compare_exchange(
                    &self,
                    expected: $int,
                    new: $int,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$int, $int> {
                    self.modify(|value| (value == expected).then_some(new), success, failure)
                }

                pub(crate) fn swap(&self, new: $int, order: Ordering) -> $int {
                    self.modify(|_| Some(new), order, order).expect("changes")
                }

                pub(crate) fn fetch_add(&self, more: $int, order: Ordering) -> $int {
                    self.modify(|value| Some(value.wrapping_add(more)), order, order).expect("changes")
                }

                pub(crate) fn fetch_or(&self, more: $int, order: Ordering) -> $int {
                    self.modify(|value| Some(value | more), order, order).expect("changes")
                }

                pub(crate) fn fetch_and(&self, mask: $int, order: Ordering) -> $int {
                    self.modify(|value| Some(value & mask), order, order).expect("changes")
                }
            }
        )*};
    }

    atomics! {
        AtomicU8 u8;
        AtomicU32 u32;
        AtomicU64 u64;
    }
}
