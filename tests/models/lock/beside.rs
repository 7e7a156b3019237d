//! Worlds in which some wait, amid changes, for what others put there, while others read side by side: the conditions of an
//! array. Whoever waits lets readers in, and has the data to itself again when it comes back.
//!
//! All is true that is true of readers, and of conditions: nobody sleeps beside something to take, or beside a death of which
//! he has not been told.

use crate::memory::atomic::Ordering;
use crate::readers::{begin_writing, end_writing, put, remember, side};
use crate::run::{private_step, with};
use crate::waits::{enter, leave};
use crate::world::{How, Outcome, place, who};

pub(crate) fn wait_or_put(thread: usize) {
    let (subject, me) = who();
    let takes = with(|run| thread < run.world.readers + run.world.consumers);
    with(|run| run.say(|_| if takes { "wants to take" } else { "wants to put" }.to_owned()));
    let Ok(mut alone) = (subject.write)(side(), me, How::Forever) else {
        // Given up: nothing else ends it.
        return with(|run| {
            if !run.world.asks {
                run.fail("cannot write".to_owned());
            }
        });
    };
    let mut next = begin(thread, alone);
    while takes && with(|run| run.ghost.waits.items == 0) {
        with(|run| {
            run.ghost.waits.knows_of[thread] = Some(run.ghost.waits.deaths);
            end_writing(run, thread, false);
            run.say(|_| "waits for the condition".to_owned());
        });
        leave();
        let outcome;
        (alone, outcome) = (subject.wait_amid)(side(), me, alone);
        with(|run| {
            run.ghost.waits.knows_of[thread] = None;
            run.say(|_| format!("{outcome:?}"));
        });
        match outcome {
            Outcome::Locked { .. } => next = begin(thread, alone),
            Outcome::Poisoned => return,
            Outcome::Interrupted if with(|run| run.world.asks) => return,
            outcome => return with(|run| run.fail(format!("ends with {outcome:?}"))),
        }
    }
    put(0, next);
    put(1, next);
    with(|run| {
        let items = &mut run.ghost.waits.items;
        *items = if takes { items.saturating_sub(1) } else { *items + 1 };
    });
    private_step();
    if !takes {
        (subject.notify)(place(0), false);
        private_step();
    }
    with(|run| end_writing(run, thread, false));
    leave();
    (subject.end_writing)(side(), me, alone, false);
    with(|run| run.say(|_| "has written".to_owned()));
}

/// The thread has the data to itself, and repairs what a dead one may have torn: what comes next?
fn begin(thread: usize, alone: bool) -> u64 {
    with(|run| remember(run, 50 + u64::from(alone)));
    enter();
    let (is_poisoned, next) = with(|run| begin_writing(run, thread));
    if is_poisoned {
        with(|run| run.ghost.data[0] = [1 - next; 2]);
        private_step();
        place(0).line.poison.store(0, Ordering::Relaxed);
    }
    next
}
