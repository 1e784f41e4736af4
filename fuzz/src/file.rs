//! A dialect file made from choices, so that most of what is tried is a file that loads: random text
//! hardly ever is one.

use std::fmt::Write as _;

/// Deepest value that is put together.
const DEPTH: usize = 3;

/// Files that two bytes choose from: so few that each is read once.
const SHORT: u64 = 2048;

/// The file that `choices` come to; what is missing counts as zero. Up to two bytes are the number of a
/// file whose choices are drawn.
pub fn written(choices: &[u8]) -> String {
    if choices.len() > 2 {
        return Writer { choices, text: String::new() }.file();
    }
    let mut state = choices.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) % SHORT;
    let drawn: Vec<u8> = (0..200).map(|_| draw(&mut state)).collect();
    Writer { choices: &drawn, text: String::new() }.file()
}

/// The next of a row of bytes (a linear congruential generator, its high bits).
fn draw(state: &mut u64) -> u8 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    state.to_be_bytes()[0]
}

struct Writer<'a> {
    choices: &'a [u8],
    text: String,
}

const POINTERS: [&str; 12] =
    ["/type", "/id", "/data", "/items", "/n", "", "/0", "/a/b", "/data/id", "/1/type", "/no", "/head/x"];
const WORDS: [&str; 8] = ["event", "ack", "ping", "hello", "list", "x", "a:b/c", ""];
const FILTERS: [&str; 24] = [
    "json",
    "parse",
    "base64",
    "unbase64",
    "add:1",
    "add:-9223372036854775808",
    "add:-10s",
    "default:null",
    "default:$a",
    "default:x",
    "then:$v",
    "then:1",
    "omit:type,id",
    "wrap:data",
    "unwrap:data,id",
    "key",
    "value",
    "before:/",
    "after::",
    "unix",
    "unix_ms",
    "s",
    "ms",
    "unwrap:v",
];
/// Holes that have a value nearly everywhere.
const NAMES: [&str; 5] = ["a", "b", "v", "now", "null"];

