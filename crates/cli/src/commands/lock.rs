//! `lock`: runs a command while holding a lock, or a permit.
//!
//! It cannot become the command by an `exec`: that would end the thread's robust list, and so give the lock back. It stays, as
//! the command's parent.

use std::process::{Command, ExitCode};

use robust_shm::{Error, LockGuard, RwLockWriteGuard, SegmentInfo, SharedLock, SharedRwLock, SharedSemaphore};

use super::wait::{at_most, catch};
use crate::arguments::Lock;
use crate::failure::{Failure, LATE, POISONED, USAGE};
use crate::kind::Kind;
use crate::output::Out;
use crate::sys;

mod child;

use child::Parent;

/// The exit codes that are not the command's.
const IS_POISONED: u8 = 123;
const FAILED: u8 = 125;

pub(crate) fn run(arguments: &Lock, out: &mut Out) -> Result<u8, Failure> {
    take(arguments, out).map_err(|failure| match failure {
        Failure::Said { code: LATE, .. } => failure.with_code(arguments.exit_code),
        Failure::Said { code: POISONED, .. } => Failure::new(
            IS_POISONED,
            format_args!(
                "lock {:?} is poisoned: whoever held it was killed, and what it guards may be half-done; --recover COMMAND repairs \
                 that, --ignore-poison goes on as if nothing had been",
                arguments.name
            ),
        ),
        // Said by who knows what has become of the command.
        Failure::Said { code: child::NOT_FOUND | child::NOT_RUN | IS_POISONED, .. } => failure,
        failure => failure.with_code(FAILED),
    })
}

/// By the kind of what there is; a lock, if there is nothing.
fn take(arguments: &Lock, out: &mut Out) -> Result<u8, Failure> {
    let name = &*arguments.name;
    step("begun");
    if arguments.read {
        return side_by_side(arguments);
    }
    // Who states nothing follows what there is.
    let options = SharedLock::options();
    let options = if arguments.persistent { options.persistent(true) } else { options };
    match options.open_or_create(name) {
        Ok(lock) => exclusively(arguments, &lock, out),
        Err(mismatch @ Error::TypeMismatch { .. }) => match SegmentInfo::of(name).ok().as_ref().and_then(Kind::of) {
            Some(Kind::Semaphore) => with_a_permit(arguments),
            Some(Kind::RwLock) => for_writing(arguments, out),
            _ => Err(mismatch.into()),
        },
        Err(error) => Err(error.into()),
    }
}

fn exclusively(arguments: &Lock, lock: &SharedLock, out: &mut Out) -> Result<u8, Failure> {
    step("open");
    let caught = catch(&lock.info()?)?;
    let ignores = arguments.ignore_poison || arguments.recover.is_some();
    let mut guard = if ignores {
        at_most(arguments.timeout, || lock.lock_ignoring_poison(), |most| lock.try_lock_ignoring_poison_for(most))?
    } else {
        at_most(arguments.timeout, || lock.lock(), |most| lock.try_lock_for(most))?
    };
    step("held");
    let parent = Parent::begin(caught, arguments.on_death)?;
    if LockGuard::is_poisoned(&guard) {
        repair(&parent, arguments, out, || LockGuard::clear_poison(&mut guard))?;
    }
    run_command(&parent, arguments)
}

fn for_writing(arguments: &Lock, out: &mut Out) -> Result<u8, Failure> {
    let lock = SharedRwLock::open(&arguments.name)?;
    let caught = catch(&lock.info()?)?;
    let ignores = arguments.ignore_poison || arguments.recover.is_some();
    let mut guard = if ignores {
        at_most(arguments.timeout, || lock.write_ignoring_poison(), |most| lock.try_write_ignoring_poison_for(most))?
    } else {
        at_most(arguments.timeout, || lock.write(), |most| lock.try_write_for(most))?
    };
    let parent = Parent::begin(caught, arguments.on_death)?;
    if RwLockWriteGuard::is_poisoned(&guard) {
        repair(&parent, arguments, out, || RwLockWriteGuard::clear_poison(&mut guard))?;
    }
    run_command(&parent, arguments)
}

fn side_by_side(arguments: &Lock) -> Result<u8, Failure> {
    let options = SharedRwLock::options();
    let options = if arguments.persistent { options.persistent(true) } else { options };
    let lock = options.open_or_create(&arguments.name)?;
    let caught = catch(&lock.info()?)?;
    let _guard = at_most(arguments.timeout, || lock.read(), |most| lock.try_read_for(most))?;
    run_command(&Parent::begin(caught, arguments.on_death)?, arguments)
}

fn with_a_permit(arguments: &Lock) -> Result<u8, Failure> {
    let semaphore = SharedSemaphore::open(&arguments.name)?;
    let caught = catch(&semaphore.info()?)?;
    let _permit = at_most(arguments.timeout, || semaphore.acquire(), |most| semaphore.try_acquire_for(most))?;
    run_command(&Parent::begin(caught, arguments.on_death)?, arguments)
}

/// Runs the command that repairs, if one is given; else the poison is not minded.
fn repair(parent: &Parent, arguments: &Lock, out: &mut Out, clear_poison: impl FnOnce()) -> Result<(), Failure> {
    let Some(script) = &arguments.recover else { return Ok(()) };
    out.complain(format_args!("lock {:?} is poisoned: repairing what it guards", arguments.name));
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script);
    match parent.run(&mut shell)? {
        0 => {
            clear_poison();
            Ok(())
        }
        code => {
            Err(Failure::new(IS_POISONED, format_args!("the repair has failed with {code}: the lock stays poisoned")))
        }
    }
}

fn run_command(parent: &Parent, arguments: &Lock) -> Result<u8, Failure> {
    let [program, rest @ ..] = &*arguments.command else {
        return Err(Failure::new(USAGE, "there is no command"));
    };
    let code = parent.run(Command::new(program).args(rest))?;
    step("ended");
    Ok(code)
}

/// Where a test may kill this program.
fn step(which: &str) {
    sys::die_at(which, std::process::id());
}

/// Prints the help, or what is wrong with the arguments. Of `lock`, no code that could be the command's.
pub(crate) fn exit_of_usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    let command = std::env::args_os().skip(1).find(|argument| !argument.to_string_lossy().starts_with('-'));
    match (error.use_stderr(), command) {
        (false, _) => ExitCode::SUCCESS,
        (true, Some(command)) if command == "lock" => ExitCode::from(FAILED),
        (true, _) => ExitCode::from(USAGE),
    }
}
