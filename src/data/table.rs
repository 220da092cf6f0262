//! Tables of text: CSV files, their columns as numbers or as classes.
use crate::{
    error::{Error, Result},
    files,
    tensor::Tensor,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::Path,
};

/// A table with named columns, as it stands in a CSV file. A column becomes numbers or classes when it is
/// asked for.
///
/// ```
/// use kolmo::data::Table;
/// let table = Table::parse("length,kind\n5.1,setosa\n6.3,virginica\n")?;
/// assert_eq!(table.numbers(&["length"])?.to_vec(), [5.1, 6.3]);
/// let (kinds, names) = table.classes("kind")?;
/// assert_eq!((kinds.to_vec(), names), (vec![0, 1], vec!["setosa".to_string(), "virginica".to_string()]));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    source: String,
    names: Vec<String>,
    /// All fields one after another, and where each ends: a string for each would take many times the file's
    /// size.
    text: String,
    ends: Vec<usize>,
    /// The line that each row begins in.
    lines: Vec<u64>,
}

/// How a CSV file is written.
///
/// ```
/// use kolmo::data::CsvOptions;
/// let table = CsvOptions::new().delimiter(b';').header(false).parse("1;2\n3;4\n")?;
/// assert_eq!(table.numbers(&["0", "1"])?.to_vec(), [1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct CsvOptions {
    delimiter: u8,
    header: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions { delimiter: b',', header: true }
    }
}

impl CsvOptions {
    /// Commas, and names of columns in the first line.
    pub fn new() -> CsvOptions {
        CsvOptions::default()
    }

    /// What stands between two fields (default `b','`).
    #[doc(alias = "sep")]
    pub fn delimiter(self, delimiter: u8) -> CsvOptions {
        CsvOptions { delimiter, ..self }
    }

    /// Whether the first line has the names of the columns (default yes); otherwise they are called `0`, `1`,
    /// ….
    pub fn header(self, header: bool) -> CsvOptions {
        CsvOptions { header, ..self }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The file can't be read or is no UTF-8; a line has more or fewer fields than the first; a quote has no
    /// end.
    pub fn read(self, path: impl AsRef<Path>) -> Result<Table> {
        self.read_at(path.as_ref())
    }

    fn read_at(self, path: &Path) -> Result<Table> {
        let bytes = files::read(path)?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let good = e.as_bytes().iter().take(e.utf8_error().valid_up_to());
            let at = format!("line {}", 1 + good.filter(|b| **b == b'\n').count());
            Error::format(path.display().to_string(), at, "this is no text in UTF-8")
        })?;
        Table::of(path.display().to_string(), &text, self)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// A line has more or fewer fields than the first; a quote has no end.
    pub fn parse(self, text: &str) -> Result<Table> {
        Table::of("the table".into(), text, self)
    }
}

impl Table {
    /// Reads a file with commas and names of columns in its first line; [`CsvOptions`] has other ways.
    ///
    /// # Errors
    /// As [`CsvOptions::read`].
    #[doc(alias = "read_csv")]
    pub fn read(path: impl AsRef<Path>) -> Result<Table> {
        CsvOptions::new().read(path)
    }

    /// Reads a text, as [`read`](Table::read) reads a file.
    ///
    /// # Errors
    /// As [`CsvOptions::parse`].
    pub fn parse(text: &str) -> Result<Table> {
        CsvOptions::new().parse(text)
    }

