//! Who of the threads lives, told by a mutex of each thread that has ever locked anything.
//!
//! A thread makes its mutex before its first lock, and owns it until it ends. Whoever waits for it is woken by that end,
//! whatever brings it about; and when the whole process is gone, so is the name. Nothing is asked for by thread or process
//! id, which the system gives out again, and nothing needs a right to look into another process.
//!
//! A thread that ends by itself and holds nothing closes its mutex (`thread.rs`), because no word names it then. One that
//! leaves a lock behind leaves its mutex, too: without it, nobody could tell that thread from one whose objects are others.
//!
//! What stands in the lock word is the number in the mutex's name: the thread's id, which the system counts in fours, and in the
//! bits above, one number of 64 that no thread of this id has had, whose process is still there.
//!
//! | bits | |
//! |---|---|
//! | 0 … 23 | a quarter of the thread's id. There are not more threads and processes than that |
//! | 24 … 29 | to tell those apart who have had the id one after the other |

use std::io;

use super::Deadline;
use super::objects::{Mutex, Object, wait_for_any};
use super::random::random_place;

const OF_THREAD: u32 = (1 << 24) - 1;
const OF_NAMESAKES: u32 = 64;

/// The system's id of the thread with this number.
pub(super) fn system_id(number: u32) -> u32 {
    (number & OF_THREAD) << 2
}

/// One's own. When it is dropped, it is gone for others: not to be done while a word names the thread.
#[derive(Debug)]
pub(super) struct Own {
    _mutex: Mutex,
}

/// The number and the life of the calling thread, which has this id, and no number yet.
pub(super) fn begin(id: u32) -> io::Result<(u32, Own)> {
    let id = id >> 2;
    if id == 0 || id > OF_THREAD {
        return Err(io::Error::other("the system gives out thread ids that are larger than they can be"));
    }
    let first = random_place() as u32;
    let mut last_error = None;
    for namesake in 0..OF_NAMESAKES {
        let number = ((first.wrapping_add(namesake) % OF_NAMESAKES) << 24) | id;
        match Mutex::of_this_thread(&name(number)) {
            Ok(Some(mutex)) => return Ok((number, Own { _mutex: mutex })),
            Ok(None) => {}
            Err(error) => last_error = Some(error), // somebody else's, of whatever type
        }
    }
    Err(last_error.unwrap_or_else(|| io::Error::other("64 threads that had this thread's id have left locks behind")))
}

/// The mutex of the thread with this number; `None`: its process is gone, or was never seen here, or the thread has ended and
/// held nothing.
pub(super) fn of(number: u32) -> io::Result<Option<Life>> {
    Ok(Mutex::that_exists(&name(number))?.map(Life))
}

fn name(number: u32) -> String {
    format!("life-{number:08x}")
}

/// Another thread's.
#[derive(Debug)]
pub(super) struct Life(Mutex);

impl Life {
    pub(super) fn as_object(&self) -> &dyn Object {
        &self.0
    }

    /// The calling thread has waited for it, and it has ended. So that the next one is told, too.
    pub(super) fn pass_on(&self) {
        self.0.give_back();
    }

    pub(super) fn has_ended(&self) -> io::Result<bool> {
        let has_ended = wait_for_any(&[self.as_object()], Deadline::now())?.is_some();
        if has_ended {
            self.pass_on();
        }
        Ok(has_ended)
    }
}

#[cfg(test)]
mod tests {
    use super::super::thread;
    use super::*;

    #[test]
    fn a_thread_lives_until_it_ends_and_leaves_its_number_to_nobody() {
        let (send, receive) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (number, own) = begin(thread::id()).unwrap();
            send.send((number, thread::id())).unwrap();
            std::thread::park();
            std::mem::forget(own); // the end of the thread is what it tells of, and not that of a handle
        });
        let (number, id) = receive.recv().unwrap();
        assert_eq!(system_id(number), id);
        let life = of(number).unwrap().unwrap();
        assert!(!life.has_ended().unwrap());
        thread.thread().unpark();
        thread.join().unwrap();
        assert!(life.has_ended().unwrap() && life.has_ended().unwrap(), "it stays so");
        assert!(Mutex::of_this_thread(&name(number)).unwrap().is_none());
        assert!(of(number ^ 1 << 23).unwrap().is_none());
    }
}
