//! doctor: why a place cannot be reached, step by step.

use serde_json::json;
use weir_fs::doctor::{self, Finding, Verdict};

use super::cli::Doctor;
use super::context::Context;
use super::print::{seconds, shown};
use crate::failure::Failure;

/// Examines places, and prints each step as it is done.
pub(super) async fn run(context: &mut Context, arguments: &Doctor) -> Result<(), Failure> {
    for uri in &arguments.places {
        let file_systems = context.file_systems().clone();
        let mut shown = Ok(());
        let mut tell = |finding: Finding| {
            if shown.is_ok() {
                shown = show(context, uri, &finding);
            }
        };
        let whole = doctor::examine(&file_systems, uri, arguments.write, &mut tell).await;
        shown?;
        if !whole {
            context.complain(&format!("`{uri}` cannot be used: the steps that failed say why"))?;
        }
    }
    Ok(())
}

fn show(context: &mut Context, uri: &str, finding: &Finding) -> Result<(), Failure> {
    let verdict = match finding.verdict {
        Verdict::Fine => "ok",
        Verdict::Warning => "warning",
        Verdict::Failed => "FAILED",
        Verdict::Skipped => "skipped",
    };
    if context.json {
        let millis = u64::try_from(finding.took.as_millis()).unwrap_or(u64::MAX);
        let all = json!({"uri": uri, "step": finding.step, "verdict": verdict, "text": finding.text, "remedy": finding.remedy, "millis": millis});
        context.printer.line(&all.to_string())?;
        return context.printer.flush();
    }
    let took = if finding.took.is_zero() { String::new() } else { format!(" ({})", seconds(finding.took)) };
    context.printer.line(&format!("{verdict:<8} {:<14} {}{took}", finding.step, shown(&finding.text)))?;
    if let Some(remedy) = &finding.remedy {
        context.printer.line(&format!("{:<8} {:<14} -> {}", "", "", shown(remedy)))?;
    }
    context.printer.flush()
}
