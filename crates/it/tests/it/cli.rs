//! The command line: checks that tell everything at once, output for scripts, secrets masked.

use it::configuration;
use it::program::{Launch, Program, code, command_in};
use it::wait::SOON;
use serde_json::{Value, json};

use crate::process::{EXIT_CONFIGURATION, pages, shop};

/// Every line that is wrong, with what its report must contain.
const PROBLEMS: &str = "\
roles: [gateway, gatway]
listenn: 127.0.0.1:0
gateway:
  listen: nowhere
  targets:
    - name: a/b
      url: https://shop.example.net/metrics
      auth: {kind: basic, usernam: x, password: hunter2}
    - name: shop
      url: https://shop.example.net/metrics
      auth: {kind: nonsense}
    - name: shop2
      url: ftp://shop.example.net/metrics
      limits: {timeout: soon}
";

/// Line, and a word of the key path or the value, of each problem above.
const EXPECTED: [(u64, &str); 8] = [
    (1, "gatway"),
    (2, "listenn"),
    (4, "gateway.listen"),
    (6, "gateway.targets[0].name"),
    (8, "gateway.targets[0].auth"),
    (11, "gateway.targets[1].auth"),
    (13, "gateway.targets[2].url"),
    (14, "gateway.targets[2].limits.timeout"),
];

/// How many mutated configurations the program is asked about.
const MUTATED: usize = 200;

/// Standard output and standard error as one text.
fn text(output: &std::process::Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Standard output as JSON.
fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", text(output)))
}

/// Runs `config check` on this text.
fn check(configuration: &str, more: &[&str]) -> std::process::Output {
    let launch = Launch::new(configuration);
    let arguments = [&["config", "check", "--config", "landline.yaml"], more].concat();
    command_in(launch.directory.path(), &arguments)
}

/// All problems at once, each with its line and key path.
#[test]
fn every_problem_is_told_at_once() {
    let output = check(PROBLEMS, &[]);
    let shown = text(&output);
    assert_eq!(code(output.status), EXIT_CONFIGURATION, "{shown}");
    for (line, words) in EXPECTED {
        assert!(
            shown.contains(words),
            "line {line}: no {words:?} in\n{shown}"
        );
        let digits = |text: &str| {
            text.split(|c: char| !c.is_ascii_digit())
                .any(|w| w == line.to_string())
        };
        assert!(shown.lines().any(digits), "no line {line} in\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "colours without a terminal");
}

/// The same for scripts.
#[test]
fn problems_are_told_to_scripts() {
    let output = check(PROBLEMS, &["--json"]);
    assert_eq!(code(output.status), EXIT_CONFIGURATION);
    let report = json(&output);
    let problems = report["problems"].as_array().unwrap();
    for (line, words) in EXPECTED {
        let is_told =
            |problem: &&Value| problem["line"] == line && problem.to_string().contains(words);
        assert!(
            problems.iter().any(|problem| is_told(&problem)),
            "{line} {words}: {report}"
        );
    }
}

/// A text that is not YAML is a problem with a line, not a crash.
#[test]
fn what_is_not_yaml_is_told() {
    for broken in [
        "roles: [gateway\ngateway: {",
        "\tx: 1\n",
        "- a\n- b\n",
        "a: &a [*a]\n",
        "roles: {a: 1, a: 2}\n",
    ] {
        let output = check(broken, &[]);
        assert_eq!(
            code(output.status),
            EXIT_CONFIGURATION,
            "{broken:?}: {}",
            text(&output)
        );
    }
}

/// Whatever a configuration is, checking it ends with an answer: no panic, no end without a word.
#[test]
fn mutated_configurations_are_judged() {
    let directory = tempfile::tempdir().unwrap();
    for input in it::fuzz::inputs(&configuration::all_examples(), 7, MUTATED) {
        std::fs::write(directory.path().join("landline.yaml"), &input).unwrap();
        let begun = std::time::Instant::now();
        let arguments = ["config", "check", "--config", "landline.yaml"];
        let output = command_in(directory.path(), &arguments);
        let shown = text(&output);
        let is_judged = [0, EXIT_CONFIGURATION].contains(&code(output.status));
        let is_well = is_judged && begun.elapsed() < SOON;
        assert!(is_well, "{shown}\n{}", String::from_utf8_lossy(&input));
    }
}

/// The effective configuration shows defaults and never a secret.
#[test]
fn a_good_configuration_is_shown_with_secrets_masked() {
    let good = "roles: [gateway]\ngateway:\n  targets:\n    - name: shop\n      \
                url: https://shop.example.net/metrics?key=hunter3\n      \
                auth: {kind: basic, username: scraper, password: hunter2}\n  sources:\n    \
                - {kind: mysql, url: \"mysql://u:hunter4@db.example.net/x\", profile: whatsapp, \
                base_url: \"https://{number}.example.net\"}\n";
    for more in [&[][..], &["--json"]] {
        let output = check(good, more);
        let shown = text(&output);
        assert_eq!(code(output.status), 0, "{shown}");
        assert!(
            shown.contains("scraper") && shown.contains("30s"),
            "{shown}"
        );
        assert!(
            ["hunter2", "hunter3", "hunter4"]
                .iter()
                .all(|secret| !shown.contains(secret)),
            "{shown}"
        );
    }
    assert!(json(&check(good, &["--json"])).is_object());
}

/// The configuration of the issue, word for word, and every documented example.
#[test]
fn documented_configurations_are_valid() {
    let issue = include_str!("../testdata/issue.yaml");
    let output = check(issue, &[]);
    assert_eq!(code(output.status), 0, "{}", text(&output));
    let mut names = 0;
    for entry in std::fs::read_dir(configuration::examples()).unwrap() {
        let path = entry.unwrap().path();
        let example = std::fs::read_to_string(&path).unwrap();
        let output = check(&example, &[]);
        assert_eq!(
            code(output.status),
            0,
            "{}: {}",
            path.display(),
            text(&output)
        );
        names += 1;
    }
    assert!(names >= 13, "{names} examples");
}

/// Who the program is.
#[test]
fn version_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let output = command_in(directory.path(), &["version"]);
    assert!(
        output.status.success() && text(&output).contains("landline"),
        "{}",
        text(&output)
    );
    let output = command_in(directory.path(), &["version", "--json"]);
    let version = json(&output)["version"].as_str().unwrap().to_owned();
    assert_eq!(version.split('.').count(), 3, "{version}");
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        0,
        "leaves nothing"
    );
}

