//! The order in which splits, row groups and a first page are read for a query that wants the first rows of a sort.
//!
//! The sort stays above the scan. It only learns sooner which rows cannot be among the first, and its filter then leaves out what follows.
//! Pure.

use std::cmp::Ordering;

use arrow_schema::Fields;
use datafusion::common::ScalarValue;
use datafusion::physical_expr::PhysicalSortExpr;

use super::condition::Facts;
use super::condition_of::leaf_of;

/// What a query sorts rows by in the first place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// Field id of the leaf.
    pub(super) leaf: i32,
    descending: bool,
}

impl Order {
    /// The order by `keys` over the columns `fields`, which carry ids; `None` if the first key is not a leaf that each row has once.
    pub(super) fn of(keys: &[PhysicalSortExpr], fields: &Fields) -> Option<Self> {
        let first = keys.first()?;
        let (leaf, _) = leaf_of(&first.expr, fields).filter(|(leaf, _)| !leaf.repeated)?;
        Some(Self { leaf: leaf.id, descending: first.options.descending })
    }

    /// `items` with those first that may hold the first rows, by what is known of the leaf in each; those of which nothing is known come last.
    /// Among equals, the later ones are the better guess for a descending order: most tables are written in the order of time.
    pub(super) fn sorted<T>(&self, items: impl IntoIterator<Item = T>, facts: impl Fn(&T) -> Vec<Facts>) -> Vec<T> {
        let best = |item: &T| facts(item).into_iter().find_map(|known| if self.descending { known.max } else { known.min });
        let mut keyed: Vec<(Option<ScalarValue>, T)> = items.into_iter().map(|item| (best(&item), item)).collect();
        if self.descending {
            keyed.reverse();
        }
        keyed.sort_by(|(one, _), (other, _)| self.compare(one.as_ref(), other.as_ref()));
        keyed.into_iter().map(|(_, item)| item).collect()
    }

    fn compare(&self, one: Option<&ScalarValue>, other: Option<&ScalarValue>) -> Ordering {
        match (one, other) {
            (Some(one), Some(other)) => {
                let ascending = one.partial_cmp(other).unwrap_or(Ordering::Equal);
                if self.descending { ascending.reverse() } else { ascending }
            }
            (one, other) => other.is_some().cmp(&one.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_hold_the_first_rows_comes_first_and_what_is_not_known_last() {
        let ranges = [(Some(0), Some(9)), (Some(5), Some(30)), (None, None), (Some(-1), Some(9))];
        let facts =
            |range: &(Option<i64>, Option<i64>)| vec![Facts { min: range.0.map(Into::into), max: range.1.map(Into::into), ..Facts::default() }];
        let least = |descending| Order { leaf: 1, descending }.sorted(ranges, facts).into_iter().map(|(min, _)| min).collect::<Vec<_>>();
        assert_eq!(least(false), [Some(-1), Some(0), Some(5), None]);
        assert_eq!(least(true), [Some(5), Some(-1), Some(0), None]);
    }
}
