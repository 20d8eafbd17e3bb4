//! The HTTP endpoint of a job: `/metrics`, `/status` and `/healthz`. It is up from before recovery until the process ends.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use tokio::net::TcpListener;
use weir_base::task::{Task, spawn};

use crate::error::RuntimeError;
use crate::metrics::Metrics;
use crate::status::{JobState, JobStatus, StatusBoard};

/// An address that is ours, before there is a job to tell of: connections wait.
#[derive(Debug)]
pub struct BoundAddress {
    listener: TcpListener,
    address: SocketAddr,
}

impl BoundAddress {
    /// Takes `address`; without one, a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub async fn bind(address: Option<SocketAddr>) -> Result<Self, RuntimeError> {
        let asked = address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let listen = |source| RuntimeError::Listen { address: asked, source };
        let listener = TcpListener::bind(asked).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { listener, address })
    }
}

/// A listening endpoint; dropping it closes it.
#[derive(Debug)]
pub struct HttpEndpoint {
    address: SocketAddr,
    _task: Task<()>,
}

impl HttpEndpoint {
    /// Answers on the address, with what `board` tells.
    #[must_use]
    pub fn open(BoundAddress { listener, address }: BoundAddress, board: StatusBoard) -> Self {
        let router = Router::new().route("/metrics", get(metrics)).route("/status", get(status)).route("/healthz", get(health)).with_state(board);
        let task = spawn("http endpoint", async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "http endpoint ended");
            }
        });
        Self { address, _task: task }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn metrics(State(board): State<StatusBoard>) -> impl IntoResponse {
    Metrics::shared().show(&board.snapshot());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], weir_base::metrics::exposition())
}

async fn status(State(board): State<StatusBoard>) -> Json<JobStatus> {
    Json(board.snapshot())
}

/// 200 while the job lives, recovering and waiting included; 503 once it has failed.
async fn health(State(board): State<StatusBoard>) -> (StatusCode, &'static str) {
    match board.snapshot().state {
        JobState::Failed => (StatusCode::SERVICE_UNAVAILABLE, "failed\n"),
        JobState::Recovering | JobState::Running | JobState::Waiting | JobState::Finished => (StatusCode::OK, "ok\n"),
    }
}
