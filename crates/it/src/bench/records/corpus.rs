//! Records as a fleet sends them: classes, builds, hosts and machines in the proportions of a fleet,
//! payloads of about 2 KB with words that repeat and words that don't.

use std::fmt::Write as _;

/// Bytes of a payload, about.
const PAYLOAD_BYTES: usize = 2_048;
/// Machines of the fleet.
const MACHINES: u64 = 10_000;
/// Of a hundred records, how many are of which class, and their severity.
const CLASSES: [(u64, &str, u8); 9] = [
    (40, "org.clearlinux/heartbeat/ping", 1),
    (15, "org.clearlinux/hello/world", 1),
    (15, "org.clearlinux/swupd-client/update", 1),
    (14, "org.clearlinux/journal/error", 2),
    (8, "org.clearlinux/crash/clr", 3),
    (3, "org.clearlinux/kernel/warning", 2),
    (2, "org.clearlinux/mce/corrected", 2),
    (2, "org.clearlinux/bert/debug", 2),
    (1, "org.clearlinux/kernel/panic", 4),
];
const WORDS: [&str; 24] = [
    "service",
    "failed",
    "with",
    "result",
    "exit-code",
    "unit",
    "entered",
    "state",
    "kernel",
    "cpu",
    "memory",
    "device",
    "timeout",
    "while",
    "waiting",
    "for",
    "socket",
    "connection",
    "refused",
    "retry",
    "update",
    "bundle",
    "version",
    "manifest",
];
const HOSTS: [&str; 6] = [
    "Dell Inc.|PowerEdge R640|blank",
    "Intel Corporation|NUC7i5BNH|J31169-310",
    "LENOVO|20QD000GUS|ThinkPad X1 Carbon 7th",
    "QEMU|Standard PC (Q35 + ICH9, 2009)|pc-q35-7.2",
    "HP|HP EliteDesk 800 G4|blank",
    "Supermicro|SYS-5019D-FN8TP|0123456789",
];

/// Random numbers that are the same in each run (xorshift).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        let index = usize::try_from(self.below(all.len() as u64)).unwrap_or(0);
        all[index]
    }
}

/// The whole request of one record.
pub(super) fn request(random: &mut Random, host: &str, now: u64) -> Vec<u8> {
    let mut dice = random.below(100);
    let mut class = CLASSES[0];
    for candidate in CLASSES {
        class = candidate;
        if dice < candidate.0 {
            break;
        }
        dice -= candidate.0;
    }
    let machine = random.below(MACHINES);
    // A machine has a build, and the newest are the most.
    let build = 34_000 + (machine % 30) * 10 + random.below(2) * 10;
    let payload = match class.1 {
        "org.clearlinux/crash/clr" => crash(random),
        _ => words(random),
    };
    let body = payload.as_bytes();
    let mut text = format!("POST /v2/collector HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n");
    let host_type = HOSTS[usize::try_from(machine % 6).unwrap_or(0)];
    write!(
        text,
        "record_format_version: 4\r\nclassification: {}\r\nseverity: {}\r\nmachine_id: {:032x}\r\n\
         creation_timestamp: {now}\r\narch: x86_64\r\nhost_type: {host_type}\r\nbuild: {build}\r\n\
         kernel_version: 6.{}.0-{}.native\r\npayload_format_version: 1\r\n\
         system_name: clear-linux-os\r\nboard_name: {host_type}\r\ncpu_model: Intel(R) Xeon(R)\r\n\
         bios_version: 2.{}.0\r\nevent_id: {:016x}{:016x}\r\n\
         X-Telemetry-TID: 6907c830-eed9-4ce9-81ae-76daf8d88f0f\r\n\
         Content-Type: application/text\r\nContent-Length: {}\r\n\r\n",
        class.1,
        class.2,
        u128::from(machine) * 0x1234_5678_9abc_def1,
        machine % 12,
        machine % 1300,
        machine % 9,
        random.next(),
        random.next(),
        body.len(),
    )
    .unwrap();
    let mut request = text.into_bytes();
    request.extend_from_slice(body);
    request
}

fn words(random: &mut Random) -> String {
    let mut text = String::with_capacity(PAYLOAD_BYTES + 32);
    while text.len() < PAYLOAD_BYTES {
        text.push_str(random.of(&WORDS));
        // Every so often something that is found nowhere else.
        match random.below(8) {
            0 => writeln!(text, " {:x}", random.next()).unwrap(),
            1 => write!(text, " pid={} ", random.below(32_768)).unwrap(),
            _ => text.push(' '),
        }
    }
    text.push('\n');
    text
}

fn crash(random: &mut Random) -> String {
    let mut text =
        String::from("Process: /usr/bin/worker\nPID: 4711\nSignal: 11\n\nBacktrace (TID 4711):\n");
    let stack = random.below(50);
    for frame in 0..12 {
        writeln!(
            text,
            "#{frame} function_{stack}_{frame}() - [libworker.so.3] - ../src/worker_{frame}.c:{}",
            stack * 13 + frame
        )
        .unwrap();
    }
    while text.len() < PAYLOAD_BYTES {
        writeln!(text, "#{} ??? - [/usr/lib64/libc.so.6]", random.below(64)).unwrap();
    }
    text
}
