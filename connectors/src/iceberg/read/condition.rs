//! Conditions on leaves, and whether rows of which only some facts are known can meet them.
//!
//! The rows may be those of a manifest, a data file, a row group or a page; the facts come from partition values, metrics and statistics.
//! The answer is never "no" if there can be such a row: what is not known is taken for possible. Pure.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use datafusion::common::ScalarValue;

use super::transforms::bucket_of;
use super::values::order;

/// A leaf column that a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeafRef {
    /// Its field id.
    pub(super) id: i32,
    /// Whether it is inside a list or map: then a condition speaks of one of its values, and a missing one counts as null.
    pub(super) repeated: bool,
}

/// How a leaf is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A condition that every wanted row meets.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// Nothing is known of it.
    Unknown,
    /// No row meets it.
    Never,
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Compare(LeafRef, Comparison, ScalarValue),
    /// The leaf is one of these.
    In(LeafRef, Vec<ScalarValue>),
    /// The leaf is a text that begins so.
    StartsWith(LeafRef, String),
    IsNull(LeafRef),
    NotNull(LeafRef),
}

/// What is known of the values that a leaf has in some rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Facts {
    /// No value is smaller.
    pub(super) min: Option<ScalarValue>,
    /// No value is greater.
    pub(super) max: Option<ScalarValue>,
    /// No value is null, and none is missing because a struct around it is.
    pub(super) no_nulls: bool,
    /// All are null.
    pub(super) all_null: bool,
    /// Their buckets: of how many, the first, the last.
    pub(super) buckets: Option<(u32, i32, i32)>,
}

/// What is known of the leaves of some rows. One leaf may have facts from several places, which all hold.
pub(super) trait Known {
    /// Whether all facts about a leaf pass the test.
    fn all(&self, leaf: i32, test: &dyn Fn(&Facts) -> bool) -> bool;

    /// All facts about a leaf.
    fn facts(&self, leaf: i32) -> Vec<Facts> {
        let found = RefCell::new(Vec::new());
        self.all(leaf, &|facts| {
            found.borrow_mut().push(facts.clone());
            true
        });
        found.into_inner()
    }
}

impl Condition {
    /// Whether rows of which this is `known` can meet the condition.
    pub(super) fn may_match(&self, known: &impl Known) -> bool {
        let all = |leaf: &LeafRef, test: &dyn Fn(&Facts) -> bool| known.all(leaf.id, test);
        match self {
            Self::Unknown => true,
            Self::Never => false,
            Self::And(parts) => parts.iter().all(|part| part.may_match(known)),
            Self::Or(parts) => parts.iter().any(|part| part.may_match(known)),
            Self::Compare(leaf, comparison, value) => all(leaf, &|facts| facts.may_compare(*comparison, value)),
            Self::In(leaf, values) => all(leaf, &|facts| values.iter().any(|value| facts.may_compare(Comparison::Equal, value))),
            Self::StartsWith(leaf, prefix) => all(leaf, &|facts| facts.may_start_with(prefix)),
            Self::IsNull(leaf) => leaf.repeated || all(leaf, &|facts| !facts.no_nulls),
            Self::NotNull(leaf) => all(leaf, &|facts| !facts.all_null),
        }
    }

    /// Whether there can be rows that it rules out, whatever is known of them.
    pub(super) fn rules_out_any(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Never | Self::Compare(..) | Self::In(..) | Self::StartsWith(..) | Self::NotNull(_) => true,
            Self::And(parts) => parts.iter().any(Self::rules_out_any),
            Self::Or(parts) => parts.iter().all(Self::rules_out_any),
            Self::IsNull(leaf) => !leaf.repeated,
        }
    }

    /// The conditions that must all hold.
    pub(super) fn conjuncts(&self) -> Vec<&Self> {
        match self {
            Self::And(parts) => parts.iter().flat_map(Self::conjuncts).collect(),
            other => vec![other],
        }
    }

    /// Every leaf that the condition is about.
    pub(super) fn leaves(&self) -> BTreeSet<i32> {
        match self {
            Self::Unknown | Self::Never => BTreeSet::new(),
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::leaves).collect(),
            Self::Compare(leaf, ..) | Self::In(leaf, _) | Self::StartsWith(leaf, _) | Self::IsNull(leaf) | Self::NotNull(leaf) => [leaf.id].into(),
        }
    }

    /// The leaf that the condition is about, if it is about one only.
    pub(super) fn only_leaf(&self) -> Option<i32> {
        match self {
            Self::Unknown | Self::Never => None,
            Self::And(parts) | Self::Or(parts) => {
                let mut leaves = parts.iter().map(Self::only_leaf);
                let first = leaves.next()??;
                leaves.all(|leaf| leaf == Some(first)).then_some(first)
            }
            Self::Compare(leaf, ..) | Self::In(leaf, _) | Self::StartsWith(leaf, _) | Self::IsNull(leaf) | Self::NotNull(leaf) => Some(leaf.id),
        }
    }
}

impl Facts {
    fn may_compare(&self, comparison: Comparison, value: &ScalarValue) -> bool {
        if self.all_null {
            return false;
        }
        let min = self.min.as_ref().and_then(|min| order(min, value));
        let max = self.max.as_ref().and_then(|max| order(max, value));
        match comparison {
            // All are the value only if both bounds are.
            Comparison::NotEqual => min.zip(max) != Some((Ordering::Equal, Ordering::Equal)),
            Comparison::Less => min.is_none_or(Ordering::is_lt),
            Comparison::LessOrEqual => min.is_none_or(Ordering::is_le),
            Comparison::Greater => max.is_none_or(Ordering::is_gt),
            Comparison::GreaterOrEqual => max.is_none_or(Ordering::is_ge),
            Comparison::Equal => min.is_none_or(Ordering::is_le) && max.is_none_or(Ordering::is_ge) && self.may_be_in_bucket_of(value),
        }
    }

