//! x
pub mod authority;
pub mod credential;
pub mod locks;
pub mod names;
pub mod own_certificate;
mod passwords;
pub mod peer;
pub mod random;
pub mod roles;
pub mod rotation;
pub mod seal;
pub mod ssh_authority;
#[cfg(test)]
mod test_support;
mod totp;
pub mod trust;
