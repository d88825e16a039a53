//! The guest's own exit: `proc_exit`.

use std::fmt;

/// The guest called `proc_exit` with this code. This is not a failure: the embedder decides what the code means.
///
/// The code is the guest's 32 bits unchanged. A process has only eight: [`I32Exit::status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct I32Exit(pub i32);

impl I32Exit {
    /// Returns the exit status of a process that passes the guest's code on: its low eight bits, as for any native program,
    /// but 1 if these are zero and the code is not. A nonzero code therefore never looks like success.
    ///
    /// ```
    /// use belljar_core::I32Exit;
    ///
    /// assert_eq!(I32Exit(0).status(), 0);
    /// assert_eq!(I32Exit(200).status(), 200);
    /// assert_eq!(I32Exit(-1).status(), 255);
    /// assert_eq!(I32Exit(257).status(), 1);
    /// assert_eq!(I32Exit(256).status(), 1);
    /// ```
    pub fn status(self) -> u8 {
        match self.0.to_le_bytes()[0] {
            0 if self.0 != 0 => 1,
            low => low,
        }
    }
}

impl fmt::Display for I32Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the program exited with code {}", self.0)
    }
}

impl std::error::Error for I32Exit {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zero_is_success() {
        for code in [0x100, 0x200, 0xff00, 0x0100_0000, i32::MIN, -256] {
            assert_eq!(I32Exit(code).status(), 1, "{code:#x}");
        }
        for code in 0..=255 {
            assert_eq!(I32Exit(code).status(), code as u8);
            assert_ne!(I32Exit(code | 0x7f00).status(), 0);
        }
    }
}
