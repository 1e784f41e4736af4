//! A small writer of SVG charts: lines over a logarithmic axis, and spans of latencies.

use std::fmt::Write as _;

use super::{Spread, human};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 56.0;
/// Colours that are told apart without seeing red and green (Okabe and Ito), the same ones for the same
/// name in every plot; what comes first fits first.
const COLOURS: [(&str, &str); 9] = [
    ("holdline normal", "#56b4e9"),
    ("holdline full, draining", "#56b4e9"),
    ("holdline", "#0072b2"),
    ("Redis everysec", "#009e73"),
    ("Redis", "#d55e00"),
    ("NATS", "#cc79a7"),
    ("mosquitto", "#e69f00"),
    ("SQLite normal", "#aaaaaa"),
    ("", "#555555"),
];

fn colour(name: &str) -> &'static str {
    let found = COLOURS.into_iter().find(|(prefix, _)| name.starts_with(prefix));
    found.map_or("#000000", |(_, colour)| colour)
}

/// Lines, or points where a series has only one.
pub(super) struct Lines {
    pub(super) title: &'static str,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
    pub(super) series: Vec<Series>,
}

/// What is drawn in one colour.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, Spread)>,
}

/// From the median to the 99th percentile, a line each.
pub(super) struct Spans {
    pub(super) title: &'static str,
    pub(super) x: &'static str,
    pub(super) spans: Vec<(String, Spread, Spread)>,
}

/// A logarithmic axis between powers of ten.
struct Axis {
    low: f64,
    high: f64,
    begin: f64,
    end: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, begin: f64, end: f64) -> Self {
        let values = values.filter(|value| *value > 0.0);
        let low = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let high = values.fold(0.0, f64::max).log10().ceil();
        let high = if high <= low { low + 1.0 } else { high };
        Self { low, high, begin, end }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.max(f64::MIN_POSITIVE).log10() - self.low) / (self.high - self.low);
        self.begin + part.clamp(0.0, 1.0) * (self.end - self.begin)
    }

    fn decades(&self) -> Vec<f64> {
        let mut all = Vec::new();
        let mut exponent = self.low;
        while exponent <= self.high {
            all.push(10_f64.powf(exponent));
            exponent += 1.0;
        }
        all
    }
}

fn open(title: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{title}</title>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"15\" font-weight=\"bold\" fill=\"#222222\">{title}</text>\n"
    )
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#222222\">{text}</text>"
    );
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
    let _ = writeln!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn dot(out: &mut String, x: f64, y: f64, colour: &str, filled: bool) {
    let fill = if filled { colour } else { "#ffffff" };
    let _ = writeln!(
        out,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"2\"/>"
    );
}

/// `10000` as people write it on an axis.
fn tick(value: f64) -> String {
    for (size, unit) in [(1e6, " M"), (1e3, " k")] {
        if value >= size {
            return format!("{}{unit}", human(value / size));
        }
    }
    human(value)
}

impl Lines {
    pub(super) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Axis::over(points().map(|point| point.0), LEFT, WIDTH - RIGHT);
        let y = Axis::over(points().flat_map(|point| [point.1.min, point.1.max]), HEIGHT - BOTTOM, TOP);
        let mut out = open(self.title, HEIGHT);
        for value in y.decades() {
            line(&mut out, (LEFT, y.at(value)), (WIDTH - RIGHT, y.at(value)), "#dddddd", 1.0);
            text(&mut out, LEFT - 8.0, y.at(value) + 4.0, "end", &tick(value));
        }
        let mut ticks: Vec<f64> = points().map(|point| point.0).collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        let mut last = f64::NEG_INFINITY;
        for value in ticks {
            // Labels that would touch are left out.
            if x.at(value) - last > 34.0 {
                last = x.at(value);
                line(&mut out, (last, HEIGHT - BOTTOM), (last, HEIGHT - BOTTOM + 5.0), "#555555", 1.0);
                text(&mut out, last, HEIGHT - BOTTOM + 19.0, "middle", &human(value));
            }
        }
        line(&mut out, (LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, HEIGHT - BOTTOM), "#555555", 1.0);
        text(&mut out, f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 12.0, "middle", self.x);
        text(&mut out, LEFT - 8.0, TOP - 14.0, "end", self.y);
        for (index, series) in self.series.iter().enumerate() {
            series.draw(&mut out, &x, &y, index);
        }
        out.push_str("</svg>\n");
        out
    }
}

impl Series {
    fn draw(&self, out: &mut String, x: &Axis, y: &Axis, index: usize) {
        let colour = colour(&self.name);
        // What is not the subject is drawn thinner.
        let subject = self.name.starts_with("holdline");
        let path: Vec<String> = self
            .points
            .iter()
            .map(|(at, spread)| format!("{:.1},{:.1}", x.at(*at), y.at(spread.median)))
            .collect();
        let width = if subject { 2.5 } else { 1.5 };
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
            path.join(" ")
        );
        for (at, spread) in &self.points {
            line(out, (x.at(*at), y.at(spread.min)), (x.at(*at), y.at(spread.max)), colour, 1.0);
            dot(out, x.at(*at), y.at(spread.median), colour, subject);
        }
        #[allow(clippy::cast_precision_loss, reason = "a few series")]
        let row = TOP + 8.0 + 20.0 * index as f64;
        dot(out, WIDTH - RIGHT + 18.0, row, colour, subject);
        text(out, WIDTH - RIGHT + 30.0, row + 4.0, "start", &self.name);
    }
}

impl Spans {
    pub(super) fn svg(&self) -> String {
        let left = LEFT + 110.0;
        let end = WIDTH - 40.0;
        #[allow(clippy::cast_precision_loss, reason = "a few lines")]
        let height = TOP + BOTTOM + 30.0 * self.spans.len() as f64;
        let values = self.spans.iter().flat_map(|(_, p50, p99)| [p50.median, p99.median]);
        let x = Axis::over(values, left, end);
        let mut out = open(self.title, height);
        for value in x.decades() {
            line(&mut out, (x.at(value), TOP), (x.at(value), height - BOTTOM), "#dddddd", 1.0);
            text(&mut out, x.at(value), height - BOTTOM + 19.0, "middle", &human(value));
        }
        text(&mut out, f64::midpoint(left, end), height - 12.0, "middle", self.x);
        for (index, (who, p50, p99)) in self.spans.iter().enumerate() {
            #[allow(clippy::cast_precision_loss, reason = "a few lines")]
            let y = TOP + 15.0 + 30.0 * index as f64;
            let colour = colour(who);
            text(&mut out, left - 10.0, y + 4.0, "end", who);
            line(&mut out, (x.at(p50.median), y), (x.at(p99.median), y), colour, 2.0);
            dot(&mut out, x.at(p50.median), y, colour, true);
            dot(&mut out, x.at(p99.median), y, colour, false);
            text(&mut out, x.at(p50.median), y - 8.0, "middle", &human(p50.median.round()));
            text(&mut out, x.at(p99.median), y - 8.0, "middle", &human(p99.median.round()));
        }
        out.push_str("</svg>\n");
        out
    }
}
