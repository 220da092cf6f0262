//! Tables of text: CSV files, their columns as numbers or as classes.
use crate::{
    error::{Error, Result},
    tensor::Tensor,
};
use std::{collections::BTreeSet, path::Path};

/// A table with named columns, as it stands in a CSV file. A column becomes numbers or classes when it is asked for.
///
/// ```
/// use kolmo::data::Table;
/// let table = Table::parse("length,kind\n5.1,setosa\n6.3,virginica\n", b',', true)?;
/// assert_eq!(table.numbers(&["length"])?.to_vec(), [5.1, 6.3]);
/// let (kinds, names) = table.classes("kind")?;
/// assert_eq!((kinds.to_vec(), names), (vec![0, 1], vec!["setosa".to_string(), "virginica".to_string()]));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    source: String,
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    /// The line that each row begins in.
    lines: Vec<u64>,
}

impl Table {
    /// Reads a file with a delimiter (`b','`) and, if `header`, names of columns in its first line; otherwise they are called
    /// `0`, `1`, ….
    ///
    /// # Errors
    /// The file can't be read; a line has more or fewer fields than the first.
    pub fn read(path: impl AsRef<Path>, delimiter: u8, header: bool) -> Result<Table> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        Table::of(path.display().to_string(), &text, delimiter, header)
    }

    /// The same from text.
    ///
    /// # Errors
    /// A line has more or fewer fields than the first.
    pub fn parse(text: &str, delimiter: u8, header: bool) -> Result<Table> {
        Table::of("the table".into(), text, delimiter, header)
    }

    fn of(source: String, text: &str, delimiter: u8, header: bool) -> Result<Table> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        // A record's position is that before the empty lines that were skipped.
        let line = |p: Option<&csv::Position>| {
            let rest = p.and_then(|p| text.as_bytes().get(p.byte() as usize..)).unwrap_or_default();
            let skipped = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).filter(|b| **b == b'\n');
            p.map_or(0, csv::Position::line) + skipped.count() as u64
        };
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        for record in reader.records() {
            let record = record.map_err(|e| {
                let line = line(e.position());
                let message = match e.kind() {
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                        format!("{len} fields, but {expected_len} in the lines before")
                    }
                    _ => e.to_string(),
                };
                Error::format(&source, format!("line {line}"), message)
            })?;
            lines.push(line(record.position()));
            rows.push(record.iter().map(str::to_string).collect::<Vec<_>>());
        }
        let width = rows.first().map_or(0, Vec::len);
        let names = if header && !rows.is_empty() {
            lines.remove(0);
            rows.remove(0)
        } else {
            (0..width).map(|i| i.to_string()).collect()
        };
        Ok(Table { source, names, rows, lines })
    }

    /// Names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn column(&self, name: &str) -> Result<usize> {
        self.names.iter().position(|n| n == name).ok_or_else(|| {
            let message = format!("{} has no column {name:?}; it has {}", self.source, self.names.join(", "));
            Error::invalid("Table", message)
        })
    }

    /// Columns as numbers: `[rows, columns]`.
    ///
    /// # Errors
    /// There is no such column; a field is no number.
    pub fn numbers(&self, columns: &[&str]) -> Result<Tensor<f32>> {
        let places = columns.iter().map(|name| self.column(name)).collect::<Result<Vec<_>>>()?;
        let mut numbers = Vec::with_capacity(self.len() * places.len());
        for (row, line) in self.rows.iter().zip(&self.lines) {
            for &place in &places {
                let field = row.get(place).map_or("", String::as_str);
                let number: f32 = field.parse().map_err(|_| {
                    let at = format!("line {line}, column {}", self.names[place]);
                    Error::format(&self.source, at, format!("{field:?} is no number"))
                })?;
                numbers.push(number);
            }
        }
        Tensor::new([self.len(), places.len()], numbers)
    }

    /// A column as classes: their numbers, and their names in alphabetical order.
    ///
    /// # Errors
    /// There is no such column.
    pub fn classes(&self, column: &str) -> Result<(Tensor<u32>, Vec<String>)> {
        let place = self.column(column)?;
        let field = |row: &Vec<String>| row.get(place).cloned().unwrap_or_default();
        let names: Vec<String> = self.rows.iter().map(field).collect::<BTreeSet<_>>().into_iter().collect();
        let number = |row| names.binary_search(&field(row)).unwrap_or_default() as u32;
        let codes: Vec<u32> = self.rows.iter().map(number).collect();
        Ok((Tensor::from(codes), names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_spaces_and_other_delimiters_are_read() {
        let table = Table::parse("\"a;b\"; 2 \n\"say \"\"x\"\"\"; -1e3\n", b';', false).unwrap();
        assert_eq!((table.len(), table.names()), (2, &["0".to_string(), "1".to_string()][..]));
        assert_eq!(table.numbers(&["1"]).unwrap().to_vec(), [2.0, -1000.0]);
        assert_eq!(table.classes("0").unwrap().1, ["a;b", "say \"x\""]);
        assert!(Table::parse("", b',', true).unwrap().is_empty());
    }

    #[test]
    fn errors_name_the_place() {
        let table = Table::parse("x,y\n1,2\n3,four\n", b',', true).unwrap();
        let error = table.numbers(&["x", "y"]).unwrap_err().to_string();
        assert!(error.contains("line 3, column y") && error.contains("four"), "{error}");
        let error = table.numbers(&["z"]).unwrap_err().to_string();
        assert!(error.contains("no column \"z\"; it has x, y"), "{error}");
        let error = Table::parse("1,2\n3\n", b',', false).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("1 fields, but 2"), "{error}");
        // Lines that are empty, and fields of several lines, count as well.
        let table = Table::parse("x,y\n\n\"1\n\",2\n\n3,four\n", b',', true).unwrap();
        let error = table.numbers(&["y"]).unwrap_err().to_string();
        assert!(error.contains("line 6, column y"), "{error}");
        assert!(Table::read("no/such/file.csv", b',', true).is_err());
    }
}
