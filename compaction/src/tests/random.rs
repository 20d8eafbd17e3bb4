//! Whatever a table went through: rewriting it in either way changes no row.

use iceberg::spec::Transform;

use super::support::{Lake, request, rows};
use crate::Request;
use crate::policy::Options;

/// Numbers that look random and are the same each time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 % end.max(1).cast_unsigned()).expect("below an i64")
    }
}

async fn step(lake: &mut Lake, random: &mut Random, partitioned: bool) {
    match random.below(8) {
        0 if !partitioned => {
            let first = random.below(500);
            lake.delete_ids(first..first + 1 + random.below(20)).await;
        }
        1 => {
            let (files, _) = lake.live().await;
            let file = &files[usize::try_from(random.below(files.len() as i64)).expect("small")];
            let rows = i64::try_from(file.file.record_count()).expect("small");
            let places: Vec<i64> = (0..rows).filter(|_| random.below(5) == 0).collect();
            if !places.is_empty() {
                lake.delete_places(file, &places).await;
            }
        }
        _ => {
            let first = random.below(500);
            lake.append(&rows(first..first + 1 + random.below(60))).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_changes_through_any_history_of_appends_deletes_and_rewrites() {
    for seed in 1..=6_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let partitioned = seed % 2 == 0;
        let by: &[(&str, Transform)] = if partitioned { &[("kind", Transform::Identity)] } else { &[] };
        let mut lake = Lake::new(by, &[]).await;
        lake.append(&rows(0..50)).await;
        for round in 0..3 {
            for _ in 0..4 + random.below(5) {
                step(&mut lake, &mut random, partitioned).await;
            }
            let before = lake.content().await;
            let wanted = request(random.below(2) == 0);
            let min_input_files = usize::try_from(2 + random.below(3)).expect("small");
            let wanted = Request { options: Options { min_input_files, ..wanted.options }, decode_all: random.below(4) == 0, ..wanted };
            let report = lake.compact(&wanted).await;
            assert_eq!(lake.content().await, before, "seed {seed}, round {round}, {report:?}");
            assert!(lake.orphans().await.is_empty(), "seed {seed}, round {round}");
        }
    }
}
