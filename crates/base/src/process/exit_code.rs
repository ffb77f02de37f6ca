//! The exit codes of the program, in one table. Services never choose one themselves.

/// The process was asked to end and did.
pub const CLEAN: u8 = 0;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// A critical service failed after the process had become ready.
pub const FAILED: u8 = 70;
/// The process did not become ready: something failed before, or took too long. A supervisor may
/// try again.
pub const NOT_READY: u8 = 75;
/// The configuration is wrong; trying again is of no use.
pub const CONFIGURATION: u8 = 78;
