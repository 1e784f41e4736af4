//! nginx with a certificate for this machine.

use std::fs::write;
use std::path::Path;
use std::process::Command;

use super::program::Program;
use crate::support::tls::{Authority, Validity};

/// What it serves.
#[derive(Default)]
pub(crate) struct Site {
    /// A module that is loaded first.
    pub(crate) module: Option<&'static str>,
    /// What stands in the server that has the certificate.
    pub(crate) locations: String,
    /// Other servers.
    pub(crate) beside: String,
}

/// Starts it. Also who vouches for it.
pub(crate) fn behind_tls(site: Site) -> (Program, Authority) {
    let authority = Authority::new();
    let identity = authority.issue_for(&["127.0.0.1"], Validity::Now);
    let program = Program::start(
        move |port, folder| {
            write(folder.join("cert.pem"), &identity.cert).expect("a file");
            write(folder.join("key.pem"), &identity.key).expect("a file");
            write(folder.join("nginx.conf"), configuration(port, folder, &site)).expect("a file");
        },
        |_, folder| {
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).args(["-e", "stderr"]);
            command
        },
    );
    (program, authority)
}

fn configuration(port: u16, folder: &Path, site: &Site) -> String {
    let Site { module, locations, beside } = site;
    let module = module.map(|module| format!("load_module {module};\n")).unwrap_or_default();
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {folder}/{name};\n"))
        .concat();
    format!(
        r#"{module}daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 256; }}
http {{
  access_log off;
{temporary}  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
{locations}
  }}
{beside}
}}
"#
    )
}
