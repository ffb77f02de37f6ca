//! The whole program is built, and every path that it serves is one that we know and have judged.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// Every path of every listener, and who may use it. A new one is written down here on purpose:
/// `public` says nothing that needs protection or asks for its own proof (a join token, a key), `local` is loopback only, `granted` is loopback or
/// whom the configuration lets in, `own` asks for its proof itself: a token (also in the form of a
/// proxy's), a session or a link. `tokens:create` and its like is for users whose roles allow that,
/// and the administrator of this machine; `local, records:read` for these and for programs of this
/// machine; `anybody` for everyone who is known; `artefacts` for these, users of the configuration,
/// signatures of S3, and programs of this machine.
const ROUTES: [RouteRow; 192] = [
    ["gateway.listener", "GET", "/clients", "granted"],
    ["gateway.listener", "GET", "/health", "granted"],
    ["gateway.listener", "GET", "/health/", "granted"],
    ["gateway.listener", "GET", "/healthz", "public"],
    ["gateway.listener", "GET", "/metrics", "granted"],
    ["gateway.listener", "GET", "/metrics/{name}", "granted"],
    ["gateway.listener", "GET", "/readyz", "public"],
    ["gateway.listener", "GET", "/v1/gateway/sd", "granted"],
    ["gateway.listener", "GET", "/v1/gateway/targets", "granted"],
    ["gateway.listener", "POST", "/poll", "own"],
    ["gateway.listener", "POST", "/push", "own"],
    ["gateway.listener", "PROXY", "http://<name>/metrics", "own"],
    ["main.listener", "ANY", "/apps/{*path}", "own"],
    ["main.listener", "ANY", "/artefacts", "artefacts"],
    ["main.listener", "ANY", "/artefacts/", "artefacts"],
    ["main.listener", "ANY", "/artefacts/{*key}", "artefacts"],
    [
        "main.listener",
        "ANY",
        "/metrics/job/{*group}",
        "local, metrics:create",
    ],
    [
        "main.listener",
        "ANY",
        "/metrics/job@base64/{*group}",
        "local, metrics:create",
    ],
    [
        "main.listener",
        "DELETE",
        "/v1/artefacts/groups/{group}",
        "artefacts",
    ],
    [
        "main.listener",
        "DELETE",
        "/v1/artefacts/runs/{group}/{run}",
        "artefacts",
    ],
    [
        "main.listener",
        "DELETE",
        "/v1/locks/{id}",
        "cluster:update",
    ],
    [
        "main.listener",
        "DELETE",
        "/v1/nodes/{name}",
        "nodes:delete",
    ],
    [
        "main.listener",
        "DELETE",
        "/v1/records/quarantine/{id}",
        "records:update",
    ],
    [
        "main.listener",
        "DELETE",
        "/v1/roles/{name}",
        "cluster:update",
    ],
    [
        "main.listener",
        "DELETE",
        "/v1/tokens/{id}",
        "tokens:delete",
    ],
    [
        "main.listener",
        "DELETE",
        "/v1/users/{name}",
        "users:delete",
    ],
    [
        "main.listener",
        "DELETE",
        "/v1/users/{name}/second-factor",
        "users:update",
    ],
    ["main.listener", "GET", "/", "own"],
    ["main.listener", "GET", "/-/healthy", "public"],
    ["main.listener", "GET", "/-/ready", "public"],
    ["main.listener", "GET", "/.well-known/jwks.json", "public"],
    [
        "main.listener",
        "GET",
        "/api/records",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/alertmanagers",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/alerts",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/format_query",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/label/{name}/values",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/labels",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/metadata",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/parse_query",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/query",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/query_exemplars",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/query_range",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/rules",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/scrape_pools",
        "local, metrics:read of all",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/series",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/status/buildinfo",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/status/config",
        "local, metrics:read of all",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/status/flags",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/status/runtimeinfo",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/status/tsdb",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/status/walreplay",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/targets",
        "local, metrics:read of all",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/targets/metadata",
        "local, metrics:read of all",
    ],
    [
        "main.listener",
        "GET",
        "/api/v1/targets/relabel_steps",
        "local, metrics:read of all",
    ],
    ["main.listener", "GET", "/clients", "granted"],
    ["main.listener", "GET", "/download", "artefacts"],
    ["main.listener", "GET", "/download-url/{*path}", "artefacts"],
    ["main.listener", "GET", "/download/", "artefacts"],
    ["main.listener", "GET", "/download/{*path}", "artefacts"],
    ["main.listener", "GET", "/explore", "public"],
    ["main.listener", "GET", "/federate", "local, metrics:read"],
    ["main.listener", "GET", "/files", "artefacts"],
    ["main.listener", "GET", "/files/", "artefacts"],
    ["main.listener", "GET", "/files/{*path}", "artefacts"],
    ["main.listener", "GET", "/graph", "public"],
    ["main.listener", "GET", "/health", "granted"],
    ["main.listener", "GET", "/health/", "granted"],
    ["main.listener", "GET", "/healthz", "public"],
    ["main.listener", "GET", "/landline.css", "public"],
    ["main.listener", "GET", "/launch/{app}", "own"],
    ["main.listener", "GET", "/login", "own"],
    ["main.listener", "GET", "/metrics", "granted"],
    ["main.listener", "GET", "/metrics/{name}", "granted"],
    ["main.listener", "GET", "/navigate", "artefacts"],
    ["main.listener", "GET", "/navigate/", "artefacts"],
    ["main.listener", "GET", "/navigate/{*path}", "artefacts"],
    ["main.listener", "GET", "/presigned-url", "artefacts"],
    ["main.listener", "GET", "/query", "public"],
    ["main.listener", "GET", "/readyz", "public"],
    ["main.listener", "GET", "/runs", "public"],
    ["main.listener", "GET", "/runs/", "public"],
    ["main.listener", "GET", "/runs/{*path}", "public"],
    ["main.listener", "GET", "/second-factor", "own"],
    ["main.listener", "GET", "/targets", "public"],
    ["main.listener", "GET", "/telemetryui", "public"],
    ["main.listener", "GET", "/telemetryui/", "public"],
    [
        "main.listener",
        "GET",
        "/telemetryui/records/export/{file}",
        "local, records:read",
    ],
    ["main.listener", "GET", "/telemetryui/{*path}", "public"],
    ["main.listener", "GET", "/ui/{*name}", "public"],
    ["main.listener", "GET", "/v1/api-tokens", "tokens:read"],
    ["main.listener", "GET", "/v1/apps", "apps:read"],
    ["main.listener", "GET", "/v1/artefacts/clients", "artefacts"],
    ["main.listener", "GET", "/v1/artefacts/compare", "artefacts"],
    ["main.listener", "GET", "/v1/artefacts/groups", "artefacts"],
    [
        "main.listener",
        "GET",
        "/v1/artefacts/groups/{group}",
        "artefacts",
    ],
    [
        "main.listener",
        "GET",
        "/v1/artefacts/groups/{group}/recovery",
        "artefacts",
    ],
    ["main.listener", "GET", "/v1/artefacts/runs", "artefacts"],
    [
        "main.listener",
        "GET",
        "/v1/artefacts/runs/{group}/{run}",
        "artefacts",
    ],
    [
        "main.listener",
        "GET",
        "/v1/artefacts/runs/{group}/{run}/files",
        "artefacts",
    ],
    [
        "main.listener",
        "GET",
        "/v1/artefacts/runs/{group}/{run}/look",
        "artefacts",
    ],
    [
        "main.listener",
        "GET",
        "/v1/artefacts/runs/{group}/{run}/telemetry",
        "artefacts",
    ],
    [
        "main.listener",
        "GET",
        "/v1/artefacts/runs/{group}/{run}/versions",
        "artefacts",
    ],
    ["main.listener", "GET", "/v1/audit", "audit:read"],
    ["main.listener", "GET", "/v1/authorities", "cluster:read"],
    ["main.listener", "GET", "/v1/ca.pem", "public"],
    ["main.listener", "GET", "/v1/gateway/sd", "granted"],
    ["main.listener", "GET", "/v1/gateway/targets", "granted"],
    [
        "main.listener",
        "GET",
        "/v1/host/metrics",
        "local, metrics:read of all",
    ],
    ["main.listener", "GET", "/v1/line", "public"],
    ["main.listener", "GET", "/v1/locks", "cluster:read"],
    ["main.listener", "GET", "/v1/me", "anybody"],
    ["main.listener", "GET", "/v1/nodes", "nodes:read"],
    ["main.listener", "GET", "/v1/proxies", "cluster:read"],
    ["main.listener", "GET", "/v1/records", "local, records:read"],
    [
        "main.listener",
        "GET",
        "/v1/records/choices",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/counts",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/crash-free",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/export",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/groups",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/groups/{id}",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/groups/{id}/backtraces",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/groups/{id}/machines",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/imports",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/imports/{id}",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/machine-checks",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/machines",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/population",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/quarantine",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/quarantine/{id}",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/regroup",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/retention",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/skipped-frames",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/tail",
        "local, records:read",
    ],
    [
        "main.listener",
        "GET",
        "/v1/records/{id}",
        "local, records:read",
    ],
    ["main.listener", "GET", "/v1/roles", "cluster:read"],
    ["main.listener", "GET", "/v1/tokens", "tokens:read"],
    ["main.listener", "GET", "/v1/users", "users:read"],
    ["main.listener", "GET", "/v2/collector", "public"],
    ["main.listener", "GET", "/v3/collector", "public"],
    ["main.listener", "GET", "/welcome/{secret}", "own"],
    ["main.listener", "HOST", "<app>.<public_addr>", "own"],
    [
        "main.listener",
        "PATCH",
        "/v1/artefacts/groups/{group}",
        "artefacts",
    ],
    [
        "main.listener",
        "PATCH",
        "/v1/artefacts/runs/{group}/{run}",
        "artefacts",
    ],
    ["main.listener", "POST", "/", "public"],
    ["main.listener", "POST", "/-/reload", "local"],
    [
        "main.listener",
        "POST",
        "/api/v1/admin/tsdb/clean_tombstones",
        "metrics:delete",
    ],
    [
        "main.listener",
        "POST",
        "/api/v1/admin/tsdb/delete_series",
        "metrics:delete",
    ],
    [
        "main.listener",
        "POST",
        "/api/v1/format_query",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "POST",
        "/api/v1/labels",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "POST",
        "/api/v1/otlp/v1/metrics",
        "local, metrics:create",
    ],
    [
        "main.listener",
        "POST",
        "/api/v1/parse_query",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "POST",
        "/api/v1/query",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "POST",
        "/api/v1/query_exemplars",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "POST",
        "/api/v1/query_range",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "POST",
        "/api/v1/read",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "POST",
        "/api/v1/series",
        "local, metrics:read",
    ],
    [
        "main.listener",
        "POST",
        "/api/v1/write",
        "local, metrics:create",
    ],
    ["main.listener", "POST", "/login", "own"],
    ["main.listener", "POST", "/logout", "own"],
    ["main.listener", "POST", "/poll", "own"],
    ["main.listener", "POST", "/push", "own"],
    ["main.listener", "POST", "/second-factor", "own"],
    ["main.listener", "POST", "/second-factor/confirm", "own"],
    ["main.listener", "POST", "/telemetry", "artefacts"],
    ["main.listener", "POST", "/v1/api-tokens", "tokens:create"],
    ["main.listener", "POST", "/v1/apps/{app}/connect", "own"],
    [
        "main.listener",
        "POST",
        "/v1/authorities/{kind}/rotate",
        "cluster:update",
    ],
    ["main.listener", "POST", "/v1/join", "public"],
    ["main.listener", "POST", "/v1/locks", "cluster:update"],
    ["main.listener", "POST", "/v1/login", "public"],
    ["main.listener", "POST", "/v1/logout", "anybody"],
    [
        "main.listener",
        "POST",
        "/v1/records/groups/{id}",
        "records:update",
    ],
    [
        "main.listener",
        "POST",
        "/v1/records/groups/{id}/merge",
        "records:update",
    ],
    [
        "main.listener",
        "POST",
        "/v1/records/groups/{id}/split",
        "records:update",
    ],
    [
        "main.listener",
        "POST",
        "/v1/records/imports",
        "records:update",
    ],
    [
        "main.listener",
        "POST",
        "/v1/records/imports/{id}/abandon",
        "records:update",
    ],
    [
        "main.listener",
        "POST",
        "/v1/records/imports/{id}/batches",
        "records:update",
    ],
    [
        "main.listener",
        "POST",
        "/v1/records/imports/{id}/finish",
        "records:update",
    ],
    [
        "main.listener",
        "POST",
        "/v1/records/imports/{id}/notes",
        "records:update",
    ],
    [
        "main.listener",
        "POST",
        "/v1/records/quarantine/{id}/release",
        "records:update",
    ],
    [
        "main.listener",
        "POST",
        "/v1/records/skipped-frames",
        "records:update",
    ],
    ["main.listener", "POST", "/v1/renew", "public"],
    ["main.listener", "POST", "/v1/roles", "cluster:update"],
    ["main.listener", "POST", "/v1/tokens", "tokens:create"],
    ["main.listener", "POST", "/v1/users", "users:create"],
    [
        "main.listener",
        "POST",
        "/v1/users/{name}/invitation",
        "users:update",
    ],
    ["main.listener", "POST", "/v2/collector", "public"],
    ["main.listener", "POST", "/v3/collector", "public"],
    ["main.listener", "POST", "/welcome", "own"],
    ["main.listener", "PROXY", "http://<name>/metrics", "own"],
    [
        "main.listener",
        "PUT",
        "/api/v1/admin/tsdb/clean_tombstones",
        "metrics:delete",
    ],
    [
        "main.listener",
        "PUT",
        "/api/v1/admin/tsdb/delete_series",
        "metrics:delete",
    ],
];

