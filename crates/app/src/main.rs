//! The program `landline`: reads the command line and hands over to the command.

mod admin;
mod boot;
mod cli;
mod cluster;
mod commands;
mod config;
mod environment;
mod people;
mod pushprox;
mod report;
mod roles;
mod web;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
