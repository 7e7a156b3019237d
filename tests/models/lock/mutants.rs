//! What is done wrong on purpose, one thing at a time, in copies of the source.

#[allow(dead_code, reason = "not all of them have mutants")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Kind,
    Lock,
    Gate,
    Credit,
    Sleep,
    Changes,
    Condition,
    Word,
    RobustFutex,
    Waiting,
    Watch,
    Watched,
    Reservation,
    Successor,
    Event,
    Readers,
    Permits,
    Poison,
    Users,
    RobustList,
    Find,
    Nested,
    Proof,
}

use File::{
    Changes, Condition, Credit, Event, Gate, Nested, Permits, Readers, Reservation, RobustFutex, RobustList, Sleep,
    Successor, Users, Waiting, Watch, Watched,
};

#[derive(Debug)]
pub(crate) struct Edit {
    pub(crate) file: File,
    /// Stands in the file once.
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

/// A careless change, the world in which it is found, and what is found there.
#[derive(Debug)]
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) world: &'static str,
    pub(crate) found: &'static str,
    pub(crate) edits: &'static [Edit],
}

macro_rules! mutants {
    ($($name:ident in $world:ident: $found:literal { $($file:ident: $from:literal => $to:literal;)* })*) => {
        &[$(Mutant {
            name: stringify!($name),
            world: stringify!($world),
            found: $found,
            edits: &[$(Edit { file: $file, from: $from, to: $to }),*],
        }),*]
    };
}

