//! Columns that a lake's table once had.

use std::sync::Arc;

use iceberg::TableUpdate;
use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};
use weir_catalog::TableId;

use super::session;
use crate::parse::Script;
use crate::session::{Mode, Session};

async fn run(session: &mut Session, sql: &str) -> Result<(), String> {
    session.run(&Script::parse(sql).expect("parses"), Mode::Run).await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_query_for_a_column_of_the_past_is_told_what_has_become_of_it() {
    let mut session = session();
    let catalog = "CREATE CATALOG lake WITH ('type' = 'iceberg', 'catalog-type' = 'memory', 'warehouse' = 'memory://past/w');";
    run(&mut session, &format!("{catalog} CREATE DATABASE lake.shop; CREATE TABLE lake.shop.t (id BIGINT, old STRING, gone STRING);"))
        .await
        .expect("made");
    let lake = Arc::clone(session.catalog("lake").expect("a catalog"));
    let table = lake.load(&TableId { database: "shop".to_owned(), table: "t".to_owned() }).await.expect("loads");
    let field = |id, name: &str, ty| Arc::new(NestedField::optional(id, name, Type::Primitive(ty)));
    let fields = vec![field(1, "id", PrimitiveType::Long), field(2, "new", PrimitiveType::String)];
    let schema = Schema::builder().with_fields(fields).build().expect("schema");
    let updates = vec![TableUpdate::AddSchema { schema }, TableUpdate::SetCurrentSchema { schema_id: -1 }];
    lake.commit(&table, Vec::new(), updates).await.expect("commits");

    let renamed = run(&mut session, "SELECT old FROM lake.shop.t").await.expect_err("renamed");
    assert!(
        renamed.contains("Column 'old' not found.") && renamed.contains("Table 'lake.shop.t' had a column 'old'; it is called 'new' now"),
        "{renamed}"
    );
    let dropped = run(&mut session, "SELECT t.id FROM lake.shop.t AS t WHERE t.gone = 'x'").await.expect_err("dropped");
    assert!(dropped.contains("had a column 'gone'") && dropped.contains("No snapshot that had it is left"), "{dropped}");
    let never = run(&mut session, "SELECT never FROM lake.shop.t").await.expect_err("never");
    assert!(never.contains("Columns are id, new"), "{never}");
}
