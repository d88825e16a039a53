//! When the kernel provides large pages (2 MiB).

use std::sync::OnceLock;

/// When the kernel makes large pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LargePageMode {
    Never,
    /// Only if requested ([`Mapping::prefer_large_pages`](super::Mapping::prefer_large_pages)).
    OnRequest,
    /// Wherever they fit.
    Always,
}

/// The size of a large page in bytes.
pub(crate) const LARGE_PAGE: usize = 2 << 20;

/// Returns the mode of this machine.
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

/// Returns whether this is a virtual machine that returns free large pages to its host (free page reporting). Then the
/// first write to a large page waits for the host, which may take a hundred times as long as otherwise. Small pages
/// mostly come from memory that was in use just before.
pub(crate) fn free_large_pages_go_to_the_host() -> bool {
    if cfg!(test) {
        // So that tests get large pages on such machines, too.
        return false;
    }
    static GO: OnceLock<bool> = OnceLock::new();
    *GO.get_or_init(|| {
        // The smallest size that is reported, as a power of two of small pages. Without a host that takes pages it
        // exceeds every page size.
        let order = std::fs::read_to_string("/sys/module/page_reporting/parameters/page_reporting_order");
        order.is_ok_and(|order| order.trim().parse::<u32>().is_ok_and(|order| order < 30))
    })
}
