//! Makes writes beyond the file size limit fail instead of ending the process.

use std::io;

/// Gives `SIGXFSZ` a handler that does nothing, unless the process has set its disposition.
///
/// A thread that writes beyond the limit of file sizes (`RLIMIT_FSIZE`) gets `SIGXFSZ`, which by default ends the
/// process. The limit also applies to caches, artifacts and files in memory. With the handler, the write fails
/// (`EFBIG`). Programs that the process starts are not affected, as they would be if the signal were ignored.
pub(crate) fn fail_oversized_writes() -> io::Result<()> {
    extern "C" fn nothing(_signal: libc::c_int) {}
    // SAFETY: `sigaction` is plain data for which zero is valid; the handler is a function that does nothing.
    unsafe {
        let mut action = std::mem::zeroed::<libc::sigaction>();
        if libc::sigaction(libc::SIGXFSZ, std::ptr::null(), &mut action) != 0 {
            return Err(io::Error::last_os_error());
        }
        if action.sa_sigaction != libc::SIG_DFL {
            return Ok(());
        }
        action.sa_sigaction = nothing as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        match libc::sigaction(libc::SIGXFSZ, &action, std::ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
