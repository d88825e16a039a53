//! Who makes artifacts, and who is believed.
//!
//! **Keys are where the promise of safe code ends.** Whoever has a secret key can seal native code that nobody compiled, and whoever
//! trusts it executes that. No function without a key can.
//!
//! A [`UserKey`] is a secret between runs of one user on one machine. A [`SigningKey`] vouches for artifacts
//! to everybody who has its [`PublicKey`] among the [`TrustedKeys`]. Never: a secret in an error, a log or a
//! `Debug`.

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
