//! Whatever the text, the parser answers with statements or with problems that have a place in the text.

use proptest::prelude::*;

use crate::parse::Script;

/// Pieces that lead deep into the grammar when they are put together at random.
const PIECES: &[&str] = &[
    "CREATE TABLE t (",
    "a INT",
    ", ",
    "b ROW<x ARRAY<MAP<STRING, INT>>>",
    "WITH (",
    "'k' = 'v'",
    ")",
    ";",
    "INSERT INTO t ",
    "SELECT * FROM ",
    "t /*+ OPTIONS('a'='b') */",
    "CAST(a AS ",
    "DECIMAL(10, 2))",
    "'",
    "`",
    "/*",
    "*/",
    "--",
    "\n",
    "EXECUTE STATEMENT SET BEGIN ",
    "END;",
    "ü",
    "WATERMARK FOR a AS a - INTERVAL '1' SECOND",
    "PARTITIONED BY (days(a), bucket(16, b))",
    "LIKE t (EXCLUDING ALL)",
    "EXPLAIN ",
    "SET 'a' = 'b'",
    "SHOW TABLES LIKE '%'",
    "USE CATALOG c",
    "DESCRIBE CONNECTOR kafka",
    "p INT METADATA FROM 'partition' VIRTUAL",
    "c AS a + 1",
    "U&'\\00e9'",
    "\u{0}",
];

fn check(text: &str) {
    if let Err(problems) = Script::parse(text) {
        let lines = text.split('\n').count() as u64;
        for problem in problems.as_slice() {
            let at = problem.position.expect("every syntax error has a place");
            assert!(at.line >= 1 && at.line <= lines && at.column >= 1, "{problem}\n{text}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        check(&text);
    }

    #[test]
    fn arbitrary_pieces_of_sql_never_panic(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..24)) {
        check(&pieces.concat());
    }

    #[test]
    fn an_option_key_is_reported_where_it_stands(before in "( |\n|-- note\n|/\\* x \\*/){0,6}", indent in " {0,8}") {
        let text = format!("{before}SET\n{indent}'table.exec.state.tll' = '1 d';");
        let script = Script::parse(&text).expect("a SET");
        let line = before.matches('\n').count() as u64 + 2;
        let crate::parse::ast::StatementKind::Set(option) = &script.statements[0].kind else { panic!("a SET") };
        prop_assert_eq!((option.position.line, option.position.column), (line, indent.len() as u64 + 1));
    }
}
