//! Flink's type grammar and the Arrow type of each (section 10 of the DDL contract).

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use datafusion::sql::sqlparser::tokenizer::Token;
use weir_base::options::closest;

use super::cursor::{Cursor, Parsed};
use super::source::syntax;

/// A type as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlType {
    /// Arrow type.
    pub(crate) data_type: DataType,
    /// The type in its canonical spelling, without a `NOT NULL` of its own.
    pub(crate) text: String,
    /// False after `NOT NULL`.
    pub(crate) nullable: bool,
}

const NAMES: &[&str] = &[
    "CHAR",
    "VARCHAR",
    "STRING",
    "BOOLEAN",
    "BINARY",
    "VARBINARY",
    "BYTES",
    "DECIMAL",
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "INTERVAL",
    "ARRAY",
    "MAP",
    "MULTISET",
    "ROW",
];

/// Parses a type.
pub(crate) fn parse_type(cursor: &mut Cursor<'_>) -> Parsed<SqlType> {
    let mut parser = TypeParser { cursor: cursor.clone(), half_shift: false };
    let found = parser.full_type()?;
    if parser.half_shift {
        return Err(parser.cursor.unexpected("the end of the type"));
    }
    cursor.seek(parser.cursor.index());
    Ok(found)
}

struct TypeParser<'a> {
    cursor: Cursor<'a>,
    /// One `>` of a `>>` has been taken.
    half_shift: bool,
}

