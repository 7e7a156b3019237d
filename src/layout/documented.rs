//! The page of the documentation that describes the bytes, for the tests that compare it with them.

const PAGE: &str = include_str!("../guide/format.md");

/// The lines of a section: from the heading with this text to the next heading.
fn section(heading: &str) -> (&'static str, Vec<&'static str>) {
    let mut lines = PAGE.lines().skip_while(|line| !(line.starts_with('#') && line.contains(heading)));
    let found = lines.next().unwrap_or_else(|| panic!("no section {heading}"));
    (found, lines.take_while(|line| !line.starts_with('#')).collect())
}

/// The cells of a table in a section, given what stands on top of its first column; without code marks.
pub(super) fn table(heading: &str, first_column: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>();
    let (_, lines) = section(heading);
    let mut lines = lines.into_iter().skip_while(|line| cells(line).get(1).is_none_or(|cell| cell != first_column));
    assert!(lines.next().is_some(), "no table of {first_column} under {heading}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|line| cells(line)[1..].to_vec()).collect()
}

/// A field of a line: name, offset and size in bytes.
pub(super) type Field = (&'static str, usize, usize);

pub(super) fn size_of_field<Line, Field>(_: fn(&Line) -> &Field) -> usize {
    size_of::<Field>()
}

macro_rules! fields {
    ($line:ident: $($field:ident)*) => {
        [$((
            stringify!($field).trim_start_matches('_'),
            offset_of!($line, $field),
            $crate::layout::documented::size_of_field(|line: &$line| &line.$field),
        )),*]
    };
}
pub(super) use fields;

/// Does the page describe each byte of this line, and each as it is? `place` follows its name and size in the heading.
#[track_caller]
pub(super) fn assert_describes(line: &str, size: usize, place: &str, fields: &[Field]) {
    let heading = format!("`{line}`: {size} bytes{place}");
    assert!(section(&heading).0.ends_with(&heading), "more in the heading than {heading}");
    let number = |text: &String| text.parse::<usize>().unwrap_or_else(|_| panic!("no number: {text}"));
    let rows = table(&heading, "at");
    let described: Vec<_> = rows.iter().map(|row| (row[2].as_str(), number(&row[0]), number(&row[1]))).collect();
    assert_eq!(described, fields);
    let end = fields.iter().fold(0, |end, (name, offset, size)| {
        assert_eq!(*offset, end, "in front of {name} there are bytes that nobody describes");
        offset + size
    });
    assert_eq!(end, size, "bytes that nobody describes");
}
