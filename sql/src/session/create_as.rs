//! CREATE TABLE … AS: the table has the columns of its query, and the query's rows are inserted into it.

use arrow_schema::DataType;
use weir_base::options::Problem;
use weir_catalog::CatalogError;

use super::run::Run;
use super::{Mode, Outcome, Session};
use crate::error::{NOT_YET, PLAN, SqlError, TYPES};
use crate::parse::ast::{Column, ColumnText, CreateTable, Insert, QueryText};
use crate::parse::types::{SqlType, sql_type_of};
use crate::plan::CreatedTable;
use crate::planner::resolve::Purpose;
use crate::planner::{Planning, plan_query, reads_stream};

/// What a CREATE TABLE … AS has done so far.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) message: Option<String>,
    /// The INSERT that fills the table; `None` if it was there.
    pub(super) filled: Option<Insert>,
}

impl CreatedTable {
    /// Drops the table if it is still without rows; says what has become of it.
    pub async fn take_back(&self) -> String {
        let Self { catalog, table, .. } = self;
        let dropped = async {
            let now = catalog.load(&table.id).await?;
            if now.metadata.uuid() != table.metadata.uuid() || now.metadata.current_snapshot().is_some() {
                return Ok(false);
            }
            catalog.drop_table(&table.id).await?;
            Ok::<_, CatalogError>(true)
        };
        match dropped.await {
            Ok(true) => match table.file_io.delete(&table.metadata_location).await {
                Ok(()) => "the table that was made for the rows is dropped again".to_owned(),
                Err(error) => format!("the table is dropped again; its metadata file `{}` is left ({error})", table.metadata_location),
            },
            Ok(false) => "the table stays: it holds rows, or is another one by now".to_owned(),
            Err(error) => format!("the table is left without rows, DROP TABLE removes it ({error})"),
        }
    }
}

impl Session {
    pub(super) async fn create_table_as(
        &mut self,
        table: &CreateTable,
        query: &QueryText,
        run: &mut Run,
        outcome: &mut Outcome,
    ) -> Result<Made, SqlError> {
        let path = self.parts.scope.table(&table.name);
        let object = format!("Table '{path}'");
        let at = table.name.position;
        let lake = self.parts.objects.lake(&path.catalog, at)?.cloned().filter(|_| !table.temporary);
        let Some(lake) = lake else {
            let what = "CREATE TABLE … AS makes tables of Iceberg catalogs only.";
            return Err(Problem::new(NOT_YET, object, what).hint("Declare the table, and fill it with INSERT INTO.").at(Some(at)).into());
        };
        let mut planning = Planning::new(&self.parts, Purpose::Stream);
        let planned = plan_query(&mut planning, query, &self.parts.scope).await?;
        if reads_stream(&planned.plan) {
            let what = "the query of CREATE TABLE … AS reads a stream: a job that is started again must find its table.";
            return Err(Problem::new(PLAN, object, what).hint("Use CREATE TABLE IF NOT EXISTS and INSERT INTO.").at(Some(query.position)).into());
        }
        let mut columns = Vec::new();
        for field in planned.plan.schema().fields() {
            let Some(data_type) = storable(field.data_type()) else {
                let what = format!("column '{}' is always NULL and has no type.", field.name());
                return Err(Problem::new(TYPES, object, what).hint("CAST it to one.").at(Some(query.position)).into());
            };
            let ty = SqlType { text: sql_type_of(&data_type), data_type, nullable: field.is_nullable() };
            columns.push(Column { name: field.name().clone(), position: query.position, comment: None, kind: ColumnText::Physical(ty) });
        }
        let declared = CreateTable { columns, query: None, ..table.clone() };
        let created = self.create_lake_table(&declared, &path, &lake, run, outcome).await?;
        if created.is_none() && run.mode == Mode::Run {
            return Ok(Made { message: Some(format!("{object} exists already: nothing was done.")), filled: None });
        }
        let message = created.map(|(table, message)| {
            run.created = Some(CreatedTable { path, catalog: lake.catalog, table });
            message
        });
        let insert = Insert {
            target: table.name.clone(),
            overwrite: false,
            hint: Vec::new(),
            partition: Vec::new(),
            columns: Vec::new(),
            query: query.clone(),
        };
        Ok(Made { message, filled: Some(insert) })
    }
}

/// The type of a column that holds values of a query's type; `None` for one without a type.
fn storable(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Null => return None,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        // DataFusion counts in UInt64.
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, zone) => DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, zone.clone()),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(arrow_schema::TimeUnit::Microsecond),
        other => other.clone(),
    })
}
