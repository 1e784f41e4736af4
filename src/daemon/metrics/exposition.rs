//! The text format that Prometheus and its node exporter read (version 0.0.4).
//!
//! Written by hand: the format that libraries write today (OpenMetrics) names counters in a way that
//! the node exporter's text files take for values of no type.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use super::table::{Kind, METRICS};

/// Values by metric, as lines, until they are put in the order of the table.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<&'static str, String>);

impl Samples {
    /// A value without labels.
    pub(super) fn put(&mut self, name: &'static str, value: impl Display) {
        self.line(name, "", &[], value);
    }

    /// A value of one of several series.
    pub(super) fn put_one(&mut self, name: &'static str, label: &'static str, of: &str, value: impl Display) {
        self.line(name, "", &[(label, of)], value);
    }

    /// What the program is.
    pub(super) fn put_info(&mut self, version: &str, profile: &str) {
        self.line("info", "", &[("version", version), ("profile", profile)], 1);
    }

    /// A histogram: how many were not above each of `bounds`, how many in all, and their sum.
    pub(super) fn put_histogram(
        &mut self,
        name: &'static str,
        bounds: impl IntoIterator<Item = (f64, u64)>,
        count: u64,
        sum: impl Display,
    ) {
        for (bound, below) in bounds {
            self.line(name, "_bucket", &[("le", &bound.to_string())], below);
        }
        self.line(name, "_bucket", &[("le", "+Inf")], count);
        self.line(name, "_sum", &[], sum);
        self.line(name, "_count", &[], count);
    }

    fn line(&mut self, name: &'static str, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let lines = self.0.entry(name).or_default();
        // Writing to a string does not fail.
        let _ = write!(lines, "holdline_{name}{suffix}");
        for (number, (label, of)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let of = of.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(lines, "{before}{label}=\"{of}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(lines, "{after} {value}");
    }

    /// Everything, in the order of the table. A metric without a value is named all the same.
    pub(super) fn text(mut self) -> String {
        let mut text = String::new();
        for metric in METRICS {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let name = metric.name;
            let _ = writeln!(text, "# HELP holdline_{name} {}\n# TYPE holdline_{name} {kind}", metric.help);
            text.push_str(&self.0.remove(name).unwrap_or_default());
        }
        text
    }
}
