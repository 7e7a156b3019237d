//! Plots as SVG: horizontal bars of ratios, and panels of lines.

use std::fmt::Write;

pub const OURS: &str = "#0b6e4f";
pub const WORSE: &str = "#c8553d";
const INK: &str = "#24292f";
const PALE: &str = "#6e7781";
const GRID: &str = "#e3e6ea";

/// Colours of the others, in turn.
pub const OTHERS: [&str; 6] = ["#c8553d", "#3d6fb6", "#b58900", "#8250a0", "#5f6b73", "#20a0a0"];

pub struct Svg {
    width: f64,
    height: f64,
    body: String,
}

pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{colour}"/>"#
        );
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(self.body, r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{colour}"/>"#);
    }

    pub fn text(&mut self, (x, y): (f64, f64), size: f64, colour: &str, anchor: &Anchor, bold: bool, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if bold { r#" font-weight="600""# } else { "" };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"{weight}>{text}</text>"#
        );
    }

    fn path(&mut self, points: &[(f64, f64)], colour: &str, width: f64) {
        let points: String = points.iter().map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
        let points = points.trim_end();
        let _ = writeln!(
            self.body,
            r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>"#
        );
    }

    fn dot(&mut self, (x, y): (f64, f64), radius: f64, colour: &str) {
        let _ = writeln!(self.body, r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius}" fill="{colour}"/>"#);
    }

    pub fn title(&mut self, title: &str, under: &str) {
        self.text((16.0, 26.0), 16.0, INK, &Anchor::Start, true, title);
        self.text((16.0, 45.0), 11.5, PALE, &Anchor::Start, false, under);
    }

    pub fn finish(self) -> String {
        let Self { width, height, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
        )
    }
}

/// One bar: what is compared, and the time that ours takes in proportion to theirs.
pub struct Ratio {
    pub what: String,
    pub against: String,
    pub ratio: f64,
}

const LINE: f64 = 22.0;
const LEFT: f64 = 420.0;
const RIGHT: f64 = 900.0;

/// Bars to the left of the middle are faster than the peer; doubling is as long as halving.
pub fn ratios(title: &str, under: &str, groups: &[(String, Vec<Ratio>)]) -> String {
    let lines: usize = groups.iter().map(|(_, ratios)| ratios.len() + 1).sum();
    let (top, bottom) = (84.0, 84.0 + lines as f64 * LINE);
    let mut svg = Svg::new(960.0, bottom + 20.0);
    svg.title(title, under);
    let x = |ratio: f64| LEFT + (RIGHT - LEFT) * (ratio.clamp(1.0 / 32.0, 16.0).log2() + 5.0) / 9.0;
    for ratio in [0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0] {
        svg.line((x(ratio), top - 6.0), (x(ratio), bottom), if ratio == 1.0 { PALE } else { GRID });
        let label = if ratio < 1.0 { format!("1/{:.0}", 1.0 / ratio) } else { format!("{ratio:.0}×") };
        svg.text((x(ratio), top - 12.0), 11.0, PALE, &Anchor::Middle, false, &label);
    }
    let mut y = top;
    for (group, ratios) in groups {
        svg.text((16.0, y + 16.0), 12.5, INK, &Anchor::Start, true, group);
        y += LINE;
        for bar in ratios {
            one_ratio(&mut svg, y, x(1.0), x(bar.ratio), bar);
            y += LINE;
        }
    }
    svg.finish()
}

fn one_ratio(svg: &mut Svg, y: f64, middle: f64, end: f64, bar: &Ratio) {
    let colour = if bar.ratio <= 1.0 { OURS } else { WORSE };
    svg.rect(middle.min(end), y + 4.0, (middle - end).abs().max(1.5), 14.0, colour);
    let (beside, anchor) = if end < middle { (end - 5.0, Anchor::End) } else { (end + 5.0, Anchor::Start) };
    svg.text((beside, y + 15.0), 11.0, INK, &anchor, false, &format!("{:.2}", bar.ratio));
    svg.text((26.0, y + 15.0), 11.5, INK, &Anchor::Start, false, &bar.what);
    // On the side where the bar is not.
    let (x, anchor) = if end < middle { (middle + 6.0, Anchor::Start) } else { (middle - 6.0, Anchor::End) };
    svg.text((x, y + 15.0), 10.0, PALE, &anchor, false, &bar.against);
}

/// A line in a panel.
pub struct Series {
    pub name: String,
    pub colour: &'static str,
    pub ours: bool,
    pub points: Vec<(f64, f64)>,
}

/// A plot with lines; both axes grow by factors unless `linear`.
pub struct Panel {
    pub title: String,
    pub across: String,
    pub labels: Vec<(f64, String)>,
    /// The vertical axis begins at 0 and grows evenly.
    pub linear: bool,
    pub series: Vec<Series>,
}

pub struct Grid {
    pub columns: usize,
    pub width: f64,
    pub height: f64,
    /// One legend for all panels under the title, instead of one beside each.
    pub shared_legend: bool,
}