impl Writer<'_> {
    fn byte(&mut self) -> usize {
        let Some((first, rest)) = self.choices.split_first() else { return 0 };
        self.choices = rest;
        usize::from(*first)
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn of<'t>(&mut self, all: &[&'t str]) -> &'t str {
        all[self.byte() % all.len()]
    }

    fn tail(&mut self) -> String {
        let mut tail = if self.flag() { self.of(&POINTERS).to_owned() } else { String::new() };
        for _ in 0..self.byte() % 4 {
            let _ = write!(tail, "|{}", self.of(&FILTERS));
        }
        tail
    }

    /// A hole with one of `more` or a name of the file's own, without the dollar sign.
    fn hole(&mut self, more: &[&str]) -> String {
        let all: Vec<&str> = NAMES.iter().chain(more).copied().collect();
        self.of(&all).to_owned() + &self.tail()
    }

    fn quoted(text: &str) -> String {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }

    fn source(&mut self, more: &[&str], depth: usize) -> String {
        match self.byte() % if depth < DEPTH { 7 } else { 4 } {
            0 | 1 => Self::quoted(&(self.of(&POINTERS).to_owned() + &self.filters())),
            2 => Self::quoted(&format!("${}", self.hole(more))),
            3 => Self::quoted(self.of(&WORDS)),
            4 => {
                let (pointer, hole) = (self.of(&POINTERS[..5]), self.hole(more));
                Self::quoted(&format!("x${{{pointer}}}:${{{hole}}}"))
            }
            5 => format!("[{}, {}]", self.source(more, depth + 1), self.source(more, depth + 1)),
            _ => format!("{{ a = {}, id = {} }}", self.source(more, depth + 1), self.source(more, depth + 1)),
        }
    }

    fn filters(&mut self) -> String {
        let mut filters = String::new();
        for _ in 0..self.byte() % 3 {
            let _ = write!(filters, "|{}", self.of(&FILTERS));
        }
        filters
    }

    fn template(&mut self, more: &[&str], depth: usize) -> String {
        match self.byte() % if depth < DEPTH { 9 } else { 4 } {
            0 | 1 => Self::quoted(&format!("${}", self.hole(more))),
            2 => Self::quoted(self.of(&WORDS)),
            3 => Self::quoted(&format!("x${{{}}}y${{{}}}", self.hole(more), self.hole(more))),
            4 => format!("[{}, {}]", self.template(more, depth + 1), self.template(more, depth + 1)),
            5 => {
                let (a, b) = (self.template(more, depth + 1), self.template(more, depth + 1));
                format!("{{ type = {a}, \"...\" = \"${}\", data = {b} }}", self.hole(more))
            }
            6 => format!("{{ \"${}\" = {} }}", self.of(&FILTERS), self.template(more, depth + 1)),
            7 => format!("{{ id = {}, n = 1.50 }}", self.template(more, depth + 1)),
            _ => "12345678901234567890".to_owned(),
        }
    }

    fn scalar(&mut self, more: &[&str]) -> String {
        match self.byte() % 6 {
            0..=2 => Self::quoted(self.of(&WORDS)),
            3 => (self.byte() % 4).to_string(),
            4 => self.flag().to_string(),
            _ => Self::quoted(&format!("${}", self.hole(more))),
        }
    }

    fn test(&mut self, more: &[&str]) -> String {
        match self.byte() % 8 {
            0 | 1 => self.scalar(more),
            2 => format!("[{}, {}]", self.scalar(more), self.scalar(more)),
            3 => format!("{{ exists = {} }}", self.flag()),
            4 => format!("{{ not = {} }}", self.scalar(more)),
            5 => format!("{{ prefix = {} }}", Self::quoted(self.of(&WORDS[..6]))),
            6 => format!("{{ min = {}, max = 7 }}", self.byte() % 4),
            _ => "{ equals = [1, { a = \"b\" }] }".to_owned(),
        }
    }

    fn condition(&mut self, more: &[&str]) -> String {
        let (first, second) = (self.of(&POINTERS), self.of(&POINTERS));
        match self.byte() % 6 {
            0 => format!("{{ raw = {} }}", self.test(more)),
            1 => format!("{{ \"$a\" = {} }}", self.test(more)),
            2 if first != second => {
                format!("{{ {first:?} = {}, {second:?} = {} }}", self.test(more), self.test(more))
            }
            3 => format!("[{{ {first:?} = {} }}, {{ {second:?} = {} }}]", self.test(more), self.test(more)),
            _ => format!("{{ {first:?} = {} }}", self.test(more)),
        }
    }

    fn effects(&mut self, more: &[&str]) {
        if self.flag() {
            let (name, source) = (self.of(&NAMES[..2]), self.source(more, 1));
            let _ = write!(self.text, ", capture = {{ {name} = {source} }}");
        }
        if self.byte() % 4 == 1 {
            let (name, source) = (self.of(&NAMES[..2]), self.source(more, 1));
            let _ = write!(self.text, ", keep = {{ {name} = {source} }}");
        }
        if self.byte() % 8 == 1 {
            self.text += ", forget = [\"a\"]";
        }
        if self.byte() % 4 == 1 {
            let source = self.source(more, 1);
            let _ = write!(self.text, ", cursor = {source}");
        }
        if self.byte() % 4 == 1 {
            let source = if more.contains(&"in") { self.source(more, 1) } else { "\"s\"".to_owned() };
            let _ = write!(self.text, ", stream = {source}");
        }
    }

    fn rule(&mut self) {
        const ROLES: [&str; 16] = [
            "event",
            "event",
            "event",
            "accepted",
            "received",
            "rejected",
            "deferred",
            "error",
            "gap",
            "cursor_lost",
            "ping",
            "pong",
            "ignore",
            "retry",
            "unauthorized",
            "event",
        ];
        let role = self.of(&ROLES);
        let _ = write!(self.text, "  {{ as = \"{role}\"");
        let close = matches!(role, "retry" | "unauthorized" | "cursor_lost") && self.flag();
        let when = if close {
            format!("{{ close = [{}, 4401], reason = {{ prefix = \"x\" }} }}", 1000 + self.byte())
        } else {
            self.condition(&["item"])
        };
        let _ = write!(self.text, ", when = {when}");
        let each = !close && role == "event" && self.byte() % 3 == 1;
        let more: &[&str] = if each { &["in", "item", "outer"] } else { &["in", "item"] };
        if each {
            let pointer = self.of(&POINTERS);
            let _ = write!(self.text, ", each = {pointer:?}");
        }
        if !close {
            self.effects(more);
            if self.byte() % 3 == 1 {
                let reply: Vec<&str> = more.iter().copied().chain(["counter", "uuid", "token"]).collect();
                let reply = self.template(&reply, 0);
                let cumulative = if role == "event" && self.flag() { ", cumulative = true" } else { "" };
                let _ = write!(self.text, ", reply = {reply}{cumulative}");
            }
        }
        let keys: &[&str] = match role {
            "event" => &["data", "id", "seq", "reply_to"],
            "accepted" => &["reply_to", "up_to", "data"],
            "received" => &["reply_to", "data"],
            "rejected" => &["reply_to", "code", "message", "data"],
            "deferred" => &["reply_to", "code", "message", "retry_after"],
            "error" => &["code", "message", "data"],
            "gap" | "cursor_lost" => &["message"],
            "retry" | "unauthorized" => &["code", "message", "retry_after"],
            _ => &[],
        };
        if role == "event" {
            let kind = self.source(more, 1);
            let _ = write!(self.text, ", type = {kind}");
        }
        for key in keys {
            if self.flag() {
                let source = self.source(more, 1);
                let _ = write!(self.text, ", {key} = {source}");
            }
        }
        self.text += " },\n";
    }

    fn step(&mut self) {
        self.text += "  { timeout = \"2s\"";
        if self.byte() % 3 == 1 {
            self.text += ", each = \"$v\"";
        }
        if self.byte() % 4 == 1 {
            let condition = self.test(&[]);
            let _ = write!(self.text, ", if = {{ \"$a\" = {condition} }}");
        }
        let waits = self.byte() % 3 == 1;
        if waits {
            let condition = self.condition(&["item"]);
            let _ = write!(self.text, ", wait = {condition}");
        }
        if !waits || self.flag() {
            let more = ["item", "token", "cursor", "counter", "uuid"];
            let send = self.template(&more, 0);
            let _ = write!(self.text, ", send = {send}");
        }
        if self.flag() {
            let (ok, fail) = (self.condition(&["counter", "item"]), self.condition(&["uuid", "item"]));
            let _ = write!(self.text, ", ok = {ok}, fail = {fail}, message = \"/data\", code = \"/n\"");
        }
        if self.flag() {
            self.text += ", on_timeout = \"continue\"";
        }
        self.effects(&["item"]);
        self.text += " },\n";
    }

    fn file(mut self) -> String {
        let codec = self.of(&["json", "json", "json-or-array", "json-lines", "head-json", "raw"]);
        let _ = write!(
            self.text,
            "dialect = 1\ncodec = \"{codec}\"\nvars = {{ a = 1, b = \"x/y\", v = [\"p\", {{ id = 2 }}] }}\n\
             cursor = {{ initial = {} }}\nreserved = [\"ack\"]\n",
            ["0", "\"$now\"", "\"$null\""][self.choices.first().map_or(0, |byte| usize::from(*byte) % 3)],
        );
        let (query, header) = (self.template(&["cursor", "token"], 2), self.template(&["cursor"], 2));
        let _ = write!(
            self.text,
            "connect = {{ query = {{ since = \"$cursor\", q = {query} }}, headers = {{ h = {header} }} }}\n"
        );
        let beat = self.template(&["counter", "cursor"], 1);
        let _ = write!(self.text, "heartbeat = {{ send = {beat}, every = \"$b|default:3s\" }}\n");
        self.text += "in = [\n";
        // So that a cursor is taken, a sign-in can be refused, and messages are confirmed.
        self.text += "  { as = \"unauthorized\", when = { \"/type\" = \"go\" } },\n  { as = \"accepted\", when = { \"/type\" = \"ok\" }, reply_to = \"/id\", cursor = \"/id\" },\n";
        for _ in 0..1 + self.byte() % 5 {
            self.rule();
        }
        self.text += "]\nout = [\n";
        for kind in ["x", "*"] {
            let more = ["type", "data", "id", "text", "binary", "counter", "uuid", "token"];
            let frame = self.template(&more, 0);
            let reference = self.hole(&["id", "counter"]);
            let _ =
                write!(self.text, "  {{ type = \"{kind}\", frame = {frame}, ref = \"${reference}\" }},\n");
        }
        self.text += "]\n";
        for kind in ["start", "subscribe"] {
            let _ = write!(self.text, "{kind} = [\n");
            for _ in 0..self.byte() % 3 {
                self.step();
            }
            self.text += "]\n";
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use holdline::dialect::declarative::check;

    #[test]
    fn most_files_have_nothing_wrong_with_them() {
        let mut state = 1_u64;
        let mut sound = 0;
        for _ in 0..1000 {
            let choices: Vec<u8> = (0..200).map(|_| super::draw(&mut state)).collect();
            let text = super::written(&choices);
            let problems: Vec<_> =
                check(&text, "t").into_iter().filter(|problem| problem.is_error()).collect();
            sound += usize::from(problems.is_empty());
            if std::env::var_os("SHOW").is_some() && !problems.is_empty() {
                println!("{text}\n{}", problems[0]);
            }
        }
        assert!(sound > 600, "{sound} of 1000");
    }
}
