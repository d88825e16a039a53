//! A full-screen display on the terminal, which is restored at the end.

use crate::failure::Failure;
use crate::output::print_commands;
use belljar::OutsideText;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;
use std::time::{Duration, Instant};

/// Switches to the alternate screen, hides the cursor, and disables line wrap.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[m";

/// The height to assume if the terminal does not report one.
const DEFAULT_HEIGHT: usize = 24;

/// Ctrl-C and Ctrl-D, which arrive as bytes because signals are disabled: the terminal must be restored before the
/// process ends.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;

/// The terminal of standard input and output. Dropping it restores the terminal.
pub(super) struct Screen {
    before: Termios,
}

impl Screen {
    /// Switches the terminal to full-screen mode.
    pub(super) fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let screen = Self { before };
        let mut modes = screen.before.clone();
        modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        print_commands(ENTER).map_err(|failure| io::Error::other(failure.error))?;
        Ok(screen)
    }

    /// Shows a title, an empty line and a table. Lines that do not fit are left out.
    pub(super) fn draw(&self, picture: &str) -> Result<(), Failure> {
        let height = match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_row > 0 => size.ws_row.into(),
            _ => DEFAULT_HEIGHT,
        };
        print_commands(&render(picture, height))
    }

    /// Waits for a time or a key. Returns whether the user wants to quit.
    pub(super) fn wait(&self, time: Duration) -> io::Result<bool> {
        let until = Instant::now().checked_add(time);
        loop {
            // A time that the clock cannot represent means forever.
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let left = left.and_then(|time| Timespec::try_from(time).ok());
            match poll(&mut [PollFd::new(&io::stdin(), PollFlags::IN)], left.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                // For example because the window was resized.
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let mut keys = [0; 64];
            match rustix::io::read(io::stdin(), &mut keys) {
                Ok(n) => return Ok(is_quit(&keys[..n])),
                Err(Errno::INTR | Errno::AGAIN) => {}
                // The terminal has been closed.
                Err(Errno::IO) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal has been closed, there is nothing to restore.
        let _ = print_commands(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// An empty read is the end of the input.
fn is_quit(keys: &[u8]) -> bool {
    keys.is_empty() || keys.iter().any(|key| matches!(*key, b'q' | b'Q' | CTRL_C | CTRL_D))
}

/// Returns the commands that replace the contents of a terminal of this height with `picture`, whose text is escaped.
fn render(picture: &str, height: usize) -> String {
    let mut text = String::from(HOME);
    for (i, line) in picture.lines().take(height).enumerate() {
        if i > 0 {
            text.push_str("\r\n");
        }
        // The column titles of the table.
        let (on, off) = if i == 2 { (BOLD, PLAIN) } else { ("", "") };
        text.extend([on, &*OutsideText::new(line).to_cow(), off, CLEAR_LINE]);
    }
    text + CLEAR_BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_cut_at_the_last_line() {
        let text = render("title\n\nPID\n1\n2\n3\n", 4);
        assert_eq!(text, "\x1b[Htitle\x1b[K\r\n\x1b[K\r\n\x1b[1mPID\x1b[m\x1b[K\r\n1\x1b[K\x1b[J");
    }

    #[test]
    fn a_picture_gives_the_terminal_no_orders() {
        let text = render("a\x1b[2J\u{202e}", 4);
        assert_eq!(text, "\x1b[Ha\\u{1b}[2J\\u{202e}\x1b[K\x1b[J");
    }

    #[test]
    fn keys_that_end_it() {
        assert!([&b"q"[..], b"xQ", b"\x03", b"\x04", b""].into_iter().all(is_quit));
        assert!(!is_quit(b" \r\x1b[A"));
    }
}
