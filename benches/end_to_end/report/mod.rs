//! What is made of the result file, and of nothing else: ratios, the verdicts on the goals, the tables
//! of `docs/performance.md` and its plots. The benchmark writes them, a test looks that they fit.

mod chart;
mod goals;
mod plots;
mod spread;
mod tables;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub(crate) use spread::{Spread, human};

/// The lines between which the tables stand.
const BEGIN: &str = "<!-- figures -->\n";
const END: &str = "<!-- end -->\n";

/// Where the documents lie.
pub(crate) const PAGE: &str = "docs/performance.md";
pub(crate) const RESULT: &str = "docs/performance/figures.json";

/// A run, as its result file has it.
#[derive(Debug)]
pub(crate) struct Run {
    rounds: Vec<Round>,
    document: Value,
}

#[derive(Debug)]
struct Round {
    figures: Vec<Figure>,
}

/// One figure of one round.
#[derive(Debug, Clone, PartialEq)]
struct Figure {
    name: Name,
    value: f64,
}

/// Row, what of it, of whom, and its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    row: String,
    what: String,
    who: String,
    unit: String,
}

impl Run {
    /// Of a result file. Rounds that were marked do not count, unless all are.
    pub(crate) fn read(document: Value) -> Self {
        let rounds = document["rounds"].as_array().cloned().unwrap_or_default();
        let counts = |round: &&Value| round["off"] != true;
        let good: Vec<&Value> = rounds.iter().filter(counts).collect();
        let good = if good.is_empty() { rounds.iter().collect() } else { good };
        let rounds = good.into_iter().map(Round::read).collect();
        Self { rounds, document }
    }

    /// All names there are, in the order in which they came up.
    fn names(&self) -> Vec<&Name> {
        let mut names: Vec<&Name> = Vec::new();
        for figure in self.rounds.iter().flat_map(|round| &round.figures) {
            if !names.contains(&&figure.name) {
                names.push(&figure.name);
            }
        }
        names
    }

    /// A figure over the rounds.
    fn figure(&self, key: Key<'_>) -> Option<Spread> {
        self.of(|round| round.get(key))
    }

    /// What `value` makes of each round in which it can make something.
    fn of(&self, value: impl Fn(&Round) -> Option<f64>) -> Option<Spread> {
        let values: Vec<f64> =
            self.rounds.iter().filter_map(value).filter(|value| value.is_finite()).collect();
        (!values.is_empty()).then(|| Spread::of(&values))
    }

    /// The document with medians and verdicts, for whoever reads it by machine.
    pub(crate) fn complete(&self) -> Value {
        let mut document = self.document.clone();
        document["rows"] = self.names().into_iter().filter_map(|name| self.row(name)).collect();
        document["goals"] = goals::all().iter().map(|goal| goal.judge(self).as_json()).collect();
        document
    }

    fn row(&self, name: &Name) -> Option<Value> {
        let spread = self.figure((&name.row, &name.what, &name.who))?;
        Some(json!({"row": name.row, "what": name.what, "who": name.who, "unit": name.unit,
            "median": spread.median, "min": spread.min, "max": spread.max}))
    }

    /// Messages with a receipt that did not arrive, in the worst round.
    pub(crate) fn lost(&self) -> f64 {
        self.figure(("C1", "of them lost", "holdline full")).map_or(0.0, |lost| lost.max)
    }

    /// The goals as lines for people.
    pub(crate) fn verdicts(&self) -> String {
        tables::goals(self)
    }

    /// The page with new tables in it.
    pub(crate) fn page(&self, page: &str) -> String {
        let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the figures");
        let (_, after) = rest.split_once(END).expect("the place ends somewhere");
        format!("{before}{BEGIN}\n{}\n{END}{after}", tables::all(self).trim_end())
    }

    /// All plots and where they belong.
    pub(crate) fn plots(&self) -> Vec<(PathBuf, String)> {
        let place = |name: &str| Path::new("docs/performance").join(name);
        plots::all(self).into_iter().map(|(name, svg)| (place(name), svg)).collect()
    }
}

/// Row, what of it, of whom.
type Key<'a> = (&'a str, &'a str, &'a str);

impl Round {
    fn read(round: &Value) -> Self {
        let text = |figure: &Value, name: &str| figure[name].as_str().unwrap_or_default().to_owned();
        let figures = round["figures"].as_array().map(Vec::as_slice).unwrap_or_default();
        let read = |figure: &Value| {
            let (row, what) = (text(figure, "row"), text(figure, "what"));
            let name = Name { row, what, who: text(figure, "who"), unit: text(figure, "unit") };
            Some(Figure { name, value: figure["value"].as_f64()? })
        };
        Self { figures: figures.iter().filter_map(read).collect() }
    }

    fn get(&self, (row, what, who): Key<'_>) -> Option<f64> {
        let same = |name: &Name| name.row == row && name.what == what && name.who == who;
        self.figures.iter().find(|figure| same(&figure.name)).map(|figure| figure.value)
    }
}
