//! Describes the machine on which figures are measured; they are meaningless without it.
//!
//! In: files of the system. Out: two lines above each table, and `machine` in each result file. Never: runs a command, except to
//! ask the compiler for its version. Missing information is not an error.

use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::process::Command;

/// The machine on which figures are measured.
#[derive(Clone, Serialize, PartialEq, Eq, Debug)]
pub(crate) struct Machine {
    processor: Processor,
    /// Processors that this process may use.
    usable: usize,
    /// The kernel's release.
    kernel: Option<String>,
    /// The hypervisor, if the processor says that it is virtual.
    hypervisor: Option<String>,
    /// The kernel's setting of transparent huge pages: `always`, `madvise` or `never`.
    huge_pages: Option<String>,
    /// The compiler that builds the contenders.
    rust: Option<String>,
}

/// What `/proc/cpuinfo` contains about processors, which are all alike.
#[derive(Clone, Default, Serialize, PartialEq, Eq, Debug)]
struct Processor {
    name: String,
    vendor: String,
    family: String,
    model: String,
    stepping: String,
    cores: usize,
    /// Hardware threads per core, one or two.
    threads: usize,
    is_virtual: bool,
}

impl Machine {
    /// Returns this machine.
    pub(crate) fn here() -> Self {
        let processor = read("/proc/cpuinfo").map_or_else(Processor::default, |text| Processor::parse(&text));
        let hypervisor = processor.is_virtual.then(|| {
            let kind = read("/sys/hypervisor/type");
            let clocks = read("/sys/devices/system/clocksource/clocksource0/available_clocksource");
            hypervisor(kind.as_deref(), clocks.as_deref(), maker().as_deref())
        });
        Self {
            processor,
            usable: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease"),
            hypervisor,
            huge_pages: read("/sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| selected(&text)),
            rust: rust(),
        }
    }
}

impl Processor {
    fn parse(cpuinfo: &str) -> Self {
        let lines =
            || cpuinfo.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.trim(), v.trim()));
        let first =
            |key: &str| lines().find(|(k, _)| *k == key).map_or(String::new(), |(_, v)| v.to_string());
        let threads = lines().filter(|(key, _)| *key == "processor").count();
        // Each thread's block names its package, then its core in that package.
        let mut cores = BTreeSet::new();
        let mut package = "";
        for (key, value) in lines() {
            match key {
                "physical id" => package = value,
                "core id" => drop(cores.insert((package, value))),
                _ => {}
            }
        }
        Self {
            name: first("model name"),
            vendor: first("vendor_id"),
            family: first("cpu family"),
            model: first("model"),
            stepping: first("stepping"),
            cores: if cores.is_empty() { threads } else { cores.len() },
            threads,
            is_virtual: first("flags").split(' ').any(|flag| flag == "hypervisor"),
        }
    }
}

/// Returns what is known of the hypervisor: its kind, from the kernel's files or clocks, and the machine's vendor.
fn hypervisor(kind: Option<&str>, clocks: Option<&str>, maker: Option<&str>) -> String {
    let of_clock = |clock: &str| match clock {
        "kvm-clock" => Some("KVM"),
        "xen" => Some("Xen"),
        _ if clock.starts_with("hyperv") => Some("Hyper-V"),
        _ => None,
    };
    let kind = kind.or_else(|| clocks?.split_whitespace().find_map(of_clock));
    let known: Vec<_> = [kind, maker].into_iter().flatten().collect();
    if known.is_empty() { "of an unknown kind".into() } else { known.join(", ") }
}

/// Returns the machine's vendor: from the firmware, or else from the ACPI tables, since small virtual machines have only these.
fn maker() -> Option<String> {
    let dmi = ["sys_vendor", "product_name"].map(|name| read(&format!("/sys/class/dmi/id/{name}")));
    let dmi: Vec<_> = dmi.into_iter().flatten().collect();
    if !dmi.is_empty() {
        return Some(dmi.join(" "));
    }
    oem(&std::fs::read("/sys/firmware/acpi/tables/DSDT").ok()?)
}

/// Returns the vendor of an ACPI table: six bytes of its header (ACPI 6.5, 5.2.6).
fn oem(table: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(table.get(10..16)?).ok()?.trim_matches(['\0', ' ']);
    let is_plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then(|| format!("ACPI tables of {name}"))
}

/// Returns a file's text, if there is any.
fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.into())
}

