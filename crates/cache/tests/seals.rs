//! Seals: a change of any byte is refused, and only the right keys are trusted.

use belljar_cache::{
    ArtifactKind, BLOCK_BYTES, Identity, Key, PublicKey, SEAL_BYTES, SealError, SealedBlocks, SigningKey,
    Trust, TrustedBy, TrustedKeys, UserKey, seal_bytes, seal_native_code, seal_of,
};

const CONTENTS: &[u8] = b"finished code, which must not change";

fn user() -> UserKey {
    UserKey::from_bytes([3; 32])
}

fn signer() -> SigningKey {
    SigningKey::from_seed([4; 32])
}

fn trusting(keys: &[&SigningKey]) -> TrustedKeys {
    keys.iter().map(|key| key.public().named("somebody").unwrap()).collect()
}

/// The identity that artifacts are sealed as unless a test says otherwise.
const MODULE: Identity = Identity { kind: ArtifactKind::Module, key: Key([6; 32]) };

fn sealed(contents: &[u8], user: Option<&UserKey>, signer: Option<&SigningKey>) -> Vec<u8> {
    sealed_as(MODULE, contents, user, signer)
}

fn sealed_as(
    identity: Identity,
    contents: &[u8],
    user: Option<&UserKey>,
    signer: Option<&SigningKey>,
) -> Vec<u8> {
    let mut artifact = contents.to_vec();
    artifact.resize(contents.len() + seal_bytes(contents.len()), 0xee);
    seal_native_code(&mut artifact, identity, user, signer).unwrap();
    artifact
}

fn check(artifact: &[u8], trust: &Trust) -> Result<TrustedBy, SealError> {
    belljar_cache::check(artifact, MODULE, trust)
}

/// Returns artifacts with each kind of seal, and by which key each is trusted if both are.
fn kinds() -> [(Vec<u8>, TrustedBy); 3] {
    let (user, signer) = (user(), signer());
    [
        (sealed(CONTENTS, Some(&user), None), TrustedBy::User),
        (sealed(CONTENTS, None, Some(&signer)), TrustedBy::Key(signer.public())),
        (sealed(CONTENTS, Some(&user), Some(&signer)), TrustedBy::User),
    ]
}

#[test]
fn what_was_sealed_is_trusted() {
    let trust = Trust { user: Some(user()), keys: trusting(&[&signer()]) };
    for (artifact, by) in kinds() {
        assert_eq!(check(&artifact, &trust), Ok(by));
        assert_eq!(&artifact[..CONTENTS.len()], CONTENTS);
    }
    // Also an empty artifact, and one large enough to be hashed in parallel.
    for contents in [Vec::new(), vec![0x5a; (8 << 20) + 13]] {
        let artifact = sealed(&contents, Some(&user()), None);
        assert_eq!(check(&artifact, &trust), Ok(TrustedBy::User));
        assert_eq!(seal_of(&artifact).unwrap().digest, *blake3::hash(&contents).as_bytes());
    }
}

#[test]
fn a_change_of_any_byte_is_refused() {
    let everybody = Trust { user: Some(user()), keys: trusting(&[&signer()]) };
    let only_user = Trust { user: Some(user()), ..Trust::default() };
    let only_signer = Trust { user: None, keys: trusting(&[&signer()]) };
    let stranger_and_signer =
        Trust { user: Some(UserKey::from_bytes([9; 32])), keys: trusting(&[&signer()]) };
    for (artifact, _) in kinds() {
        let mut changed = artifact.clone();
        for at in 0..artifact.len() {
            for change in 1..=u8::MAX {
                changed[at] = artifact[at] ^ change;
                // Trusting a single key leaves the fewest other ways to detect the change.
                let trusts: &[&Trust] = match change {
                    1 | 0x80 | 0xff => &[&everybody, &only_user, &only_signer, &stranger_and_signer],
                    _ => &[&everybody],
                };
                for trust in trusts {
                    let found = check(&changed, trust);
                    assert!(found.is_err(), "byte {at} changed by {change:#x}: {found:?}");
                }
            }
            changed[at] = artifact[at];
        }
    }
}

/// Returns contents of four blocks, the last of them short, and their length.
fn several_blocks() -> (Vec<u8>, usize) {
    let contents: Vec<u8> = (0..3 * BLOCK_BYTES + 100).map(|i| (i % 251) as u8).collect();
    (sealed(&contents, Some(&user()), Some(&signer())), contents.len())
}

