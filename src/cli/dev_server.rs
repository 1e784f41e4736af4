//! `holdline dev-server`: a server for developing against.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::words::{count, counted};
use super::{Exit, Failed, Outcome, Shell};
use crate::dev_server::{Acks, Control, DevServer, Options, Scenario, Stats};
use crate::model::Secret;

const EXAMPLES: &str = "\
Examples:
  holdline dev-server --scenario orders              orders go their way, over and over
  holdline dev-server --token sesame                 asks for a sign-in
  holdline dev-server --fault delay_acks,ms=500      answers half a second late
  holdline ctl send dev.control '{\"do\":\"cut\"}'       breaks the connection, while it runs";

/// `holdline dev-server`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9800")]
    listen: SocketAddr,

    /// Listen also where other machines can reach it
    #[arg(long)]
    allow_remote: bool,

    /// What it plays
    #[arg(long, value_name = "NAME", default_value = "echo")]
    scenario: Name,

    /// Ask for this token: by query, header, cookie, sub-protocol or message
    #[arg(long, value_name = "TOKEN", env = "HOLDLINE_DEV_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// How it acknowledges
    #[arg(long, value_name = "HOW", default_value = "cumulative")]
    acks: How,

    /// Time between two steps of the scenario
    #[arg(long, value_name = "DURATION", value_parser = super::args::duration, default_value = "1s")]
    pace: Duration,

    /// Events kept for those who come back
    #[arg(long, value_name = "COUNT", default_value_t = Options::default().keep_events)]
    keep: usize,

    /// Break something from the start: WHAT[,MEMBER=VALUE]…, or JSON; docs/server-protocol.md lists them
    #[arg(long, value_name = "FAULT", value_parser = fault)]
    fault: Vec<Control>,
}

/// What it plays.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Name {
    /// Each message comes back as an event
    Echo,
    /// Orders go from placed to delivered
    Orders,
    /// Somebody types, then answers
    Chat,
    /// Prices of three symbols, over and over
    Prices,
    /// Nothing by itself
    Quiet,
}

/// How it acknowledges.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum How {
    /// Each message by its id
    Single,
    /// All up to a number, where messages are numbered
    Cumulative,
    /// Not at all
    None,
}

impl From<&Args> for Options {
    fn from(args: &Args) -> Self {
        Self {
            listen: args.listen,
            allow_remote: args.allow_remote,
            token: args.token.clone().map(Secret::new),
            scenario: match args.scenario {
                Name::Echo => Scenario::Echo,
                Name::Orders => Scenario::Orders,
                Name::Chat => Scenario::Chat,
                Name::Prices => Scenario::Prices,
                Name::Quiet => Scenario::Quiet,
            },
            acks: match args.acks {
                How::Single => Acks::Single,
                How::Cumulative => Acks::Cumulative,
                How::None => Acks::None,
            },
            // A scenario without any time between its steps would be a flood.
            pace: args.pace.max(Duration::from_millis(1)),
            faults: args.fault.clone(),
            keep_events: args.keep,
            ..Self::default()
        }
    }
}

/// Takes a fault as people write it: `cut`, `refuse_upgrade,status=503,times=2`, or JSON.
fn fault(text: &str) -> Result<Control, String> {
    let members = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        let mut parts = text.split(',');
        let mut members = Map::new();
        members.insert("do".to_owned(), parts.next().unwrap_or_default().into());
        for part in parts {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("write `{part}` as MEMBER=VALUE"))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            members.insert(name.to_owned(), value);
        }
        Value::Object(members)
    };
    serde_json::from_value(members).map_err(|error| error.to_string())
}

/// Serves until interrupted.
pub(crate) fn run(args: &Args, shell: &mut Shell) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(args, shell))
}

async fn serve(args: &Args, shell: &mut Shell) -> Outcome {
    let server = DevServer::start(args.into()).await.map_err(|error| {
        Failed::new(Exit::Failure, format!("cannot listen on {}: {error}", args.listen))
            .hint("take another address with --listen; port 0 takes any free one")
    })?;
    greet(args, &server, shell)?;
    let mut connected = 0;
    loop {
        tokio::select! {
            ended = tokio::signal::ctrl_c() => {
                ended?;
                break;
            }
            stats = change(&server, connected) => {
                connected = stats.connected;
                shell.note(&moved(&stats));
            }
        }
    }
    let stats = server.stats();
    server.stop().await;
    if shell.json() {
        shell.document(&figures(&stats))?;
    } else {
        shell.print(&format!("{}\n", farewell(&stats)))?;
    }
    Ok(Exit::Ok)
}

fn greet(args: &Args, server: &DevServer, shell: &mut Shell) -> Result<(), Failed> {
    let url = server.url();
    if shell.json() {
        return shell.document(&json!({ "listening": url }));
    }
    let sign_in = if args.token.is_some() { "a token is asked for" } else { "no token is asked for" };
    shell.print(&format!(
        "A server for developing against: {url}  ({sign_in}; Ctrl-C ends it)\n\
         \x20 point holdline at it   holdline config init --url {url}\n\
         \x20 break something        holdline ctl send dev.control '{{\"do\":\"cut\"}}'\n"
    ))
}

/// Waits until another number of clients is connected.
async fn change(server: &DevServer, connected: u64) -> Stats {
    loop {
        let waited = server.until(Duration::from_secs(3600), |stats| stats.connected != connected).await;
        if let Ok(stats) = waited {
            return stats;
        }
    }
}

fn moved(stats: &Stats) -> String {
    format!("{} connected; {}", counted(stats.connected, "client"), farewell(stats))
}

fn farewell(stats: &Stats) -> String {
    format!(
        "{} received ({} came again), {} published",
        counted(stats.received, "message"),
        count(stats.repeated),
        counted(stats.events, "event"),
    )
}

fn figures(stats: &Stats) -> Value {
    json!({
        "connections": stats.connections,
        "upgrades_refused": stats.upgrades_refused,
        "sign_ins": stats.sign_ins,
        "sign_ins_refused": stats.sign_ins_refused,
        "resumes": stats.resumes,
        "gaps": stats.gaps,
        "received": stats.received,
        "repeated": stats.repeated,
        "acked": stats.acked,
        "rejected": stats.rejected,
        "events": stats.events,
        "event_acks": stats.event_acks,
    })
}

#[cfg(test)]
mod tests {
    use super::fault;
    use crate::dev_server::{Control, Garbage};

    #[test]
    fn a_fault_is_a_word_with_members_or_json() {
        assert_eq!(fault("cut"), Ok(Control::Cut {}));
        assert_eq!(fault(r#"{"do":"cut"}"#), Ok(Control::Cut {}));
        assert_eq!(fault("garbage,what=utf8"), Ok(Control::Garbage { what: Garbage::Utf8 }));
        let refusal = Control::RefuseUpgrade { status: 503, retry_after: Some(30), times: 2 };
        assert_eq!(fault("refuse_upgrade,status=503,retry_after=30,times=2"), Ok(refusal));
    }

    #[test]
    fn a_fault_that_is_none_says_why() {
        for text in ["", "explode", "cut,now", "delay_acks", "delay_acks,ms=soon", "{"] {
            assert!(fault(text).is_err_and(|why| !why.is_empty()), "{text}");
        }
    }
}
