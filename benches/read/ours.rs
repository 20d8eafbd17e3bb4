//! Our side: a session that runs a query as `weir sql` does, and drops the batches instead of printing them.

use std::io::BufRead;
use std::sync::Arc;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use weir_base::memory::MemoryBudget;
use weir_fs::FileSystems;
use weir_runtime::run_query;
use weir_sql::{Mode, Script, Session, SessionOptions, StatementResult};

use crate::Outcome;
use crate::print::line;

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Statements before the first query.
    pub(crate) init: String,
    pub(crate) sql: String,
    pub(crate) cores: usize,
}

/// Runs the query as often as each line of the input says, and answers with the rows of the last time.
pub(crate) fn serve(task: &str) -> Outcome<()> {
    let task: Task = serde_json::from_str(task)?;
    let budget = MemoryBudget::new(MemoryBudget::default_limit());
    let mut session = Session::new(SessionOptions {
        registry: Arc::new(weir_connectors::registry()),
        file_systems: FileSystems::default(),
        job_file: None,
        budget: budget.clone(),
        cores: task.cores,
        before_create: None,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(task.cores).enable_all().build()?;
    let init = Script::parse(&task.init).map_err(|problems| problems.to_string())?;
    runtime.block_on(session.run(&init, Mode::Init))?;
    for times in std::io::stdin().lock().lines() {
        let mut rows = 0;
        for _ in 0..times?.trim().parse::<u64>()? {
            rows = runtime.block_on(query(&mut session, &task.sql, &budget))?;
        }
        line(&rows.to_string());
    }
    Ok(())
}

async fn query(session: &mut Session, sql: &str, budget: &MemoryBudget) -> Outcome<usize> {
    let script = Script::parse(sql).map_err(|problems| problems.to_string())?;
    let mut rows = 0;
    for result in session.run(&script, Mode::Run).await?.results {
        let StatementResult::Query(plan) = result else { return Err("the statement is no query".into()) };
        let mut batches = run_query(*plan, budget).await?;
        while let Some(batch) = batches.next().await {
            rows += batch?.num_rows();
        }
    }
    Ok(rows)
}
