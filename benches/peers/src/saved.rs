//! Reading results back.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::report::{Bar, Limit, Part, Row};

/// Parts that were measured, in the order in which they are measured, and the machine of the first.
pub struct Saved {
    pub parts: Vec<Part>,
    pub machine: String,
}

impl Saved {
    pub fn read<'a>(directory: &Path, names: impl Iterator<Item = &'a str>) -> Self {
        let read = |name| fs::read_to_string(directory.join(format!("{name}.json"))).ok();
        let found: Vec<Value> =
            names.filter_map(read).map(|text| serde_json::from_str(&text).expect("written by this program")).collect();
        let machine = found.first().map(|part| machine(&part["machine"])).unwrap_or_default();
        Self { parts: found.iter().map(part).collect(), machine }
    }

    pub fn part(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name)
    }
}

fn machine(machine: &Value) -> String {
    format!("{}, {} cores, Linux {}", text(&machine["cpu"]), machine["cores"], text(&machine["kernel"]))
}

/// This program ends soon: what it has read may stay.
fn text(value: &Value) -> &'static str {
    value.as_str().unwrap_or_default().to_owned().leak()
}

fn part(part: &Value) -> Part {
    let list = |name: &str| part[name].as_array().cloned().unwrap_or_default();
    Part {
        name: text(&part["part"]),
        how: text(&part["how"]).to_owned(),
        rows: list("rows").iter().map(row).collect(),
        bars: list("bars").iter().map(bar).collect(),
    }
}

fn row(row: &Value) -> Row {
    let rounds = row["rounds"].as_array().map(|rounds| rounds.iter().filter_map(Value::as_f64).collect());
    let more = row["more"].as_object().cloned().unwrap_or_default();
    let more = more.into_iter().map(|(name, figure)| (&*name.leak(), figure.as_f64().unwrap_or(f64::NAN))).collect();
    let new = Row::new(text(&row["case"]), text(&row["who"]), text(&row["unit"]), rounds.unwrap_or_default());
    Row { at: row["at"].as_u64(), more, ..new }
}

fn bar(bar: &Value) -> Bar {
    let limit = text(&bar["limit"]);
    let number = limit.trim_start_matches(['≤', '≥', ' ']).parse().unwrap_or(f64::NAN);
    let limit = if limit.starts_with('≤') { Limit::AtMost(number) } else { Limit::AtLeast(number) };
    Bar { what: text(&bar["what"]).to_owned(), figure: bar["figure"].as_f64().unwrap_or(f64::NAN), limit }
}
