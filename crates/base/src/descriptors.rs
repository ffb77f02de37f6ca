//! How many descriptors this process may have: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many as the system allows. What it gives by default is often 1,024, for programs that
/// can't count further; ours can. Says how many there are now.
pub fn raise_limit() -> u64 {
    let given = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: given.maximum,
        maximum: given.maximum,
    };
    if given.current != given.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "cannot raise the limit of descriptors");
    }
    limit()
}

/// How many this process may have now.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        let allowed = getrlimit(Resource::Nofile).maximum;
        let few = Rlimit {
            current: Some(512),
            maximum: allowed,
        };
        setrlimit(Resource::Nofile, few).unwrap();
        assert_eq!(limit(), 512);
        let allowed = allowed.unwrap_or(u64::MAX);
        assert_eq!((raise_limit(), limit()), (allowed, allowed));
    }
}
