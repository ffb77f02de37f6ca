//! The program `landline`: reads the command line and hands over to the command.

mod admin;
mod askers;
mod boot;
mod cli;
mod cluster;
mod collector;
mod commands;
mod config;
mod door;
mod environment;
mod interface;
mod link;
mod login;
mod monitor;
mod operations;
mod pages;
mod people;
mod pushprox;
mod report;
mod roles;
mod seen;
mod web;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
