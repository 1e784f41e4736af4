//! URLs and headers.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::DeValue;

use super::{Complaint, Kind, Text, Visible, quote, text, wrong};
use crate::config::ServerUrl;
use crate::config::proxy::{self, ProxyChoice};
use crate::model::Secret;

/// The server's URL.
pub(in crate::config) struct Url;

impl Kind for Url {
    type Value = ServerUrl;

    fn name(&self) -> Cow<'static, str> {
        "a URL".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like \"wss://api.example.com/socket\"".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<ServerUrl, Complaint> {
        ServerUrl::parse(text(value)?).map_err(|fault| Complaint::value(fault.message, fault.hint))
    }

    fn show(&self, value: &ServerUrl) -> String {
        quote(&value.to_string())
    }

    fn visible(&self) -> Visible {
        Visible::Url
    }
}

/// A proxy's URL, or none at all.
pub(in crate::config) struct ProxyUrl {
    /// `host:port` alone will do: so it often stands in variables.
    pub(in crate::config) bare: bool,
}

impl Kind for ProxyUrl {
    type Value = ProxyChoice;

    fn name(&self) -> Cow<'static, str> {
        "a proxy URL".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like \"http://proxy:3128\" or \"socks5://proxy:1080\"".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<ProxyChoice, Complaint> {
        let text = text(value)?;
        let read = if self.bare && !text.contains("://") {
            proxy::parse(&format!("http://{text}"))
        } else {
            proxy::parse(text)
        };
        read.map_err(|(message, hint)| Complaint::value(message, hint))
    }

    fn show(&self, value: &ProxyChoice) -> String {
        match value {
            ProxyChoice::Direct => quote(proxy::DIRECT),
            ProxyChoice::Via(proxy) => quote(&proxy.to_string()),
        }
    }

    fn visible(&self) -> Visible {
        Visible::UserInfo
    }
}

/// Whether `text` is a token in the sense of HTTP (RFC 9110, 5.6.2).
pub(in crate::config) fn is_http_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Header names that belong to the upgrade itself (RFC 6455, 4.1).
fn is_reserved_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("sec-websocket-")
        || ["host", "upgrade", "connection", "content-length", "transfer-encoding"].contains(&name.as_str())
}

/// The name of a header that may be set.
pub(in crate::config) const HEADER_NAME: Text = Text {
    visible: Visible::All,
    name: "a header name",
    check: |name| {
        if !is_http_token(name) {
            return Err(("this is no header name", "header names have letters, digits and `-`"));
        }
        if is_reserved_header(name) {
            return Err(("this header belongs to the WebSocket upgrade itself", "take another one"));
        }
        Ok(())
    },
};

/// Headers: names with values that are never shown.
pub(in crate::config) struct Headers;

/// Most headers.
const MAX_HEADERS: usize = 64;

impl Kind for Headers {
    type Value = Vec<(String, Secret)>;

    fn name(&self) -> Cow<'static, str> {
        "a table of texts".into()
    }

    fn example(&self) -> Cow<'static, str> {
        "write it like { \"X-App\" = \"dashboard\" }".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Self::Value, Complaint> {
        let Some(table) = value.get_ref().as_table() else {
            return wrong(value);
        };
        if table.len() > MAX_HEADERS {
            return Err(Complaint::value("too many headers", format!("there may be {MAX_HEADERS}")));
        }
        let mut headers = Vec::new();
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            (HEADER_NAME.check)(name.get_ref())
                .map_err(|(message, hint)| Complaint::value(message, hint).within(name.span()))?;
            let text = text(value).map_err(|fault| fault.within(value.span()))?;
            // RFC 9110, 5.5, without obs-text, which servers read differently.
            if !text.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) {
                let fault = Complaint::value(
                    "the header's value holds what no header can hold",
                    "plain ASCII only, without line ends",
                );
                return Err(fault.within(value.span()));
            }
            headers.push((name.get_ref().to_string(), Secret::new(text.trim())));
        }
        Ok(headers)
    }

    fn show(&self, value: &Self::Value) -> String {
        let shown: Vec<_> = value.iter().map(|(name, _)| format!("{} = \"***\"", quote(name))).collect();
        if shown.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", shown.join(", ")) }
    }

    fn visible(&self) -> Visible {
        Visible::Nothing
    }
}
