//! Tests of sealing and of the key file.

use super::*;

fn sealer(byte: u8) -> Sealer {
    Sealer::new(&[byte; 32], "a test").unwrap()
}

#[test]
fn what_is_sealed_opens_in_its_place_only() {
    let sealer = sealer(1);
    let sealed = sealer.seal("authority/x509/1", b"secret key").unwrap();
    assert!(!sealed.contains("secret"));
    let plain = sealer.open_sealed("authority/x509/1", &sealed).unwrap();
    assert_eq!(plain, b"secret key");
    let moved = sealer.open_sealed("authority/x509/2", &sealed);
    assert!(matches!(moved, Err(SealError::Damaged)), "{moved:?}");
    assert_ne!(
        sealed,
        sealer.seal("authority/x509/1", b"secret key").unwrap()
    );
}

#[test]
fn another_key_is_named_and_damage_refused() {
    let sealed = sealer(1).seal("place", b"secret").unwrap();
    let error = sealer(2).open_sealed("place", &sealed).unwrap_err();
    assert!(matches!(error, SealError::OtherKey { .. }), "{error}");
    let long = format!("{sealed}AAAA");
    for damaged in [
        "",
        "v1",
        "v1::",
        "v2:00:AA",
        sealed.get(..20).unwrap(),
        &long,
    ] {
        assert!(
            sealer(1).open_sealed("place", damaged).is_err(),
            "{damaged}"
        );
    }
}

#[test]
fn the_key_file_is_private_and_created_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let missing = Sealer::open(&data, false).unwrap_err();
    assert!(matches!(missing, SealError::Missing(_)), "{missing}");
    let first = Sealer::open(&data, true).unwrap();
    let again = Sealer::open(&data, true).unwrap();
    assert_eq!(first.name, again.name);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = data.join(KEY_FILE);
    assert_eq!((mode(&file), mode(&data)), (0o600, 0o700));
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 1);

    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = Sealer::open(&data, true).unwrap_err();
    assert!(matches!(error, SealError::Permissions(_)), "{error}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&file, "short").unwrap();
    let error = Sealer::open(&data, true).unwrap_err();
    assert!(matches!(error, SealError::Content(_)), "{error}");
}

#[test]
fn processes_that_start_together_share_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let names = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| Sealer::open(folder.path(), true).unwrap().name))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
}

#[test]
fn a_key_that_is_given_seals_like_the_same_one_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = Sealer::open(folder.path(), true).unwrap();
    let sealed = sealed.seal("place", b"secret").unwrap();
    let text = files::read_text_limited(&folder.path().join(KEY_FILE), 1024).unwrap();
    let open = |text: &str| Sealer::of(&KeySource::Given(Secret::new(text)), false);
    for text in [text.clone(), format!("{}=", text.trim())] {
        let plain = open(&text).unwrap().open_sealed("place", &sealed);
        assert_eq!(plain.unwrap(), b"secret");
    }
    for wrong in ["", "short", "not base64 at all!"] {
        let error = open(wrong).unwrap_err();
        assert!(matches!(error, SealError::Given), "{error}");
    }
    let other = STANDARD_NO_PAD.encode([7; 32]);
    let error = open(&other).unwrap().open_sealed("place", &sealed);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("`identity.key` of the configuration") && !error.contains(&other),
        "{error}"
    );
}

#[test]
fn derived_secrets_differ_by_key_and_purpose() {
    let of = |byte: u8, purpose: &str| {
        let key = STANDARD_NO_PAD.encode([byte; 32]);
        let sealer = Sealer::of(&KeySource::Given(Secret::new(key)), false);
        sealer.unwrap().derive(purpose)
    };
    assert_eq!(of(1, "links"), of(1, "links"));
    assert_ne!(of(1, "links"), of(1, "other"));
    assert_ne!(of(1, "links"), of(2, "links"));
    assert_eq!(of(1, "links").expose().len(), 64);
}
