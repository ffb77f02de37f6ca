//! Requests as the two clients of telemetrics send them, byte for byte: 2.3.5 with headers in its order
//! and underscores in their names, 2.4.3 with one JSON object of texts, each cut at its first blank.

use it::client::Reply;
use it::telemetrics::{Collector, Store, event_id};
use serde_json::{Value, json};

/// What a client knows of its machine, as 2.3.5 sends it.
struct Machine {
    host_type: &'static str,
    board_name: &'static str,
    /// 2.3.5 leaves a header without a value out.
    cpu_model: &'static str,
    bios_version: &'static str,
}

/// A machine without firmware tables.
const PLAIN: Machine = Machine {
    host_type: "no_sv_file|no_pn_file|no_pvr_file",
    board_name: "no_bn_file|no_bv_file",
    cpu_model: "AMD EPYC",
    bios_version: "no_bv_file",
};
const SERVER: Machine = Machine {
    host_type: "Déll Inc.|PowerEdge R640|blank",
    board_name: "0H28RR|Dell Inc.",
    cpu_model: "Intel(R) Xeon(R) Processor",
    bios_version: "2.19.1",
};

/// One request of client 2.3.5.
fn v2(machine: &Machine, (class, event, payload): (&str, &str, &str)) -> Vec<u8> {
    let cpu_model = match machine.cpu_model {
        "" => String::new(),
        name => format!("cpu_model: {name}\r\n"),
    };
    format!(
        "POST /v2/collector HTTP/1.1\r\nHost: 127.0.0.1:43007\r\nAccept: */*\r\n\
         record_format_version: 4\r\nclassification: {class}\r\nseverity: 2\r\n\
         machine_id: c588b962e95d5f3aa46ab0d644e7f57e\r\ncreation_timestamp: 1795281052\r\n\
         arch: x86_64\r\nhost_type: {}\r\nbuild: \"12\"\r\nkernel_version: 6.18.44-fc-v669\r\n\
         payload_format_version: 1\r\nsystem_name: debian\r\nboard_name: {}\r\n{cpu_model}\
         bios_version: {}\r\nevent_id: {event}\r\n\
         X-Telemetry-TID: 6907c830-eed9-4ce9-81ae-76daf8d88f0f\r\n\
         Content-Type: application/text\r\nContent-Length: {}\r\n\r\n{payload}",
        machine.host_type,
        machine.board_name,
        machine.bios_version,
        payload.len(),
    )
    .into_bytes()
}

/// One request of client 2.4.3.
fn v3(machine: &Machine, (class, event, payload): (&str, &str, &str)) -> Vec<u8> {
    let cut = |text: &'static str| text.split(' ').next().unwrap();
    // As json-c writes it: the short forms where there are some.
    let payload = json!(payload).to_string();
    let body = format!(
        "{{\"record_format_version\":\"4\",\"classification\":\"{}\",\"severity\":\"2\",\
         \"machine_id\":\"277b67c5da1800e842d6e99639069c22\",\"creation_timestamp\":\"1795281054\",\
         \"arch\":\"x86_64\",\"host_type\":\"{}\",\"build\":\"\\\"12\\\"\",\
         \"kernel_version\":\"6.18.44-fc-v669\",\"payload_format_version\":\"1\",\
         \"system_name\":\"debian\",\"board_name\":\"{}\",\"cpu_model\":\"{}\",\
         \"bios_version\":\"{}\",\"event_id\":\"{event}\",\"payload\":{payload}}}",
        class.split(' ').next().unwrap(),
        cut(machine.host_type),
        cut(machine.board_name),
        cut(machine.cpu_model),
        cut(machine.bios_version),
    );
    format!(
        "POST /v3/collector HTTP/1.1\r\nHost: 127.0.0.1:43007\r\nAccept: */*\r\n\
         X-Telemetry-TID: 6907c830-eed9-4ce9-81ae-76daf8d88f0f\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len(),
    )
    .into_bytes()
}

/// Sends it as the client does, which keeps no connection but does not say so.
async fn send(collector: &Collector, request: Vec<u8>) -> Reply {
    let text = String::from_utf8(request).unwrap();
    let (line, rest) = text.split_once("\r\n").unwrap();
    // Without this the test would wait for the end of the connection.
    let request = format!("{line}\r\nConnection: close\r\n{rest}");
    collector.raw(request.as_bytes()).await
}

/// What is kept of one, read back.
async fn kept(collector: &Collector, request: Vec<u8>) -> Value {
    let reply = send(collector, request).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    collector
        .original(reply.json()["id"].as_i64().unwrap())
        .await
}

fn assert_shown(found: &Value, expected: &Value) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&found[key], value, "{key}");
    }
}

