//! Signals: passed on to a command, or giving up a wait.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};

use super::die_at;

/// Those that end a program that has just come to a lock, and so would poison it.
pub(crate) const ENDING: [libc::c_int; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2];

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    pub(crate) fn of(signals: &[libc::c_int]) -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: makes it an empty set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: initialised by the call above.
        let mut set = unsafe { set.assume_init() };
        for signal in signals {
            // SAFETY: a set, and a number of which a wrong one is an error without consequence.
            unsafe { libc::sigaddset(&raw mut set, *signal) };
        }
        Self(set)
    }

    /// From now on these signals wait to be taken by [`wait`](Self::wait). Gives those that did so before. Of the calling thread.
    pub(crate) fn block(&self) -> io::Result<Self> {
        self.change_mask(libc::SIG_BLOCK)
    }

    /// From now on these are blocked, and no others.
    pub(crate) fn set_as_mask(&self) -> io::Result<()> {
        self.change_mask(libc::SIG_SETMASK).map(drop)
    }

    fn change_mask(&self, how: libc::c_int) -> io::Result<Self> {
        let mut before = Self::of(&[]);
        // SAFETY: both are sets that outlive the call.
        let result = unsafe { libc::pthread_sigmask(how, &raw const self.0, &raw mut before.0) };
        if result == 0 { Ok(before) } else { Err(io::Error::from_raw_os_error(result)) }
    }

    /// Waits for one of these, which are blocked.
    pub(crate) fn wait(&self) -> io::Result<Signal> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        loop {
            // SAFETY: a set, and room for the answer, which outlive the call.
            let number = unsafe { libc::sigwaitinfo(&raw const self.0, info.as_mut_ptr()) };
            if number > 0 {
                // SAFETY: written by the call; all-zero bytes were one, too.
                let info = unsafe { info.assume_init() };
                return Ok(Signal { number, is_of_the_terminal: info.si_code == libc::SI_KERNEL });
            }
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            }
        }
    }
}

/// A signal that has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signal {
    pub(crate) number: libc::c_int,
    /// From the keyboard, by the kernel: then all of the foreground group have it.
    pub(crate) is_of_the_terminal: bool,
}

/// Undoes that the deaths of children are ignored: they would then be collected by nobody, and not be heard of.
pub(crate) fn hear_of_children() {
    // SAFETY: the default is no handler, so nothing of ours is called.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Sends a signal to a child that has not been waited for.
pub(crate) fn signal(child: u32, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: takes integers.
    let result = unsafe { libc::kill(child.cast_signed(), signal) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the child does before it becomes the program: it asks for a signal at the end of this thread, and has the signals
/// blocked that this program found blocked.
pub(crate) fn before_exec(command: &mut Command, mask: Signals, death_signal: Option<libc::c_int>) {
    let parent = std::process::id();
    let prepare = move || {
        die_at("forked", parent);
        if let Some(signal) = death_signal {
            set_death_signal(signal, parent)?;
            die_at("death signal set", parent);
        }
        mask.set_as_mask()
    };
    // SAFETY: makes system calls only, and allocates nothing: a signal handler could do it.
    unsafe { command.pre_exec(prepare) };
}

/// From now on, this process gets the signal when the thread that has started it ends; if `parent` has ended before, this
/// process ends, too, and quickly: there is nobody left who could be told of an error.
fn set_death_signal(signal: libc::c_int, parent: u32) -> io::Result<()> {
    // SAFETY: this question takes an integer more.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: takes nothing, cannot fail.
    if unsafe { libc::getppid() }.cast_unsigned() != parent {
        // SAFETY: ends the process without a handler or a destructor.
        unsafe { libc::_exit(1) };
    }
    Ok(())
}

/// These signals, from now on only noted, so that a wait can be given up and nothing is held at the end; what
/// is ignored stays so. Undone when this is dropped.
pub(crate) struct Caught(Vec<(libc::c_int, libc::sigaction)>);

/// The first that has come.
static NOTED: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(signal: libc::c_int) {
    let _ = NOTED.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
}

impl Caught {
    pub(crate) fn begin() -> io::Result<Self> {
        // SAFETY: all-zero bytes are such a structure: no flags, so that sleeps end, and no other signals blocked.
        let mut noting: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        noting.sa_sigaction = note as extern "C" fn(libc::c_int) as usize;
        let mut caught = Self(Vec::new());
        for signal in ENDING {
            let before = act(signal, None)?;
            if before.sa_sigaction != libc::SIG_IGN {
                act(signal, Some(&noting))?;
                caught.0.push((signal, before));
            }
        }
        Ok(caught)
    }

    /// The first of them that has come.
    pub(crate) fn noted() -> Option<libc::c_int> {
        Some(NOTED.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        for (signal, before) in &self.0 {
            let _ = act(*signal, Some(before)); // as it was a moment ago, so it can be
        }
    }
}

/// Gives what is done when this signal comes, and changes it.
fn act(signal: libc::c_int, action: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::uninit();
    let action = action.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both outlive the call; a handler is `note`, which touches an atomic only, or what was there before.
    if unsafe { libc::sigaction(signal, action, before.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: written by the call.
    Ok(unsafe { before.assume_init() })
}

/// Ends this program as the signal would have, so that whoever has started it sees why.
pub(crate) fn end_by(signal: libc::c_int) -> ! {
    // SAFETY: the default is no handler, so nothing of ours is called.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    let _ = Signals::of(&[signal]).change_mask(libc::SIG_UNBLOCK);
    // SAFETY: takes an integer.
    unsafe { libc::raise(signal) };
    std::process::exit(128 + signal) // of a signal that ends nothing
}
