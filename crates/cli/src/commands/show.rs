//! `show`: what a segment holds.

use std::io;
use std::time::Duration;

use robust_shm::SegmentInfo;
use robust_shm::dynamic::Schema;
use serde_json::json;

use crate::arguments::Show;
use crate::failure::{Failure, USAGE};
use crate::output::Out;

mod elements;
mod range;
mod source;

pub(crate) use range::Range;
use source::{Picture, Source};

/// How often `--watch` looks: who only observes cannot wait.
const EVERY: Duration = Duration::from_millis(50);
/// One look in so many asks whether all users were killed, which takes opening the file.
const LOOKS_PER_QUESTION: u32 = 10;

pub(crate) fn run(arguments: &Show, out: &mut Out) -> Result<u8, Failure> {
    let as_type = arguments.as_type.as_deref().map(Schema::parse).transpose();
    let as_type = as_type.map_err(|error| Failure::new(USAGE, error))?;
    let mut source = Source::open(arguments, as_type)?;
    let Some(picture) = source.look()? else { return Ok(0) };
    if !arguments.watch {
        print(&arguments.name, &picture, out)?;
        return Ok(0);
    }
    watch(&arguments.name, &mut source, picture, out)?;
    Ok(0)
}

fn print(name: &str, picture: &Picture, out: &mut Out) -> io::Result<()> {
    if out.is_json() {
        let mut object = json!({ "name": name, "kind": picture.kind.name(), "value": picture.value });
        if let (Some(object), Some(more)) = (object.as_object_mut(), picture.more.as_object()) {
            object.extend(more.clone());
        }
        return out.object(&object);
    }
    picture.lines.iter().try_for_each(|line| out.line(line))
}

fn is_orphan(name: &str) -> bool {
    SegmentInfo::of(name).is_ok_and(|info| info.is_orphan())
}

/// A picture for each change that is seen, until the segment is gone or nobody reads any more. On a terminal each takes the
/// place of the one before.
fn watch(name: &str, source: &mut Source, mut picture: Picture, out: &mut Out) -> Result<(), Failure> {
    let (mut drawn, mut looks) = (0, 0_u32);
    loop {
        if let Some((rows, columns)) = out.terminal_size().filter(|_| !out.is_json()) {
            picture.fit(rows, columns);
            // Up to the first line, and clear from there.
            let up = if drawn > 0 { format!("\x1b[{drawn}A") } else { String::new() };
            out.raw(format!("{up}\x1b[J").as_bytes())?;
            drawn = picture.lines.len();
        }
        print(name, &picture, out)?;
        out.flush()?;
        picture = loop {
            std::thread::sleep(EVERY);
            looks = looks.wrapping_add(1);
            // What killed users have left is as good as gone, and stays for the next who sweeps.
            if source.is_gone() || looks.is_multiple_of(LOOKS_PER_QUESTION) && is_orphan(name) {
                return Ok(());
            }
            match source.look() {
                Ok(Some(next)) => break next,
                Ok(None) => {}
                Err(_) if source.is_gone() => return Ok(()),
                Err(failure) => return Err(failure),
            }
        };
    }
}
