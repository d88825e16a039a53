//! Writing a profile in one of the formats.

#[cfg(feature = "flamegraph")]
use crate::flame_graph;
use crate::format::ProfileFormat;
#[cfg(feature = "pprof")]
use crate::pprof;
use crate::profile::Profile;
use crate::{collapsed, firefox};
use std::io;

impl Profile {
    /// Writes the profile. Writes are large, so a file needs no buffer.
    ///
    /// # Errors
    /// Returns the errors of `out`, and that of [`ProfileFormat::ensure_supported`].
    ///
    /// ```
    /// use belljar_profile::{ProfileBuilder, ProfileFormat, ProfileFrame};
    /// use std::time::Duration;
    ///
    /// let ms = Duration::from_millis;
    /// let mut builder = ProfileBuilder::new("tool.wasm", ms(1));
    /// builder.thread(1, "main");
    /// let stack = ["inner", "outer"].map(|name| builder.frame(ProfileFrame::guest(name)));
    /// builder.sample(ms(1), 1, ms(1), &stack);
    ///
    /// let mut text = Vec::new();
    /// builder.finish().write_to(ProfileFormat::Collapsed, &mut text)?;
    /// assert_eq!(text, b"main;outer;inner 1\n");
    /// # Ok::<_, std::io::Error>(())
    /// ```
    pub fn write_to(&self, format: ProfileFormat, out: &mut impl io::Write) -> io::Result<()> {
        let mut out = io::BufWriter::with_capacity(1 << 16, out as &mut dyn io::Write);
        match format {
            #[cfg(feature = "flamegraph")]
            ProfileFormat::FlameGraph => flame_graph::write(self, &mut out),
            ProfileFormat::Firefox => firefox::write(self, &mut out),
            #[cfg(feature = "pprof")]
            ProfileFormat::Pprof => pprof::write(self, &mut out),
            ProfileFormat::Collapsed => collapsed::write(self, &mut out),
            #[cfg(not(all(feature = "flamegraph", feature = "pprof")))]
            missing => missing.ensure_supported(),
        }?;
        io::Write::flush(&mut out)
    }
}
