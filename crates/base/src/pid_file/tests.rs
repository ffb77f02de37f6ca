//! Tests of `pid_file`.