fn environment(folder: &Path) -> Environment {
    Environment {
        variables: BTreeMap::new(),
        program: "landline".into(),
        arguments: Vec::new(),
        folder: folder.to_owned(),
    }
}

#[tokio::test]
async fn every_route_is_known_with_its_policy() {
    let folder = tempfile::tempdir().expect("folder");
    let text = "listen: 127.0.0.1:0\ngateway: {listen: \"127.0.0.1:0\", pushprox: true}\n";
    std::fs::write(folder.path().join(config::DEFAULT_FILE), text).expect("written");
    let environment = environment(folder.path());
    let loaded = config::load(None, folder.path(), &environment.variables);
    let config = loaded.config.clone().expect("valid");
    let inherited = handover::inherit(&environment.handover()).expect("nothing inherited");
    let start = Start {
        config: &config,
        loaded: &loaded,
        environment: &environment,
        started: clock::now(),
    };
    let program = build(&start, inherited).await.expect("built");
    let mut rows = program.routes;
    rows.sort_unstable();
    assert_eq!(rows, ROUTES);
}

/// What the description of our own API says about records and artefacts is what there is, method by
/// method.
#[test]
fn the_description_has_every_path() {
    let text = include_str!("../../../../docs/api/openapi.yaml");
    let mut described = Vec::new();
    let mut path = "";
    for line in text.lines() {
        if let Some(found) = line.strip_prefix("  ").filter(|rest| rest.starts_with('/')) {
            path = found.trim_end_matches(':');
        } else if let Some(method) = line.strip_prefix("    ") {
            let method = method.trim_end_matches(':');
            if matches!(method, "get" | "post" | "patch" | "delete") {
                described.push((path.to_owned(), method.to_uppercase()));
            }
        }
    }
    let is_described =
        |path: &str| path.starts_with("/v1/records") || path.starts_with("/v1/artefacts");
    let is_ours = |row: &&RouteRow| row[0] == "main.listener" && is_described(row[2]);
    let mut served: Vec<(String, String)> = ROUTES
        .iter()
        .filter(is_ours)
        .map(|row| (row[2].to_owned(), row[1].to_owned()))
        .collect();
    described.retain(|(path, _)| is_described(path));
    described.sort();
    served.sort();
    assert_eq!(described, served);
}
