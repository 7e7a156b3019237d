//! The model for the checker: who may do what when, what must hold, and which states are the same.

use stateright::{Model, Property};

use crate::kernel::{Description, File, Flock, Kernel, PLACES};
use crate::program::{Broken, Op, Outcome, Owner, Program, Step, Then, World};

/// Programs that are there from the beginning; the last place is kept for a newcomer.
pub(crate) const PROGRAMS: usize = PLACES - 1;
const NEWCOMER: usize = PROGRAMS;

/// How much may happen.
#[derive(Clone, Debug)]
pub(crate) struct LifeCycle {
    pub(crate) broken: Broken,
    pub(crate) ops: &'static [Op],
    /// How many calls each program makes.
    pub(crate) calls: [u8; PROGRAMS],
    pub(crate) kills: u8,
    /// Who may remove orphans.
    pub(crate) owner: Owner,
    /// How many mappings fail.
    pub(crate) failures: u8,
}

/// `Kill` is `kill -9`. To be stopped for ever is not to act any more, which needs no action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Begin(usize, Op),
    Call(usize, Step),
    Leave(usize),
    FailToMap(usize),
    Kill(usize),
}

impl Model for LifeCycle {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut programs = [Program::default(); PLACES];
        for (program, calls_left) in programs.iter_mut().zip(self.calls) {
            program.calls_left = calls_left;
        }
        let kernel = Kernel::default();
        let (kills_left, failures_left) = (self.kills, self.failures);
        let owner = self.owner;
        vec![World { owner, kernel, programs, kills_left, failures_left, killed: false, wrong: None }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for who in 0..PROGRAMS {
            let program = world.programs[who];
            match program.step {
                Step::Dead => {}
                Step::Idle if program.calls_left == 0 => {}
                Step::Idle => actions.extend(self.ops.iter().map(|&op| Action::Begin(who, op))),
                Step::Using => actions.push(Action::Leave(who)),
                step => actions.push(Action::Call(who, step)),
            }
            if matches!(program.step, Step::MapCreated | Step::MapOpened) && world.failures_left > 0 {
                actions.push(Action::FailToMap(who));
            }
            // To be killed with nothing open is to make no more calls.
            if world.kernel.descriptions[who].is_some() && world.kills_left > 0 {
                actions.push(Action::Kill(who));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = *world;
        match action {
            Action::Begin(who, op) => world.begin(who, op),
            Action::Call(who, _) => {
                world.advance(who, self.broken);
            }
            Action::Leave(who) => world.leave(who, self.broken),
            Action::FailToMap(who) => {
                world.failures_left -= 1;
                world.fail_to_map(who, self.broken);
            }
            Action::Kill(who) => {
                world.kills_left -= 1;
                world.kill(who);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("no single step goes wrong", |_, world: &World| world.wrong.is_none()),
            Property::always("two handles are of one segment, unless it was removed by request", |_, world: &World| {
                let kept = |i| world.uses(i).filter(|&file| !is_removed(world, file));
                let mut files = (0..PROGRAMS).filter_map(kept);
                let first = files.next();
                files.all(|file| Some(file) == first)
            }),
            Property::always(
                "a segment in use keeps its name, unless it was removed by request",
                |_, world: &World| {
                    let mut used = (0..PROGRAMS).filter_map(|i| world.uses(i));
                    used.all(|file| world.kernel.name == Some(file) || is_removed(world, file))
                },
            ),
            Property::always("every user has a presence byte and shares the lock", |_, world: &World| {
                let mut users = (0..PROGRAMS).filter(|&i| world.uses(i).is_some());
                users.all(|i| world.kernel.description(i).attends && world.kernel.description(i).flock == Flock::Shared)
            }),
            Property::always("when all have left and none was killed, nothing remains", |_, world: &World| {
                world.owner != Owner::Everybody
                    || world.killed
                    || !nobody_has_it_open(world)
                    || name_is_free_or_persistent(world)
            }),
            Property::always("whoever goes on alone gets to the end", |model: &Self, world: &World| {
                (0..PROGRAMS).all(|who| gets_to_the_end(world, who, model.broken))
            }),
            Property::always("a newcomer gets what he asks for, and cleans up", |model: &Self, world: &World| {
                [Op::OpenOrCreate, Op::Create, Op::Open, Op::Remove, Op::Sweep]
                    .into_iter()
                    .all(|op| newcomer_is_served(world, op, model.broken))
            }),
        ];
        if self.broken == Broken::Nowhere && self.ops == Op::ALL {
            properties.extend(witnesses());
        }
        properties
    }
}

/// What must be possible, lest the rest hold because nothing happens.
fn witnesses() -> [Property<LifeCycle>; 6] {
    fn some(world: &World, is: impl FnMut(&Program) -> bool) -> bool {
        world.programs.iter().any(is)
    }
    [
        Property::sometimes("two use one segment", |_, world: &World| {
            world.kernel.name.is_some_and(|file| world.users(file) == 2)
        }),
        Property::sometimes("a name is found taken", |_, world: &World| {
            some(world, |program| program.then == Then::End(Outcome::AlreadyExists))
        }),
        Property::sometimes("a mistyped opener is refused", |_, world: &World| {
            some(world, |program| program.then == Then::End(Outcome::Refused))
        }),
        Property::sometimes("a leaver finds another remaining", |_, world: &World| {
            (0..PROGRAMS).any(|who| {
                world.programs[who].step == Step::Close
                    && world.programs[who].then == Then::End(Outcome::Left)
                    && world.kernel.leads_to(who)
                    && world.users(world.kernel.description(who).file) > 0
            })
        }),
        Property::sometimes("an orphan is removed by the next who opens", |_, world: &World| {
            world.killed && some(world, |program| program.step == Step::Unlink && program.op == Op::Open)
        }),
        Property::sometimes("a persistent orphan is taken over", |_, world: &World| {
            some(world, |program| program.step == Step::DropExclusive)
        }),
    ]
}

fn is_removed(world: &World, file: u8) -> bool {
    world.kernel.files[usize::from(file)].is_some_and(|file| file.removed)
}

fn nobody_has_it_open(world: &World) -> bool {
    world.kernel.descriptions.iter().all(Option::is_none)
}

fn named(world: &World) -> Option<File> {
    world.kernel.files[usize::from(world.kernel.name?)]
}

fn name_is_free_or_persistent(world: &World) -> bool {
    named(world).is_none_or(|file| file.persistent)
}

/// What others have on the file with the name.
fn on_the_name(world: &World, who: usize) -> impl Iterator<Item = Description> {
    let name = world.kernel.name;
    let others = world.kernel.descriptions.into_iter().enumerate().filter(move |(i, _)| *i != who);
    others.filter_map(|(_, other)| other).filter(move |other| Some(other.file) == name)
}

/// May a program give up, after its bounded patience? When another one stands still that has the file exclusively, or is
/// removing its name.
fn is_in_the_way(world: &World, who: usize) -> bool {
    // Or when it was about to use what had been made anew, while somebody else began with that again and was killed.
    let is_unfinished = named(world).is_some_and(|file| file.unfinished);
    on_the_name(world, who)
        .any(|other| other.flock == Flock::Exclusive || other.guards || is_unfinished && other.flock == Flock::Shared)
}

/// Runs a program while all others stand still, as if stopped for ever. `None`: it does not come to an end.
fn run_alone(world: &mut World, who: usize, broken: Broken) -> Option<Outcome> {
    const PATIENCE: usize = 60; // system calls: three times as many as any attempt takes
    (0..PATIENCE).find_map(|_| world.advance(who, broken))
}

fn gets_to_the_end(world: &World, who: usize, broken: Broken) -> bool {
    let mut alone = *world;
    match world.programs[who].step {
        Step::Idle | Step::Dead => return true,
        Step::Using => alone.leave(who, broken),
        _ => {}
    }
    run_alone(&mut alone, who, broken).is_some() || is_in_the_way(&alone, who)
}

fn newcomer_is_served(world: &World, op: Op, broken: Broken) -> bool {
    let mut after = *world;
    after.begin(NEWCOMER, op);
    let Some(outcome) = run_alone(&mut after, NEWCOMER, broken) else { return is_in_the_way(world, NEWCOMER) };
    let shared = || on_the_name(world, NEWCOMER).any(|other| other.flock == Flock::Shared);
    let expected = match outcome {
        Outcome::Got => op != Op::Remove && op != Op::Sweep,
        Outcome::AlreadyExists => op == Op::Create && (named(world).is_some_and(|file| file.persistent) || shared()),
        Outcome::NotFound => match op {
            Op::Open => !shared() && named(world).is_none_or(|file| !file.persistent),
            Op::Remove => world.kernel.name.is_none(),
            _ => false,
        },
        Outcome::Removed => op == Op::Remove && after.kernel.name.is_none(),
        Outcome::Swept => op == Op::Sweep,
        _ => false,
    };
    if outcome == Outcome::Got {
        after.leave(NEWCOMER, broken);
        if run_alone(&mut after, NEWCOMER, broken).is_none() {
            return false;
        }
    }
    let cleans_up = op != Op::Open || outcome == Outcome::Got || outcome == Outcome::NotFound;
    expected
        && after.wrong.is_none()
        && (world.owner != Owner::Everybody
            || !cleans_up
            || !nobody_has_it_open(&after)
            || name_is_free_or_persistent(&after))
}

/// Worlds that differ only in who is who and in the files' numbers are the same.
pub(crate) fn representative(world: &World) -> World {
    let mut order: [usize; PROGRAMS] = std::array::from_fn(|i| i);
    order.sort_by_key(|&i| {
        let description =
            world.kernel.descriptions[i].map(|it| (world.kernel.leads_to(i), it.flock, it.guards, it.attends));
        (world.programs[i], description)
    });
    let mut same = *world;
    same.kernel.files = Default::default();
    let mut numbers = [None; PLACES + 1];
    let mut next = 0;
    let mut renumber = |file: u8| {
        let number = *numbers[usize::from(file)].get_or_insert_with(|| {
            next += 1;
            next - 1
        });
        same.kernel.files[usize::from(number)] = world.kernel.files[usize::from(file)];
        number
    };
    same.kernel.name = world.kernel.name.map(&mut renumber);
    for (to, from) in order.into_iter().enumerate() {
        same.programs[to] = world.programs[from];
        same.kernel.descriptions[to] =
            world.kernel.descriptions[from].map(|it| Description { file: renumber(it.file), ..it });
    }
    same
}