impl TypeParser<'_> {
    fn full_type(&mut self) -> Parsed<SqlType> {
        let (mut data_type, mut text) = self.base_type()?;
        let mut nullable = true;
        loop {
            if self.half_shift {
                break;
            }
            if self.cursor.eat(&["NOT", "NULL"]) {
                nullable = false;
            } else if self.cursor.eat(&["NULL"]) {
                nullable = true;
            } else if self.cursor.eat(&["ARRAY"]) {
                data_type = list_of(data_type, nullable);
                text = format!("ARRAY<{}>", with_null(&text, nullable));
                nullable = true;
            } else if self.cursor.eat(&["MULTISET"]) {
                data_type = map_of(data_type, DataType::Int32, false);
                text = format!("MULTISET<{}>", with_null(&text, nullable));
                nullable = true;
            } else {
                break;
            }
        }
        Ok(SqlType { data_type, text, nullable })
    }

    fn base_type(&mut self) -> Parsed<(DataType, String)> {
        let at = self.cursor.position();
        let Some(Token::Word(word)) = self.cursor.peek() else { return Err(self.cursor.unexpected("a type")) };
        let name = word.value.to_ascii_uppercase();
        self.cursor.bump();
        let plain = |data_type: DataType, text: &str| Ok((data_type, text.to_owned()));
        match name.as_str() {
            "STRING" => plain(DataType::Utf8, "STRING"),
            "CHAR" | "CHARACTER" if self.cursor.eat(&["VARYING"]) => self.sized("VARCHAR", |_| DataType::Utf8),
            "CHAR" | "CHARACTER" => self.sized("CHAR", |_| DataType::Utf8),
            "VARCHAR" => self.sized("VARCHAR", |_| DataType::Utf8),
            "BOOLEAN" => plain(DataType::Boolean, "BOOLEAN"),
            "BYTES" => plain(DataType::Binary, "BYTES"),
            "BINARY" if self.cursor.eat(&["VARYING"]) => self.sized("VARBINARY", |_| DataType::Binary),
            "BINARY" => self.sized("BINARY", |size| DataType::FixedSizeBinary(i32::try_from(size).unwrap_or(i32::MAX))),
            "VARBINARY" => self.sized("VARBINARY", |_| DataType::Binary),
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal(),
            "TINYINT" => plain(DataType::Int8, "TINYINT"),
            "SMALLINT" => plain(DataType::Int16, "SMALLINT"),
            "INT" | "INTEGER" => plain(DataType::Int32, "INT"),
            "BIGINT" => plain(DataType::Int64, "BIGINT"),
            "FLOAT" => plain(DataType::Float32, "FLOAT"),
            "DOUBLE" => {
                self.cursor.eat(&["PRECISION"]);
                plain(DataType::Float64, "DOUBLE")
            }
            "DATE" => plain(DataType::Date32, "DATE"),
            "TIME" => {
                let precision = self.precision(0)?;
                self.cursor.eat(&["WITHOUT", "TIME", "ZONE"]);
                Ok((DataType::Time64(TimeUnit::Microsecond), format!("TIME({precision})")))
            }
            "TIMESTAMP" => {
                let precision = self.precision(6)?;
                if self.cursor.eat(&["WITH", "LOCAL", "TIME", "ZONE"]) {
                    return Ok((timestamp(precision, true), format!("TIMESTAMP_LTZ({precision})")));
                }
                if self.cursor.is_words(&["WITH", "TIME", "ZONE"]) {
                    return Err(syntax("TIMESTAMP WITH TIME ZONE is not supported.", at).hint("Use TIMESTAMP_LTZ.").into());
                }
                self.cursor.eat(&["WITHOUT", "TIME", "ZONE"]);
                Ok((timestamp(precision, false), format!("TIMESTAMP({precision})")))
            }
            "TIMESTAMP_LTZ" => {
                let precision = self.precision(6)?;
                Ok((timestamp(precision, true), format!("TIMESTAMP_LTZ({precision})")))
            }
            "INTERVAL" => self.interval(),
            "ARRAY" => {
                let element = self.one_argument()?;
                Ok((list_of(element.data_type.clone(), element.nullable), format!("ARRAY<{}>", with_null(&element.text, element.nullable))))
            }
            "MULTISET" => {
                let element = self.one_argument()?;
                Ok((map_of(element.data_type, DataType::Int32, false), format!("MULTISET<{}>", with_null(&element.text, element.nullable))))
            }
            "MAP" => self.map(),
            "ROW" => self.row(),
            _ => {
                let near = closest(&name, NAMES.iter().copied()).first().map(|near| format!("Did you mean '{near}'?"));
                Err(syntax(format!("Unknown type '{}'.", word.value), at).suggest(near).into())
            }
        }
    }

    fn sized(&mut self, name: &str, make: impl Fn(u32) -> DataType) -> Parsed<(DataType, String)> {
        let at = self.cursor.position();
        let size = if self.cursor.eat_token(&Token::LParen) {
            let size = self.cursor.number("a length")?;
            self.cursor.expect_token(&Token::RParen)?;
            size
        } else {
            1
        };
        if size == 0 || i32::try_from(size).is_err() {
            return Err(syntax(format!("The length of {name} must be between 1 and 2147483647."), at).into());
        }
        Ok((make(size), format!("{name}({size})")))
    }

    fn decimal(&mut self) -> Parsed<(DataType, String)> {
        let at = self.cursor.position();
        let (mut precision, mut scale) = (10, 0);
        if self.cursor.eat_token(&Token::LParen) {
            precision = self.cursor.number("a precision")?;
            if self.cursor.eat_token(&Token::Comma) {
                scale = self.cursor.number("a scale")?;
            }
            self.cursor.expect_token(&Token::RParen)?;
        }
        match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(p), Ok(s)) if (1..=38).contains(&p) && scale <= precision => {
                Ok((DataType::Decimal128(p, s), format!("DECIMAL({precision}, {scale})")))
            }
            _ => Err(syntax("The precision of DECIMAL must be between 1 and 38, its scale between 0 and the precision.", at).into()),
        }
    }

    fn precision(&mut self, default: u32) -> Parsed<u32> {
        let at = self.cursor.position();
        if !self.cursor.eat_token(&Token::LParen) {
            return Ok(default);
        }
        let precision = self.cursor.number("a precision")?;
        self.cursor.expect_token(&Token::RParen)?;
        if precision > 9 {
            return Err(syntax("The precision of a time must be between 0 and 9.", at).into());
        }
        Ok(precision)
    }

    fn interval(&mut self) -> Parsed<(DataType, String)> {
        let at = self.cursor.position();
        let mut units = Vec::new();
        loop {
            let unit = self.cursor.identifier("YEAR, MONTH, DAY, HOUR, MINUTE or SECOND")?.to_ascii_uppercase();
            self.precision(0)?;
            units.push(unit);
            if !self.cursor.eat(&["TO"]) {
                break;
            }
        }
        let months = |unit: &String| unit == "YEAR" || unit == "MONTH";
        let days = |unit: &String| ["DAY", "HOUR", "MINUTE", "SECOND"].contains(&unit.as_str());
        if units.iter().all(months) {
            Ok((DataType::Interval(IntervalUnit::YearMonth), format!("INTERVAL {}", units.join(" TO "))))
        } else if units.iter().all(days) {
            Ok((DataType::Duration(TimeUnit::Millisecond), format!("INTERVAL {}", units.join(" TO "))))
        } else {
            Err(syntax("An interval goes from YEAR to MONTH or from DAY to SECOND.", at).into())
        }
    }

    fn map(&mut self) -> Parsed<(DataType, String)> {
        self.open()?;
        let key = self.full_type()?;
        self.cursor.expect_token(&Token::Comma)?;
        let value = self.full_type()?;
        self.close()?;
        let text = format!("MAP<{}, {}>", with_null(&key.text, key.nullable), with_null(&value.text, value.nullable));
        Ok((map_of(key.data_type, value.data_type, value.nullable), text))
    }

    fn row(&mut self) -> Parsed<(DataType, String)> {
        let round = self.cursor.eat_token(&Token::LParen);
        if !round {
            self.open()?;
        }
        let (mut fields, mut texts) = (Vec::new(), Vec::new());
        loop {
            let at = self.cursor.position();
            let name = self.cursor.identifier("a field name")?;
            let ty = self.full_type()?;
            if !self.half_shift
                && let Some(Token::SingleQuotedString(_)) = self.cursor.peek()
            {
                self.cursor.bump();
            }
            if fields.iter().any(|field: &Field| *field.name() == name) {
                return Err(syntax(format!("The field '{name}' is declared twice."), at).into());
            }
            texts.push(format!("{} {}", quote_identifier(&name), with_null(&ty.text, ty.nullable)));
            fields.push(Field::new(name, ty.data_type, ty.nullable));
            if self.half_shift || !self.cursor.eat_token(&Token::Comma) {
                break;
            }
        }
        if round {
            self.cursor.expect_token(&Token::RParen)?;
        } else {
            self.close()?;
        }
        Ok((DataType::Struct(Fields::from(fields)), format!("ROW<{}>", texts.join(", "))))
    }

    fn one_argument(&mut self) -> Parsed<SqlType> {
        self.open()?;
        let inner = self.full_type()?;
        self.close()?;
        Ok(inner)
    }

    fn open(&mut self) -> Parsed<()> {
        self.cursor.expect_token(&Token::Lt)
    }

    fn close(&mut self) -> Parsed<()> {
        if self.half_shift {
            self.half_shift = false;
            self.cursor.bump();
            return Ok(());
        }
        if self.cursor.peek() == Some(&Token::ShiftRight) {
            self.half_shift = true;
            return Ok(());
        }
        self.cursor.expect_token(&Token::Gt)
    }
}

