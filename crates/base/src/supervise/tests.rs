//! The supervisor: services, restarts, tasks, and the phases of the exit.