    fn of(source: String, text: &str, CsvOptions { delimiter, header }: CsvOptions) -> Result<Table> {
        // Some programs begin files with a mark that is no part of the text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // A quote without an end, as in a file that was cut, would run on to this.
        let sentinel = "\n\u{0}";
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .trim(csv::Trim::All)
            .flexible(true)
            .from_reader(text.as_bytes().chain(sentinel.as_bytes()));
        // A record's position is that before the empty lines that were skipped.
        let line = |p: Option<&csv::Position>| {
            let rest = p.and_then(|p| text.as_bytes().get(p.byte() as usize..)).unwrap_or_default();
            let skipped = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|b| **b == b'\n');
            p.map_or(0, csv::Position::line) + skipped.count() as u64
        };
        let wrong = |line: u64, message: String| Error::format(&source, format!("line {line}"), message);
        let mut table = Table {
            source: String::new(),
            names: Vec::new(),
            text: String::new(),
            ends: Vec::new(),
            lines: Vec::new(),
        };
        let (mut width, mut record) = (None, csv::StringRecord::new());
        loop {
            let more =
                reader.read_record(&mut record).map_err(|e| wrong(line(e.position()), e.to_string()))?;
            if record.iter().eq(["\u{0}"]) {
                break;
            }
            let at = line(record.position());
            if !more || record.iter().next_back().is_some_and(|field| field.ends_with('\u{0}')) {
                return Err(wrong(at, "a quote begins here or later and doesn't end".into()));
            }
            let expected = *width.get_or_insert(record.len());
            if record.len() != expected {
                return Err(wrong(
                    at,
                    format!("{} fields, but {expected} in the lines before", record.len()),
                ));
            }
            if header && table.names.is_empty() {
                table.names = record.iter().map(str::to_string).collect();
                continue;
            }
            table.lines.push(at);
            for field in &record {
                table.text.push_str(field);
                table.ends.push(table.text.len());
            }
        }
        if !header {
            table.names = (0..width.unwrap_or(0)).map(|i| i.to_string()).collect();
        }
        Ok(Table { source, ..table })
    }

    fn field(&self, row: usize, column: usize) -> &str {
        let end = |i: usize| self.ends.get(i).copied().unwrap_or(0);
        let i = row * self.names.len() + column;
        self.text.get(if i == 0 { 0 } else { end(i - 1) }..end(i)).unwrap_or_default()
    }

    /// Names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn column(&self, name: &str) -> Result<usize> {
        let mut found = self.names.iter().enumerate().filter(|(_, n)| *n == name).map(|(i, _)| i);
        let wrong = |message: String| Err(Error::invalid("Table", message));
        match (found.next(), found.next()) {
            (Some(place), None) => Ok(place),
            (Some(_), Some(_)) => wrong(format!("{} has two columns {name:?}", self.source)),
            (None, _) => {
                let names = self.names.join(", ");
                wrong(format!("{} has no column {name:?}; it has {names}", self.source))
            }
        }
    }

    /// Columns as numbers: `[rows, columns]`.
    ///
    /// # Errors
    /// There is no such column, or two; a field is no number, or none that `f32` has.
    pub fn numbers(&self, columns: &[&str]) -> Result<Tensor<f32>> {
        let places = columns.iter().map(|name| self.column(name)).collect::<Result<Vec<_>>>()?;
        let mut numbers = Vec::with_capacity(self.len() * places.len());
        for (row, line) in self.lines.iter().enumerate() {
            for &place in &places {
                let field = self.field(row, place);
                let wrong = |message: String| {
                    let at = format!("line {line}, column {}", self.names[place]);
                    Error::format(&self.source, at, message)
                };
                let number: f32 = field.parse().map_err(|_| wrong(format!("{field:?} is no number")))?;
                // "inf" is written with letters.
                if number.is_infinite() && field.bytes().any(|b| b.is_ascii_digit()) {
                    return Err(wrong(format!("{field} is beyond ±{:e}", f32::MAX)));
                }
                numbers.push(number);
            }
        }
        Tensor::new([self.len(), places.len()], numbers)
    }

    /// A column as classes: their numbers, and their names. The names are in the order of their characters'
    /// codes, and those of this table only: two tables have the same numbers if they have the same names,
    /// else see [`to_labels_with`](Table::to_labels_with).
    ///
    /// # Errors
    /// There is no such column, or two.
    pub fn classes(&self, column: &str) -> Result<(Tensor<u32>, Vec<String>)> {
        let place = self.column(column)?;
        let names: BTreeSet<&str> = (0..self.len()).map(|row| self.field(row, place)).collect();
        let names: Vec<String> = names.into_iter().map(str::to_string).collect();
        Ok((self.to_labels_with(column, &names)?, names))
    }

    /// A column as classes that are numbered by their places in `names`, which another table gave, as a rule:
    /// that of the training set for the test set.
    ///
    /// ```
    /// use kolmo::data::Table;
    /// let parse = |text| Table::parse(text);
    /// let (_, names) = parse("kind\nrose\niris\nlily\n")?.classes("kind")?;
    /// assert_eq!(parse("kind\nrose\niris\n")?.to_labels_with("kind", &names)?.to_vec(), [2, 0]);
    /// assert!(parse("kind\nfern\n")?.to_labels_with("kind", &names).is_err());
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no such column, or two; a field is none of the names.
    pub fn to_labels_with(&self, column: &str, names: &[String]) -> Result<Tensor<u32>> {
        let place = self.column(column)?;
        let numbers: BTreeMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
        let number = |(row, line): (usize, &u64)| {
            let field = self.field(row, place);
            numbers.get(field).copied().ok_or_else(|| {
                let at = format!("line {line}, column {column}");
                Error::format(
                    &self.source,
                    at,
                    format!("{field:?} is none of the classes {}", names.join(", ")),
                )
            })
        };
        let codes = self.lines.iter().enumerate().map(number).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::from(codes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_spaces_and_other_delimiters_are_read() {
        let table = CsvOptions::new()
            .delimiter(b';')
            .header(false)
            .parse("\"a;b\"; 2 \n\"say \"\"x\"\"\"; -1e3\n")
            .unwrap();
        assert_eq!((table.len(), table.names()), (2, &["0".to_string(), "1".to_string()][..]));
        assert_eq!(table.numbers(&["1"]).unwrap().to_vec(), [2.0, -1000.0]);
        assert_eq!(table.classes("0").unwrap().1, ["a;b", "say \"x\""]);
        assert!(Table::parse("").unwrap().is_empty());
    }

    #[test]
    fn errors_name_the_place() {
        let table = Table::parse("x,y\n1,2\n3,four\n").unwrap();
        let error = table.numbers(&["x", "y"]).unwrap_err().to_string();
        assert!(error.contains("line 3, column y") && error.contains("four"), "{error}");
        let error = table.numbers(&["z"]).unwrap_err().to_string();
        assert!(error.contains("no column \"z\"; it has x, y"), "{error}");
        let error = CsvOptions::new().header(false).parse("1,2\n3\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("1 fields, but 2"), "{error}");
        // Lines that are empty, and fields of several lines, count as well.
        let table = Table::parse("x,y\n\n\"1\n\",2\n\n3,four\n").unwrap();
        let error = table.numbers(&["y"]).unwrap_err().to_string();
        assert!(error.contains("line 6, column y"), "{error}");
        assert!(Table::read("no/such/file.csv").is_err());
    }

    #[test]
    fn what_is_cut_doubled_or_too_large_is_told() {
        let told = |text: &str, part: &str| {
            let result = Table::parse(text).and_then(|t| t.numbers(&["x"]).map(|_| ()));
            let error = result.unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        };
        told("x,y\n1,\"a\n2,b\n", "line 2");
        told("x,y\n1,\"a", "line 2: a quote begins");
        told("x,x\n1,2\n", "two columns \"x\"");
        told("x,y\n1e39,2\n", "line 2, column x: 1e39 is beyond");
        told("x,y\n,2\n", "line 2, column x: \"\" is no number");
        let table = Table::parse("\u{feff}x\n-inf\nNaN\n\"1\"").unwrap();
        let x = table.numbers(&["x"]).unwrap().to_vec();
        assert!(x[0] == f32::NEG_INFINITY && x[1].is_nan() && x[2] == 1.0);
        let path = std::env::temp_dir().join(format!("kolmo-table-{}.csv", std::process::id()));
        std::fs::write(&path, b"x\n1\n\xff\n").unwrap();
        let error = Table::read(&path).unwrap_err().to_string();
        assert!(error.contains("kolmo-table") && error.contains("line 3"), "{error}");
        std::fs::remove_file(&path).unwrap();
    }
}
