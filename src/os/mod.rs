//! The operating system: everything that is a system call, a C library function or a fact about either.
//!
//! One directory for each system, with files of the same names and signatures, chosen here. Nothing in here knows what a
//! segment is, and nothing above names a system: no `libc`, no `std::os`, no directory (`tests/floors.rs`). So to support
//! another one is to write these files; what they promise stands here, how they keep it stands in them.
//!
//! `unix` has what any Unix can have: regular files in a directory of one user instead of shared memory objects, private
//! names instead of files without one, mappings by `memmap2`, no robust lists, so that `LockKind::File` is the default, and a
//! back-off for sleeps on a word. Here `RUSTFLAGS="--cfg robust_shm_unix" cargo test` has Linux do with these, so that the
//! suite runs on them. Linux itself takes from there what it has as any Unix has it.
//!
//! `windows` says what it does in their place.
//!
//! `common` is no system. It has what needs no call of one, and stand-ins for what a system has not: each folder's `mod.rs`
//! says what it takes from there.
//!
//! A file that is open is a [`std::fs::File`] everywhere: an open file description with locks of its own. What is asked
//! of a file by descriptor goes through `file` and `file_lock` even where std has a method for it, because on another
//! system that method means something else.
//!
//! # Files: segments live and die by these
//!
//! | file | offers | and promises |
//! |---|---|---|
//! | `directory` | `names`, `some_names` | every name of a regular file in the one directory that holds all segments, or a few of them at bounded cost, going on from a position |
//! | | `place`, `HOW_TO_ENLARGE` | words for messages: where, and what to do when it is full |
//! | `file` | `open` | what the name leads to, nothing else: no link is followed, no FIFO waited for, no terminal acquired; not inherited by `exec`; an [`OpenError`](file::OpenError) that tells "nothing there" and "no file" from failures. Without an allocation: forked children call it |
//! | | `status`, `status_of` | `Status`: an identity (`is_same_file`) that no other file has while this one is open or mapped, links, length, owner, mode, and what it is when it is no regular file. `status_of` follows no link, and opens nothing, or for its attributes only. On Windows it refuses a name that is spelt otherwise than the file's, which the system takes for it |
//! | `unnamed` | `create_unnamed`, `link` | a file that goes with its creator until `link` gives it its name, at once and whole or not at all: `AlreadyExists` when the name is taken. Where there is no such thing, an error that `wants_a_name` knows |
//! | `file` | `create_private`, `link_private` | the same by way of a private name |
//! | | `unlink` | the name is free at once, whoever has the file open or mapped |
//! | | `read_at`, `write_at`, `set_len`, `clear` | coherent with every mapping of the file. `read_at` ends at the end of the file only, `write_at` writes all; what is cleared is zero, and still there |
//! | | `ensure_mode` | who may open it; whether that had to be changed |
//! | | `check_limit`, `reserve` | a file of that length may be written; its pages are there, so that no access to them fails. `is_out_of_space` and `available_space` are for the message when they are not |
//! | | `reopen` | another description of an open file, if it can be had; without an allocation |
//! | `file_lock` | `try_share`, `try_exclude`, `try_exclude_others`, `unlock` | whole-file locks that belong to the description, go when it is closed (by whatever death), never wait, and replace one another; losing the shared lock in a failed `try_exclude` is allowed, granting both is not. Of two who share and `try_exclude_others` at once, the later one succeeds |
//! | | `try_guard_name`, `release_name` | one more exclusive lock of the description, apart from the others |
//! | | `mark_present`, `try_mark`, `release_mark`, `mark_absent` | a mark of the description that goes with it, with a number, the *slot*, that no other has at the same time. It goes after the kernel has walked the lists of the process's threads |
//! | | `try_watch`, `stop_watching` | one more, for the one who looks for deaths |
//! | | `sweep` | removes a file that is no segment, but of a lock whose owner is dead, where there are such |
//! | | `is_present`, `count_present`, `is_anyone_present` | others can ask for one and count them, across PID namespaces, without a lock that would be in the way of anything but the taking of a slot at random; who may only read the file can fake none, but on Windows, where nobody else may read |
//! | | `lockers` | who has which lock, for messages only |
//! | `descriptor` | `Descriptor` | a description that is kept for long: no standard descriptor, and never mistaken for another when the program closes it behind our back |
//! | `seat` | `Seat` | such a description with its slot: a handle's place among the users of a file; which of them are this process's |
//! | `map` | `Map` | the first `len` bytes, shared, until it is dropped, of the very file that was validated or created, whatever its name leads to by then; keeps no description of a user alive. `read_only` is for who is no user |
//! | `owner` | `effective_uid`, `is_told` | who this process is, and whether an owner's number says who that is |
//!
//! # Processes and threads
//!
//! | file | offers | and promises |
//! |---|---|---|
//! | `generation` | `generation`, `known_generation`, `generation_if_numbered` | a number that differs between a process and its ancestors, in a raw clone, too; `known_generation` without a system call, or 0 |
//! | `fork` | `install`, `begin_child` | a function is called in every forked child before anything of the program's that comes later |
//! | | `forks_begun`, `forks_begun_and_over` | what was made, and is known, between an answer of the second and the same answer of the first is in no child that does not know of it; unless a fork's own handlers kept the second waiting for too long |
//! | `process` | `on_exit` | a function is called at every regular end |
//! | `death` | `has_ended` | a thread that has made itself known by its number in the lock word has certainly ended; where threads do that |
//! | | `is_dead_thread` | whether a thread of this namespace has ended, be it a zombie; when in doubt, it has not |
//! | `process` | `process_of`, `thread_exists`, `is_own_thread`, `maps`, `describe` | of processes and threads: "no" and "gone" are certain, else it says so |
//! | `namespace` | `pid_namespace`, `is_unknown` | a number for the set of processes that have ids in common |
//! | `thread` | `current`, `cached`, `cached_at_home`, `self_address` | the calling thread's id and its list of locks; the cached forms without a system call |
//! | | `without_list`, `cached_without_list` | its id alone |
//! | | `note_taken`, `note_given_back` | where others hear of the end of a thread without a list, they do so for as long as it has something |
//! | `kernel` | `check` | that this is a system on which what is promised here is so, or the error that says why not |
//! | `time` | `Deadline`, `monotonic_nanos` | a clock that nobody sets |
//! | `random` | `random_id`, `random_place` | numbers that no other process has |
//!
//! # Locks: what `sync` stands on
//!
//! | file | offers | and promises |
//! |---|---|---|
//! | `futex` | `wait`, `wake_one`, `wake_all`, `wake_all_of` | sleeping on a word in shared memory, as one of some classes, while its lower half holds a value; a wake-up is of classes, and consumed by one sleeper. Or nobody is woken, and all who sleep look by themselves |
//! | | `wait_in`, `wait_on`, `wake_one_on` | the same on a word of 32 bits, in a class, or in none |
//! | | `move_all` | all who sleep on a word of 32 bits sleep on another one from then on, in their classes, and none is missed who was about to sleep while it held that value |
//! | | `can_wait_for_many`, `wait_for_any` | sleeping on many words at once, if that can be had |
//! | `place` | `Place` | a waiter's place among those who want a lock: `wait` is the sleep. With `TELLS_OF_DEATHS`, the first of those who sleep is also woken by the holder's end, and the next one by the first's |
//! | `robust_list` | `RobustList` | if a thread has one: the kernel marks the words of all locks in the list, and of the pending one, when the thread dies |
//! | `os_mutex` | `check`, `fresh`, `Mutex` | the system's own mutex, which is not told of deaths; where there is one that a segment can hold |
#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", not(robust_shm_unix)))]
mod linux;
#[cfg(all(target_os = "linux", not(robust_shm_unix)))]
pub(crate) use linux::*;

#[cfg(any(target_os = "macos", target_os = "freebsd", all(target_os = "linux", robust_shm_unix)))]
mod unix;
#[cfg(any(target_os = "macos", target_os = "freebsd", all(target_os = "linux", robust_shm_unix)))]
pub(crate) use unix::*;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "robust-shm needs a 64-bit system: 32-bit C libraries keep the list of held locks, which the kernel walks when a \
     thread dies, in another form, and sizes in a segment have 64 bits"
);
#[cfg(target_endian = "big")]
compile_error!(
    "robust-shm needs a little-endian system: half of a 64-bit word is the kernel's futex, and it is taken for the first"
);
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd", windows)))]
compile_error!(
    "robust-shm is for Linux, Windows, macOS and FreeBSD. Android has no directory that all programs \
     share, and the file locks of illumos and of other BSDs nobody has looked at"
);
