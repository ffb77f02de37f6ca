//! Tests of `tar`; that other programs read it is proved by the end-to-end tests.

use super::*;

fn field(head: &[u8], at: usize, length: usize) -> String {
    let bytes: Vec<u8> = head.iter().skip(at).take(length).copied().collect();
    String::from_utf8_lossy(&bytes)
        .trim_end_matches('\0')
        .to_owned()
}

#[test]
fn a_head_is_a_block() {
    let head = head("g/r/f.log", 1000, 1_700_000_000);
    assert_eq!(head.len(), BLOCK_BYTES);
    assert_eq!(field(&head, 0, 100), "g/r/f.log");
    assert_eq!(field(&head, 124, 12), "00000001750");
    assert_eq!(field(&head, 136, 12), "14524770400");
    assert_eq!(field(&head, 257, 6), "ustar");
    let mut blank = head.clone();
    blank[148..156].fill(b' ');
    let sum: u32 = blank.iter().map(|byte| u32::from(*byte)).sum();
    assert_eq!(field(&head, 148, 6), format!("{sum:06o}"));
    assert_eq!(padding(1000), 24);
    assert_eq!(padding(1024), 0);
    assert_eq!(padding(0), 0);
}

#[test]
fn what_is_too_long_stands_before_it() {
    let name = "ü".repeat(60);
    let head = head(&name, 9 << 30, 0);
    assert_eq!(head.len(), 3 * BLOCK_BYTES);
    assert_eq!(field(&head, 156, 1), "x");
    let records = field(&head, BLOCK_BYTES, BLOCK_BYTES);
    assert_eq!(records, format!("130 path={name}\n19 size=9663676416\n"));
    assert_eq!(field(&head, 2 * BLOCK_BYTES + 156, 1), "0");
}

/// Files of an archive, and why it can't be read to its end.
fn walk(archive: &[u8]) -> (Vec<Member>, Option<TarError>) {
    let mut walker = Walker::new(0);
    let mut members = Vec::new();
    loop {
        let wanted = walker.wanted();
        let begin = usize::try_from(wanted.offset).unwrap().min(archive.len());
        let end = (begin + wanted.length).min(archive.len());
        match walker.feed(&archive[begin..end]) {
            Ok(Step::More) => {}
            Ok(Step::Member(member)) => members.push(member),
            Ok(Step::End) => return (members, None),
            Err(error) => return (members, Some(error)),
        }
    }
}

/// A block with some bytes set and the checksum made anew.
fn with(mut block: [u8; BLOCK_BYTES], changes: &[(usize, &[u8])]) -> Vec<u8> {
    for (at, bytes) in changes {
        put(&mut block, *at, bytes);
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
    block.to_vec()
}

/// Bytes with the zeros behind them.
fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    out
}

#[test]
fn what_is_written_is_read() {
    let long = "ü".repeat(60);
    let mut archive = Vec::new();
    for (name, size) in [("a/b.log", 700_usize), (&long, 3), ("empty", 0)] {
        archive.extend(head(name, u64::try_from(size).unwrap(), 1_700_000_000));
        archive.extend(padded(&vec![b'x'; size]));
    }
    archive.extend(end());
    assert!(is_head(&archive));
    assert!(!is_head(&end()) && !is_head(b"a text") && !is_head(&[b'x'; 600]));
    let (members, error) = walk(&archive);
    assert_eq!(error, None);
    let seen: Vec<_> = members
        .iter()
        .map(|member| (member.name.as_str(), member.kind, member.size, member.begin))
        .collect();
    let file = MemberKind::File;
    assert_eq!(
        seen,
        [
            ("a/b.log", file, 700, 0),
            (&long, file, 3, 1536),
            ("empty", file, 0, 3584)
        ]
    );
    assert_eq!(
        (members[1].data, members[1].modified),
        (3072, 1_700_000_000)
    );
    // A walker may begin at any of them.
    let mut walker = Walker::new(3584);
    let step = walker.feed(&archive[3584..4096]).unwrap();
    assert_eq!(step, Step::Member(members[2].clone()));
}

