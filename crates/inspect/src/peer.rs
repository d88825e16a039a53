//! The process at the other end of a socket.

use std::io;
use std::os::unix::net::UnixStream;

pub(crate) const ROOT: u32 = 0;

/// The process at the other end of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    pub(crate) pid: u32,
    pub(crate) uid: u32,
}

impl Peer {
    /// Returns the peer as the kernel recorded it when it connected, or began to listen.
    ///
    /// # Errors
    ///
    /// Returns an error if the credentials cannot be read, including when the peer is in a pid namespace that is not
    /// visible from this one. The kernel reports such a process as 0, which `rustix` cannot represent. Such a peer is
    /// denied access.
    pub(crate) fn of(stream: &UnixStream) -> io::Result<Self> {
        let found = rustix::net::sockopt::socket_peercred(stream)?;
        Ok(Self { pid: found.pid.as_raw_pid().cast_unsigned(), uid: found.uid.as_raw() })
    }

    /// Returns whether the peer may inspect a process of this user.
    pub(crate) fn may_ask(self, user: u32) -> bool {
        self.uid == user || self.uid == ROOT
    }
}

/// Returns the effective user id of this process.
pub(crate) fn our_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_user_and_root_may_ask() {
        let peer = |uid| Peer { pid: 1, uid };
        assert!(peer(1000).may_ask(1000) && peer(ROOT).may_ask(1000) && peer(ROOT).may_ask(ROOT));
        assert!(!peer(1001).may_ask(1000) && !peer(1000).may_ask(ROOT) && !peer(65534).may_ask(1000));
    }

    #[test]
    fn a_peer_in_this_process_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(Peer::of(&one).unwrap(), Peer { pid: std::process::id(), uid: our_uid() });
    }
}
