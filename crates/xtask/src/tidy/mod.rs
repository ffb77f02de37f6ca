//! tidy
use crate::failure::{Failure, Outcome};
/// run
pub(crate) fn run(_: &[String]) -> Result<Outcome, Failure> {
    Ok(Outcome::done(""))
}
