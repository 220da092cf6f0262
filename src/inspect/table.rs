//! Tables for a terminal, and numbers as people read them.
use crate::real::Arithmetic;
use std::fmt;

/// A sum that stays at the largest number: what is added up may have been read from anywhere.
pub(crate) fn total(values: impl Iterator<Item = usize>) -> usize {
    values.fold(0, usize::saturating_add)
}

/// Rows under a head line; columns whose head begins with `>` stand at the right.
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&'static str]) -> Table {
        Table { head: head.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head: Vec<&str> = self.head.iter().map(|h| h.trim_start_matches('>')).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count());
            cells.chain(head.get(column).map(|h| h.chars().count())).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut line = |cells: &[&str]| {
            let mut text = String::new();
            for ((cell, width), head) in cells.iter().zip(&widths).zip(&self.head) {
                let cell =
                    if head.starts_with('>') { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
                text = text + &cell + "  ";
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(&head)?;
        self.rows.iter().try_for_each(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>()))
    }
}

/// Digits in groups of three: `19,200`.
pub(crate) fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with three significant digits and a unit of thousands: `76.8 kB`.
fn scaled(value: f64, units: &[&str]) -> String {
    let (mut value, mut unit) = (value, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value >= 99.95 || value == 0.0 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {}", units[unit])
}

pub(crate) fn time(nanos: u64) -> String {
    if nanos == 0 { "0".into() } else { scaled(nanos as f64, &["ns", "µs", "ms", "s"]) }
}

pub(crate) fn bytes(n: usize) -> String {
    if n < 1000 { format!("{n} B") } else { scaled(n as f64, &["B", "kB", "MB", "GB", "TB"]) }
}

/// Three significant digits, with a power of ten where they need one: `0.0123`, `4.50e-7`.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size == 0.0 || !size.is_finite() => format!("{value}"),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.2e}"),
        size => format!("{value:.*}", (2 - Arithmetic::log10(size).floor() as i32).max(0) as usize),
    }
}

pub(crate) fn percent(part: f64, whole: f64) -> String {
    if whole == 0.0 { String::from("–") } else { format!("{:.1} %", 100.0 * part / whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_numbers_have_groups() {
        let mut table = Table::new(&["name", ">bytes"]);
        table.row(["a".into(), count(1_234_567)]);
        table.row(["longer".into(), count(12)]);
        assert_eq!(table.to_string(), "name        bytes\na       1,234,567\nlonger         12\n");
        assert_eq!(
            [0, 999, 1000, 76_800, 999_600].map(bytes),
            ["0 B", "999 B", "1.00 kB", "76.8 kB", "1.00 MB"]
        );
    }
}
