//! What a part found: figures of each contender, and verdicts on the bars.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// One contender in one case: the same figure from every round.
#[derive(Clone)]
pub struct Row {
    /// What is compared: rows of one case belong beside each other.
    pub case: String,
    pub who: String,
    pub ours: bool,
    /// Where it stands in a series: a size, a number of processes.
    pub at: Option<u64>,
    /// What the figure is, with its unit: `ns`, `operations/s`.
    pub unit: &'static str,
    pub rounds: Vec<f64>,
    /// Further figures, as medians over the rounds.
    pub more: Vec<(&'static str, f64)>,
}

impl Row {
    pub fn new(case: &str, who: &str, unit: &'static str, rounds: Vec<f64>) -> Self {
        let (ours, more) = (who.starts_with("Shared"), Vec::new());
        Self { case: case.to_owned(), who: who.to_owned(), ours, at: None, unit, rounds, more }
    }

    pub fn median(&self) -> f64 {
        median(&self.rounds)
    }

    /// The median over the rounds of this figure in proportion to the other's in the same round.
    pub fn over(&self, other: &Row) -> f64 {
        let ratios: Vec<f64> = self.rounds.iter().zip(&other.rounds).map(|(a, b)| a / b).collect();
        median(&ratios)
    }

    pub fn more(&self, what: &str) -> f64 {
        self.more.iter().find(|(name, _)| *name == what).map_or(f64::NAN, |(_, figure)| *figure)
    }
}

pub fn median(figures: &[f64]) -> f64 {
    if figures.is_empty() {
        return f64::NAN;
    }
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Something promised: a figure, and what it may be at most or at least.
pub struct Bar {
    pub what: String,
    pub figure: f64,
    pub limit: Limit,
}

#[derive(Clone, Copy)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    pub fn met(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.figure <= limit,
            Limit::AtLeast(limit) => self.figure >= limit,
        }
    }

    pub fn limit_text(&self) -> String {
        match self.limit {
            Limit::AtMost(limit) => format!("≤ {limit}"),
            Limit::AtLeast(limit) => format!("≥ {limit}"),
        }
    }
}

/// One part's outcome.
pub struct Part {
    pub name: &'static str,
    /// What is pinned, how often, what the units mean.
    pub how: String,
    pub rows: Vec<Row>,
    pub bars: Vec<Bar>,
}

impl Part {
    pub fn row(&self, case: &str, who: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case && row.who == who)
    }

    /// A bar on the proportion of one contender's figure to another's in the same case; none when one was not measured.
    pub fn bar(&mut self, case: &str, ours: &str, theirs: &str, limit: Limit) {
        let (Some(a), Some(b)) = (self.row(case, ours), self.row(case, theirs)) else { return };
        let (what, figure) = (format!("{case}: {ours} ÷ {theirs}"), a.over(b));
        self.bars.push(Bar { what, figure, limit });
    }

    pub fn print(&self) {
        println!("\n{}: {}", self.name, self.how);
        let mut case = "";
        for row in &self.rows {
            if row.case != case {
                case = &row.case;
                println!("\n  {case}");
            }
            let more: String = row.more.iter().map(|(name, figure)| format!("  {name} {}", short(*figure))).collect();
            println!("    {:<34} {:>10} {}{more}", row.who, short(row.median()), row.unit);
        }
        self.print_bars();
    }

    fn print_bars(&self) {
        if self.bars.is_empty() {
            return;
        }
        let many = self.bars.len() > 20;
        println!("\n  bars{}", if many { " that are not met" } else { "" });
        for bar in self.bars.iter().filter(|bar| !(many && bar.met())) {
            let verdict = if bar.met() { "met" } else { "NOT MET" };
            println!("    {:<84} {:>7.3}  {:<8} {verdict}", bar.what, bar.figure, bar.limit_text());
        }
        let met = self.bars.iter().filter(|bar| bar.met()).count();
        println!("  {met} of {} met", self.bars.len());
    }

    pub fn save(&self, directory: &Path, machine: &Value) -> PathBuf {
        let path = directory.join(format!("{}.json", self.name));
        fs::create_dir_all(directory).expect("a directory for results");
        fs::write(&path, self.to_json(machine)).expect("room for results");
        path
    }

    /// A line for each row and bar: what has changed can then be seen in a difference.
    fn to_json(&self, machine: &Value) -> String {
        let lines =
            |values: Vec<Value>| values.iter().map(|value| format!("  {value}")).collect::<Vec<_>>().join(",\n");
        let rows = lines(self.rows.iter().map(row_to_json).collect());
        let bars = lines(self.bars.iter().map(bar_to_json).collect());
        let (part, how) = (json!(self.name), json!(self.how));
        format!(
            "{{\n\"part\": {part},\n\"how\": {how},\n\"machine\": {machine},\n\"rows\": [\n{rows}\n],\n\"bars\": [\n{bars}\n]\n}}\n"
        )
    }
}

fn row_to_json(row: &Row) -> Value {
    let more: serde_json::Map<String, Value> =
        row.more.iter().map(|(name, figure)| ((*name).to_owned(), json!(rounded(*figure)))).collect();
    json!({ "case": row.case, "who": row.who, "at": row.at, "unit": row.unit, "rounds": range(&row.rounds), "more": more })
}

/// Of all rounds the least, the middle and the greatest: what the tables show.
fn range(rounds: &[f64]) -> Vec<f64> {
    let greatest = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match rounds.iter().copied().reduce(f64::min) {
        Some(least) => vec![rounded(least), rounded(median(rounds)), rounded(greatest)],
        None => Vec::new(),
    }
}

fn bar_to_json(bar: &Bar) -> Value {
    json!({ "what": bar.what, "figure": rounded(bar.figure), "limit": bar.limit_text() })
}

/// Four significant digits are more than any of this repeats to.
fn rounded(figure: f64) -> f64 {
    format!("{figure:.3e}").parse().unwrap_or(figure)
}

/// A figure with about three significant digits, and thousands set apart.
pub fn short(figure: f64) -> String {
    let size = figure.abs();
    match size {
        _ if !figure.is_finite() => "–".to_owned(),
        _ if size >= 1e9 => format!("{:.2}G", figure / 1e9),
        _ if size >= 1e6 => format!("{:.2}M", figure / 1e6),
        _ if size >= 10_000.0 => format!("{:.1}k", figure / 1e3),
        _ if size >= 100.0 => format!("{figure:.0}"),
        _ if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// What the figures were measured on.
pub fn machine() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("").trim_start_matches(['\t', ':', ' ']);
    json!({ "cpu": model, "cores": crate::sys::cores(), "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load": read("/proc/loadavg").trim() })
}