/// Returns the word in brackets of a list of settings.
fn selected(settings: &str) -> Option<String> {
    settings.split_whitespace().find_map(|word| Some(word.strip_prefix('[')?.strip_suffix(']')?.into()))
}

/// Returns the version of the compiler that cargo uses.
fn rust() -> Option<String> {
    let compiler = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(compiler).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().nth(1).map(str::to_string)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Processor { name, vendor, family, model, stepping, cores, threads, .. } = &self.processor;
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".into());
        let name = if name.is_empty() { "unknown" } else { name };
        writeln!(
            f,
            "processor: {name} ({vendor}, family {family}, model {model}, stepping {stepping}), cores: {cores}, \
             threads: {threads}, usable: {}",
            self.usable
        )?;
        write!(
            f,
            "machine: {}; Linux {}; transparent huge pages: {}; Rust {}",
            self.hypervisor.as_ref().map_or("no hypervisor".into(), |of| format!("virtual ({of})")),
            or_unknown(&self.kernel),
            or_unknown(&self.huge_pages),
            or_unknown(&self.rust)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A virtual machine with two cores.
    const EPYC: &str = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\
        model name\t: AMD EPYC\nstepping\t: 1\nphysical id\t: 0\nsiblings\t: 2\ncore id\t\t: 0\ncpu cores\t: 2\n\
        flags\t\t: fpu vme hypervisor lahf_lm\npower management:\n\n\
        processor\t: 1\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\
        model name\t: AMD EPYC\nstepping\t: 1\nphysical id\t: 0\nsiblings\t: 2\ncore id\t\t: 1\ncpu cores\t: 2\n\
        flags\t\t: fpu vme hypervisor lahf_lm\n";

    /// A real one: two packages with a core each, of two threads.
    const XEON: &str = "processor : 0\nvendor_id : GenuineIntel\ncpu family : 6\nmodel : 143\n\
        model name : Intel(R) Xeon(R) Platinum 8488C\nstepping : 8\nphysical id : 0\ncore id : 0\nflags : fpu vmx\n\n\
        processor : 1\nphysical id : 1\ncore id : 0\n\nprocessor : 2\nphysical id : 0\ncore id : 0\n\n\
        processor : 3\nphysical id : 1\ncore id : 0\n";

    #[test]
    fn processors_are_told() {
        let epyc = Processor::parse(EPYC);
        assert_eq!((epyc.name.as_str(), epyc.vendor.as_str()), ("AMD EPYC", "AuthenticAMD"));
        assert_eq!([epyc.family.as_str(), &epyc.model, &epyc.stepping], ["25", "17", "1"]);
        assert_eq!((epyc.cores, epyc.threads, epyc.is_virtual), (2, 2, true));
        let xeon = Processor::parse(XEON);
        assert_eq!(xeon.name, "Intel(R) Xeon(R) Platinum 8488C");
        assert_eq!((xeon.cores, xeon.threads, xeon.is_virtual), (2, 4, false));
    }

    #[test]
    fn a_processor_that_tells_little_is_no_error() {
        let little = Processor::parse("processor : 0\nprocessor : 1\nno colon\n");
        assert_eq!((little.cores, little.threads, little.name.as_str()), (2, 2, ""));
        assert_eq!(Processor::parse(""), Processor::default());
        let machine = Machine {
            processor: little,
            usable: 2,
            kernel: None,
            hypervisor: None,
            huge_pages: None,
            rust: None,
        };
        assert!(machine.to_string().contains("processor: unknown"));
        assert!(machine.to_string().contains("no hypervisor; Linux unknown"));
    }

    #[test]
    fn hypervisors_are_told() {
        assert_eq!(
            hypervisor(None, Some("tsc kvm-clock "), Some("Amazon EC2 m7a.large")),
            "KVM, Amazon EC2 m7a.large"
        );
        assert_eq!(hypervisor(None, Some("hyperv_clocksource_tsc_page acpi_pm"), None), "Hyper-V");
        assert_eq!(hypervisor(Some("xen"), Some("tsc"), None), "xen");
        assert_eq!(hypervisor(None, None, None), "of an unknown kind");
        assert_eq!(oem(b"DSDT\x53\x0f\0\0\x02\x77FIRECKFCVMDSDT").as_deref(), Some("ACPI tables of FIRECK"));
        assert_eq!(oem(b"DSDT"), None);
    }

    #[test]
    fn the_chosen_setting_is_in_brackets() {
        assert_eq!(selected("always [madvise] never").as_deref(), Some("madvise"));
        assert_eq!(selected("always"), None);
    }
}
