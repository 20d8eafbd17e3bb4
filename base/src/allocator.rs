//! What the C library's allocator keeps of memory that was given back.
//!
//! glibc takes large buffers from the system one by one and gives them back when they are freed. But the first one that is freed raises the
//! size that counts as large to its own, up to 32 MiB: after one manifest of 12 MB, buffers of megabytes come out of the heap, between small
//! things that live on, and the heap never shrinks again. A size that is set stays (`mallopt(3)`, `M_MMAP_THRESHOLD`).
//!
//! This call and the module over librdkafka are all the unsafe code of Weir.
#![expect(unsafe_code, reason = "a setting of the C library, which has no safe binding; audited here")]

/// Buffers of so many bytes are given back to the system when they are freed: manifests, row groups. Columns that are decoded or encoded over and
/// over are smaller, and had better stay: what comes anew from the system comes page by page.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 4 << 20;

/// Has freed buffers of 4 MiB and more given back to the system at once, for as long as the process lives. An own setting by
/// `MALLOC_MMAP_THRESHOLD_` is left alone. Does nothing where the C library is another, or does not take the size.
///
/// To be called before there are threads.
pub fn give_back_large_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_MMAP_THRESHOLD_").is_none() {
        // SAFETY: `mallopt` takes two numbers, locks the allocator itself, and touches nothing that is allocated.
        _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod tests {
    use std::hint::black_box;
    use std::process::Command;

    use super::*;

    /// Set in the process that measures itself.
    const ALONE: &str = "WEIR_TEST_ALLOCATOR_ALONE";

    /// Bytes of the process that are in memory.
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") << 12
    }

    #[test]
    fn freed_buffers_are_given_back_though_small_things_between_them_live_on() {
        const NAME: &str = "allocator::tests::freed_buffers_are_given_back_though_small_things_between_them_live_on";
        if std::env::var_os(ALONE).is_none() {
            // Other tests of this process take memory as they like.
            let mut alone = Command::new(std::env::current_exe().expect("a test"));
            let output = alone.args([NAME, "--exact", "--nocapture"]).env(ALONE, "1").env_remove("MALLOC_MMAP_THRESHOLD_").output().expect("runs");
            let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && told.contains("1 passed"), "{told}");
            return;
        }
        give_back_large_buffers();
        // Without the setting, this is from when on buffers of its size come out of the heap.
        drop(black_box(vec![1_u8; 16 << 20]));
        let before = resident();
        let mut kept = Vec::new();
        let buffers: Vec<Vec<u8>> = (0..20)
            .map(|_| {
                kept.push(Box::new([1_u8; 1_000]));
                black_box(vec![1_u8; 5 << 20])
            })
            .collect();
        assert!(resident() > before + (90 << 20), "they are there");
        drop(buffers);
        assert!(resident() < before + (20 << 20), "{} of 100 MB are kept", (resident() - before) >> 20);
        drop(black_box(kept));
    }
}