/// What a running program is doing, and that none is running.
#[tokio::test]
async fn status_is_told() {
    let pages = pages().await;
    let program = Program::start(&shop(&pages)).await;
    let output = program.command(&["status", "--json", "--config", "landline.yaml"]);
    assert!(output.status.success(), "{}", text(&output));
    let status = json(&output);
    assert_eq!(
        (&status["pid"], &status["status"]),
        (&program.pid().into(), &"ok".into())
    );
    let output = program.command(&["status", "--config", "landline.yaml"]);
    assert!(
        output.status.success() && text(&output).contains("gateway"),
        "{}",
        text(&output)
    );

    let launch = Launch::new(&shop(&pages));
    let arguments = ["status", "--json", "--config", "landline.yaml"];
    let output = command_in(launch.directory.path(), &arguments);
    assert!(!output.status.success(), "{}", text(&output));
}

/// A configuration with problems still tells where the running process is; who finds nothing says
/// where they looked.
#[tokio::test]
async fn a_broken_configuration_still_leads_to_the_process() {
    let pages = pages().await;
    let good = shop(&pages);
    let program = Program::start(&good).await;
    let broken = good.replacen("\"roles\"", "\"data_dirr\": 1, \"roles\"", 1);
    program.write("landline.yaml", &broken);
    let output = program.command(&["status", "--config", "landline.yaml"]);
    assert!(output.status.success(), "{}", text(&output));
    let output = program.command(&["reload", "--config", "landline.yaml"]);
    let shown = text(&output);
    assert!(
        !output.status.success() && shown.contains("unknown key `data_dirr`"),
        "{shown}"
    );
    let data = program.path("data").display().to_string();
    let default = program.path("landline-data").display().to_string();
    let elsewhere = good.replacen("./data", "./elsewhere", 1);
    for (configuration, place, how) in [
        (
            elsewhere.as_str(),
            data.replace("data", "elsewhere"),
            "`data_dir`",
        ),
        ("roles: [gateway\n", default, "config check"),
    ] {
        program.write("landline.yaml", configuration);
        for command in ["status", "reload"] {
            let output = program.command(&[command, "--config", "landline.yaml"]);
            let shown = text(&output).replace("/./", "/");
            let says = shown.contains(&place) && shown.contains(how);
            assert!(!output.status.success() && says, "{command}: {shown}");
        }
    }
}

/// `config check` and `start` agree about a token that isn't there.
#[tokio::test]
async fn a_missing_token_is_judged_alike() {
    let check = |launch: &Launch| {
        let arguments = ["config", "check", "--config", "landline.yaml"];
        command_in(launch.directory.path(), &arguments)
    };
    for (top, section) in [
        (json!({"metrics": {"token": {"file": "absent"}}}), json!({})),
        (
            json!({}),
            json!({"access": {"tokens": [{"file": "absent"}]}}),
        ),
        (
            json!({}),
            json!({"access": {"tokens": [{"env": "ABSENT"}]}}),
        ),
    ] {
        let launch = Launch::new(&configuration::with(top.clone(), section.clone()));
        let output = check(&launch);
        let shown = text(&output);
        assert_eq!(code(output.status), EXIT_CONFIGURATION, "{shown}");
        assert!(shown.contains("put the secret there"), "{shown}");
        let mut program = launch.spawn();
        assert_eq!(program.wait_exit(SOON).await, EXIT_CONFIGURATION);
    }
    let token = json!({"metrics": {"token": {"file": "data/metrics.token"}}});
    let launch = Launch::new(&configuration::with(token, json!({})));
    let output = check(&launch);
    let shown = text(&output);
    assert!(
        output.status.success() && !shown.contains("warning"),
        "{shown}"
    );
    let program = launch.start().await;
    let token = std::fs::read_to_string(program.path("data/metrics.token")).unwrap();
    assert_eq!(token.len(), 64);
    assert_eq!(program.main("GET", "/metrics").await.status, 401);
}

/// Completions for the usual shells, and the manual.
#[test]
fn completions_and_manual_are_printed() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = command_in(directory.path(), &["completions", shell]);
        assert!(output.status.success(), "{shell}: {}", text(&output));
        assert!(
            text(&output).contains("config"),
            "{shell}: {}",
            text(&output)
        );
    }
    let output = command_in(directory.path(), &["manual"]);
    assert!(
        output.status.success() && text(&output).contains(".TH"),
        "{}",
        text(&output)
    );
}

/// A wrong command is told with the usage and its own code (`EX_USAGE`).
#[test]
fn a_wrong_command_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let output = command_in(directory.path(), &["statrt"]);
    assert_eq!(code(output.status), 64, "{}", text(&output));
    assert!(
        text(&output).contains("start"),
        "suggests the right word: {}",
        text(&output)
    );
}