#[test]
fn each_block_is_the_one_that_was_sealed_or_refused() {
    let trust = Trust { user: Some(user()), ..Trust::default() };
    let (artifact, length) = several_blocks();
    assert_eq!(SealedBlocks::contents_of(artifact.len()), Some(length));
    let sealed = SealedBlocks::check(&artifact[length..], length, &trust).unwrap();
    assert_eq!((sealed.trusted_by(), sealed.identity()), (TrustedBy::User, MODULE));
    let blocks: Vec<&[u8]> = artifact[..length].chunks(BLOCK_BYTES).collect();
    for (i, block) in blocks.iter().enumerate() {
        for (j, other) in blocks.iter().enumerate() {
            assert_eq!(sealed.holds(i, other), i == j, "block {j} as block {i}");
        }
        assert!(!sealed.holds(i, &block[..block.len() - 1]));
        let mut changed = block.to_vec();
        for at in (0..block.len()).step_by(997) {
            changed[at] ^= 1;
            assert!(!sealed.holds(i, &changed), "byte {at} of block {i}");
            changed[at] ^= 1;
        }
    }
    assert!(!sealed.holds(4, &[]) && !sealed.holds(usize::MAX / BLOCK_BYTES, &[]));
}

/// 100,000 changes of a large artifact, one byte each.
#[test]
fn a_change_of_a_large_artifact_is_refused() {
    let trust = Trust { user: Some(user()), ..Trust::default() };
    let contents: Vec<u8> = (0..100 * BLOCK_BYTES + 77).map(|i| (i % 253) as u8).collect();
    let length = contents.len();
    let mut artifact = sealed(&contents, Some(&user()), None);
    let right = SealedBlocks::check(&artifact[length..], length, &trust).unwrap();
    let mut random = 1_u64;
    for round in 0..100_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (random >> 33) as usize % artifact.len();
        let change = ((random >> 20) as u8).max(1);
        artifact[at] ^= change;
        if at < length {
            let block = at / BLOCK_BYTES;
            let bytes = &artifact[block * BLOCK_BYTES..length.min((block + 1) * BLOCK_BYTES)];
            assert!(!right.holds(block, bytes), "byte {at} changed by {change:#x}");
        } else {
            let found = SealedBlocks::check(&artifact[length..], length, &trust);
            assert!(found.is_err(), "byte {at} changed by {change:#x}");
        }
        if round % 1000 == 0 {
            assert!(check(&artifact, &trust).is_err(), "byte {at} changed by {change:#x}");
        }
        artifact[at] ^= change;
    }
    assert_eq!(check(&artifact, &trust), Ok(TrustedBy::User));
}

#[test]
fn a_change_of_any_byte_of_the_blocks_digests_is_refused() {
    let trust = Trust { user: Some(user()), keys: trusting(&[&signer()]) };
    let (mut artifact, length) = several_blocks();
    for at in length..artifact.len() {
        artifact[at] ^= 0x10;
        assert!(SealedBlocks::check(&artifact[length..], length, &trust).is_err(), "byte {at}");
        assert!(check(&artifact, &trust).is_err(), "byte {at}");
        artifact[at] ^= 0x10;
    }
    let seal = artifact.split_off(length);
    for other in [length - 101, length + BLOCK_BYTES, 0, 5] {
        assert_eq!(SealedBlocks::check(&seal, other, &trust).unwrap_err(), SealError::Damaged, "{other}");
    }
    let strangers = SealedBlocks::check(&seal, length, &Trust::default());
    assert_eq!(strangers.unwrap_err(), SealError::Untrusted { signer: Some(signer().public()) });
    for end in 0..seal.len() {
        assert!(SealedBlocks::check(&seal[..end], length, &trust).is_err());
    }
}

#[test]
fn a_change_of_any_length_is_refused() {
    let trust = Trust { user: Some(user()), keys: trusting(&[&signer()]) };
    for (artifact, _) in kinds() {
        for length in 0..artifact.len() {
            assert!(check(&artifact[..length], &trust).is_err(), "{length} bytes");
            assert!(check(&artifact[artifact.len() - length..], &trust).is_err(), "the last {length} bytes");
        }
        for byte in [0, 0xee] {
            let mut longer = artifact.clone();
            longer.push(byte);
            assert!(check(&longer, &trust).is_err());
            longer.rotate_right(1);
            assert!(check(&longer, &trust).is_err());
        }
    }
}