pub(crate) const MUTANTS: &[Mutant] = mutants! {
    // The waiters bit and its epoch.
    epoch_is_not_counted in four: "LOST" {
        RobustFutex: "line.epoch.load(Ordering::Relaxed).wrapping_add(1);" => "line.epoch.load(Ordering::Relaxed);";
    }
    epoch_is_ignored in four: "LOST" {
        RobustFutex: "    let _ = line.word.compare_exchange(free, 0, Ordering::Relaxed, Ordering::Relaxed);" =>
            "    let _ = free; let now = line.word.load(Ordering::Relaxed); if low(now) == WAITERS { let _ = line.word.compare_exchange(now, 0, Ordering::Relaxed, Ordering::Relaxed); }";
    }
    bit_is_dropped_by_who_acquires in three: "LOST" {
        Waiting: "let held = if marked { owner | u64::from(WAITERS) } else { owner };" => "let held = owner;";
    }
    release_swaps_to_zero in three: "LOST" {
        RobustFutex: "let free = pair(WAITERS, epoch);" => "let free = 0;";
    }
    release_wakes_nobody in three: "LOST" {
        Gate: "matches!(futex::wake_one(&line.word, self.classes), Ok(false))" => "false";
    }

    // Waits that are given up.
    wake_up_is_taken_along_by_who_gives_up in asks: "LOST" {
        Waiting: "        let mut seen = self.line.word.load(Ordering::Relaxed);\n        if is_owned(seen) {\n            if matches!(self.wait, Wait::No)" =>
            "        self.ask()?;\n        let mut seen = self.line.word.load(Ordering::Relaxed);\n        if is_owned(seen) {\n            if matches!(self.wait, Wait::No)";
    }
    setting_is_taken_along_by_who_gives_up in asks_event: "LOST" {
        Event: "            asks = true;\n" => "            if interrupts::are_asked() { interrupts::ask()?; }\n";
    }
    commit_is_taken_along_by_who_gives_up in asks_watch: "" {
        Sleep: "        self.asks.set(true);\n" => "        self.asks.set(true);\n        self.ask()?;\n";
    }
    notification_is_taken_along_by_who_gives_up in asks_condition: "LOST NOTIFICATION" {
        Condition: "credit::leave(condition, false);" => "credit::leave(condition, true);";
    }
    who_gives_up_has_no_lock_and_counts_itself_no_more in asks_condition: "LOST NOTIFICATION" {
        Condition: "    if matches!(failure, Failure::Interrupted(_)) && sleep.lock(Wait::No, true).is_ok() {" =>
            "    if matches!(failure, Failure::Interrupted(_)) {\n        return credit::leave(condition, false);\n    }\n    if false {";
    }
    permit_is_taken_along_by_who_gives_up in asks_permits: "LOST" {
        Permits: "            let ring = self.places.bell.ring.load(Ordering::Acquire); // before the look at the permits\n" =>
            "            self.ask()?;\n            let ring = self.places.bell.ring.load(Ordering::Acquire);\n";
    }
    death_is_taken_along_by_who_gives_up in asks_several: "LOST" {
        Waiting: "if self.asks && interrupts::are_asked() && std::mem::take(&mut self.was_woken) {" => "if false {";
    }

    // Deaths.
    dead_holder_is_marked_blindly in unnoticed: "" {
        Waiting: "let _ = line.word.compare_exchange(seen, dead, Ordering::Release, Ordering::Relaxed);" =>
            "let _ = seen; line.word.store(dead, Ordering::Release);";
    }
    dead_holder_is_marked_without_the_bit_and_acquired_so in unnoticed: "LOST" {
        Waiting: "let dead = pair(WAITERS | OWNER_DIED, high(seen));" => "let dead = pair(OWNER_DIED, high(seen));";
        Waiting: "let marked = low(seen) & (WAITERS | OWNER_DIED) != 0;" => "let marked = low(seen) & WAITERS != 0;";
    }
    dead_holder_is_marked_relaxed in unnoticed: "RACE" {
        Waiting: "compare_exchange(seen, dead, Ordering::Release, Ordering::Relaxed)" =>
            "compare_exchange(seen, dead, Ordering::Relaxed, Ordering::Relaxed)";
        Waiting: "    fence(Ordering::SeqCst);\n" => "";
    }
    dead_holder_is_never_marked in unnoticed: "runs in circles" {
        Waiting: "compare_exchange(seen, dead, Ordering::Release, Ordering::Relaxed)" =>
            "compare_exchange(dead, dead, Ordering::Release, Ordering::Relaxed)";
    }
    namesake_is_taken_for_oneself in namesakes: "WouldDeadlock" {
        Waiting: "self.me.list.has_one(|listed| listed == node || segment.is_some() && segment_of(listed) == segment)" =>
            "true";
    }
    death_does_not_poison in two: "POISON" {
        Waiting: "    if low(seen) & OWNER_DIED != 0 {\n        poison" => "    if false {\n        poison";
    }
    every_wake_up_poisons in three: "POISON" {
        Waiting: "    if low(seen) & OWNER_DIED != 0 {\n        poison" => "    if marked {\n        poison";
    }
    node_is_not_pending_after_a_sleep in libc: "handed over" {
        Waiting: "self.me.list.begin(RobustList::node(&self.line.word), high(self.owner));" => "";
    }
    node_is_not_pending_before_the_fast_acquisition in two: "handed over" {
        RobustFutex: "    let node = RobustList::node(&line.word);\n    list.begin(node, high(owner));\n    // Acquire" =>
            "    let node = RobustList::node(&line.word);\n    // Acquire";
    }
    node_is_not_pending_before_the_slow_acquisition in two: "handed over" {
        RobustFutex: "    me.list.begin(node, lock.users.slot());\n" => "";
        Waiting: "self.me.list.begin(RobustList::node(&self.line.word), high(self.owner));" => "";
    }
    pending_is_cleared_before_the_fast_release in two: "handed over" {
        RobustFutex: "    list.unlink_alone();\n    // Release" => "    list.unlink_alone();\n    list.end();\n    // Release";
    }
    pending_is_cleared_before_the_slow_release in among_others: "handed over" {
        RobustFutex: "    list.unlink(node);\n" => "    list.unlink(node);\n    list.end();\n";
    }
    pending_is_cleared_before_the_wake_up in three: "LOST" {
        RobustFutex: "    unlock_and_wake(line, waits, successor, owner, Owed::NOTHING);\n    list.end();" => "    list.end();\n    unlock_and_wake(line, waits, successor, owner, Owed::NOTHING);";
    }
    pending_is_left_by_who_fails in timed: "left" {
        RobustFutex: "            me.list.resume(interrupted);\n" => "";
    }
    pending_is_left_by_the_fast_path in two: "left" {
        RobustFutex: "        list.end();\n        return false;\n    }\n    point!" => "        return false;\n    }\n    point!";
    }
    pending_is_left_by_the_fast_release in two: "left" {
        RobustFutex: "        point!(\"unlock: released\");\n        list.end();" => "        point!(\"unlock: released\");";
    }
    node_is_unlinked_after_the_fast_release in two: "" {
        RobustFutex: "    list.unlink_alone();\n    // Release" => "    // Release";
        RobustFutex: "        point!(\"unlock: released\");\n" => "        list.unlink_alone();\n";
    }
    node_is_unlinked_after_the_slow_release in among_others: "" {
        RobustFutex: "    list.unlink(node);\n" => "";
        RobustFutex: "        wake();\n    }\n    list.resume(interrupted);" =>
            "        wake();\n    }\n    list.unlink(node);\n    list.resume(interrupted);";
    }
    node_is_not_linked in two: "" {
        RobustFutex: "        list.link_alone(node);\n        return Linked::Alone;" => "        return Linked::Alone;";
    }

    // Several PID namespaces.
    death_is_believed_without_the_byte in several: "EXCLUSION" {
        Users: "&& (self.are_watched || self.are_in_one_namespace() || self.is_absent(high(seen)))" => "";
    }
    own_byte_is_asked in several_threads: "EXCLUSION" {
        Users: "slot != self.seat.slot() && self.seat.is_free(slot)" => "self.seat.is_free(slot)";
    }
    others_are_told_too_late_that_there_are_several in several_late: "EXCLUSION" {}
    newcomer_has_the_slot_of_the_dead in several_reused: "circles" {}
    live_holder_cannot_release_what_the_kernel_has_marked in several: "" {
        RobustFutex: "    if !names(seen, owner) {\n        return None;\n    }\n    // Only" =>
            "    if low(seen) & !WAITERS != low(owner) {\n        return None;\n    }\n    // Only";
    }
    wake_up_is_kept_by_who_gives_up_in_doubt in several_timed: "LOST" {
        Waiting: "            let _ = futex::wake_one(&self.line.word, LOCKER);\n            return Err(Failure::TimedOut { holder: 0 });" =>
            "            return Err(Failure::TimedOut { holder: 0 });";
    }
    who_doubts_has_no_timer in several: "" {
        Waiting: "        let until = Deadline::soon(self.doubt);\n" => "        let until = Deadline::soon(HEARTBEAT);\n";
    }
    namesakes_word_is_ones_own_death in several_unnoticed: "EXCLUSION" {
        Waiting: "if !self.users.are_watched() && self.users.are_in_one_namespace() && self.me.is_current() {" => "if true {";
    }
    ids_are_asked_across_namespaces in several_strangers: "EXCLUSION" {
        Users: "closely && here && !self.are_watched && death::is_dead_thread(tid)" => "death::is_dead_thread(tid)";
    }
    flag_is_written_without_a_fence in several_stale: "EXCLUSION" {
        Users: "        fence(Ordering::SeqCst);\n" => "";
    }
    flag_is_looked_at_without_a_fence in several_stale: "EXCLUSION" {
        Users: "        fence(Ordering::Acquire); // pairs with the fence in `enter`\n" => "";
    }
    handler_lends_a_place_to_a_namesakes_lock in several_nested: "" {
        Nested: "if has_slot(node) { whole(node)" => "if false { whole(node)";
    }

    // Where nobody is told.
    death_is_believed_without_asking in file_two: "EXCLUSION" {
        Users: "slot != self.seat.slot() && self.seat.is_free(slot)" => "slot != self.seat.slot()";
    }
    own_byte_is_asked_where_nobody_is_told in file_threads: "EXCLUSION" {
        Users: "slot != self.seat.slot() && self.seat.is_free(slot)" => "self.seat.is_free(slot)";
    }
    ids_are_asked_where_nobody_is_told in file_threads: "EXCLUSION" {
        Users: "closely && here && !self.are_watched && death::is_dead_thread(tid)" => "death::is_dead_thread(tid)";
    }
    nobody_watches in file_watch: "SLOW" {
        Watch: "if !self.is_watcher && users.try_watch() {" => "if false {";
    }
    watcher_sleeps_as_long_as_who_relies_on_him in file_watch: "SLOW" {
        Watch: "let next = Deadline::soon(if self.is_watcher { OFTEN } else { self.relies_for });" =>
            "let next = Deadline::soon(self.relies_for);";
        Watch: "        if !self.is_watcher {\n            self.relies_for" => "        {\n            self.relies_for";
    }
    watch_is_not_handed_on in file_watch: "SLOW" {
        Waiting: "if was_watcher || self.users" => "if self.users";
    }
    watcher_keeps_its_byte in file_watch: "SLOW" {
        Watch: "            users.stop_watching();\n" => "";
    }
    watch_is_kept_by_who_gives_up in file_give_up: "SLOW" {
        Waiting: "|| self.users.are_watched() && self.was_woken && !has_lock" => "";
    }
    who_waits_looks_at_the_heartbeat in file_two: "SLOW" {
        Waiting: "self.watch.next_look(self.users)" => "Deadline::soon(HEARTBEAT)";
    }
    who_is_woken_does_not_look_for_a_death in file_two: "circles" {
        Waiting: "return looks && self.users.is_gone(holder, false);" => "return false;";
    }
    fast_acquisition_is_relaxed_where_nobody_is_told in file_two: "RACE" {
        Watched: "compare_exchange(0, owner, Ordering::Acquire, Ordering::Relaxed)" =>
            "compare_exchange(0, owner, Ordering::Relaxed, Ordering::Relaxed)";
    }
    fast_release_is_relaxed_where_nobody_is_told in file_two: "RACE" {
        Watched: "compare_exchange(owner, 0, Ordering::Release, Ordering::Relaxed)" =>
            "compare_exchange(owner, 0, Ordering::Relaxed, Ordering::Relaxed)";
    }

    // The event.
    event_drops_the_bit_before_all_are_woken in event_waiters: "LOST" {
        Event: "    futex::wake_all(&line.word).map_err(Failure::Os)?;\n" => "";
        Event: "    point!(\"event: known to be told\");\n" => "    futex::wake_all(&line.word).map_err(Failure::Os)?;\n";
    }
    event_is_cleared_before_all_are_woken in event_deaths: "LOST" {
        Event: "        if has_sleepers(seen) {\n            return false;\n        }\n" => "";
        Event: "compare_exchange(seen, pair(0, high(seen)), Ordering::AcqRel, Ordering::Acquire)" =>
            "compare_exchange(seen, pair(low(seen) & WAITERS, high(seen)), Ordering::AcqRel, Ordering::Acquire)";
    }
    event_drops_the_bit_of_whatever_generation in event_left: "LOST" {
        Event: "    let _ = line.word.compare_exchange(seen, pair(SET, high(seen)), Ordering::Acquire, Ordering::Acquire);" =>
            "    let now = line.word.load(Ordering::Acquire); if low(now) == low(seen) { let _ = line.word.compare_exchange(now, pair(SET, high(now)), Ordering::Acquire, Ordering::Acquire); }";
    }
    event_is_left_to_its_dead_setter in event_waiters: "LOST" {
        Event: "return if has_sleepers(seen) { tell_all(line, seen) } else { Ok(()) };" => "return Ok(());";
    }
    event_is_not_pending_while_it_is_set in event: "LOST" {
        Event: "pub(super) fn set_slow(line: &LockLine, me: &Thread, slot: u32) -> Result<(), Failure> {\n" =>
            "pub(super) fn set_slow(line: &LockLine, me: &Thread, slot: u32) -> Result<(), Failure> {\n    let nobody = Thread { list: RobustList::NONE, ..*me };\n    let me = &nobody;\n";
    }
    event_is_not_pending_while_one_sleeps in event_libc: "LOST" {
        Event: ") -> Result<(), Failure> {\n    named(line, me, slot, || {\n        let (mut seen" =>
            ") -> Result<(), Failure> {\n    let nobody = Thread { list: RobustList::NONE, ..*me };\n    let me = &nobody;\n    named(line, me, slot, || {\n        let (mut seen";
    }
    event_is_not_pending_after_a_sleep in event_libc: "LOST" {
        Event: "            name(line, me, slot); // again" => "            // again";
    }
    event_is_left_pending in event: "left" {
        Event: "        me.list.resume(interrupted);\n" => "";
    }
    event_wakes_one in event_waiters: "LOST" {
        Event: "futex::wake_all(&line.word)" => "futex::wake_one(&line.word, LOCKER).map(drop)";
    }
    event_counts_no_generation in event: "LOST" {
        Event: "high(seen).wrapping_add(1)" => "high(seen)";
    }
    event_looks_at_no_generation in event: "LOST" {
        Event: "            if high(seen) != high(first) {\n" => "            if false {\n";
    }
    event_is_set_by_a_look_if_it_is_set in event_setters: "UNSEEN" {
        Event: "    while !has_sleepers(seen) {\n" =>
            "    if says_set(seen) && !has_sleepers(seen) {\n        return true;\n    }\n    while !has_sleepers(seen) {\n";
    }
    event_is_not_looked_at_when_the_time_is_up in event_timed: "TIMED OUT" {
        Event: "            time_is_up = sleep(line, me, deadline)?;\n" =>
            "            time_is_up = sleep(line, me, deadline)?;\n            if time_is_up {\n                return Err(Failure::TimedOut { holder: 0 });\n            }\n";
    }
    event_sleeps_past_its_deadline in event_timed: "LATE" {
        Event: "deadline.map_or(beat, |deadline| deadline.min(beat))" => "beat";
    }
    event_has_its_setter_interrupted_and_nobody_woken in event_nested: "LOST" {
        Nested: "!futex::wake_one_at(node.wrapping_add_signed(FUTEX_OFFSET))" => "false";
    }
    event_is_set_relaxed in event: "UNSEEN" {
        Event: "compare_exchange(seen, after_setting(seen), Ordering::Release, Ordering::Relaxed)" =>
            "compare_exchange(seen, after_setting(seen), Ordering::Relaxed, Ordering::Relaxed)";
    }
    event_is_set_relaxed_where_one_sleeps in event: "UNSEEN" {
        Event: "compare_exchange(seen, next, Ordering::Release, Ordering::Relaxed)" =>
            "compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed)";
    }
    event_is_waited_for_relaxed in event: "UNSEEN" {
        Event: "    let seen = line.word.load(Ordering::Acquire);\n    if says_set" =>
            "    let seen = line.word.load(Ordering::Relaxed);\n    if says_set";
    }
    event_is_waited_for_relaxed_by_one_who_sleeps in event: "UNSEEN" {
        Event: "            seen = line.word.load(Ordering::Acquire);\n" =>
            "            seen = line.word.load(Ordering::Relaxed);\n";
    }
    event_is_waited_for_relaxed_by_one_who_is_too_late_to_sleep in event: "UNSEEN" {
        Event: "compare_exchange(seen, announced, Ordering::Relaxed, Ordering::Acquire)" =>
            "compare_exchange(seen, announced, Ordering::Relaxed, Ordering::Relaxed)";
    }
    event_is_known_to_be_told_without_seeing_who_has_set_it_again in event: "UNSEEN" {
        Event: "compare_exchange(seen, pair(SET, high(seen)), Ordering::Acquire, Ordering::Acquire)" =>
            "compare_exchange(seen, pair(SET, high(seen)), Ordering::Relaxed, Ordering::Relaxed)";
    }
    event_is_cleared_without_seeing_why_it_is_set in event_setters: "UNSEEN" {
        Event: "Ordering::AcqRel, Ordering::Acquire)" => "Ordering::Release, Ordering::Acquire)";
    }

    // Those who wait for what a holder does.
    gate_is_not_counted in watch: "LOST" {
        Gate: "waits.gate.fetch_add(1, Ordering::SeqCst).wrapping_add(1)" => "waits.gate.load(Ordering::SeqCst)";
    }
    flag_of_the_gate_goes_before_the_move in watch_writers: "LOST" {
        Gate: "    waits.at_gate.store(0, Ordering::Relaxed);\n" => "";
        Gate: "    let count = waits" => "    waits.at_gate.store(0, Ordering::Relaxed);\n    let count = waits";
    }
    nobody_is_moved in watch: "LOST" {
        Gate: "    let _ = futex::move_all(&waits.gate, count, &line.word);\n" => "    let _ = count;\n";
    }
    bit_is_cleared_although_some_wait in watch_discards: "LOST" {
        Gate: "self.are_lockers || self.probes && matches!(futex::wake_one(&line.word, ANY), Ok(false))" => "true";
    }
    lockers_are_looked_at_before_the_release in watch_writers: "LOST" {
        RobustFutex: "    let sleepers = gate::look(line, waits);\n    let Some((free, _))" =>
            "    let sleepers = gate::look(line, waits);\n    let early = waits.lockers.load(Ordering::Relaxed);\n    let Some((free, _))";
        RobustFutex: "if !wake_next(line, waits, successor, sleepers) && " =>
            "if !(early > 0 && wake_next(line, waits, successor, sleepers)) && ";
    }
    lockers_are_counted_when_they_wake in watch_writers: "LOST" {
        Waiting: "        self.waits.lockers.fetch_add(1, Ordering::SeqCst);\n" => "";
        Waiting: "        if self.me.is_current() {\n            gate::one_less" =>
            "        self.waits.lockers.fetch_add(1, Ordering::SeqCst);\n        if self.me.is_current() {\n            gate::one_less";
    }
    watchers_do_not_pass_on in watch_writers: "LOST" {
        Changes: "            self.pass_on();\n" => "";
    }
    watchers_do_not_look_at_the_note in watch_writers: "LOST" {
        Changes: "says_owner_died(seen) || waits.owed.load(Ordering::Relaxed) != 0" => "says_owner_died(seen)";
    }
    watchers_keep_the_wake_up_that_comes_with_the_deadline in watch_gives_up: "LOST" {
        Changes: "(self.was_woken || is_due())" => "is_due()";
    }
    commit_is_owed_without_a_note in watch_writers: "LOST" {
        Gate: "        waits.owed.store(mark, Ordering::Relaxed); // published by the Release of the commit\n" => "";
    }
    debt_is_not_paid_by_the_next_holder in watch_debts: "LOST CHANGE" {
        Gate: "    if waits.owed.load(Ordering::Relaxed) != 0 {\n" => "    if false {\n";
    }
    nobody_is_told_of_a_commit in watch: "LOST CHANGE" {
        Gate: "        let _ = futex::wake_all_of(&line.word, WATCHER);\n        point!(\"owed: told\");" => "";
    }
    one_who_watches_does_not_look_again_with_the_lock in watch: "LOST CHANGE" {
        Changes: "            if is_changed() {\n                self.sleep.unlock();\n                return Ok(true);\n            }\n" => "";
    }
    who_watches_leaves_the_slot_as_it_is in watch: "left" {
        Sleep: "            self.me.list.resume(self.interrupted);\n" => "";
    }
    who_comes_to_the_gate_clears_the_bit in watch: "LOST" {
        RobustFutex: "    let free = pair(WAITERS, epoch);\n" =>
            "    let free = if low(seen) & WAITERS == 0 { 0 } else { pair(WAITERS, epoch) };\n";
    }
    who_comes_to_the_gate_wakes_nobody in watch_writers: "LOST" {
        Sleep: "        if had_sleepers {\n" => "        if false {\n";
    }
    who_watches_sleeps_past_its_deadline in watch_timed: "LATE" {
        Sleep: "deadline.map_or(beat, |deadline| deadline.min(beat))" => "beat";
    }
    holders_death_is_not_told_to_who_waits in condition_consumers: "UNTOLD" {
        Gate: "        credit::notify(condition, Whom::Everybody);\n" => "        let _ = condition;\n";
    }
    credit_is_taken_by_who_wakes in condition_producers: "LOST NOTIFICATION" {
        Gate: "            classes |= condition_class(which);\n" =>
            "            classes |= condition_class(which);\n            condition.credit.store(condition.credit.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);\n";
        Credit: "credit.saturating_sub(takes.into())" => "credit";
    }
    credit_wakes_nobody in condition: "LOST NOTIFICATION" {
        Gate: "            classes |= condition_class(which);\n" => "";
    }
    notified_are_woken_under_the_lock in condition_consumers: "" {
        Gate: "            classes |= condition_class(which);\n" => "";
        Credit: "    condition.credit.store(credit, Ordering::Relaxed);\n    point!(\"condition: credit given\");" =>
            "    condition.credit.store(credit, Ordering::Relaxed);\n    crate::world::wake_first_condition();";
    }
    credit_is_dropped_without_a_look in condition_producers: "LOST NOTIFICATION" {
        Credit: "    let is_nobody = matches!(futex::wake_one(&line.word, condition_class(which)), Ok(false));\n" =>
            "    let is_nobody = true;\n";
    }
    who_waits_is_not_counted in condition: "LOST NOTIFICATION" {
        Condition: "    condition.waiting.store(waiting.saturating_add(1), Ordering::Relaxed);\n" => "    let _ = waiting;\n";
    }
    who_comes_back_does_not_look_at_the_number in condition: "LOST" {
        Condition: "let was_counted = condition.notified.load(Ordering::Relaxed) != noted;" => "let was_counted = noted == u32::MAX;";
    }
    credit_is_dropped_and_nobody_told in condition_producers: "LOST NOTIFICATION" {
        Credit: "waits.dropped.load(Ordering::Relaxed).wrapping_add(1)" => "waits.dropped.load(Ordering::Relaxed)";
    }

    // The successor.
    dead_successor_is_relied_on in successor_three: "LOST" {
        Successor: "high(seen) != 0 && low(seen) & OWNER_DIED == 0 && low(seen) != 0 &&" => "high(seen) != 0 &&";
    }
    successor_is_relied_on_for_ever in successor_stops: "LOST" {
        Successor: " && stamp().wrapping_sub(high(seen)) < RELIED_ON" => "";
    }
    successor_is_named_in_the_place_of_another in successor_three: "" {
        Successor: "low(seen) & !OWNER_DIED != 0 || " => "";
    }
    successor_is_named_without_pending in successor: "still named" {
        Successor: "        me.list.begin(node, 0);\n        // Acquire" => "        // Acquire";
    }
    successor_is_relied_on_when_it_is_named in successor_three: "LOST" {
        Successor: "pair(me.tid, 0), Ordering::Acquire" => "pair(me.tid, stamp()), Ordering::Acquire";
    }
    successor_dozes_with_its_line_pending in successor_three: "LOST" {
        Successor: "        me.list.begin(RobustList::node(&lock.word), slot);\n        is_named" => "        is_named";
    }
    successor_goes_on_with_its_line_pending in successor_three: "LOST" {
        Successor: "                    me.list.begin(RobustList::node(&lock.word), slot);\n" => "";
    }
    successor_is_unnamed_with_its_node_in_the_list in successor_three: "" {
        Successor: "        list.unlink(node);\n" => "";
        Successor: "        point!(\"successor: nobody\");\n" => "        list.unlink(node);\n";
    }
    successor_is_unnamed_without_pending in successor: "still named" {
        Successor: "        list.begin(node, 0);\n        list.unlink(node);" => "        list.unlink(node);";
    }
    successor_is_unnamed_before_its_lock_is_in_the_list in successor: "handed over" {
        Successor: "        list.link(node);\n        self.unname(list);" => "        self.unname(list);\n        list.link(node);";
    }
    successor_stays_named_with_the_lock in successor: "left" {
        Successor: "        self.unname(list);\n        list.resume(interrupted);" => "        list.resume(interrupted);";
    }
    successor_gives_up_without_a_look in successor_timed: "LOST" {
        Successor: "        if !self.is_passed_by(lock) {\n            // Whoever" =>
            "        self.is_passed_by(lock);\n        if false {\n            // Whoever";
    }
    successor_gives_up_while_it_is_relied_on in successor_timed: "LOST" {
        Successor: "        self.line.word.store(u64::from(low(relied_on)), Ordering::SeqCst);\n" => "        let _ = relied_on;\n";
    }
    successor_looks_before_it_is_not_relied_on in successor_timed: "LOST" {
        Successor: "        let relied_on = self.line" => "        let early = is_owned(lock.word.load(Ordering::Relaxed));\n        let relied_on = self.line";
        Successor: "        is_owned(lock.word.load(Ordering::SeqCst))\n" => "        early\n";
    }
    successor_looks_relaxed in successor_stale: "LOST" {
        Successor: "is_owned(lock.word.load(Ordering::SeqCst))" => "is_owned(lock.word.load(Ordering::Relaxed))";
    }
    successor_does_not_step_aside_for_a_handler in successor_handler: "LOST" {
        RobustFutex: "|| successor::step_aside(me)" => "|| ()";
    }
    successor_is_relied_on_although_a_condition_is_due in successor_condition: "LOST NOTIFICATION" {
        RobustFutex: "sleepers.may_all_sleep_on() && " => "";
    }

    // Time.
    no_try_after_the_time_is_up in timed: "LOST" {
        Waiting: "        self.time_is_up = deadline.is_some_and(|deadline| deadline <= now);\n" =>
            "        if deadline.is_some_and(|deadline| deadline <= now) { return Err(Failure::TimedOut { holder: 0 }); }\n";
    }
    time_is_never_up in timed: "" {
        Waiting: "        self.time_is_up = deadline.is_some_and(|deadline| deadline <= now);\n" => "";
    }

    sleeps_past_its_deadline_to_the_heartbeat in timed: "LATE" {
        Waiting: "let until = deadline.map_or(until, |deadline| deadline.min(until));" => "";
    }

    // Orders.
    fast_acquisition_is_relaxed in two: "RACE" {
        RobustFutex: "compare_exchange(0, owner, Ordering::Acquire, Ordering::Relaxed)" =>
            "compare_exchange(0, owner, Ordering::Relaxed, Ordering::Relaxed)";
    }
    slow_acquisition_is_relaxed in two: "RACE" {
        Waiting: "compare_exchange(seen, held, Ordering::Acquire, Ordering::Relaxed)" =>
            "compare_exchange(seen, held, Ordering::Relaxed, Ordering::Relaxed)";
    }
    fast_release_is_relaxed in two: "RACE" {
        RobustFutex: "let released = line.word.compare_exchange(owner, 0, Ordering::Release, Ordering::Relaxed)" =>
            "let released = line.word.compare_exchange(owner, 0, Ordering::Relaxed, Ordering::Relaxed)";
    }
    slow_release_is_relaxed in among_others: "RACE" {
        RobustFutex: "if line.word.compare_exchange(owner, 0, Ordering::Release, Ordering::Relaxed)" =>
            "if line.word.compare_exchange(owner, 0, Ordering::Relaxed, Ordering::Relaxed)";
    }
    waking_release_is_relaxed in three: "RACE" {
        RobustFutex: "compare_exchange(seen, free, Ordering::SeqCst, Ordering::Relaxed)" =>
            "compare_exchange(seen, free, Ordering::Relaxed, Ordering::Relaxed)";
    }

    sleepers_are_looked_at_relaxed in stale: "LOST" {
        Gate: "waits.lockers.load(Ordering::SeqCst)" => "waits.lockers.load(Ordering::Relaxed)";
    }

    // The way beside a sleeper.
    beside_passes_an_heir in fair: "BYPASS" {
        RobustFutex: "low(seen) != WAITERS || line.reservation.load(Ordering::Relaxed) != 0 ||" => "low(seen) != WAITERS ||";
    }
    beside_forgets_the_waiters in three: "LOST" {
        RobustFutex: "low(seen) != WAITERS || line.reservation" => "low(seen) & !WAITERS != 0 || line.reservation";
        RobustFutex: "if !waiting::take(line, seen, owner, Poison::Never) {" =>
            "if line.word.compare_exchange(seen, owner, Ordering::Acquire, Ordering::Relaxed).is_err() {";
    }
    beside_moves_nobody in watch: "LOST" {
        RobustFutex: "    gate::admit(line, waits, seen);\n    true" => "    true";
    }
    beside_is_released_before_it_is_out_of_the_list in three: "" {
        RobustFutex: "    list.unlink_alone();\n    unlock_and_wake(line, waits, successor, owner, owed);" =>
            "    unlock_and_wake(line, waits, successor, owner, owed);\n    list.unlink_alone();";
    }

    // The reservation.
    who_is_kept_out_has_no_timer in fair: "LOST" {
        Waiting: "self.sleep(WAITERS, LOCKER, end)?;" => "let _ = end; self.sleep(WAITERS, LOCKER, Deadline::soon(HEARTBEAT))?;";
    }
    reservation_is_read_before_the_release in fair: "" {
        RobustFutex: "    let Some((free, _)) = release_to_sleepers(line, owner) else { return };\n" =>
            "    let early = line.reservation.load(Ordering::Relaxed);\n    let Some((free, _)) = release_to_sleepers(line, owner) else { return };\n";
        RobustFutex: "if !wake_next(line, waits, successor, sleepers) && " =>
            "if !(if early == 0 { !sleepers.wake_one(line, waits) } else { wake_next(line, waits, successor, sleepers) }) && ";
    }
    who_is_kept_out_does_not_pass_on in fair_walks: "STALL" {
        Waiting: "let _ = futex::wake_one(&self.line.word, HEIR);" => "";
    }
    lock_is_handed_to_the_heir_by_name in fair_deaths: "" {
        Reservation: "let hash = (owner.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as u32;" => "let hash = owner as u32;";
        RobustFutex: "    let free = pair(WAITERS, epoch);\n" =>
            "    let heir = line.reservation.load(Ordering::Relaxed) >> 16;\n    let free = pair(heir | WAITERS, if heir == 0 { epoch } else { heir + 99 });\n";
        Waiting: "            if is_owned(seen) {\n                self.wait_behind" =>
            "            if low(seen) & TID == self.me.tid && self.has_slept { return Ok(seen); }\n            if is_owned(seen) {\n                self.wait_behind";
    }
    nobody_stands_back in fair: "BYPASS" {
        Waiting: "if low(seen) == WAITERS\n" => "if false\n";
    }
    reservation_is_left_when_no_heir_sleeps in fair: "BYPASS" {
        RobustFutex: "    reservation::end(line, reserved);\n" => "";
    }
    only_the_heir_is_woken in fair_deaths: "LOST" {
        RobustFutex: "    point!(\"wake: no heir asleep\");\n    false\n" => "    true\n";
    }
    reservation_is_not_withdrawn in fair: "reservation" {
        Waiting: "        reservation::withdraw(line, token);" => "";
    }

    // The robust list, interrupted by handlers.
    link_is_shown_before_it_leads_on in nested: "" {
        RobustList: "        store(node, next);\n        if let Some(next) = self.node_in(next) {\n            store(node - WORD" =>
            "        store(self.first().addr(), link);\n        store(node, next);\n        if let Some(next) = self.node_in(next) {\n            store(node - WORD";
    }
    next_points_back_before_the_head_leads_there in nested: "" {
        RobustList: "        store(node, next);\n        if let Some(next) = self.node_in(next) {\n            store(node - WORD, load(next - WORD)); // what the first node has there is kept by the first\n        }" =>
            "        store(node, next);\n        if let Some(next) = self.node_in(next) {\n            store(next - WORD, node);\n        }";
        RobustList: "            store(next - WORD, node);\n            compiler_fence(Ordering::SeqCst);\n            point!(\"list: next points back\");\n" => "";
        RobustList: "            store(next - WORD, back);" =>
            "            let _ = back; store(next - WORD, previous);";
    }
    unlinked_node_is_left_in_the_list in nested: "" {
        RobustList: "        store(previous, next);" => "";
    }
    back_pointer_is_not_mended in nested: "" {
        RobustList: "            store(next - WORD, back);" => "";
    }
    handler_takes_the_slot_and_keeps_it in nested: "" {
        Nested: "        self.name(interrupted.pending);" => "        self.name(0);";
    }
    handler_does_not_put_the_interrupted_lock_into_the_list in nested: "handed over" {
        Nested: "        self.link(pending);" => "        return None;";
    }
    handler_does_not_pass_on_the_interrupted_wake_up in nested_wakes: "LOST" {
        Nested: "!futex::wake_one_at(node.wrapping_add_signed(FUTEX_OFFSET))" => "false";
    }
    handler_leaves_the_interrupted_lock_in_the_list in nested: "" {
        Nested: "            self.take_back_place(interrupted.pending & !PI, links);" => "let _ = links;";
    }
    reservation_is_looked_at_relaxed in stale_walks: "" {
        Reservation: "line.reservation().load(Ordering::SeqCst)" => "line.reservation().load(Ordering::Relaxed)";
    }
    withdrawal_gives_up_when_a_stamp_comes_between in walks: "" {
        Reservation: "            Err(found) => seen = found,\n" => "            Err(_) => return,\n";
    }

    // Readers side by side.
    mask_is_looked_at_before_the_slot_is_taken in readers: "RACE" {
        Readers: "        if slot.word.compare_exchange(0, owner, Ordering::SeqCst, Ordering::Relaxed).is_err() {" =>
            "        let may_read = self.line.mask.load(Ordering::SeqCst) >> index & 1 != 0;\n        if slot.word.compare_exchange(0, owner, Ordering::SeqCst, Ordering::Relaxed).is_err() {";
        Readers: "        if self.line.mask.load(Ordering::SeqCst) >> index & 1 != 0 {" => "        if may_read {";
    }
    slots_are_looked_at_before_the_mask_is_emptied in readers: "RACE" {
        Readers: "        line.mask.store(0, Ordering::SeqCst);\n" => "";
        Readers: "        point!(\"drain: all have left\");\n" => "        line.mask.store(0, Ordering::SeqCst);\n";
    }
    slot_is_emptied_by_a_store in readers: "EXCLUSION" {
        Readers: "if slot.word.compare_exchange(seen, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok() {" =>
            "slot.word.store(0, Ordering::SeqCst); {";
    }
    first_slot_is_not_waited_for in readers_two: "RACE" {
        Readers: "for (index, slot) in self.slots.iter().enumerate() {\n            if known" =>
            "for (index, slot) in self.slots.iter().enumerate().skip(1) {\n            if known";
    }
    drain_is_not_noted in readers_writers: "RACE" {
        Readers: "        line.drain.store(known, Ordering::Release);\n" => "";
        Readers: "    let drained = line.drain.load(Ordering::Relaxed);\n    let kept = if forgets { 0 } else { drained };" =>
            "    let kept = u64::from(!forgets);";
        Readers: "    line.drain.load(Ordering::Relaxed) != 0\n" => "    line.mask.load(Ordering::Relaxed) == 0\n";
    }
    what_a_dead_writer_has_noted_is_not_drained in readers_writers: "RACE" {
        Readers: "    (line.mask.load(Ordering::Relaxed) | line.drain.load(Ordering::Relaxed)) != 0" =>
            "    line.mask.load(Ordering::Relaxed) != 0";
    }
    mask_comes_back_before_the_data_are_whole in readers: "OPEN" {
        Readers: "    if changes {\n        poison::end_changes(lock);\n    }\n    let is_torn" => "    let is_torn";
        Readers: "    give_back(line(), after == ReadersAfter::Return && habits.forgets());" =>
            "    give_back(line(), after == ReadersAfter::Return && habits.forgets());\n    if changes {\n        poison::end_changes(lock);\n    }";
    }
    mask_comes_back_although_the_data_are_torn in readers_panic: "OPEN" {
        Readers: "after == ReadersAfter::AsBefore || is_torn" => "after == ReadersAfter::AsBefore";
    }
    mask_is_kept_by_who_gives_up in readers_timed: "SHUT" {
        Readers: "after == ReadersAfter::AsBefore || is_torn" => "after != ReadersAfter::Return || is_torn";
    }
    who_gives_up_forgets_those_who_read in readers_timed: "RACE" {
        Readers: "after == ReadersAfter::Return && habits.forgets()" => "habits.forgets()";
    }
    drain_is_over_before_the_mask_comes_back in readers_timed: "RACE" {
        Readers: "    line.mask.store(kept, Ordering::Release);\n    point!(\"drain: mask given back\");\n    line.drain.store(0, Ordering::Release);\n" =>
            "    line.drain.store(0, Ordering::Release);\n    line.mask.store(kept, Ordering::Release);\n";
    }
    reader_wakes_no_writer in readers: "LOST" {
        Readers: "matches!(futex::wake_one(&slot.word, LOCKER), Ok(false))" => "false";
    }
    reader_who_backs_out_wakes_no_writer in readers: "LOST" {
        Readers: "    leave_unlisted(slot, owner);\n    point!(\"read: backed out\");" =>
            "    let _ = owner;\n    slot.word.store(0, Ordering::Release);";
    }
    slot_is_taken_by_who_is_not_pending in readers: "handed over" {
        Readers: "        list.begin(node, high(owner));\n" => "";
    }
    slot_is_admitted_by_who_is_not_pending in readers: "handed over" {
        Readers: "                linking.name(slot, owner);\n                // Without" => "                // Without";
    }
    slot_of_the_dead_is_waited_for in readers: "" {
        Readers: "            if is_owned(seen) || self.users.may_live(seen) {\n" => "            if seen != u64::from(WAITERS) {\n";
    }
    slot_of_the_dead_is_not_given_out_again in readers_unnoticed: "" {
        Readers: "            let asks = self.users.are_watched() || std::mem::take(&mut self.looks_up) || self.time_is_up;" =>
            "            let asks = self.users.are_watched();";
    }
    reader_who_has_died_is_believed_to_read in readers_tries: "ALONE" {
        Readers: "                if users.may_live(seen) {" => "                if seen != 0 {";
    }
    try_looks_at_the_first_of_the_dead in readers_file_timed: "ALONE" {
        Readers: "            let asks = self.users.are_watched() || std::mem::take" => "            let asks = std::mem::take";
        Readers: "            looks_up: false,\n" => "            looks_up: users.are_watched(),\n";
    }
    living_reader_is_taken_for_dead in readers_several: "EXCLUSION" {
        Readers: "            if is_owned(seen) || self.users.may_live(seen) {\n" => "            if is_owned(seen) {\n";
    }
    try_waits_for_readers in readers_tries: "LATE" {
        Readers: "        if matches!(self.wait, Wait::No) {\n            return Err(Failure::WouldBlock);\n        }\n" => "";
    }
    drain_goes_on_behind_its_deadline in readers_timed: "LATE" {
        Readers: "deadline.map_or(beat, |deadline| deadline.min(beat))" => "beat";
    }
    who_reads_already_waits_for_who_waits_for_him in readers_twice: "DEADLOCK" {
        Readers: "filter(|(of, slot)| *of == segment && *slot < self.slots.len())" => "filter(|_| false)";
    }
    slot_is_taken_with_an_acquire in readers_stale: "RACE" {
        Readers: "        if slot.word.compare_exchange(0, owner, Ordering::SeqCst, Ordering::Relaxed).is_err() {" =>
            "        if slot.word.compare_exchange(0, owner, Ordering::AcqRel, Ordering::Relaxed).is_err() {";
    }
    mask_is_looked_at_with_an_acquire in readers_stale: "RACE" {
        Readers: "self.line.mask.load(Ordering::SeqCst) >> index" => "self.line.mask.load(Ordering::Acquire) >> index";
    }
    mask_is_emptied_with_a_release in readers_stale: "RACE" {
        Readers: "line.mask.store(0, Ordering::SeqCst);" => "line.mask.store(0, Ordering::Release);";
    }
    slot_is_looked_at_with_an_acquire in readers_stale: "RACE" {
        Readers: "let mut seen = slot.word.load(Ordering::SeqCst);" => "let mut seen = slot.word.load(Ordering::Acquire);";
    }
    reader_waits_for_a_writer_who_waits_for_him in readers_who_write: "DEADLOCK" {
        Readers: "        let own = self.listed(me.list);" => "        let own = 0;";
    }
    slot_that_is_being_taken_is_nobodys_to_a_handler in readers_handler: "RACE" {
        Readers: "        let interrupted = robust_futex::interrupt(me); // has what is interrupted in the list meanwhile\n" => "";
        Readers: "        me.list.resume(interrupted);\n        own\n" => "        own\n";
    }
    mask_is_looked_at_relaxed in readers: "RACE" {
        Readers: "self.line.mask.load(Ordering::SeqCst) >> index" => "self.line.mask.load(Ordering::Relaxed) >> index";
    }
    mask_comes_back_relaxed in readers: "RACE" {
        Readers: "line.mask.store(kept, Ordering::Release);" => "line.mask.store(kept, Ordering::Relaxed);";
    }
    mask_grows_relaxed in readers_rounds: "RACE" {
        Readers: "| 1 << index, Ordering::Release);" => "| 1 << index, Ordering::Relaxed);";
    }
    slot_is_looked_at_relaxed in readers: "RACE" {
        Readers: "let mut seen = slot.word.load(Ordering::SeqCst);" => "let mut seen = slot.word.load(Ordering::Relaxed);";
    }
    slot_is_given_back_relaxed in readers_file: "RACE" {
        Readers: "    if slot.word.compare_exchange(owner, 0, Ordering::Release, Ordering::Relaxed).is_err() {\n        wake_for" =>
            "    if slot.word.compare_exchange(owner, 0, Ordering::Relaxed, Ordering::Relaxed).is_err() {\n        wake_for";
    }
    slot_is_admitted_relaxed in readers_home: "RACE" {
        Readers: "compare_exchange(seen, owner, Ordering::Acquire, Ordering::Relaxed)" =>
            "compare_exchange(seen, owner, Ordering::Relaxed, Ordering::Relaxed)";
    }

    // Conditions beside readers.
    who_waits_amid_changes_stays_dirty in beside: "OPEN" {
        Readers: "    if changes {\n        poison::end_changes(lock);\n    }\n" => "";
    }

    // Permits.
    second_free_permit_is_not_passed_on in permits_kept: "LOST" {
        Permits: "if self.may_owe && free.next().is_some() {" => "if false {";
    }
    permit_is_pending_in_place_of_the_bell in permits_kept: "LOST" {
        Permits: "        self.name(RobustList::node_of(self.places.bell.word_address()));" => "        self.name(self.node(0));";
    }
    nothing_is_pending_in_place_of_the_bell in permits_kept: "LOST" {
        Permits: "        self.name(RobustList::node_of(self.places.bell.word_address()));" => "        self.me.list.end();";
    }
    who_sleeps_is_not_announced_on_permits in permits: "LOST" {
        Permits: "low(seen) & WAITERS == 0 && !waiting::announce_waiter(line, seen)" => "false";
        Permits: "            *noted = seen | u64::from(WAITERS);" => "            *noted = seen;";
    }
    permit_is_released_and_nobody_woken in permits: "LOST" {
        Permits: "        if !matches!(futex::wake_one(&line.word, LOCKER), Ok(false)) || self.ring() {" => "        if self.ring() {";
    }
    permit_is_released_without_the_ring in permits_ring: "LOST" {
        Permits: "Ok(false)) || self.ring() {" => "Ok(false)) {";
    }
    ring_is_noted_after_the_look_at_the_permits in permits_ring: "LOST" {
        Permits: "            let ring = self.places.bell.ring.load(Ordering::Acquire); // before the look at the permits\n" => "";
        Permits: "            self.sleep(&words, ring, doubted)?;" =>
            "            let ring = self.places.bell.ring.load(Ordering::Acquire);\n            self.sleep(&words, ring, doubted)?;";
    }
    permit_is_taken_and_not_named_before in permits: "handed over" {
        Permits: "                self.name(self.node(index));\n" => "";
    }
    who_comes_takes_a_permit_that_is_kept in permits_fair: "BYPASS" {
        Permits: "            Free::KeptUntil(until) => Some(until)," => "            Free::KeptUntil(_) => None,";
    }
    claim_is_left_by_who_has_a_permit in permits_fair: "reservation is left" {
        Permits: "            reservation::withdraw(bell, token);\n" => "";
    }
    try_stands_back in permits_fair_timed: "LATE" {
        Permits: "            return Err(Failure::WouldBlock);\n        }\n        let own = AtomicU32::new(0);" =>
            "        }\n        let own = AtomicU32::new(0);";
    }
    permit_of_the_dead_is_looked_for_once in permits_file_one: "" {
        Permits: "let looks_up = std::mem::take(&mut self.looks_up) || self.time_is_up;" =>
            "let looks_up = std::mem::take(&mut self.looks_up) && !self.is_in_turn;";
    }
    permit_is_waited_for_behind_the_deadline in permits_timed: "LATE" {
        Permits: "self.wait.deadline().map_or(beat, |deadline| deadline.min(beat))" => "beat";
    }
    bell_is_left_pending_by_who_gives_up in permits_timed: "left" {
        Permits: "                list.resume(interrupted);\n                Err(failure)" => "                Err(failure)";
    }
};