    fn may_be_in_bucket_of(&self, value: &ScalarValue) -> bool {
        let Some((count, first, last)) = self.buckets else { return true };
        bucket_of(count, value).is_none_or(|bucket| (first..=last).contains(&bucket))
    }

    fn may_start_with(&self, prefix: &str) -> bool {
        let text = |bound: &Option<ScalarValue>| bound.as_ref().and_then(|bound| bound.try_as_str().flatten().map(str::to_owned));
        // A text that begins with the prefix is not smaller than it; the smallest one greater than all such texts comes after the minimum.
        let above_min = text(&self.min).is_none_or(|min| min.as_bytes() <= prefix.as_bytes() || min.starts_with(prefix));
        let below_max = text(&self.max).is_none_or(|max| max.as_bytes() >= prefix.as_bytes());
        !self.all_null && above_min && below_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One(Facts);

    impl Known for One {
        fn all(&self, leaf: i32, test: &dyn Fn(&Facts) -> bool) -> bool {
            leaf != 1 || test(&self.0)
        }
    }

    const LEAF: LeafRef = LeafRef { id: 1, repeated: false };

    fn between(min: i64, max: i64) -> One {
        One(Facts { min: Some(min.into()), max: Some(max.into()), ..Facts::default() })
    }

    #[test]
    fn bounds_rule_out_exactly_the_values_outside_of_them() {
        let known = between(10, 20);
        let may = |comparison, value: i64| Condition::Compare(LEAF, comparison, value.into()).may_match(&known);
        assert!(may(Comparison::Equal, 10) && may(Comparison::Equal, 20) && !may(Comparison::Equal, 9) && !may(Comparison::Equal, 21));
        assert!(may(Comparison::Less, 11) && !may(Comparison::Less, 10) && may(Comparison::LessOrEqual, 10));
        assert!(may(Comparison::Greater, 19) && !may(Comparison::Greater, 20) && may(Comparison::GreaterOrEqual, 20));
        assert!(!Condition::In(LEAF, vec![1_i64.into(), 30_i64.into()]).may_match(&known));
        assert!(may(Comparison::NotEqual, 10) && may(Comparison::NotEqual, 15) && may(Comparison::NotEqual, 30));
        let not = |value: i64| Condition::Compare(LEAF, Comparison::NotEqual, value.into()).may_match(&between(7, 7));
        assert!(not(6) && !not(7) && not(8));
        let elsewhere = LeafRef { id: 2, repeated: false };
        assert!(Condition::Compare(elsewhere, Comparison::Equal, 99_i64.into()).may_match(&known));
    }

    #[test]
    fn nulls_rule_out_comparisons_and_their_absence_rules_out_null() {
        let nulls = One(Facts { all_null: true, ..Facts::default() });
        assert!(!Condition::Compare(LEAF, Comparison::Less, 5_i64.into()).may_match(&nulls));
        assert!(!Condition::NotNull(LEAF).may_match(&nulls) && Condition::IsNull(LEAF).may_match(&nulls));
        let none = One(Facts { no_nulls: true, ..Facts::default() });
        assert!(!Condition::IsNull(LEAF).may_match(&none));
        assert!(Condition::IsNull(LeafRef { repeated: true, ..LEAF }).may_match(&none), "the element that is asked for may be missing");
    }

    #[test]
    fn a_prefix_is_compared_with_bounds_that_may_be_shorter_or_longer() {
        let text = |min: &str, max: &str| One(Facts { min: Some(min.into()), max: Some(max.into()), ..Facts::default() });
        let may = |prefix: &str, known: &One| Condition::StartsWith(LEAF, prefix.to_owned()).may_match(known);
        assert!(may("b", &text("apple", "cherry")) && may("apple", &text("apple pie", "b")) && may("ch", &text("a", "cherry")));
        assert!(!may("d", &text("apple", "cherry")) && !may("aa", &text("apple", "cherry")) && !may("cz", &text("apple", "cherry")));
        assert!(may("che", &text("apple", "ci")));
    }

    #[test]
    fn what_says_nothing_rules_out_nothing_and_neither_does_an_or_of_it() {
        let known = || Condition::NotNull(LEAF);
        let any = |condition: Condition| condition.rules_out_any();
        assert!(any(Condition::Never) && any(known()) && any(Condition::And(vec![Condition::Unknown, known()])));
        assert!(any(Condition::Or(vec![known(), known()])) && any(Condition::Or(Vec::new())));
        assert!(!any(Condition::Unknown) && !any(Condition::And(Vec::new())) && !any(Condition::Or(vec![known(), Condition::Unknown])));
        assert!(!any(Condition::IsNull(LeafRef { repeated: true, ..LEAF })) && any(Condition::IsNull(LEAF)));
    }

    #[test]
    fn a_bucket_rules_out_values_of_other_buckets() {
        let bucket = bucket_of(16, &ScalarValue::Int64(Some(34))).expect("hashed");
        let of = |bucket| One(Facts { buckets: Some((16, bucket, bucket)), ..Facts::default() });
        let wanted = Condition::Compare(LEAF, Comparison::Equal, 34_i64.into());
        assert!(wanted.may_match(&of(bucket)) && !wanted.may_match(&of((bucket + 1) % 16)));
        assert!(Condition::Compare(LEAF, Comparison::Less, 34_i64.into()).may_match(&of((bucket + 1) % 16)));
    }
}