/// What both clients send of one machine.
async fn both_are_understood(store: Store) {
    let Some(collector) = Collector::start(store, json!({})).await else {
        return;
    };
    let payload = "hello\nLC_ALL: C.UTF-8\nuptime: 46240\n\n";
    let class = "org.example/test/thing";
    let common = json!({
        "classification": class, "severity": 2, "build": "12", "system_name": "debian",
        "arch": "x86_64", "kernel_version": "6.18.44-fc-v669", "payload": payload,
        "payload_version": 1, "record_format_version": 4, "external": false,
    });
    for (machine, whole, cut) in [
        (PLAIN, "AMD EPYC", "AMD"),
        (SERVER, "Intel(R) Xeon(R) Processor", "Intel(R)"),
    ] {
        let event = event_id();
        let found = kept(&collector, v2(&machine, (class, &event, payload))).await;
        assert_shown(&found, &common);
        assert_shown(
            &found,
            &json!({
                "event_id": event, "cpu_model": whole, "machine_type": machine.host_type,
                "board_name": machine.board_name, "bios_version": machine.bios_version,
                "machine_id": "c588b962e95d5f3aa46ab0d644e7f57e", "ts_capture": "2026-11-21 17:10:52 UTC",
            }),
        );
        let event = event_id();
        let found = kept(&collector, v3(&machine, (class, &event, payload))).await;
        assert_shown(&found, &common);
        assert_shown(
            &found,
            &json!({
                "event_id": event, "cpu_model": cut,
                "machine_type": machine.host_type.split(' ').next().unwrap(),
                "machine_id": "277b67c5da1800e842d6e99639069c22", "ts_capture": "2026-11-21 17:10:54 UTC",
            }),
        );
    }
    collector.remove().await;
}

#[tokio::test]
async fn both_clients_are_understood_on_sqlite() {
    both_are_understood(Store::Sqlite).await;
}

#[tokio::test]
async fn both_clients_are_understood_on_postgresql() {
    both_are_understood(Store::Postgres).await;
}

/// Payloads at the edges of what the client takes.
#[tokio::test]
async fn payloads_are_kept_as_they_are() {
    let collector = Collector::start_small(json!({})).await;
    let longest = "x".repeat(8_187) + "\n";
    for payload in [
        "\n",
        "tab\there \"q\" back\\slash ff\u{c}vt\u{b} cr\r end\n",
        &longest,
    ] {
        for request in [v2, v3] {
            let request = request(&PLAIN, ("org.example/esc/x", &event_id(), payload));
            assert_eq!(kept(&collector, request).await["payload"], payload);
        }
    }
}

/// What the clients send wrong does not hold up what is behind it in their spools.
#[tokio::test]
async fn what_clients_send_wrong_is_put_aside() {
    let collector = Collector::start_small(json!({})).await;
    let class = "org.example/sp ace/x:y";
    let spaced = v2(&PLAIN, (class, &event_id(), "a\n"));
    assert_eq!(kept(&collector, spaced).await["classification"], class);
    // It has lost its end on the way.
    let cut = v3(&PLAIN, (class, &event_id(), "a\n"));
    // A machine that does not say what its processor is.
    let nameless = Machine {
        cpu_model: "",
        ..PLAIN
    };
    let nameless = v2(&nameless, ("org.example/emptycpu/x", &event_id(), "a\n"));
    for (request, reason, message) in [
        (cut, "classification", "Classification value is invalid"),
        (
            nameless,
            "missing_field",
            "Record-Format-Version headers are invalid, Cpu-Model missing",
        ),
    ] {
        let reply = send(&collector, request).await;
        assert_eq!(
            (reply.status, reply.header("landline-outcome").as_str()),
            (201, "quarantined")
        );
        let found = collector
            .quarantined(reply.json()["id"].as_i64().unwrap())
            .await;
        assert_eq!(
            (&found["reason"], &found["message"]),
            (&json!(reason), &json!(message))
        );
    }
}

/// The same crash by either client is in one group, whatever path its source had; its heartbeat counts.
#[tokio::test]
async fn clients_meet_in_groups_and_in_the_population() {
    let collector = Collector::start_small(json!({})).await;
    let crash = "Process: /usr/bin/crashme\nPID: 23677\nSignal: 11\n\nBacktrace (TID 23677):\n\
         #0 inner() - [/tmp/work/crash/crashme] - /tmp/work/crash/crashme.c:6\n\
         #1 outer() - [/tmp/work/crash/crashme] - /tmp/work/crash/crashme.c:12\n\
         #2 main() - [/tmp/work/crash/crashme] - /tmp/work/crash/crashme.c:18\n\
         #3 __libc_start_call_main() - [libc.so.6] - ../sysdeps/nptl/libc_start_call_main.h:58\n\
         #4 __libc_start_main@@GLIBC_2.34() - [libc.so.6] - ../csu/libc-start.c:360\n\
         #5 _start() - [/tmp/work/crash/crashme]\n\n";
    for request in [v2, v3] {
        let crash = request(&PLAIN, ("org.clearlinux/crash/clr", &event_id(), crash));
        kept(&collector, crash).await;
        let ping = request(
            &PLAIN,
            ("org.clearlinux/heartbeat/ping", &event_id(), "hello\n\n"),
        );
        kept(&collector, ping).await;
    }
    let list = collector.json("/v1/records/groups").await;
    assert_eq!(list["groups"].as_array().map(Vec::len), Some(1), "{list}");
    let group = &list["groups"][0];
    assert_eq!(
        (&group["total"], &group["machines"], &group["function"]),
        (&json!(2), &json!(2), &json!("inner()"))
    );
    let population = collector.json("/v1/records/population").await;
    let builds = json!([{"build": "12", "internal": 2, "external": 0, "crashed": 2}]);
    assert_eq!(population["windows"][4]["builds"], builds);
}
