//! What is done wrong, one thing at a time, by edits of the source.

/// Where an edit is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Place,
    Life,
    Waiter,
}

pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) edits: &'static [(File, &'static str, &'static str)],
}

macro_rules! mutants {
    ($($name:ident { $($file:ident: $from:literal => $to:literal;)* })*) => {
        &[$(Mutant { name: stringify!($name), edits: &[$((File::$file, $from, $to)),*] }),*]
    };
}

pub(crate) const MUTANTS: &[Mutant] = mutants! {
    the_first_does_not_look_again {
        Place: " || word.load(Ordering::SeqCst) as u32 != expected" => "";
    }
    the_first_does_not_sleep_on_a_life {
        Place: "Some(holder), until)" => "None, until)";
    }
    whoever_sleeps_is_told {
        Place: "wait_for_any(&[&meeting.over, &meeting.first], until)?" => "wait_for_any(&[&meeting.over, &meeting.first, &meeting.told], until)?";
        Place: "Some(_) => self.first_of = Some(Arc::clone(&meeting))," => "Some(1) => self.first_of = Some(Arc::clone(&meeting)), Some(_) => {}";
    }
    nobody_tells {
        Waiter: "line().lockers.get() == 0 || matches!(place::tell(&word.0), Ok(false))" => "line().lockers.get() == 0";
    }
    what_ends_a_sleep_is_a_death {
        Waiter: "asks && is_gone(seen)" => "asks";
    }
    a_name_that_is_gone_is_no_death {
        Waiter: " || kernel::is_absent((seen >> 32) as usize - 1)" => "";
    }
    a_queue_is_never_given_up {
        Place: "self.over.set()?;\n        room.count_from(self.queue);" => "let _ = room;";
    }
    whoever_wakes_because_it_is_over_does_not_count {
        Place: "Some(0) => room.count_from(queue)," => "Some(0) => {}";
        Place: "room.count_from(meeting.queue);\n                self.leave();" => "self.leave();";
    }
    the_first_stays {
        Place: "if let Some(meeting) = self.first_of.take() {" => "if let Some(meeting) = self.first_of.take().filter(|_| false) {";
    }
};

/// What only a large world finds.
pub(crate) const LONG: &[&str] = &["whoever_sleeps_is_told"];
