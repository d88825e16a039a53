//! Keys that seal artifacts, and keys that are trusted.
//!
//! **The guarantee that only compiled code runs depends on these keys.** The holder of a secret key can seal native
//! code that no compiler produced, and a process that trusts the key executes it. No function can do that without a
//! key.
//!
//! A [`UserKey`] is a secret shared by all runs of one user on one machine. A [`SigningKey`] vouches for artifacts to
//! every user who lists its [`PublicKey`] among their [`TrustedKeys`]. A secret never appears in an error, a log or a
//! `Debug` output.

mod key_error;
mod key_file;
mod key_text_error;
mod named_key;
mod public_key;
mod signing_key;
mod text;
mod trust;
mod trusted_keys;
mod user_key;

pub use key_error::KeyError;
pub use key_text_error::KeyTextError;
pub use named_key::NamedKey;
pub use public_key::{Fingerprint, PublicKey};
pub use signing_key::{KeyFiles, SigningKey};
pub use trust::{Trust, TrustedBy};
pub use trusted_keys::{TRUSTED_KEYS_FILE, TrustedKeys};
pub use user_key::{USER_KEY_FILE, UserKey};
