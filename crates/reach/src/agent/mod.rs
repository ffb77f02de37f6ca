//! agent
/// x
#[derive(Debug)]
pub struct Announcement;
