//! The plots.

use crate::chart::{self, Grid, OTHERS, OURS, Panel, Ratio, Series};
use crate::compare::{best_peer, cases, of_case, time_ratio};
use crate::report::{Part, Row, short};
use crate::saved::Saved;

/// File names and contents.
pub fn all(saved: &Saved) -> Vec<(&'static str, String)> {
    let mut plots = vec![("ratios.svg", ratios(saved))];
    plots.extend(saved.part("contention").map(|part| ("contention.svg", contention(part, &saved.machine))));
    if let (Some(readers), Some(bulk)) = (saved.part("readers"), saved.part("bulk")) {
        plots.push(("sizes.svg", sizes(readers, bulk, &saved.machine)));
    }
    plots.extend(saved.part("scaling").map(|part| ("scaling.svg", scaling(part, &saved.machine))));
    plots
}

/// Peers that a lock without rivals is put beside, instead of the best one alone.
const BESIDE: [&str; 5] =
    ["std::sync::Mutex", "pthread shared", "pthread robust", "raw_sync", "Python multiprocessing.Value"];

const GROUPS: [(&str, &str); 6] = [
    ("uncontended", "Nobody else wants it"),
    ("pingpong", "Handed to and fro between two processes"),
    ("readers", "Reading while others write"),
    ("killed", "From the kill of a holder until the next has it"),
    ("segments", "Opening and creating"),
    ("bulk", "Large copies under the lock"),
];

fn ratios(saved: &Saved) -> String {
    let group = |(part, title): (&str, &str)| {
        let part = saved.part(part)?;
        let ours = part.rows.iter().filter(|row| row.ours);
        let bars = ours.flat_map(|row| beside(part, row).into_iter().map(move |peer| ratio(row, peer)));
        Some((title.to_owned(), bars.collect()))
    };
    let groups: Vec<(String, Vec<Ratio>)> = GROUPS.into_iter().filter_map(group).collect();
    let under =
        format!("the time that it takes in proportion to a peer's; to the left of 1 is faster · {}", saved.machine);
    chart::ratios("robust-shm beside the best peer", &under, &groups)
}

fn beside<'a>(part: &'a Part, row: &Row) -> Vec<&'a Row> {
    if part.name != "uncontended" {
        return best_peer(part, row).into_iter().collect();
    }
    of_case(part, &row.case).filter(|peer| BESIDE.iter().any(|name| peer.who.starts_with(name))).collect()
}

fn ratio(row: &Row, peer: &Row) -> Ratio {
    let what = if row.case.contains("get") { row.who.clone() } else { format!("{}: {}", row.case, row.who) };
    let what = what.replace("turns, looked up under the lock", "turns").replace("hand-over after", "after");
    Ratio { what, against: peer.who.clone(), ratio: time_ratio(row, peer) }
}

/// The colour of a contender: always the same in a plot.
fn series(who: &str, which_other: usize, points: Vec<(f64, f64)>) -> Series {
    let ours = who.starts_with("Shared");
    let colour = match who {
        "SharedValue" => "#57b894",
        _ if ours => OURS,
        _ => OTHERS[which_other % OTHERS.len()],
    };
    Series { name: who.to_owned(), colour, ours, points }
}

/// Contenders in order of their first appearance.
fn contenders<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for row in rows {
        if !found.contains(&row.who.as_str()) {
            found.push(&row.who);
        }
    }
    found
}