/// Changes that change nothing that matters; why, stands beside each.
pub(crate) const EQUIVALENT: &[Mutant] = mutants! {
    // `take` sets the bit for whoever acquires from D, so D alone needs none.
    dead_holder_is_marked_without_the_bit in unnoticed: "" {
        Waiting: "let dead = pair(WAITERS | OWNER_DIED, high(seen));" => "let dead = pair(OWNER_DIED, high(seen));";
    }
    // The kernel and `mark_dead` leave the bit where it was, so there is a sleeper only if it is there.
    bit_is_only_kept_from_a_dead_holder in three: "" {
        Waiting: "let held = if marked { owner | u64::from(WAITERS) } else { owner };" => "let held = owner | seen & u64::from(WAITERS);";
    }
    // The fence before it is a release fence, too; and without that, the Release is enough here: the look that told of the
    // end is taken for ordered after it.
    dead_holder_is_marked_relaxed_after_the_fence in unnoticed: "" {
        Waiting: "compare_exchange(seen, dead, Ordering::Release, Ordering::Relaxed)" =>
            "compare_exchange(seen, dead, Ordering::Relaxed, Ordering::Relaxed)";
    }
    dead_holder_is_marked_without_the_fence in unnoticed: "" {
        Waiting: "    fence(Ordering::SeqCst);\n" => "";
    }
    // Between the claim and the comparison that lets the heir sleep stands the kernel's own barrier.
    claim_is_relaxed in stale_fair: "" {
        Reservation: "compare_exchange(seen, token.0, Ordering::SeqCst, Ordering::Relaxed)" =>
            "compare_exchange(seen, token.0, Ordering::Relaxed, Ordering::Relaxed)";
    }
    // A thrown-away wake-up on a kept lock reaches the heir in other ways: it lives and comes, or the kernel passes on.
    time_is_up_on_a_kept_lock in timed_fair: "" {
        Waiting: "                && !(self.time_is_up && self.was_woken)\n" => "";
    }
    // What the nested link writes there is what the interrupted one has written, or writes next.
    handler_does_not_put_back_the_links in nested: "" {
        Nested: "        store(node, next);\n        store(node - WORD, back);" => "        let _ = (next, back);";
    }
};