pub fn panels(title: &str, under: &str, grid: &Grid, panels: &[Panel]) -> String {
    let panels: Vec<&Panel> =
        panels.iter().filter(|panel| panel.series.iter().any(|one| !one.points.is_empty())).collect();
    let rows = panels.len().div_ceil(grid.columns);
    let top = if grid.shared_legend { 84.0 } else { 62.0 };
    let mut svg = Svg::new(grid.width * grid.columns as f64 + 16.0, top + grid.height * rows as f64 + 8.0);
    svg.title(title, under);
    if let (true, Some(panel)) = (grid.shared_legend, panels.first()) {
        shared_legend(&mut svg, &panel.series);
    }
    for (which, panel) in panels.iter().enumerate() {
        let left = 8.0 + grid.width * (which % grid.columns) as f64;
        draw(&mut svg, panel, (left, top + grid.height * (which / grid.columns) as f64), grid);
    }
    svg.finish()
}

fn shared_legend(svg: &mut Svg, series: &[Series]) {
    let mut x = 16.0;
    for one in series {
        svg.rect(x, 60.0, 18.0, if one.ours { 4.0 } else { 2.5 }, one.colour);
        svg.text((x + 24.0, 66.0), 11.5, INK, &Anchor::Start, one.ours, &one.name);
        x += 46.0 + one.name.chars().count() as f64 * 7.0;
    }
}

fn draw(svg: &mut Svg, panel: &Panel, (x0, y0): (f64, f64), grid: &Grid) {
    let legend = if grid.shared_legend { 12.0 } else { 150.0 };
    let (left, right, top, bottom) = (x0 + 52.0, x0 + grid.width - legend, y0 + 26.0, y0 + grid.height - 40.0);
    svg.text((x0 + 12.0, y0 + 12.0), 12.0, INK, &Anchor::Start, true, &panel.title);
    let all = || panel.series.iter().flat_map(|series| &series.points);
    let span = |of: fn(&(f64, f64)) -> f64| {
        let fold = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
        all().map(of).filter(|value| value.is_finite()).fold((f64::INFINITY, 0.0), fold)
    };
    let ((low_x, high_x), (low_y, high_y)) = (span(|point| point.0), span(|point| point.1));
    let x = |value: f64| left + (right - left) * scale(value, low_x, high_x);
    let ticks = if panel.linear { even_ticks(high_y) } else { factor_ticks(low_y, high_y) };
    let (floor, ceiling) = (ticks[0], ticks[ticks.len() - 1]);
    let part = |value: f64| if panel.linear { value / ceiling } else { scale(value, floor, ceiling) };
    let y = |value: f64| bottom - (bottom - top) * part(value);
    for &tick in &ticks {
        svg.line((left, y(tick)), (right, y(tick)), GRID);
        svg.text((left - 6.0, y(tick) + 4.0), 10.5, PALE, &Anchor::End, false, &tick_text(tick));
    }
    for (at, label) in &panel.labels {
        svg.text((x(*at), bottom + 15.0), 10.5, PALE, &Anchor::Middle, false, label);
    }
    svg.text(((left + right) / 2.0, bottom + 31.0), 10.5, PALE, &Anchor::Middle, false, &panel.across);
    // Ours last, so that they lie on top.
    let mut ends = Vec::new();
    for ours in [false, true] {
        for series in panel.series.iter().filter(|series| series.ours == ours) {
            let points: Vec<_> = series.points.iter().map(|point| (x(point.0), y(point.1))).collect();
            svg.path(&points, series.colour, if ours { 2.6 } else { 1.6 });
            points.iter().for_each(|point| svg.dot(*point, if ours { 3.4 } else { 2.4 }, series.colour));
            ends.extend(points.last().map(|point| (point.1, series)));
        }
    }
    if !grid.shared_legend {
        name_ends(svg, right + 10.0, bottom, ends);
    }
}

/// Names beside the ends of the lines, moved apart where they would overlap.
fn name_ends(svg: &mut Svg, x: f64, bottom: f64, mut ends: Vec<(f64, &Series)>) {
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut free, mut left) = (f64::NEG_INFINITY, ends.len());
    for (y, series) in ends {
        left -= 1;
        // Room for those that come below.
        let at = y.min(bottom - NAME * left as f64).max(free);
        svg.text((x, at + 4.0), 10.5, series.colour, &Anchor::Start, series.ours, &series.name);
        free = at + NAME;
    }
}

/// The height of a name.
const NAME: f64 = 13.0;

/// Where a value lies between two others, by factors.
fn scale(value: f64, low: f64, high: f64) -> f64 {
    if high > low { (value / low).ln() / (high / low).ln() } else { 0.5 }
}

fn factor_ticks(low: f64, high: f64) -> Vec<f64> {
    let (from, to) = (low.log10().floor() as i32, (high.log10().ceil() as i32).max(low.log10().floor() as i32 + 1));
    (from..=to).map(|power| 10f64.powi(power)).collect()
}

fn even_ticks(high: f64) -> Vec<f64> {
    let rough = high / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    (0..=(high / step).ceil() as i32).map(|which| f64::from(which) * step).collect()
}

fn tick_text(tick: f64) -> String {
    match tick {
        _ if tick >= 1e9 => format!("{}G", tick / 1e9),
        _ if tick >= 1e6 => format!("{}M", tick / 1e6),
        _ if tick >= 1e3 => format!("{}k", tick / 1e3),
        _ => format!("{}", (tick * 100.0).round() / 100.0),
    }
}
