//! Artifacts by key on disk: sealed, verified.
//!
//! In: the bytes of finished native code. A [`seal()`] at the end of the bytes says who made them; [`check`]
//! believes it only if that was this user ([`UserKey`]) or the holder of a [`SigningKey`] whose public half is
//! among the [`TrustedKeys`].

mod access;
mod dirs;
mod error;
mod hex;
mod keys;
mod new_file;
mod random;
mod seal;

pub use dirs::{
    CACHE_VARIABLE, CacheChoice, NoDirectory, cache_directory, config_directory, state_directory,
};
pub use error::{KeyError, KeyTextError, SealError};
pub use hex::HexError;
pub use keys::{
    Fingerprint, KeyFiles, NamedKey, PublicKey, SigningKey, TRUSTED_KEYS_FILE, Trust, TrustedKeys,
    USER_KEY_FILE, UserKey,
};
pub use seal::{SEAL_BYTES, SealInfo, TrustedBy, check, seal, seal_of};
