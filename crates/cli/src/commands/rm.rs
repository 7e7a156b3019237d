//! `rm`: takes names away.

use robust_shm::SegmentInfo;
use serde_json::json;

use crate::arguments::Rm;
use crate::failure::{BUSY, Failure, code_of};
use crate::output::Out;

/// Goes on after a name that cannot be removed; the exit code is that of the worst.
pub(crate) fn run(arguments: &Rm, out: &mut Out) -> Result<u8, Failure> {
    let mut worst = 0;
    for name in &arguments.names {
        if arguments.if_unused && SegmentInfo::of(name).is_ok_and(|info| info.attached() > 0) {
            out.complain(format_args!("segment {name:?} is in use"));
            worst = worst.max(BUSY);
            continue;
        }
        match robust_shm::remove(name) {
            Ok(()) if out.is_json() => out.object(&json!({"name": name, "removed": true}))?,
            Ok(()) => {}
            Err(error) => {
                worst = worst.max(code_of(&error));
                out.complain(error);
            }
        }
    }
    Ok(worst)
}
