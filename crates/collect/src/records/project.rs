//! The projects of this collector, with their numbers in the state.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::Row as _;
use state::{State, StateError};

use super::config::ProjectConfig;
use super::throttle::Throttle;

/// A project that records are taken for.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) id: i64,
    pub(crate) config: ProjectConfig,
    pub(crate) throttle: Option<Throttle>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Projects {
    by_tid: HashMap<String, Arc<Project>>,
}

impl Projects {
    /// Gives new ones their numbers, and known ones the names that they have now.
    pub(crate) async fn open(state: &State, configs: &[ProjectConfig]) -> Result<Self, StateError> {
        let mut by_tid = HashMap::new();
        let mut write = state.write().await?;
        for config in configs {
            let sql = "INSERT INTO record_projects (tid, name) VALUES ($1, $2) \
                 ON CONFLICT (tid) DO UPDATE SET name = excluded.name RETURNING id";
            let row = sqlx::query(sql)
                .bind(config.tid.as_str())
                .bind(config.name.as_str())
                .fetch_one(&mut write)
                .await?;
            let project = Project {
                id: row.try_get(0)?,
                throttle: config.rate.map(Throttle::new),
                config: config.clone(),
            };
            by_tid.insert(config.tid.clone(), Arc::new(project));
        }
        write.commit().await?;
        Ok(Self { by_tid })
    }

    /// The one whose clients send this id, exactly.
    pub(crate) fn by_tid(&self, tid: &str) -> Option<&Arc<Project>> {
        self.by_tid.get(tid)
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Project>> {
        self.by_tid.values()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.by_tid.len()
    }

    /// The name of one by its number; those that the configuration no longer names have none.
    pub(crate) fn name(&self, id: i64) -> Option<&str> {
        let project = self.all().find(|project| project.id == id)?;
        Some(&project.config.name)
    }
}
