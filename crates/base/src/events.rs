//! Sticky, typed events inside one process: the last value of a topic is kept, publishing never
//! blocks, and every listener sees values in the order they were published. It carries nothing
//! across processes and keeps no history beyond each listener's bounded queue.
//!
//! One lock guards the whole bus. Events are rare (identities, readiness, failures), and one lock
//! is what gives all listeners and all mappings the same order. This file is also compiled by
//! `tests/model` against a model checker's locks, hence `crate::sync`.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many undelivered values one listener may hold before its oldest is dropped.
pub const LISTENER_QUEUE_MAX: usize = 1024;

type Value = std::sync::Arc<dyn Any + Send + Sync>;

/// The name of an event and the type of what it carries.
pub struct Topic<T> {
    name: &'static str,
    carries: PhantomData<fn() -> T>,
}

impl<T> Topic<T> {
    /// A topic; two topics of one name are the same topic and must carry the same type.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            carries: PhantomData,
        }
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> fmt::Debug for Topic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.name).finish()
    }
}

/// What a listener is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery<T> {
    /// The next value, in the order of publishing.
    Value(T),
    /// So many values were dropped because the listener was too slow; newer ones follow.
    Lagged(u64),
}

/// An event that did not happen in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitError {
    /// The topic waited for.
    pub topic: &'static str,
    /// How long it was waited for.
    pub waited: Duration,
    /// For the output of a mapping: the inputs that have not happened.
    pub missing: Vec<&'static str>,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no event {} within {:?}", self.topic, self.waited)?;
        if !self.missing.is_empty() {
            write!(f, "; still missing: {}", self.missing.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for WaitError {}

/// One topic as diagnostics show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    /// The name.
    pub name: &'static str,
    /// How often it was published.
    pub published: u64,
    /// How many listen to it.
    pub listeners: usize,
    /// For the output of a mapping: the inputs that have not happened.
    pub missing: Vec<&'static str>,
}

/// The bus; clones share it.
#[derive(Clone, Default)]
pub struct Bus {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

impl Bus {
    /// An empty bus.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the value as the topic's last one, then hands it to every listener. Never blocks.
    pub fn publish<T: Clone + Send + Sync + 'static>(&self, topic: &Topic<T>, value: T) {
        let mut after = Aftermath::default();
        let kind = {
            let mut state = self.lock();
            let kind = state.slot::<T>(topic.name).kind;
            if kind == TypeId::of::<T>() {
                let value: Value = std::sync::Arc::new(value);
                state.store::<T>(topic.name, &value, &mut after);
                state.fire_mappings(topic.name, &mut after);
            }
            kind
        };
        check_kind::<T>(topic.name, kind);
        after.settle();
    }

    /// The last value, if there was any.
    pub fn latest<T: Clone + Send + Sync + 'static>(&self, topic: &Topic<T>) -> Option<T> {
        let last = self
            .lock()
            .slots
            .get(topic.name)
            .and_then(|slot| slot.last.clone());
        last.and_then(|value| value.downcast_ref::<T>().cloned())
    }

    /// The last value at once, else the first one to come.
    pub async fn wait<T: Clone + Send + Sync + 'static>(&self, topic: &Topic<T>) -> T {
        let mut listener = self.listen(topic);
        loop {
            if let Delivery::Value(value) = listener.next().await {
                return value;
            }
        }
    }

    /// As [`Bus::wait`], up to a limit.
    pub async fn wait_timeout<T: Clone + Send + Sync + 'static>(
        &self,
        topic: &Topic<T>,
        limit: Duration,
    ) -> Result<T, WaitError> {
        tokio::time::timeout(limit, self.wait(topic))
            .await
            .map_err(|_| WaitError {
                topic: topic.name,
                waited: limit,
                missing: self.missing_of(topic.name),
            })
    }

    /// Listens: the last value first, if there is any, then every later one.
    pub fn listen<T: Clone + Send + Sync + 'static>(&self, topic: &Topic<T>) -> Listener<T> {
        self.add_listener(topic, true)
    }

    /// Listens to later values only.
    pub fn listen_new<T: Clone + Send + Sync + 'static>(&self, topic: &Topic<T>) -> Listener<T> {
        self.add_listener(topic, false)
    }

    /// Publishes `output` whenever one of `inputs` happens and all of them have happened; again
    /// on each further input. If all have happened before the call it fires at once. An output
    /// is no input: mappings do not chain.
    pub fn map(&self, inputs: &[&'static str], output: &Topic<()>) {
        let mut after = Aftermath::default();
        let kind = {
            let mut state = self.lock();
            let kind = state.slot::<()>(output.name).kind;
            let mapping = Mapping {
                inputs: inputs.to_vec(),
                output: output.name,
            };
            if kind == TypeId::of::<()>() {
                state.fire_if_complete(&mapping, &mut after);
                state.mappings.push(mapping);
            }
            kind
        };
        check_kind::<()>(output.name, kind);
        after.settle();
    }

    /// The inputs of the mappings to `output` that have not happened.
    pub fn missing(&self, output: &Topic<()>) -> Vec<&'static str> {
        self.missing_of(output.name)
    }

    /// Every topic anyone has touched, by name.
    pub fn topics(&self) -> Vec<TopicState> {
        let state = self.lock();
        let describe = |(name, slot): (&&'static str, &Slot)| TopicState {
            name,
            published: slot.published,
            listeners: slot.listeners.len(),
            missing: state.missing(name),
        };
        state.slots.iter().map(describe).collect()
    }

    fn missing_of(&self, output: &'static str) -> Vec<&'static str> {
        self.lock().missing(output)
    }

    fn add_listener<T: Clone + Send + Sync + 'static>(
        &self,
        topic: &Topic<T>,
        with_last: bool,
    ) -> Listener<T> {
        let (id, kind) = {
            let mut state = self.lock();
            let id = state.next_listener;
            state.next_listener += 1;
            let slot = state.slot::<T>(topic.name);
            let mut queue = Queue::default();
            queue.values.extend(slot.last.clone().filter(|_| with_last));
            slot.listeners.insert(id, queue);
            (id, slot.kind)
        };
        check_kind::<T>(topic.name, kind);
        Listener {
            bus: self.clone(),
            topic: topic.name,
            id,
            carries: PhantomData,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One listener's place in a topic. It never ends; dropping it stops listening.
pub struct Listener<T> {
    bus: Bus,
    topic: &'static str,
    id: u64,
    carries: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Listener<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl<T: Clone + Send + Sync + 'static> Listener<T> {
    /// The next value, or how many were lost before it. Cancel-safe.
    pub async fn next(&mut self) -> Delivery<T> {
        poll_fn(|context| match self.take(Some(context.waker())) {
            Some(delivery) => Poll::Ready(delivery),
            None => Poll::Pending,
        })
        .await
    }

    /// What is already there, without waiting.
    pub fn try_next(&mut self) -> Option<Delivery<T>> {
        self.take(None)
    }

    fn take(&mut self, waker: Option<&Waker>) -> Option<Delivery<T>> {
        let value = {
            let mut state = self.bus.lock();
            let slot = state.slots.get_mut(self.topic)?;
            let queue = slot.listeners.get_mut(&self.id)?;
            if queue.lagged > 0 {
                return Some(Delivery::Lagged(std::mem::take(&mut queue.lagged)));
            }
            let Some(value) = queue.values.pop_front() else {
                queue.waker = waker.cloned();
                return None;
            };
            value
        };
        // The kind was checked when the listener was made, so the value is always a T.
        value.downcast_ref::<T>().cloned().map(Delivery::Value)
    }
}

impl<T> Drop for Listener<T> {
    fn drop(&mut self) {
        // Queued values are dropped after the lock is released: their destructors are foreign.
        let queue = {
            let mut state = self.bus.lock();
            state
                .slots
                .get_mut(self.topic)
                .and_then(|slot| slot.listeners.remove(&self.id))
        };
        drop(queue);
    }
}

#[derive(Default)]
struct State {
    slots: BTreeMap<&'static str, Slot>,
    mappings: Vec<Mapping>,
    next_listener: u64,
}

struct Slot {
    kind: TypeId,
    published: u64,
    last: Option<Value>,
    listeners: BTreeMap<u64, Queue>,
}

#[derive(Default)]
struct Queue {
    values: VecDeque<Value>,
    lagged: u64,
    waker: Option<Waker>,
}

#[derive(Clone)]
struct Mapping {
    inputs: Vec<&'static str>,
    output: &'static str,
}

/// What must happen after the lock is released: foreign code (wakers, destructors) and logging.
#[derive(Default)]
struct Aftermath {
    wakers: Vec<Waker>,
    dropped: Vec<Value>,
    unmet: Vec<(&'static str, Vec<&'static str>)>,
}

impl Aftermath {
    fn settle(self) {
        self.wakers.into_iter().for_each(Waker::wake);
        for (output, missing) in self.unmet {
            tracing::debug!(
                event = output,
                missing = missing.join(","),
                "event not complete yet"
            );
        }
        drop(self.dropped);
    }
}

impl State {
    fn slot<T: 'static>(&mut self, name: &'static str) -> &mut Slot {
        self.slots.entry(name).or_insert_with(|| Slot {
            kind: TypeId::of::<T>(),
            published: 0,
            last: None,
            listeners: BTreeMap::new(),
        })
    }

    fn store<T: 'static>(&mut self, name: &'static str, value: &Value, after: &mut Aftermath) {
        let slot = self.slot::<T>(name);
        slot.published += 1;
        after.dropped.extend(slot.last.replace(value.clone()));
        for queue in slot.listeners.values_mut() {
            if queue.values.len() >= LISTENER_QUEUE_MAX {
                after.dropped.extend(queue.values.pop_front());
                queue.lagged += 1;
            }
            queue.values.push_back(value.clone());
            after.wakers.extend(queue.waker.take());
        }
    }

    fn fire_mappings(&mut self, happened: &'static str, after: &mut Aftermath) {
        let concerned: Vec<Mapping> = self
            .mappings
            .iter()
            .filter(|one| one.inputs.contains(&happened))
            .cloned()
            .collect();
        for mapping in &concerned {
            self.fire_if_complete(mapping, after);
        }
    }

    fn fire_if_complete(&mut self, mapping: &Mapping, after: &mut Aftermath) {
        let missing = self.missing_inputs(mapping);
        if missing.is_empty() {
            let value: Value = std::sync::Arc::new(());
            self.store::<()>(mapping.output, &value, after);
        } else {
            after.unmet.push((mapping.output, missing));
        }
    }

    fn missing_inputs(&self, mapping: &Mapping) -> Vec<&'static str> {
        let happened = |name: &str| self.slots.get(name).is_some_and(|slot| slot.last.is_some());
        mapping
            .inputs
            .iter()
            .copied()
            .filter(|name| !happened(name))
            .collect()
    }

    fn missing(&self, output: &str) -> Vec<&'static str> {
        let concerned = self
            .mappings
            .iter()
            .filter(|mapping| mapping.output == output);
        let mut names: Vec<_> = concerned
            .flat_map(|mapping| self.missing_inputs(mapping))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Two topics of one name with different types are a mistake in the program, found at first use.
fn check_kind<T: 'static>(name: &str, kind: TypeId) {
    assert!(
        kind == TypeId::of::<T>(),
        "topic {name} is declared with two different types"
    );
}
