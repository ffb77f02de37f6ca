//! Tests of `exposition`.
