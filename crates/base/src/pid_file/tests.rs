//! Owners of pid files: live, gone, replaced, racing.

use super::*;

fn read(path: &Path) -> String {
    let mut file = File::open(path).unwrap();
    content(&mut file)
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("landline.pid");
    (directory, path)
}

fn names(directory: &tempfile::TempDir) -> usize {
    std::fs::read_dir(directory.path()).unwrap().count()
}

#[test]
fn it_lasts_as_long_as_its_owner() {
    let (directory, path) = place();
    let own = PidFile::acquire(&path, false).unwrap();
    assert_eq!(read(&path), std::process::id().to_string());
    assert_eq!(names(&directory), 1, "nothing is left beside it");
    drop(own);
    assert_eq!(names(&directory), 0);
}

#[test]
fn a_live_owner_is_named() {
    let (_directory, path) = place();
    let _own = PidFile::acquire(&path, false).unwrap();
    let error = PidFile::acquire(&path, false).unwrap_err();
    let expected = format!(
        "process {} already runs with the pid file {}; stop it, or choose another pid file",
        std::process::id(),
        path.display()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(
        read(&path),
        std::process::id().to_string(),
        "the owner keeps it"
    );
}

#[test]
fn a_file_without_owner_is_replaced() {
    let (directory, path) = place();
    std::fs::write(&path, "1\n").unwrap();
    let own = PidFile::acquire(&path, false).unwrap();
    assert_eq!(
        (read(&path), names(&directory)),
        (std::process::id().to_string(), 1)
    );
    drop(own);
}

#[test]
fn a_replacement_takes_over_and_the_old_one_leaves_it_alone() {
    let (_directory, path) = place();
    let old = PidFile::acquire(&path, false).unwrap();
    let new = PidFile::acquire(&path, true).unwrap();
    assert!(!old.is_ours() && new.is_ours());
    drop(old);
    assert!(path.exists());
    assert!(matches!(
        PidFile::acquire(&path, false),
        Err(PidFileError::Owned { .. })
    ));
    drop(new);
    assert!(!path.exists());
}

#[test]
fn the_old_one_takes_it_back_after_a_failed_replacement() {
    let (_directory, path) = place();
    let mut old = PidFile::acquire(&path, false).unwrap();
    drop(PidFile::acquire(&path, true).unwrap());
    assert!(!path.exists());
    old.restore().unwrap();
    assert!(old.is_ours());
    old.restore().unwrap();
    assert!(matches!(
        PidFile::acquire(&path, false),
        Err(PidFileError::Owned { .. })
    ));
}

#[test]
fn of_many_starts_at_once_one_wins() {
    for round in 0..20 {
        let (directory, path) = place();
        if round % 2 == 0 {
            std::fs::write(&path, "1\n").unwrap();
        }
        let won: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| PidFile::acquire(&path, false)))
                .collect();
            starts
                .into_iter()
                .filter_map(|start| start.join().unwrap().ok())
                .collect()
        });
        assert_eq!(won.len(), 1, "round {round}");
        assert!(won[0].is_ours());
        assert_eq!(names(&directory), 1);
    }
}

#[test]
fn a_directory_that_is_missing_is_told() {
    let (directory, path) = place();
    let missing = directory.path().join("no/where.pid");
    for error in [
        PidFile::acquire(&missing, false).unwrap_err(),
        PidFile::check(&missing).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.starts_with("cannot create the pid file "), "{text}");
    }
    PidFile::check(&path).unwrap();
    assert_eq!(names(&directory), 0, "a check leaves nothing");
}
