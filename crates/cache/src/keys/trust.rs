//! The keys that a process trusts, and the one that made an artifact trusted.

use super::public_key::PublicKey;
use super::trusted_keys::TrustedKeys;
use super::user_key::UserKey;

/// The keys that this process trusts: it executes any native code that they sealed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The key of this user, if it is known.
    pub user: Option<UserKey>,
    /// The trusted signing keys.
    pub keys: TrustedKeys,
}

/// The key that made an artifact trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedBy {
    /// It was sealed with this user's key.
    User,
    /// It is signed with this trusted key.
    Key(PublicKey),
}
