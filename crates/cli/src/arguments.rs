//! What can be said on the command line.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::show::Range;
use crate::kind::Kind;

/// The end of the help and of the manual page.
const CODES: &str =
    "Exit codes: 0 done; 1 no (not found, already there); 2 usage; 3 busy; 4 poisoned; 5 not allowed; 6 anything else \
of the system; 65 another kind or type. `wait` and `lock` have more: see their help.

What is shown is not written to, nor used: ls, show, info, holders and gc --dry-run read only.";

/// Looks at shared-memory segments, and locks, waits and counts from scripts.
#[derive(Debug, Parser)]
#[command(name = "robust-shm", version, after_help = CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Print JSON: an object in each line, with "format": 1
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List segments
    Ls(Ls),
    /// Print what a segment holds
    Show(Show),
    /// Print all that is known about a segment
    Info(Name),
    /// Print who holds a segment, and who uses it. Exits 0 if it is held, 1 if it is free or not there
    Holders(Name),
    /// Print a value: bare, for scripts
    Get(Get),
    /// Change a value
    Set(Set),
    /// Add to a number, and print the sum
    Add(Add),
    /// Create a segment that stays until it is removed
    Create(Create),
    /// Remove segments. Who uses them keeps them
    Rm(Rm),
    /// Remove what killed users have left
    Gc(Gc),
    /// Wait, asleep, until something is so
    Wait(Wait),
    /// Run a command while holding a lock
    Lock(Lock),
    /// Set or clear an event
    Event(Event),
    /// Print a script that completes commands and names in a shell
    Completions(Completions),
    /// Print the manual page, of all or of one command
    #[command(hide = true)]
    Man(Man),
    /// Print the names that a shell completes
    #[command(hide = true)]
    Names,
}

#[derive(Args, Debug)]
pub(crate) struct Name {
    /// The segment
    pub(crate) name: String,
}