#[test]
fn the_right_key_is_needed() {
    let other = SigningKey::from_seed([5; 32]);
    let nobody = Trust::default();
    let strangers = Trust { user: Some(UserKey::from_bytes([9; 32])), keys: trusting(&[&other]) };
    let [(by_user, _), (by_signer, _), (by_both, _)] = kinds();
    for trust in [&nobody, &strangers] {
        assert_eq!(check(&by_user, trust), Err(SealError::Untrusted { signer: None }));
        for artifact in [&by_signer, &by_both] {
            let error = check(artifact, trust).unwrap_err();
            assert_eq!(error, SealError::Untrusted { signer: Some(signer().public()) });
            let text = error.to_string();
            assert!(text.contains(&signer().public().fingerprint().to_string()), "{text}");
            assert!(text.contains("`belljar key trust`"), "{text}");
        }
    }
    let foreign = Trust { user: Some(UserKey::from_bytes([9; 32])), keys: trusting(&[&other, &signer()]) };
    assert_eq!(check(&by_both, &foreign), Ok(TrustedBy::Key(signer().public())));
    assert_eq!(check(&by_user, &foreign), Err(SealError::Untrusted { signer: None }));
}

/// All kinds under two keys: each is accepted as itself and as nothing else, whoever made it.
#[test]
fn nothing_is_taken_for_anything_else() {
    let (user, signer) = (user(), signer());
    let everybody = Trust { user: Some(user.clone()), keys: trusting(&[&signer]) };
    let identities: Vec<Identity> = [Key([6; 32]), Key([7; 32])]
        .into_iter()
        .flat_map(|key| ArtifactKind::ALL.map(|kind| Identity { kind, key }))
        .collect();
    for found in &identities {
        for (by_user, by_signer) in [(Some(&user), None), (None, Some(&signer)), (Some(&user), Some(&signer))]
        {
            let artifact = sealed_as(*found, CONTENTS, by_user, by_signer);
            assert_eq!(seal_of(&artifact).unwrap().identity, *found);
            for expected in &identities {
                let checked = belljar_cache::check(&artifact, *expected, &everybody);
                if expected == found {
                    assert!(checked.is_ok(), "{checked:?}");
                } else {
                    let (expected, found) = (*expected, *found);
                    assert_eq!(checked, Err(SealError::OtherIdentity { expected, found }));
                }
                // The identity of an untrusted artifact is not reported either.
                let nobody = belljar_cache::check(&artifact, *expected, &Trust::default());
                assert!(matches!(nobody, Err(SealError::Untrusted { .. })));
            }
        }
    }
    let is_other_snapshot =
        |identity: &&Identity| identity.kind == ArtifactKind::Snapshot && identity.key != identities[0].key;
    let (entry, snapshot) = (identities[0], *identities.iter().find(is_other_snapshot).unwrap());
    let message = SealError::OtherIdentity { expected: entry, found: snapshot }.to_string();
    assert_eq!(
        message,
        "the artifact is something else: expected an entry of a cache with the key 0606060606060606…, found a snapshot with \
         the key 0707070707070707…: make it again"
    );
}

#[test]
fn a_part_of_a_seal_cannot_be_taken_away() {
    let trust = Trust { user: Some(user()), keys: trusting(&[&signer()]) };
    let [_, _, (both, _)] = kinds();
    let start = both.len() - SEAL_BYTES;
    let without = |flags: u8, parts: std::ops::Range<usize>| {
        let mut artifact = both.clone();
        artifact[start + 12] = flags;
        artifact[start..][parts].fill(0);
        check(&artifact, &trust)
    };
    assert_eq!(without(3, 0..0), Ok(TrustedBy::User));
    assert_eq!(without(1, 128..224), Err(SealError::Untrusted { signer: None }));
    assert_eq!(without(2, 96..128), Err(SealError::BadSignature));
    assert!(matches!(without(0, 96..224), Err(SealError::NotCanonical { .. })));
}

#[test]
fn a_key_that_fits_any_message_signs_nothing() {
    // The key is the neutral element, with a signature that the plain equation of RFC 8032 accepts: R neutral, S zero.
    let mut artifact = sealed(CONTENTS, None, Some(&signer()));
    let start = artifact.len() - SEAL_BYTES;
    artifact[start + 128..start + 224].fill(0);
    artifact[start + 128] = 1;
    artifact[start + 160] = 1;
    assert_eq!(check(&artifact, &Trust::default()), Err(SealError::BadSignature));
    let mut neutral = [0; 32];
    neutral[0] = 1;
    assert!(PublicKey::from_bytes(neutral).is_err());
}

