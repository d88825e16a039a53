//! An on-disk cache of artifacts, looked up by key: sealed, verified, evicted.
//!
//! In: the bytes of finished native code, and a [`Key`] that stands for everything the code depends on. Out: the same
//! bytes, or a miss. A seal at the end of the bytes ([`seal_native_code`]) says what they are ([`Identity`]) and who
//! sealed them. [`check`] accepts a seal only if the bytes are what the caller expects, and if the seal was made by
//! this user ([`UserKey`]) or by the holder of a [`SigningKey`] whose public half is among the [`TrustedKeys`]. A
//! [`Cache`] stores files by key in one directory, which any number of processes can use at once.
//!
//! This crate never interprets an artifact, waits for another process, exposes a partially written file, uses `unsafe`,
//! or panics because of what it finds on disk. Every failure is a value, and no failure is fatal: the caller compiles
//! and continues without a cache.
//!
//! ```
//! use std::io::Read;
//!
//! use belljar_cache::{Cache, CacheConfig, Identity, Key, Trust, TrustedBy, UserKey, check, seal_native_code, seal_bytes};
//!
//! let home = tempfile::tempdir()?;
//! let user = UserKey::of(&home.path().join("state"))?;
//! let cache = Cache::open(CacheConfig::at(home.path().join("cache")))?;
//!
//! // The last bytes of an artifact are left for the seal.
//! let mut artifact = b"finished code".to_vec();
//! artifact.resize(artifact.len() + seal_bytes(artifact.len()), 0);
//! let key = Key([7; 32]);
//! seal_native_code(&mut artifact, Identity::entry(key), Some(&user), None)?;
//! cache.insert(&key, &artifact)?;
//!
//! let mut entry = cache.find(&key).expect("it was inserted");
//! let mut found = Vec::new();
//! entry.file.read_to_end(&mut found)?;
//! let trust = Trust { user: Some(user), ..Trust::default() };
//! assert_eq!(check(&found, entry.identity(), &trust)?, TrustedBy::User);
//!
//! found[3] ^= 1;
//! assert!(check(&found, entry.identity(), &trust).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod blocks;
mod dirs;
mod hex;
mod identity;
mod key;
mod keys;
mod new_file;
mod path_owners;
mod private_directory;
mod random;
mod seal;
mod store;

pub use blocks::BLOCK_BYTES;
pub use dirs::{
    CACHE_VARIABLE, CacheChoice, NoDirectory, cache_directory, config_directory, state_directory,
};
pub use hex::HexError;
pub use identity::{ArtifactKind, Identity};
pub use key::Key;
pub use keys::{
    Fingerprint, KeyError, KeyFiles, KeyTextError, NamedKey, PublicKey, SigningKey, TRUSTED_KEYS_FILE, Trust,
    TrustedBy, TrustedKeys, USER_KEY_FILE, UserKey,
};
pub use seal::{
    SEAL_BYTES, SealError, SealInfo, SealedBlocks, check, recorded_digest, seal_bytes, seal_native_code,
    seal_of,
};
pub use store::{
    Cache, CacheConfig, CacheError, DEFAULT_SIZE_LIMIT, ENTRY_SUFFIX, Entry, EntryInfo, Misplaced, Stats,
};
