//! The rows of the eight tables as Arrow batches, from the `tpchgen` generators.

use std::fmt::{Display, Write};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use tpchgen::dates::TPCHDate;
use tpchgen::decimal::TPCHDecimal;
use tpchgen::generators::{
    Customer, CustomerGenerator, LineItem, LineItemGenerator, Nation, NationGenerator, Order, OrderGenerator, Part, PartGenerator, PartSupp,
    PartSuppGenerator, Region, RegionGenerator, Supplier, SupplierGenerator,
};

/// Rows of a batch.
const ROWS: usize = 65_536;

/// A table: its name, its columns in SQL, and its rows at a scale, under a schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static str,
    pub(crate) batches: fn(f64, &SchemaRef) -> Batches,
}

/// All tables.
pub(crate) const TABLES: [Table; 8] = [
    Table {
        name: "region",
        columns: "r_regionkey BIGINT NOT NULL, r_name STRING, r_comment STRING",
        batches: |scale, schema| chunks(RegionGenerator::new(scale, 1, 1).iter(), schema, region),
    },
    Table {
        name: "nation",
        columns: "n_nationkey BIGINT NOT NULL, n_name STRING, n_regionkey BIGINT, n_comment STRING",
        batches: |scale, schema| chunks(NationGenerator::new(scale, 1, 1).iter(), schema, nation),
    },
    Table {
        name: "supplier",
        columns: "s_suppkey BIGINT NOT NULL, s_name STRING, s_address STRING, s_nationkey BIGINT, s_phone STRING, s_acctbal DECIMAL(15, 2), s_comment STRING",
        batches: |scale, schema| chunks(SupplierGenerator::new(scale, 1, 1).iter(), schema, supplier),
    },
    Table {
        name: "customer",
        columns: "c_custkey BIGINT NOT NULL, c_name STRING, c_address STRING, c_nationkey BIGINT, c_phone STRING, c_acctbal DECIMAL(15, 2), c_mktsegment STRING, c_comment STRING",
        batches: |scale, schema| chunks(CustomerGenerator::new(scale, 1, 1).iter(), schema, customer),
    },
    Table {
        name: "part",
        columns: "p_partkey BIGINT NOT NULL, p_name STRING, p_mfgr STRING, p_brand STRING, p_type STRING, p_size INT, p_container STRING, p_retailprice DECIMAL(15, 2), p_comment STRING",
        batches: |scale, schema| chunks(PartGenerator::new(scale, 1, 1).iter(), schema, part),
    },
    Table {
        name: "partsupp",
        columns: "ps_partkey BIGINT NOT NULL, ps_suppkey BIGINT NOT NULL, ps_availqty INT, ps_supplycost DECIMAL(15, 2), ps_comment STRING",
        batches: |scale, schema| chunks(PartSuppGenerator::new(scale, 1, 1).iter(), schema, partsupp),
    },
    Table {
        name: "orders",
        columns: "o_orderkey BIGINT NOT NULL, o_custkey BIGINT, o_orderstatus STRING, o_totalprice DECIMAL(15, 2), o_orderdate DATE, o_orderpriority STRING, o_clerk STRING, o_shippriority INT, o_comment STRING",
        batches: |scale, schema| chunks(OrderGenerator::new(scale, 1, 1).iter(), schema, orders),
    },
    Table {
        name: "lineitem",
        columns: "l_orderkey BIGINT NOT NULL, l_partkey BIGINT, l_suppkey BIGINT, l_linenumber INT, l_quantity DECIMAL(15, 2), l_extendedprice DECIMAL(15, 2), l_discount DECIMAL(15, 2), l_tax DECIMAL(15, 2), l_returnflag STRING, l_linestatus STRING, l_shipdate DATE, l_commitdate DATE, l_receiptdate DATE, l_shipinstruct STRING, l_shipmode STRING, l_comment STRING",
        batches: |scale, schema| chunks(LineItemGenerator::new(scale, 1, 1).iter(), schema, lineitem),
    },
];

/// Batches of a table, in order of its key.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

fn chunks<R: 'static>(rows: impl Iterator<Item = R> + Send + 'static, schema: &SchemaRef, columns: fn(&[R]) -> Vec<ArrayRef>) -> Batches {
    let (mut rows, schema) = (rows, Arc::clone(schema));
    Box::new(std::iter::from_fn(move || {
        let chunk: Vec<R> = rows.by_ref().take(ROWS).collect();
        (!chunk.is_empty()).then(|| RecordBatch::try_new(Arc::clone(&schema), columns(&chunk)))
    }))
}

fn longs<R>(rows: &[R], value: impl Fn(&R) -> i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(rows.iter().map(value)))
}

fn ints<R>(rows: &[R], value: impl Fn(&R) -> i32) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(rows.iter().map(value)))
}

