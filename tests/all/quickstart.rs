//! The quick start, small: as a stranger runs it, again, and over somebody's files.

use crate::orders::LIMIT;
use crate::support::Workdir;

const ARGUMENTS: [&str; 7] = ["quickstart", "--rows", "60000", "--kills", "2", "--dir", "start"];

#[tokio::test]
async fn the_quick_start_ends_with_its_comparison_and_a_second_one_replaces_it() {
    let folder = Workdir::new();
    for run in 1..=2 {
        let printed = folder.weir(ARGUMENTS).output(LIMIT).await.succeeded().stdout;
        assert_eq!(printed.matches("kill -9 of process").count(), 2, "{printed}");
        let cells = |title: &str| -> Vec<String> {
            let line = printed.lines().find(|line| line.starts_with(title)).unwrap_or_else(|| panic!("no `{title}` in {printed}"));
            line.trim_start_matches(title).split_whitespace().map(str::to_owned).collect()
        };
        let (sent, found) = (cells("sent"), cells("in the table"));
        assert_eq!(sent[..3], ["60,000"; 3], "{printed}");
        assert_eq!(sent, found);
        assert!(printed.contains("verified: epochs rise"), "{printed}");
        assert!(!folder.path("start/left-over").exists(), "the second quick start begins with an empty folder");
        folder.write("start/left-over", &format!("of run {run}"));
    }
    let again = folder.weir(["sql", "--init", "start/job.sql", "--format", "csv", "-e", "SELECT count(*) AS n FROM lake.shop.orders"]);
    assert_eq!(again.output(LIMIT).await.succeeded().stdout, "n\n60000\n");
}

#[tokio::test]
async fn the_quick_start_refuses_a_folder_with_files_of_somebody_else() {
    let folder = Workdir::new();
    std::fs::create_dir(folder.path("start")).unwrap();
    folder.write("start/thesis.txt", "years of work");
    let refused = folder.weir(ARGUMENTS).output(LIMIT).await.failed_with(3);
    assert!(refused.stderr.contains("is not empty") && refused.stderr.contains("--dir"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(folder.path("start/thesis.txt")).unwrap(), "years of work");
    assert_eq!(std::fs::read_dir(folder.path("start")).unwrap().count(), 1);
}
