//! The locks the model-checked files use. The model test compiles those files against another
//! module of this name, so nothing but plain re-exports may stand here.

pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
