//! Mirrors described values between machines, by zenoh. What it promises, and what not, stands in the README beside it.
//!
//! | file | |
//! |---|---|
//! | `arguments.rs` | what is mirrored where to |
//! | `claim.rs` | a name is mirrored once on a machine, in one direction |
//! | `message.rs` | what goes over the wire: one snapshot |
//! | `follower.rs` | whose snapshots are followed, and which of them is news |
//! | `copy.rs` | the value here that is a copy of one elsewhere |
//! | `export.rs`, `import.rs` | the two ends, which alone know zenoh |
//! | `voice.rs` | what the user is told |

mod arguments;
mod claim;
mod copy;
mod export;
mod follower;
mod import;
mod message;
mod voice;

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zenoh::{Config, Session, Wait};

use arguments::{Arguments, Route};
use claim::Claim;

/// What has ended a mirror.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How often a value is sent that has not changed: by this a follower knows that it is still connected, has what a full link
/// dropped, and has something at all if it came late.
const HEARTBEAT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("zenoh-mirror: {why}\n\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Err(error) => {
            eprintln!("zenoh-mirror: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Until something fails, or somebody ends the program.
fn run(arguments: &Arguments) -> Result<Infallible, Failure> {
    // This thread has them until the end, whatever that is: they are locks.
    let _claims = arguments.routes().map(|route| Claim::new(&route.name)).collect::<Result<Vec<_>, _>>()?;
    let session = zenoh::open(config(arguments)?).wait()?;
    let (failed, failure) = mpsc::channel();
    let run = |route: &Route, mirror: fn(&Session, &Route) -> Result<Infallible, Failure>| {
        let (session, route, failed) = (session.clone(), route.clone(), failed.clone());
        thread::spawn(move || {
            let Err(error) = mirror(&session, &route);
            failed.send(error)
        });
    };
    arguments.exports.iter().for_each(|route| run(route, export::export));
    arguments.imports.iter().for_each(|route| run(route, import::import));
    drop(failed);
    Err(failure.recv().unwrap_or_else(|_| "all mirrors have panicked".into()))
}

/// Peers that know each other by address; nobody is searched for.
fn config(arguments: &Arguments) -> Result<Config, Failure> {
    let mut config = Config::default();
    let list = |endpoints: &[String]| format!("{endpoints:?}"); // JSON's strings, as no endpoint has a character beyond ASCII
    for (key, value) in [
        ("mode", "\"peer\"".to_owned()),
        ("scouting/multicast/enabled", "false".to_owned()),
        ("listen/endpoints", list(&arguments.listen)),
        ("connect/endpoints", list(&arguments.connect)),
        ("connect/retry", "{ period_init_ms: 200, period_max_ms: 2000, period_increase_factor: 2 }".to_owned()),
    ] {
        config.insert_json5(key, &value).map_err(|error| format!("{key} = {value}: {error}"))?;
    }
    Ok(config)
}