fn with_null(text: &str, nullable: bool) -> String {
    if nullable { text.to_owned() } else { format!("{text} NOT NULL") }
}

fn timestamp(precision: u32, local: bool) -> DataType {
    let unit = if precision <= 6 { TimeUnit::Microsecond } else { TimeUnit::Nanosecond };
    DataType::Timestamp(unit, local.then(|| Arc::from("UTC")))
}

fn list_of(element: DataType, nullable: bool) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, nullable)))
}

/// The Arrow map type of `MAP<key, value>`.
pub(crate) fn map_of(key: DataType, value: DataType, value_nullable: bool) -> DataType {
    let entries = DataType::Struct(Fields::from(vec![Field::new("key", key, false), Field::new("value", value, value_nullable)]));
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

/// Words that Flink reserves and that are likely as names; SHOW CREATE puts them into backticks.
const RESERVED: &[&str] = &[
    "ALL",
    "AND",
    "ARRAY",
    "AS",
    "AT",
    "BEGIN",
    "BETWEEN",
    "BOTH",
    "BY",
    "CASE",
    "CAST",
    "CATALOGS",
    "CHARACTER",
    "CHECK",
    "COLUMN",
    "COMMENT",
    "COMMIT",
    "CONSTRAINT",
    "COUNT",
    "CREATE",
    "CROSS",
    "CUBE",
    "CURRENT",
    "CURSOR",
    "DATE",
    "DAY",
    "DEFAULT",
    "DELETE",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FILTER",
    "FIRST_VALUE",
    "FLOAT",
    "FOR",
    "FROM",
    "FULL",
    "FUNCTION",
    "GET",
    "GRANT",
    "GROUP",
    "GROUPING",
    "HAVING",
    "HOUR",
    "IN",
    "INNER",
    "INSERT",
    "INT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LANGUAGE",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCALTIMESTAMP",
    "MAP",
    "MATCH",
    "MAX",
    "METHOD",
    "MIN",
    "MINUTE",
    "MONTH",
    "MULTISET",
    "NATURAL",
    "NOT",
    "NULL",
    "OF",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "OVERLAPS",
    "PARTITION",
    "POSITION",
    "PRECISION",
    "PRIMARY",
    "RANGE",
    "RANK",
    "REFERENCES",
    "RESULT",
    "RIGHT",
    "ROW",
    "ROWS",
    "SECOND",
    "SELECT",
    "SESSION",
    "SET",
    "START",
    "STATEMENT",
    "STATIC",
    "SUM",
    "SYMMETRIC",
    "SYSTEM",
    "TABLE",
    "THEN",
    "TIME",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "TRUNCATE",
    "UNION",
    "UNIQUE",
    "UNNEST",
    "UPDATE",
    "USER",
    "USING",
    "VALUE",
    "VALUES",
    "WATERMARK",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "YEAR",
];

/// A name as it must be written: in backticks unless it is a plain word that is not reserved.
pub(crate) fn quote_identifier(name: &str) -> String {
    let plain = name.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.contains(&name.to_ascii_uppercase().as_str());
    if plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

/// The SQL type that stands for an Arrow type, for tables that were not declared in SQL.
pub(crate) fn sql_type_of(data_type: &DataType) -> String {
    let nested = |field: &Field| with_null(&sql_type_of(field.data_type()), field.is_nullable());
    match data_type {
        DataType::Null => "NULL".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".to_owned(),
        DataType::FixedSizeBinary(size) => format!("BINARY({size})"),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Date32 | DataType::Date64 => "DATE".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME(0)".to_owned(),
        DataType::Timestamp(unit, zone) => {
            let name = if zone.is_some() { "TIMESTAMP_LTZ" } else { "TIMESTAMP" };
            let precision = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            format!("{name}({precision})")
        }
        DataType::Interval(_) => "INTERVAL YEAR TO MONTH".to_owned(),
        DataType::Duration(_) => "INTERVAL DAY TO SECOND".to_owned(),
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => format!("ARRAY<{}>", nested(field)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => format!("MAP<{}, {}>", sql_type_of(fields[0].data_type()), nested(&fields[1])),
            other => other.to_string(),
        },
        DataType::Struct(fields) => {
            let texts: Vec<String> = fields.iter().map(|field| format!("{} {}", quote_identifier(field.name()), nested(field))).collect();
            format!("ROW<{}>", texts.join(", "))
        }
        other => other.to_string(),
    }
}
