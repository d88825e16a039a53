//! The amount of memory of the machine.

use std::sync::OnceLock;

/// Returns how many bytes of memory the process may use, limited by the machine and by its container; 0 if unknown.
pub(crate) fn machine_memory() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    *BYTES.get_or_init(|| {
        let read = |file| std::fs::read_to_string(file).unwrap_or_default();
        // In a container these are the files of its own group. Without a limit they are missing, or contain "max".
        let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
        let limits = limits.into_iter().filter_map(|file| read(file).trim().parse().ok());
        total(&read("/proc/meminfo")).into_iter().chain(limits).min().unwrap_or(0)
    })
}

/// Parses the total from `/proc/meminfo`, which states it in kibibytes.
fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_how_much_it_has() {
        assert_eq!(total("MemTotal:       24560196 kB\nMemFree: 1 kB\n"), Some(24_560_196 << 10));
        assert_eq!(total("MemTotal: 99999999999999999999 kB\n"), None);
        assert_eq!(total(""), None);
        assert!(machine_memory() > 64 << 20);
    }
}
