//! The numbers of a text one after the other, with an error that names the line where one is missing or isn't
//! a number.
#![allow(dead_code)] // Not every program needs all of it.
use kolmo::{Error, Result};
use std::{fs, ops::RangeInclusive, path::Path, str::FromStr};

/// What is left of a text to read.
pub struct Numbers<'a> {
    name: &'a str,
    /// The words left, each with the number of its line.
    words: Box<dyn Iterator<Item = (usize, &'a str)> + 'a>,
    line: usize,
}

impl<'a> Numbers<'a> {
    /// Words end at blanks and colons. The name, of a file for example, is for errors.
    pub fn new(name: &'a str, text: &'a str) -> Numbers<'a> {
        let words = |(i, line): (usize, &'a str)| {
            let words = line.split([' ', '\t', '\r', ':']).filter(|word| !word.is_empty());
            words.map(move |word| (i + 1, word))
        };
        Numbers { name, words: Box::new(text.lines().enumerate().flat_map(words)), line: 1 }
    }

    fn error(&self, message: String) -> Error {
        Error::Format { what: self.name.into(), offset: format!("line {}", self.line), message }
    }

    /// The next word.
    pub fn word(&mut self) -> Result<&'a str> {
        let Some((line, word)) = self.words.next() else {
            return Err(self.error("the text ends here, but more numbers should follow".into()));
        };
        self.line = line;
        Ok(word)
    }

    /// The next number.
    pub fn next<T: FromStr>(&mut self) -> Result<T> {
        let word = self.word()?;
        word.parse().map_err(|_| self.error(format!("\"{word}\" is not a number of the expected kind")))
    }

    /// A whole number within limits.
    pub fn count(&mut self, limits: RangeInclusive<usize>) -> Result<usize> {
        let count = self.next()?;
        if limits.contains(&count) {
            return Ok(count);
        }
        Err(self.error(format!("{count} should lie between {} and {}", limits.start(), limits.end())))
    }

    /// The next `n` numbers.
    pub fn take(&mut self, n: usize) -> Result<Vec<f64>> {
        (0..n).map(|_| self.next()).collect()
    }

    /// The next `N` numbers.
    pub fn array<const N: usize>(&mut self) -> Result<[f64; N]> {
        let mut numbers = [0.0; N];
        for number in &mut numbers {
            *number = self.next()?;
        }
        Ok(numbers)
    }

    /// Nothing should follow.
    pub fn end(mut self) -> Result<()> {
        match self.words.next() {
            None => Ok(()),
            Some((line, word)) => {
                self.line = line;
                Err(self.error(format!("\"{word}\" follows after the last number that belongs here")))
            }
        }
    }
}

/// A file as text.
pub fn text(path: &Path) -> Result<String> {
    let error = |e| Error::Io { path: path.display().to_string(), source: std::sync::Arc::new(e) };
    fs::read_to_string(path).map_err(error)
}
