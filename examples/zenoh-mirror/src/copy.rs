//! The value here that is a copy of one elsewhere.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use robust_shm::dynamic::{DynValue, Schema};

use crate::Failure;
use crate::arguments::Route;
use crate::follower::{Follower, Verdict};
use crate::message::Message;
use crate::voice::Voice;

/// What stands beside each copy, as `NAME.heard`, so that whoever reads the copy sees how old it may be: when its writer was
/// heard last, also if it had nothing new (nanoseconds since 1970, by this machine's clock), and how many commits it had made.
const HEARD: &str = "Heard{at:i64,commits:u64}";

/// The value under the name.
struct Standing {
    value: DynValue,
    /// The commit that wrote what was heard last: any other one is not ours.
    ours: u64,
}

pub(crate) struct Copy {
    route: Route,
    follower: Follower,
    /// `None`: nothing has come that could be written.
    standing: Option<Standing>,
    heard: DynValue,
    voice: Voice,
}

impl Copy {
    pub(crate) fn new(route: &Route) -> Result<Self, Failure> {
        let heard = DynValue::open_or_create(&format!("{}.heard", route.name), &Schema::parse(HEARD)?, &[0; 16])?;
        Ok(Self { route: route.clone(), follower: Follower::default(), standing: None, heard, voice: Voice::new() })
    }

    /// Something came by the key, from whomever.
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        let Route { name, key } = self.route.clone();
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(why) => return self.voice.say(format!("something that is no value came as {key:?}: {why}")),
        };
        match self.follower.hear(message.origin, message.commits, Instant::now()) {
            Verdict::Late => return,
            Verdict::Foreign => {
                return self.voice.say(format!("{key:?} has two writers: {name:?} follows the one that came first"));
            }
            Verdict::News => {}
            Verdict::Again if self.is_ours() => return self.note(&message),
            Verdict::Again => {}
        }
        if let Some(standing) = &self.standing
            && !self.is_ours()
            && !standing.value.is_removed()
        {
            self.voice.say(format!("somebody writes to {name:?} here, which is a copy: what they write is lost"));
        }
        match self.write(&message) {
            Ok(()) => self.note(&message),
            Err(error) => self.voice.say(format!("what came as {key:?} is not written to {name:?}: {error}")),
        }
    }

    /// Does what we wrote still stand under the name?
    fn is_ours(&self) -> bool {
        self.standing.as_ref().is_some_and(|it| !it.value.is_removed() && it.value.commits() == it.ours)
    }

    /// Creates or opens the value where that has not been done, and makes it what came: never a part of that, whoever is
    /// killed. Waits for whoever holds its lock.
    fn write(&mut self, message: &Message) -> Result<(), Failure> {
        let is_fit = |it: &Standing| !it.value.is_removed() && it.value.schema() == Some(&message.schema);
        let value = match self.standing.take().filter(is_fit) {
            Some(standing) => standing.value,
            None => {
                let value = DynValue::open_or_create(&self.route.name, &message.schema, &message.value)?;
                self.voice.say(format!("{:?} follows {:?}", self.route.name, self.route.key));
                value
            }
        };
        value.set(&message.value)?;
        let (mut ours, mut found) = (u64::MAX, vec![0; value.size()]);
        let _ = value.get_if_changed(&mut ours, &mut found);
        if found != message.value {
            ours = u64::MAX; // somebody else was quicker: written again when the value comes again
        }
        self.standing = Some(Standing { value, ours });
        Ok(())
    }

    fn note(&self, message: &Message) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        // Who holds the lock of that is in nobody's way but its own.
        let _ = self.heard.set(&[at.to_ne_bytes(), message.commits.to_ne_bytes()].concat());
    }
}
