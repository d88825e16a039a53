//! Which keys a process trusts, and by which of them an artifact is trusted.

use super::public_key::PublicKey;
use super::trusted_keys::TrustedKeys;
use super::user_key::UserKey;

/// Whom this process believes: whose native code it executes, whatever that is.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// This user, if the key is known.
    pub user: Option<UserKey>,
    /// The holders of these keys.
    pub keys: TrustedKeys,
}

/// Whose word an artifact is trusted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedBy {
    /// This user made it.
    User,
    /// It is signed with this trusted key.
    Key(PublicKey),
}