#[test]
fn errors_tell_what_is_wrong() {
    let trust = Trust { user: Some(user()), keys: trusting(&[&signer()]) };
    let [(artifact, _), ..] = kinds();
    let start = artifact.len() - SEAL_BYTES;
    let with = |at: usize, byte: u8| {
        let mut artifact = artifact.clone();
        artifact[at] = byte;
        check(&artifact, &trust).unwrap_err()
    };
    assert_eq!(with(0, 0), SealError::Damaged);
    assert_eq!(with(start, 0), SealError::NotSealed);
    assert_eq!(with(start + 8, 9), SealError::UnknownVersion { found: 9, known: 3 });
    for at in [15, 16, 19, 20, 31, 150] {
        assert!(matches!(with(start + at, 0xaa), SealError::NotCanonical { .. }), "byte {at}");
    }
    assert_eq!(with(start + 64, 0), SealError::Damaged);
    for at in [32, 63, 96] {
        assert_eq!(with(start + at, 0), SealError::Untrusted { signer: None }, "byte {at}");
    }
    // A different valid kind is detected by the mac as well.
    assert_eq!(with(start + 16, 1), SealError::Untrusted { signer: None });
    assert!(matches!(with(artifact.len() - 1, 1), SealError::NotCanonical { .. }));
    let [_, (mut by_signer, _), _] = kinds();
    by_signer[start + 100] = 1;
    assert!(matches!(check(&by_signer, &trust), Err(SealError::NotCanonical { .. })));
    assert_eq!(check(&artifact[..200], &trust), Err(SealError::TooShort { bytes: 200 }));
    assert_eq!(check(&[0; 300], &trust), Err(SealError::NotSealed));
}

#[test]
fn sealing_needs_room_and_a_key() {
    let mut short = [0; SEAL_BYTES - 1];
    assert_eq!(
        seal_native_code(&mut short, MODULE, Some(&user()), None),
        Err(SealError::TooShort { bytes: 255 })
    );
    assert_eq!(seal_native_code(&mut [0; 300], MODULE, None, None), Err(SealError::NoKey));
    let mut between = vec![0; BLOCK_BYTES + SEAL_BYTES + 1];
    let bytes = between.len();
    assert_eq!(seal_native_code(&mut between, MODULE, Some(&user()), None), Err(SealError::NoRoom { bytes }));
}

#[test]
fn sealing_again_replaces_the_seal() {
    let mut artifact = sealed(CONTENTS, Some(&user()), Some(&signer()));
    seal_native_code(&mut artifact, MODULE, None, Some(&signer())).unwrap();
    assert_eq!(artifact, sealed(CONTENTS, None, Some(&signer())));
}

#[test]
fn what_a_seal_says_can_be_read_without_trust() {
    let digest = *blake3::hash(CONTENTS).as_bytes();
    let [(by_user, _), (by_signer, _), (by_both, _)] = kinds();
    let says = |artifact| {
        let info = seal_of(artifact).unwrap();
        assert_eq!((info.digest, info.identity), (digest, MODULE));
        (info.mac, info.signer)
    };
    assert_eq!(says(&by_user), (true, None));
    assert_eq!(says(&by_signer), (false, Some(signer().public())));
    assert_eq!(says(&by_both), (true, Some(signer().public())));
    let mut forged = by_signer;
    let last_of_signature = forged.len() - SEAL_BYTES + 223;
    forged[last_of_signature] ^= 1;
    assert_eq!(seal_of(&forged), Err(SealError::BadSignature));
}

/// Builds the seal by hand, as its documentation describes it. This must change only together with the version.
#[test]
fn the_layout_is_as_documented() {
    use ed25519_dalek::Signer;

    let mut seal = b"belljar\x1a".to_vec();
    for number in [3_u32, 3, 2, 0, 0, 0] {
        seal.extend_from_slice(&number.to_le_bytes());
    }
    seal.extend_from_slice(&[6; 32]);
    seal.extend_from_slice(blake3::hash(CONTENTS).as_bytes());
    let under_mac = [b"belljar artifact seal: mac of a user\0", &seal[..]].concat();
    seal.extend_from_slice(blake3::keyed_hash(&[3; 32], &under_mac).as_bytes());
    let under_signature = [b"belljar artifact seal: signature\0", &seal[..]].concat();
    let key = ed25519_dalek::SigningKey::from_bytes(&[4; 32]);
    seal.extend_from_slice(key.verifying_key().as_bytes());
    seal.extend_from_slice(&key.sign(&under_signature).to_bytes());
    seal.resize(SEAL_BYTES, 0);
    let [_, _, (both, _)] = kinds();
    assert_eq!(both[CONTENTS.len()..], seal);
}
