//! Whose snapshots are followed, and which of them is news.

use std::time::{Duration, Instant};

/// After so long a silence the writer that was followed is gone, and another one may have come in its place.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);

/// What to do with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the first one of its writer here, or a later one.
    News,
    /// The last one, once more: the writer is still there.
    Again,
    /// Overtaken by a later one on its way.
    Late,
    /// Another writer's, while the one that is followed is there.
    Foreign,
}

/// A key has one writer, and this is the one that is followed.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    followed: Option<Followed>,
}

#[derive(Debug)]
struct Followed {
    origin: u128,
    commits: u64,
    heard: Instant,
}

impl Follower {
    pub(crate) fn hear(&mut self, origin: u128, commits: u64, now: Instant) -> Verdict {
        match &mut self.followed {
            Some(followed) if followed.origin == origin => {
                followed.heard = now;
                let verdict = match commits {
                    _ if commits > followed.commits => Verdict::News,
                    _ if commits == followed.commits => Verdict::Again,
                    _ => Verdict::Late,
                };
                followed.commits = followed.commits.max(commits);
                verdict
            }
            Some(followed) if now.saturating_duration_since(followed.heard) < SILENCE => Verdict::Foreign,
            _ => {
                self.followed = Some(Followed { origin, commits, heard: now });
                Verdict::News
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::*;
    use super::*;

    /// (seconds, origin, commits, what is done with it)
    fn play(steps: &[(f32, u128, u64, Verdict)]) {
        let (mut follower, start) = (Follower::default(), Instant::now());
        for (seconds, origin, commits, verdict) in steps {
            let now = start + Duration::from_secs_f32(*seconds);
            assert_eq!(follower.hear(*origin, *commits, now), *verdict, "after {seconds} s");
        }
    }

    #[test]
    fn the_latest_commit_wins() {
        play(&[(0.0, 1, 5, News), (0.1, 1, 7, News), (0.2, 1, 6, Late), (0.3, 1, 7, Again), (0.4, 1, 8, News)]);
    }

    #[test]
    fn a_second_writer_is_not_followed_beside_the_first() {
        play(&[
            (0.0, 1, 5, News),
            (0.5, 2, 90, Foreign),
            (1.0, 1, 5, Again),
            (3.9, 2, 91, Foreign),
            (4.0, 2, 91, News),
        ]);
    }

    #[test]
    fn a_writer_that_comes_back_after_another_one_begins_anew() {
        play(&[(0.0, 1, 5, News), (4.0, 2, 1, News), (5.0, 1, 6, Foreign), (9.0, 1, 6, News), (9.1, 2, 2, Foreign)]);
    }

    #[test]
    fn the_same_segment_goes_on_after_any_silence() {
        play(&[(0.0, 1, 5, News), (100.0, 1, 5, Again), (101.0, 1, 4, Late), (102.0, 1, 6, News)]);
    }
}