fn dates<R>(rows: &[R], value: impl Fn(&R) -> TPCHDate) -> ArrayRef {
    Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| value(row).to_unix_epoch())))
}

/// A decimal of two places, given in hundredths.
fn decimals<R>(rows: &[R], hundredths: impl Fn(&R) -> i64) -> ArrayRef {
    let values = Decimal128Array::from_iter_values(rows.iter().map(|row| i128::from(hundredths(row))));
    Arc::new(values.with_data_type(DataType::Decimal128(15, 2)))
}

fn money<R>(rows: &[R], value: impl Fn(&R) -> TPCHDecimal) -> ArrayRef {
    decimals(rows, |row| value(row).into_inner())
}

fn texts<'r, R, T: Display + 'r>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(rows.len(), rows.len() * 16);
    for row in rows {
        // A builder takes everything.
        write!(builder, "{}", value(row)).unwrap_or_default();
        builder.append_value("");
    }
    Arc::new(builder.finish())
}

fn region(rows: &[Region<'static>]) -> Vec<ArrayRef> {
    vec![longs(rows, |row| row.r_regionkey), texts(rows, |row| row.r_name), texts(rows, |row| row.r_comment)]
}

fn nation(rows: &[Nation<'static>]) -> Vec<ArrayRef> {
    vec![longs(rows, |row| row.n_nationkey), texts(rows, |row| row.n_name), longs(rows, |row| row.n_regionkey), texts(rows, |row| row.n_comment)]
}

fn supplier(rows: &[Supplier]) -> Vec<ArrayRef> {
    vec![
        longs(rows, |row| row.s_suppkey),
        texts(rows, |row| &row.s_name),
        texts(rows, |row| &row.s_address),
        longs(rows, |row| row.s_nationkey),
        texts(rows, |row| &row.s_phone),
        money(rows, |row| row.s_acctbal),
        texts(rows, |row| &row.s_comment),
    ]
}

fn customer(rows: &[Customer<'static>]) -> Vec<ArrayRef> {
    vec![
        longs(rows, |row| row.c_custkey),
        texts(rows, |row| &row.c_name),
        texts(rows, |row| &row.c_address),
        longs(rows, |row| row.c_nationkey),
        texts(rows, |row| &row.c_phone),
        money(rows, |row| row.c_acctbal),
        texts(rows, |row| row.c_mktsegment),
        texts(rows, |row| row.c_comment),
    ]
}

fn part(rows: &[Part<'static>]) -> Vec<ArrayRef> {
    vec![
        longs(rows, |row| row.p_partkey),
        texts(rows, |row| &row.p_name),
        texts(rows, |row| &row.p_mfgr),
        texts(rows, |row| &row.p_brand),
        texts(rows, |row| row.p_type),
        ints(rows, |row| row.p_size),
        texts(rows, |row| row.p_container),
        money(rows, |row| row.p_retailprice),
        texts(rows, |row| row.p_comment),
    ]
}

fn partsupp(rows: &[PartSupp<'static>]) -> Vec<ArrayRef> {
    vec![
        longs(rows, |row| row.ps_partkey),
        longs(rows, |row| row.ps_suppkey),
        ints(rows, |row| row.ps_availqty),
        money(rows, |row| row.ps_supplycost),
        texts(rows, |row| row.ps_comment),
    ]
}

fn orders(rows: &[Order<'static>]) -> Vec<ArrayRef> {
    vec![
        longs(rows, |row| row.o_orderkey),
        longs(rows, |row| row.o_custkey),
        texts(rows, |row| row.o_orderstatus.as_str()),
        money(rows, |row| row.o_totalprice),
        dates(rows, |row| row.o_orderdate),
        texts(rows, |row| row.o_orderpriority),
        texts(rows, |row| &row.o_clerk),
        ints(rows, |row| row.o_shippriority),
        texts(rows, |row| row.o_comment),
    ]
}

fn lineitem(rows: &[LineItem<'static>]) -> Vec<ArrayRef> {
    vec![
        longs(rows, |row| row.l_orderkey),
        longs(rows, |row| row.l_partkey),
        longs(rows, |row| row.l_suppkey),
        ints(rows, |row| row.l_linenumber),
        decimals(rows, |row| row.l_quantity * 100),
        money(rows, |row| row.l_extendedprice),
        money(rows, |row| row.l_discount),
        money(rows, |row| row.l_tax),
        texts(rows, |row| row.l_returnflag),
        texts(rows, |row| row.l_linestatus),
        dates(rows, |row| row.l_shipdate),
        dates(rows, |row| row.l_commitdate),
        dates(rows, |row| row.l_receiptdate),
        texts(rows, |row| row.l_shipinstruct),
        texts(rows, |row| row.l_shipmode),
        texts(rows, |row| row.l_comment),
    ]
}
