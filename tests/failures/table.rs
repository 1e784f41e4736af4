//! The document and its tables, between marks.

use std::path::PathBuf;

/// The head of the tables of failures.
pub const FAILURES: &str = "| what happened | state | reason | what it says | what to do | what comes next |\n\
                            |---|---|---|---|---|---|\n";

/// `docs/failures.md`.
pub struct Document {
    text: String,
    committed: String,
}

impl Document {
    pub fn read() -> Self {
        let text = std::fs::read_to_string(path()).expect("the document is there");
        Self { committed: text.clone(), text }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    fn place(&self, mark: &str) -> (usize, usize) {
        let open = format!("<!-- table of {mark} -->\n");
        let from =
            self.text.find(&open).unwrap_or_else(|| panic!("docs/failures.md lacks {open}")) + open.len();
        let to = from + self.text[from..].find("<!-- end -->").expect("the table has an end");
        (from, to)
    }

    /// The lines of a table as they stand.
    pub fn lines(&self, mark: &str) -> Vec<String> {
        let (from, to) = self.place(mark);
        self.text[from..to].lines().skip(2).map(str::to_owned).collect()
    }

    pub fn replace(&mut self, mark: &str, head: &str, lines: &[String]) {
        let (from, to) = self.place(mark);
        let table: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.text.replace_range(from..to, &format!("{head}{table}"));
    }

    /// Writes it with `UPDATE_DOCS=1`; else it must be as it stands.
    pub fn write_or_compare(&self) {
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path(), &self.text).expect("written");
            return;
        }
        let differ: Vec<String> = self
            .text
            .lines()
            .filter(|line| !self.committed.contains(*line))
            .map(|line| format!("  now: {line}"))
            .chain(
                self.committed
                    .lines()
                    .filter(|line| !self.text.contains(*line))
                    .map(|line| format!("  was: {line}")),
            )
            .collect();
        assert!(
            self.text == self.committed,
            "docs/failures.md is not what the program says; run the test with UPDATE_DOCS=1\n{}",
            differ.join("\n")
        );
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/failures.md")
}

/// A line of cells.
pub fn line(cells: &[&str]) -> String {
    let cells: Vec<String> =
        cells.iter().map(|cell| if cell.is_empty() { "–".to_owned() } else { escaped(cell) }).collect();
    format!("| {} |", cells.join(" | "))
}

fn escaped(cell: &str) -> String {
    cell.replace('\\', "\\\\").replace('|', "\\|").replace('<', "\\<").replace('*', "\\*")
}
