//! Sees and tells. So far: the gateway to metrics behind a login.

pub mod fuzz;
pub mod gateway;
