//! The tables: a short one for the README, a long one with everything.

use std::fmt::Write;

use crate::compare::{best_peer, cases, of_case, time_ratio};
use crate::report::{Part, Row, short};
use crate::saved::Saved;

pub const BEGIN: &str = "<!-- figures: begin -->";
pub const END: &str = "<!-- figures: end -->";

const COMMAND: &str = "cargo run --release -p robust-shm-peers --";

/// Replaces what stands between the markers.
pub fn replace(text: &str, figures: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{figures}{END}{after}"))
}

/// What the README shows.
pub fn brief(saved: &Saved, plots: &str) -> String {
    let mut text = format!(
        "Medians of interleaved rounds, and of their ratios, on a shared machine ({}). `{COMMAND} all` measures everything again, the name of a part \
         that part alone; all figures and what is pinned: [benches/peers/results]({plots}).\n",
        saved.machine
    );
    if let Some(part) = saved.part("uncontended") {
        text += &uncontended(part);
    }
    if let Some(part) = saved.part("contention") {
        text += &contended(part);
    }
    text += &beside_best(saved);
    text += "\nNot every row is to our liking: all of them stand in the full tables; the bars that we set ourselves and do not \
             meet, with the reasons, in [benches/peers](benches/peers/README.md#bars-that-are-not-met-and-why).\n";
    let _ = writeln!(text, "\n![each figure beside the best peer's]({plots}/ratios.svg)");
    text
}

fn row_name(row: &Row) -> String {
    if row.ours { format!("**`{}`**", row.who) } else { row.who.clone() }
}

fn uncontended(part: &Part) -> String {
    let mut text =
        format!("\n`{COMMAND} uncontended`\n\n| nobody else wants it | ns | ÷ `std::sync::Mutex` |\n|---|---|---|\n");
    let std = |case: &str| {
        of_case(part, case)
            .find(|row| row.who.starts_with("std"))
            .or_else(|| part.rows.iter().find(|row| row.who.starts_with("std")))
    };
    /// What a reader wants to compare; the rest stands in the full tables.
    const SHOWN: [&str; 5] =
        ["std::sync::Mutex", "parking_lot", "pthread robust", "raw_sync", "Python multiprocessing.Value"];
    for case in cases(part).into_iter().filter(|case| !case.starts_with("try")) {
        for row in of_case(part, case).filter(|row| row.ours || SHOWN.iter().any(|who| row.who.starts_with(who))) {
            let ratio = std(case).map_or(f64::NAN, |std| row.over(std));
            let _ = writeln!(text, "| {case}: {} | {} | {} |", row_name(row), short(row.median()), short(ratio));
        }
    }
    text
}

/// `SharedLock` in proportion to the best peer, a line for each amount of work and thinking.
fn contended(part: &Part) -> String {
    let mut text = format!(
        "\n`{COMMAND} contention`: `SharedLock`'s operations per second ÷ those of the best of pthread shared, pthread robust \
         and `raw_sync` (above 1: we do more); in brackets ÷ pthread robust. Work and think: steps of about a nanosecond under the lock and between.\n\n\
         | work, think | 2 processes | 4 processes | 16 processes |\n|---|---|---|---|\n"
    );
    let two = cases(part).into_iter().filter_map(|case| case.strip_prefix("2 processes, "));
    for kind in two {
        let _ = write!(text, "| {} ", kind.replace("work ", "").replace("think ", ""));
        for processes in [2, 4, 16] {
            let case = format!("{processes} processes, {kind}");
            let figure = part.row(&case, "SharedLock").and_then(|ours| {
                let best = best_peer(part, ours)?;
                Some(format!("{:.2} ({:.2})", ours.over(best), ours.over(part.row(&case, "pthread robust")?)))
            });
            let _ = write!(text, "| {} ", figure.unwrap_or_default());
        }
        text += "|\n";
    }
    text
}

/// A choice of our other figures beside the best peer's.
fn beside_best(saved: &Saved) -> String {
    const SHOWN: [&str; 7] =
        ["8 bytes", "64 bytes, 1", "4096 bytes", "1 KiB", "4 MiB", "turns", "hand-over after 1,000 steps"];
    let mut text =
        "\n| | ours | best peer, or floor | our time ÷ theirs (below 1: we are faster) |\n|---|---|---|---|\n"
            .to_owned();
    for part in ["starvation", "pingpong", "readers", "killed", "segments", "bulk"]
        .into_iter()
        .filter_map(|name| saved.part(name))
    {
        let all = matches!(part.name, "starvation" | "killed" | "segments");
        // One lock is inside all of ours.
        for row in part.rows.iter().filter(|row| row.ours && row.who != "SharedValue") {
            if !all && !SHOWN.iter().any(|case| row.case.starts_with(case)) {
                continue;
            }
            let Some(peer) = best_peer(part, row) else { continue };
            let (ours, theirs) = (short(row.median()), short(peer.median()));
            let ratio = short(time_ratio(row, peer));
            let _ = writeln!(
                text,
                "| {}: `{}` | {ours} {} | {}: {theirs} {} | {ratio} |",
                row.case, row.who, row.unit, peer.who, peer.unit
            );
        }
    }
    text
}

/// Everything that was measured.
pub fn full(saved: &Saved) -> String {
    let mut text = format!(
        "# Figures\n\nGenerated by `{COMMAND} render` from the JSON files beside this one. {}.\n\n",
        saved.machine
    );
    for plot in ["ratios", "contention", "sizes", "scaling"] {
        let _ = writeln!(text, "![{plot}]({plot}.svg)\n");
    }
    for part in &saved.parts {
        let _ = writeln!(text, "## {}\n\n`{COMMAND} {}`: {}.\n", part.name, part.name, part.how);
        for case in cases(part) {
            text += &case_table(part, case);
        }
        text += &bars_table(part);
    }
    text
}

fn case_table(part: &Part, case: &str) -> String {
    let rows: Vec<&Row> = of_case(part, case).collect();
    let (mut head, mut rule) = (format!("| {case} | {} | from | to |", rows[0].unit), "|---|---|---|---|".to_owned());
    for (name, _) in &rows[0].more {
        let _ = write!(head, " {name} |");
        rule += "---|";
    }
    let mut text = format!("{head}\n{rule}\n");
    for row in rows {
        let (low, high) =
            row.rounds.iter().fold((f64::INFINITY, 0f64), |(low, high), one| (low.min(*one), high.max(*one)));
        let _ = write!(text, "| {} | {} | {} | {} |", row_name(row), short(row.median()), short(low), short(high));
        row.more.iter().for_each(|(_, figure)| _ = write!(text, " {} |", short(*figure)));
        text += "\n";
    }
    text + "\n"
}

fn bars_table(part: &Part) -> String {
    if part.bars.is_empty() {
        return String::new();
    }
    let mut text = "| bar | figure | limit | verdict |\n|---|---|---|---|\n".to_owned();
    for bar in &part.bars {
        let verdict = if bar.met() { "met" } else { "**not met**" };
        let _ = writeln!(
            text,
            "| {} | {:.3} | {} | {verdict} |",
            bar.what.replace('<', "&lt;"),
            bar.figure,
            bar.limit_text()
        );
    }
    text + "\n"
}