#[derive(Args, Debug)]
pub(crate) struct Ls {
    /// Names to list: `*` stands for any text, `?` for one character
    pub(crate) pattern: Option<String>,
    /// Segments of other users, too
    #[arg(long)]
    pub(crate) all: bool,
    /// Segments of this kind only
    #[arg(long)]
    pub(crate) kind: Option<Kind>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Values are read whole, whoever writes. Arrays are read from the file without the lock, and may be torn: they are marked \
`unlocked`, unless --lock is given."
)]
pub(crate) struct Show {
    /// The segment
    pub(crate) name: String,
    /// Go on, and print each change that is seen; on a terminal in place. It looks every 50 ms
    #[arg(long)]
    pub(crate) watch: bool,
    /// Read it as this type, as 'u64', '[f64;4]' or '{balance:i64,open:bool,_pad:[u8;7]}'
    #[arg(long = "as", value_name = "TYPE")]
    pub(crate) as_type: Option<String>,
    /// Arrays of u8 are texts
    #[arg(long)]
    pub(crate) text: bool,
    /// Some elements of an array, as 10..20
    #[arg(long, value_name = "A..B")]
    pub(crate) range: Option<Range>,
    /// Take the lock of an array, beside other readers, for which it waits 1 s at most: then it is a user for a moment
    #[arg(long)]
    pub(crate) lock: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Get {
    /// The segment
    pub(crate) name: String,
    /// Arrays of u8 are texts
    #[arg(long)]
    pub(crate) text: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Set {
    /// The segment
    pub(crate) name: String,
    /// A number, true or false, the name of an enum's variant, a text for [u8; N], JSON for structs and arrays
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: String,
}

#[derive(Args, Debug)]
pub(crate) struct Add {
    /// The segment
    pub(crate) name: String,
    /// What to add
    #[arg(allow_hyphen_values = true)]
    pub(crate) number: String,
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The segment
    pub(crate) name: String,
    /// lock, rwlock, event, semaphore, or the type of a value or of elements, as 'u64' or '{balance:i64,open:bool,_pad:[u8;7]}'
    #[arg(value_name = "TYPE")]
    pub(crate) kind: String,
    /// Of a semaphore, how many permits; of a value, the first (else zero)
    #[arg(allow_hyphen_values = true)]
    pub(crate) value: Option<String>,
    /// Make an array of so many elements
    #[arg(long, value_name = "N")]
    pub(crate) len: Option<usize>,
}

#[derive(Args, Debug)]
pub(crate) struct Rm {
    /// The segments
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Leave those that have users, and exit 3. It is looked before, and somebody may come in between
    #[arg(long)]
    pub(crate) if_unused: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Gc {
    /// Only print what would be removed
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Exits 124 when the time is up, 1 when there is no segment (of `free`, `changed` and `set`).

`exists` and `gone` are seen from outside, and what killed users have left is gone. The others use the segment while they wait; `free` takes the \
lock or a permit for a moment.")]
pub(crate) struct Wait {
    /// The segment
    pub(crate) name: String,
    /// What to wait for
    #[arg(long, value_name = "STATE")]
    pub(crate) until: Until,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// There is such a segment
    Exists,
    /// There is none
    Gone,
    /// Nobody holds it
    Free,
    /// The value has been changed, after this was called
    Changed,
    /// The event is set
    Set,
}

#[derive(Args, Debug)]
#[command(
    after_help = "The lock is made if there is none. Of a semaphore that there is, one permit is taken; of a read-write lock, all of it, or with \
--read, a reader's part.

Exits as the command does (128+n: ended by signal n), or 124 late (-E), 123 poisoned, 125 robust-shm itself failed, \
126 the command cannot be run, 127 not found.

A failing command poisons nothing. If robust-shm itself is killed, the command gets a signal (--on-death), and the lock is poisoned: what \
the command guarded may be half-done. Whoever comes next exits 123, unless --recover repairs it. But a lock that nobody else has open \
goes with its last user, and with it the poison: with --persistent it stays, and remembers.

The death signal goes to the command, not to what that has started, and not to one that gains rights when it starts (setuid)."
)]
pub(crate) struct Lock {
    /// The lock, or the semaphore
    pub(crate) name: String,
    /// Give up after so many seconds; 0 tries once
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Make a lock that stays until it is removed
    #[arg(long)]
    pub(crate) persistent: bool,
    /// Take a read-write lock for reading
    #[arg(long)]
    pub(crate) read: bool,
    /// If the lock is poisoned, run this with `sh -c` first: if it succeeds, the lock is whole again
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["ignore_poison", "read"])]
    pub(crate) recover: Option<OsString>,
    /// Do not mind that it is poisoned, and leave it so
    #[arg(long)]
    pub(crate) ignore_poison: bool,
    /// Exit with this when the time is up
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = crate::failure::LATE)]
    pub(crate) exit_code: u8,
    /// The signal that the command gets if robust-shm is killed
    #[arg(long, value_name = "SIGNAL", default_value = "term")]
    pub(crate) on_death: OnDeath,
    /// The command, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnDeath {
    Term,
    Kill,
    None,
}

#[derive(Args, Debug)]
pub(crate) struct Event {
    /// The event
    pub(crate) name: String,
    pub(crate) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// All who wait go on, and all who come
    Set,
    /// Who comes waits
    Clear,
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub(crate) struct Man {
    /// The command
    pub(crate) command: Option<String>,
}

/// As `1.5`.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if number.is_nan() || number < 0.0 {
        return Err("a time cannot be negative".to_owned());
    }
    Ok(Duration::try_from_secs_f64(number).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_are_seconds() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(
            [seconds("0"), seconds("inf"), seconds("1e300")],
            [Duration::ZERO, Duration::MAX, Duration::MAX].map(Ok)
        );
        for wrong in ["", "-1", "NaN", "1s", "one"] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }
}
