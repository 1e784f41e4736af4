//! A dial on its way: first the credential, then the connection. Dropped, it is given up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::NewServer;
use crate::clock::Clock;
use crate::dialect::Dialect;
use crate::link::credential::{Credentials, expires_at};
use crate::link::{Connection, Dialer, Plan};
use crate::model::{Failure, Remembered, Secret};
use crate::store::Store;

type Step<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Between two questions to a store that cannot answer.
const AGAIN: Duration = Duration::from_secs(1);

/// Where a dial stands.
#[derive(Default)]
pub enum Dialling {
    /// None is on its way.
    #[default]
    Idle,
    /// A reload named another server: the store looks up what it knows of it.
    Server(Step<Remembered>, Arc<dyn Dialect>),
    /// The credential is being read.
    Credential(Step<Result<Option<Secret>, Failure>>),
    /// The connection is being made, with this credential.
    Connection(Step<Result<Connection, Failure>>, Option<Secret>),
}

impl std::fmt::Debug for Dialling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle",
            Self::Server(..) => "Server",
            Self::Credential(_) => "Credential",
            Self::Connection(..) => "Connection",
        })
    }
}

/// What a step came to.
#[derive(Debug)]
pub enum Dialled {
    /// What is remembered of the server to be dialled from now on.
    Server(Arc<dyn Dialect>, Remembered),
    /// The credential was read (or none is needed): now the dialect says what the dial carries.
    Credential(Option<Secret>),
    /// The connection stands.
    Connection(Connection, Option<Secret>),
    /// It did not come about.
    Failed(Failure),
}

impl Dialling {
    /// Begins with another server.
    #[must_use]
    pub fn server(store: Store, server: NewServer) -> Self {
        let NewServer { dialect, key } = server;
        let look_up = async move {
            loop {
                match store.use_server(key.clone()).await {
                    Ok(remembered) => return remembered,
                    // The disk takes nothing now, and says so itself; or all of it ends.
                    Err(_) => tokio::time::sleep(AGAIN).await,
                }
            }
        };
        Self::Server(Box::pin(look_up), dialect)
    }

    /// Begins with the credential. One that has expired by its own word and our clock is not shown
    /// to the server, unless `expired_too`.
    #[must_use]
    pub fn begin(credentials: Arc<Credentials>, clock: Clock, expired_too: bool) -> Self {
        Self::Credential(Box::pin(async move {
            let credential = credentials.fetch().await.map_err(Failure::NoCredential)?;
            let now = clock.now().wall;
            match credential.as_ref().and_then(expires_at) {
                Some(at) if at <= now && !expired_too => {
                    Err(Failure::CredentialExpired { source: credentials.source(), at })
                }
                _ => Ok(credential),
            }
        }))
    }

    /// Goes on with the connection.
    #[must_use]
    pub fn connect(dialer: Arc<Dialer>, plan: Plan, credential: Option<Secret>) -> Self {
        let given = credential.clone();
        Self::Connection(Box::pin(async move { dialer.dial(plan, given.as_ref()).await }), credential)
    }

    /// Waits for the present step; for ever where there is none. Safe to drop and call again.
    pub async fn step(&mut self) -> Dialled {
        let done = match self {
            Self::Idle => std::future::pending().await,
            Self::Server(step, dialect) => {
                let remembered = step.await;
                Dialled::Server(Arc::clone(dialect), remembered)
            }
            Self::Credential(step) => match step.await {
                Ok(credential) => Dialled::Credential(credential),
                Err(failure) => Dialled::Failed(failure),
            },
            Self::Connection(step, credential) => match step.await {
                Ok(connection) => Dialled::Connection(connection, credential.take()),
                Err(failure) => Dialled::Failed(failure),
            },
        };
        *self = Self::Idle;
        done
    }
}
