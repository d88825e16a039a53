//! Durations, parsed and printed in human-readable form.

use belljar::OutsideText;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration: `250ms`, `10s`, `1.5m`, `2h`; without a unit, seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimeSpan(pub(crate) Duration);

/// Units in seconds. `ms` precedes `m` and `s`, which are its prefix and suffix.
const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("expected a time such as 250ms, 10s, 1.5m or 2h, found `{}`", OutsideText::new(text));
        let unit = UNITS.iter().find_map(|(name, seconds)| Some((text.strip_suffix(name)?, *seconds)));
        let (number, seconds) = unit.unwrap_or((text, 1.0));
        let number = number.trim();
        if !number.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(expected());
        }
        let number: f64 = number.parse().map_err(|_| expected())?;
        Duration::try_from_secs_f64(number * seconds).map(Self).map_err(|_| expected())
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Duration` prints the shortest exact form: 1.5s, 250ms.
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_units() {
        let read = |text: &str| text.parse::<TimeSpan>().map(|t| t.0.as_millis());
        assert_eq!(read("250ms"), Ok(250));
        assert_eq!(read("2"), Ok(2000));
        assert_eq!(read("1.5s"), Ok(1500));
        assert_eq!(read("2m"), Ok(120_000));
        assert_eq!(read("1h"), Ok(3_600_000));
        for bad in ["", "s", "-1s", "1d", "inf", "nan", "1e40h"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
