//! `SPLIT_INDEX(text, delimiter, index)`.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::DataType;
use datafusion::common::exec_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// The part of a text at an index from 0; NULL if there is none.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SplitIndex {
    signature: Signature,
}

impl Default for SplitIndex {
    fn default() -> Self {
        Self { signature: Signature::exact(vec![DataType::Utf8, DataType::Utf8, DataType::Int64], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SplitIndex {
    fn name(&self) -> &'static str {
        "split_index"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [texts, delimiters, indexes] = arrays.as_slice() else { return exec_err!("SPLIT_INDEX takes a text, a delimiter and an index") };
        let mut out = StringBuilder::new();
        for ((text, delimiter), index) in texts.as_string::<i32>().iter().zip(delimiters.as_string::<i32>()).zip(indexes.as_primitive::<Int64Type>())
        {
            let part = match (text, delimiter, index.map(usize::try_from)) {
                (Some(text), Some(delimiter), Some(Ok(index))) if !delimiter.is_empty() => text.split(delimiter).nth(index),
                _ => None,
            };
            out.append_option(part);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}
