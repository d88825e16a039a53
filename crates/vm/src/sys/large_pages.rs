//! When large pages (2 MiB) are to be had for memory.

use std::sync::OnceLock;

/// When the kernel makes large pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LargePageMode {
    Never,
    /// Where they were asked for ([`Mapping::prefer_large_pages`](super::Mapping::prefer_large_pages)).
    OnRequest,
    /// Wherever they have room.
    Always,
}

/// Bytes of a large page.
pub(crate) const LARGE_PAGE: usize = 2 << 20;

/// When the kernel makes them here.
pub(crate) fn large_page_mode() -> LargePageMode {
    static MODE: OnceLock<LargePageMode> = OnceLock::new();
    *MODE.get_or_init(|| {
        let words =
            std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        match words.split_whitespace().find(|word| word.starts_with('[')) {
            Some("[always]") => LargePageMode::Always,
            Some("[madvise]") => LargePageMode::OnRequest,
            _ => LargePageMode::Never,
        }
    })
}

/// Whether the machine is a virtual one that gives large pages which are free back to its host (free page reporting). Then the first
/// to write to one waits for the host, which may take a hundred times as long as otherwise; small pages are mostly such as were in
/// use just before.
pub(crate) fn free_large_pages_go_to_the_host() -> bool {
    if cfg!(test) {
        // So that tests have large pages on such machines, too.
        return false;
    }
    static GO: OnceLock<bool> = OnceLock::new();
    *GO.get_or_init(|| {
        // The size from which on they go, as a power of two of small pages. Without a host that takes them it is greater than any.
        let order = std::fs::read_to_string("/sys/module/page_reporting/parameters/page_reporting_order");
        order.is_ok_and(|order| order.trim().parse::<u32>().is_ok_and(|order| order < 30))
    })
}
