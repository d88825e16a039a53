//! Files that may not grow: an error instead of the end of the process.

use std::io;

/// Whoever writes beyond the limit of file sizes (`RLIMIT_FSIZE`) is sent `SIGXFSZ`, which ends a process that has said nothing
/// else. The files that this limits are caches and artifacts, and files in memory, too. So a process that has not decided on the
/// signal gets a handler that does nothing, and the write fails (`EFBIG`). Programs that it starts are not concerned, as they
/// would be if the signal were ignored.
pub(crate) fn survive_limit() -> io::Result<()> {
    extern "C" fn nothing(_signal: libc::c_int) {}
    // SAFETY: `sigaction` is plain data for which zero is valid; the handler does nothing, and stays where it is.
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
