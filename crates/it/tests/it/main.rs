//! End-to-end tests: the real program, real peers, real sockets. One module per subject.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests spawn their load, read clocks, and fail by panic"
)]

mod artefacts_attempts;
mod artefacts_bucket;
mod artefacts_clients;
mod artefacts_commands;
mod artefacts_copies;
mod artefacts_durability;
mod artefacts_groups;
mod artefacts_hidden;
mod artefacts_look;
mod artefacts_rights;
mod artefacts_runs;
mod artefacts_s3;
mod artefacts_search;
mod artefacts_tools;
mod artefacts_vectors;
mod auth;
mod bench;
mod browser;
mod cli;
mod collector_clients;
mod gateway_hostile;
mod gateway_login;
mod gateway_mysql;
mod gateway_prometheus;
mod gateway_pushprox;
mod gateway_schemes;
mod gateway_sources;
mod gateway_tls;
mod gateway_whatsapp;
mod harness;
mod locks;
mod monitor;
mod monitor_bucket;
mod monitor_differential;
mod monitor_durability;
mod monitor_parsing;
mod monitor_prometheus;
mod monitor_promqltest;
mod monitor_remote;
mod monitor_vmagent;
mod node;
mod node_egress;
mod node_example;
mod node_metrics;
mod node_states;
mod process;
mod process_replacement;
mod proxy;
mod proxy_apps;
mod proxy_faults;
mod proxy_listeners;
mod proxy_peering;
mod proxy_replaced;
mod proxy_several;
mod proxy_several_apps;
mod records_api;
mod records_commands;
mod records_description;
mod records_durability;
mod records_export;
mod records_fleet;
mod records_groups;
mod records_http;
mod records_import;
mod records_limits;
mod records_list;
mod records_machines;
mod records_odd;
mod records_postgres;
mod records_refused;
mod records_replayed;
mod records_retention;
mod records_rights;
mod records_rules;
mod records_several;
mod records_tail;
mod records_vectors;
mod relay;
mod removing;
mod rights;
mod rotation;
mod sign_in;
mod sign_in_apps;
mod sign_in_commands;
mod store_commands;
mod store_parquet;
mod store_prometheus;
mod strangers;
mod stubs;