fn numbers(case: &str) -> Vec<f64> {
    case.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// A panel for each amount of work and of thinking; across are the processes.
fn contention(part: &Part, machine: &str) -> String {
    let mut panels: Vec<Panel> = Vec::new();
    let mut kinds: Vec<(f64, f64)> = cases(part).iter().map(|case| (numbers(case)[1], numbers(case)[2])).collect();
    kinds.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    kinds.dedup();
    for (work, think) in kinds {
        let ending = format!("work {work}, think {think}");
        let rows: Vec<&Row> = part.rows.iter().filter(|row| row.case.ends_with(&ending)).collect();
        let best = |case: &str| of_case(part, case).map(Row::median).fold(0.0, f64::max);
        let line = |(which, who): (usize, &str)| {
            let own = rows.iter().filter(|row| row.who == who);
            series(who, which, own.map(|row| (numbers(&row.case)[0], row.median() / best(&row.case))).collect())
        };
        panels.push(Panel {
            title: ending,
            across: "processes".to_owned(),
            labels: [2, 4, 16].map(|processes| (f64::from(processes), processes.to_string())).to_vec(),
            linear: true,
            series: contenders(rows.iter().copied()).into_iter().enumerate().map(line).collect(),
        });
    }
    let under = format!("operations per second in proportion to the best of the cell; 1 is best · {machine}");
    let grid = Grid { columns: 3, width: 310.0, height: 190.0, shared_legend: true };
    chart::panels("A lock that several processes want", &under, &grid, &panels)
}

fn sizes(readers: &Part, bulk: &Part, machine: &str) -> String {
    let reading = |writers: &str, title: &str| {
        let rows: Vec<&Row> = readers.rows.iter().filter(|row| row.case.ends_with(writers)).collect();
        let line = |(which, who): (usize, &str)| {
            let own = rows.iter().filter(|row| row.who == who);
            series(who, which, own.map(|row| (numbers(&row.case)[0], 1e9 / row.median())).collect())
        };
        Panel {
            title: format!("{title}: ns"),
            across: "bytes of the value".to_owned(),
            labels: vec![(8.0, "8".to_owned()), (64.0, "64".to_owned()), (4_096.0, "4 Ki".to_owned())],
            linear: false,
            series: contenders(rows.iter().copied()).into_iter().enumerate().map(line).collect(),
        }
    };
    let panels = [
        reading(" 0 writers", "Reading a value, nobody writes"),
        reading(" 1 writer", "Reading a value, one process writes"),
        reading(" 4 writers", "Reading a value, four processes write"),
        bulk_panel(bulk),
    ];
    let grid = Grid { columns: 2, width: 480.0, height: 270.0, shared_legend: false };
    chart::panels("Costs by size", &format!("lines of robust-shm are thick · {machine}"), &grid, &panels)
}

fn bulk_panel(bulk: &Part) -> Panel {
    let line = |(which, who): (usize, &str)| {
        let own = bulk.rows.iter().filter(|row| row.who == who);
        let name = who.trim_start_matches("SharedArray::").replace("a shared mapping", "a mapping");
        let points = own.filter_map(|row| Some((row.at? as f64, row.median()))).collect();
        let colour = if who.ends_with("read_into") { "#57b894" } else { OURS };
        let plain = series(who, which, points);
        Series { name, colour: if plain.ours { colour } else { plain.colour }, ..plain }
    };
    let labels = [(10, "1 KiB"), (14, "16 KiB"), (18, "256 KiB"), (22, "4 MiB"), (27, "128 MiB")];
    Panel {
        title: "Copying an array under its lock: GB/s".to_owned(),
        across: "bytes of the array".to_owned(),
        labels: labels.map(|(power, label)| (2f64.powi(power), label.to_owned())).to_vec(),
        linear: true,
        series: contenders(bulk.rows.iter()).into_iter().enumerate().map(line).collect(),
    }
}

fn scaling(part: &Part, machine: &str) -> String {
    let panel = |what: &str| {
        let operations = cases(part).into_iter().filter_map(|case| case.strip_prefix(what)?.strip_prefix(": "));
        let line = |(which, operation): (usize, &str)| {
            let case = format!("{what}: {operation}");
            let points = of_case(part, &case).filter_map(|row| Some((row.at? as f64, row.median()))).collect();
            let colour = [OURS, OTHERS[1], OTHERS[0], OTHERS[3]][which % 4];
            Series { name: operation.to_owned(), colour, ours: true, points }
        };
        let series: Vec<Series> = operations.enumerate().map(line).collect();
        let ats = series.first().map(|series| series.points.iter().map(|point| point.0).collect::<Vec<_>>());
        let labels = ats
            .unwrap_or_default()
            .into_iter()
            .map(|at| (at, short(at).replace(".00", "").replace(".0", "")))
            .collect();
        Panel { title: format!("{what}: ns"), across: what.to_owned(), labels, linear: false, series }
    };
    let panels = ["attached processes", "segments in the process", "elements in the array"].map(panel);
    let grid = Grid { columns: 3, width: 390.0, height: 290.0, shared_legend: false };
    chart::panels("Costs as there are more", &format!("time of one operation · {machine}"), &grid, &panels)
}