#[test]
fn kinds_are_told_apart() {
    let mut archive = Vec::new();
    for (name, kind) in [
        ("d/", b'5'),
        ("old/", 0),
        ("hard", b'1'),
        ("soft", b'2'),
        ("fifo", b'6'),
    ] {
        // The size of a link is of what it leads to: no bytes follow.
        archive.extend(block(name, if kind == b'1' { 9999 } else { 0 }, 0, kind));
    }
    let prefix = with(
        block("name", 0, 0, b'0'),
        &[(345, b"a/prefix"), (100, b"0000644\0")],
    );
    archive.extend(prefix);
    let gnu = with(
        block("name", 0, 0, b'0'),
        &[(257, b"ustar  \0"), (345, b"00000000000")],
    );
    archive.extend(gnu);
    archive.extend(end());
    let (members, error) = walk(&archive);
    assert_eq!(error, None);
    let seen: Vec<_> = members.iter().map(|m| (m.name.as_str(), m.kind)).collect();
    assert_eq!(
        seen,
        [
            ("d/", MemberKind::Folder),
            ("old/", MemberKind::Folder),
            ("hard", MemberKind::Link),
            ("soft", MemberKind::Link),
            ("fifo", MemberKind::Other),
            ("a/prefix/name", MemberKind::File),
            ("name", MemberKind::File),
        ]
    );
}

#[test]
fn long_names_sizes_and_times_of_gnu_are_read() {
    let long = "n".repeat(300);
    let mut archive = block("././@LongLink", 301, 0, b'L').to_vec();
    archive.extend(padded(format!("{long}\0").as_bytes()));
    // 8 GiB, and a second before 1970.
    let large: &[u8] = b"\x80\0\0\0\0\0\0\x02\0\0\0\0";
    archive.extend(with(
        block("cut", 0, 0, b'0'),
        &[(124, large), (136, &[0xff; 12])],
    ));
    let (members, error) = walk(&archive);
    assert_eq!(members[0].name, long);
    assert_eq!((members[0].size, members[0].modified), (8 << 30, -1));
    // Its contents are not there.
    assert_eq!(error, Some(TarError::Short(1536 + (8 << 30))));
}

#[test]
fn sparse_files_are_passed_over() {
    let map = with(
        block("holes", 512, 0, b'S'),
        &[(482, &[1]), (483, b"00000100000\0")],
    );
    let mut more = vec![0; BLOCK_BYTES];
    more[504] = 1;
    let archive = [
        map,
        more,
        vec![0; BLOCK_BYTES],
        vec![b'x'; BLOCK_BYTES],
        head("next", 0, 0),
    ];
    let (members, _) = walk(&archive.concat());
    assert_eq!(
        (members[0].kind, members[0].size),
        (MemberKind::Sparse, 0o100_000)
    );
    assert_eq!((members[0].data, members[0].stored), (1536, 512));
    assert_eq!(members[1].name, "next");
}

#[test]
fn names_steer_nothing() {
    let lines = record("path", "../\0a\u{1b}[2J\u{202e}\nb");
    let mut archive = block("pax", u64::try_from(lines.len()).unwrap(), 0, b'x').to_vec();
    archive.extend(padded(&lines));
    archive.extend(block("short", 0, 0, b'0'));
    archive.extend(with(block("", 0, 0, b'0'), &[(0, b"\xff\xfe")]));
    let (members, _) = walk(&archive);
    assert_eq!(members[0].name, "../\\u{0}a\\u{1b}[2J\\u{202e}\\u{a}b");
    assert_eq!(members[1].name, "\u{fffd}\u{fffd}");
    let endless = record("path", &"n".repeat(100_000));
    let mut archive = block("pax", u64::try_from(endless.len()).unwrap(), 0, b'x').to_vec();
    archive.extend(padded(&endless));
    archive.extend(block("short", 0, 0, b'0'));
    assert_eq!(walk(&archive).0[0].name.chars().count(), 4097);
}

#[test]
fn what_can_not_be_is_named() {
    let huge: &[u8] = b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff";
    let below: &[u8] = &[0xff; 12];
    for (archive, expected) in [
        (vec![b'x'; BLOCK_BYTES], TarError::Checksum(0)),
        (vec![b'x'; 100], TarError::Short(0)),
        (Vec::new(), TarError::Short(0)),
        (
            with(block("f", 0, 0, b'0'), &[(124, b"99999999999\0")]),
            TarError::Number(0, "size"),
        ),
        (
            with(block("f", 0, 0, b'0'), &[(124, below)]),
            TarError::Number(0, "size"),
        ),
        (
            with(block("f", 0, 0, b'0'), &[(124, huge)]),
            TarError::Size(0),
        ),
        (
            block("f", 2 << 20, 0, b'x').to_vec(),
            TarError::LongFields(0, 1 << 20),
        ),
        (
            [block("f", 512, 0, b'x').to_vec(), vec![b'x'; 512]].concat(),
            TarError::Fields(512),
        ),
        (
            block("f", 0, 0, b'x').repeat(17),
            TarError::Flood(16 * 512, 16),
        ),
        (
            block("f", 0, 0, b'g').repeat(17),
            TarError::Flood(16 * 512, 16),
        ),
    ] {
        assert_eq!(walk(&archive), (Vec::new(), Some(expected)));
    }
}
