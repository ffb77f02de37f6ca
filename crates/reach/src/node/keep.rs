//! Keeps the node a member: takes what its hub says about whom to trust, and renews its certificate
//! at half its life, or when another authority signs now. Over a line if there is one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::clock;
use base::supervise::{BoxError, Scope};
use identity::members::JoinAnswer;
use identity::rotation::Usage;
use identity::trust::{Trust, TrustBundle};
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout_at};

use super::credentials::{self, Credentials};
use super::{Enrolment, Node};
use crate::agent::{Agent, Heard};
use crate::hub;
use crate::line::AgentLineHandle;
use crate::membership::{self, ToHub, ToNode};

/// Notes of hubs that wait. What is left out comes again.
const NOTES_MAX: usize = 64;
/// How often it is looked whether the certificate should be renewed, and the longest pause after it
/// could not be.
const LOOK_INTERVAL: Duration = Duration::from_mins(1);
/// The pause after a renewal.
const PAUSE_AFTER: Duration = Duration::from_secs(3);
/// The same where the clock is so far ahead that the next one would be due at once.
const PAUSE_OF_CLOCK: Duration = Duration::from_mins(10);
/// The pause after it could not be renewed for the first time; it doubles.
const PAUSE_FIRST: Duration = Duration::from_secs(3);
/// Nodes that hear of another authority at one time renew within this time.
const SPREAD: Duration = Duration::from_secs(5);
/// The longest wait for a certificate over a line; an older hub never answers.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Lines over which it is asked for: what one proxy refuses, because its state is out of reach, another
/// may give.
const LINES_ASKED_MAX: usize = 3;
/// How often it is looked whether there are lines.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);
/// So many looks without a line, and the node is not well.
const PATIENCE: u32 = 3;

/// A note, and the line that it came on.
type Note = (AgentLineHandle, String);

/// Keeps one node a member.
pub(super) struct Keeper {
    node: Arc<Node>,
    agent: Agent,
    credentials: Credentials,
    trust: Trust,
    notes: mpsc::Receiver<Note>,
    /// When to renew because another authority signs now.
    moves_at: Option<Instant>,
    /// Not before: the last attempt failed.
    again_at: Option<Instant>,
    /// In a row.
    failures: u32,
    /// Whether the certificate in use would be there after the next start.
    is_saved: bool,
}

/// Where the notes of hubs go, and where they come out.
pub(super) fn notes() -> (Heard, mpsc::Receiver<Note>) {
    let (sender, receiver) = mpsc::channel(NOTES_MAX);
    let heard = move |line: &AgentLineHandle, text: String| {
        if sender.try_send((line.clone(), text)).is_err() {
            tracing::debug!("a note of a hub was left out");
        }
    };
    (Arc::new(heard), receiver)
}

impl Keeper {
    pub(super) fn new(
        node: Arc<Node>,
        agent: Agent,
        (credentials, trust): (Credentials, Trust),
        notes: mpsc::Receiver<Note>,
    ) -> Self {
        Self {
            node,
            agent,
            credentials,
            trust,
            notes,
            moves_at: None,
            again_at: None,
            failures: 0,
            is_saved: true,
        }
    }

    /// Until the scope stops.
    pub(super) async fn run(mut self, scope: Scope) {
        let mut stopping = std::pin::pin!(scope.stopping());
        loop {
            if self.is_due() {
                let renewed = tokio::select! {
                    renewed = self.renew(&scope) => renewed,
                    () = &mut stopping => return,
                };
                self.note_attempt(renewed);
            }
            let wake_at = self.wake_at();
            tokio::select! {
                Some((line, text)) = self.notes.recv() => self.take_late(&line, &text),
                () = sleep_until(wake_at.into()) => {}
                () = &mut stopping => return,
            }
        }
    }

    /// Whether a new certificate is wanted now. At once when the machine was off for long: with one
    /// that has ended there is no line.
    fn is_due(&mut self) -> bool {
        let now = clock::now();
        let is_of_signer = self
            .node
            .own
            .is_of_signer(&self.trust.bundle(), Usage::Client);
        if is_of_signer {
            self.moves_at = None;
        } else if self.moves_at.is_none() {
            self.moves_at = Some(now + SPREAD.mul_f64(fastrand::f64()));
        }
        let is_wanted = self.is_old() || self.moves(now) || !self.is_saved;
        is_wanted && self.again_at.is_none_or(|at| at <= now)
    }

    fn is_old(&self) -> bool {
        let renew_at = self.node.own.renew_at(fastrand::f64());
        renew_at.is_none_or(|at| at <= hub::unix_milliseconds())
    }

    fn moves(&self, now: Instant) -> bool {
        self.moves_at.is_some_and(|at| at <= now)
    }

    fn note_attempt(&mut self, renewed: Result<(), BoxError>) {
        let Err(error) = renewed else {
            let pause = if self.is_old() {
                tracing::warn!(
                    "a new certificate is old already: this machine's clock is far ahead; set it right"
                );
                PAUSE_OF_CLOCK
            } else {
                PAUSE_AFTER
            };
            (self.failures, self.again_at) = (0, Some(clock::now() + pause));
            return;
        };
        let error = base::client::chain(&*error);
        tracing::warn!(error, "the node's certificate could not be renewed yet");
        let pause = PAUSE_FIRST.saturating_mul(1 << self.failures.min(8));
        let pause = pause
            .min(LOOK_INTERVAL)
            .mul_f64(0.75 + fastrand::f64() / 4.0);
        self.failures = self.failures.saturating_add(1);
        self.again_at = Some(clock::now() + pause);
    }

    fn wake_at(&self) -> Instant {
        let now = clock::now();
        let own = self.node.own.renew_at(0.0);
        let left = own.map(|at| at.saturating_sub(hub::unix_milliseconds()).max(0));
        let left = left.and_then(|left| u64::try_from(left).ok());
        let renews_at = left.map(|left| now + Duration::from_millis(left));
        let next = [self.moves_at, renews_at].into_iter().flatten().min();
        let next = next
            .unwrap_or(now + LOOK_INTERVAL)
            .max(self.again_at.unwrap_or(now));
        // A clock that jumped is noticed.
        next.min(now + LOOK_INTERVAL)
    }

    async fn renew(&mut self, scope: &Scope) -> Result<(), BoxError> {
        if !self.is_old() && !self.moves(clock::now()) {
            return self.save_installed();
        }
        if let Some(answer) = self.renew_over_line().await? {
            tracing::info!(way = "line", "the node has a new certificate");
            return self.install(answer);
        }
        let answer = self.node.renew(&self.credentials, &self.trust, scope);
        let answer = answer.await?;
        tracing::info!(way = "direct", "the node has a new certificate");
        self.install(answer)
    }

    /// Asks over lines, one after the other. Nothing when no hub knows the question.
    async fn renew_over_line(&mut self) -> Result<Option<JoinAnswer>, BoxError> {
        if matches!(self.node.parts.enrolment, Enrolment::Local(_)) {
            return Ok(None);
        }
        let renew = ToHub::Renew(self.node.renewal(&self.credentials)?);
        let Some(text) = membership::text(&renew) else {
            return Ok(None);
        };
        // The newest first: an older one may be to a process that drains.
        let lines = self.agent.lines().into_iter().rev();
        let lines: Vec<_> = lines.filter(|line| !line.is_closed()).collect();
        let mut refused = None;
        for line in lines.into_iter().take(LINES_ASKED_MAX) {
            if !line.tell(text.clone()) {
                continue;
            }
            match self.answer().await {
                Some(ToNode::Renewed(answer)) => return Ok(Some(answer)),
                Some(ToNode::Refused(reason)) => refused = Some(reason),
                Some(ToNode::Trust(_)) | None => {}
            }
        }
        match refused {
            Some(reason) => Err(reason.into()),
            None => Ok(None),
        }
    }

    /// Waits for what a hub says to a question, and takes the rest.
    async fn answer(&mut self) -> Option<ToNode> {
        let deadline = clock::now() + ANSWER_LIMIT;
        while let Ok(Some((line, text))) = timeout_at(deadline.into(), self.notes.recv()).await {
            if let Some(answer) = self.take(&line, &text) {
                return Some(answer);
            }
        }
        None
    }

    /// Takes a note that nobody waits for. A certificate that came too late is used all the same: the
    /// hub counts on it.
    fn take_late(&mut self, line: &AgentLineHandle, text: &str) {
        if let Some(ToNode::Renewed(answer)) = self.take(line, text)
            && let Err(error) = self.install(answer)
        {
            let error = base::client::chain(&*error);
            tracing::warn!(error, "a certificate that came late is not taken");
        }
    }

    /// Takes a note; gives it back when it is an answer to a question.
    fn take(&mut self, line: &AgentLineHandle, text: &str) -> Option<ToNode> {
        let note = serde_json::from_str(text);
        let note: ToNode = match note {
            Ok(note) => note,
            Err(error) => {
                tracing::debug!(%error, "a note of a hub is not understood");
                return None;
            }
        };
        let ToNode::Trust(bundle) = note else {
            return Some(note);
        };
        match self.learn(bundle) {
            Ok(generation) => {
                // What is left out is asked for again.
                let known = membership::text(&ToHub::Knows(generation));
                known.map(|text| line.tell(text));
            }
            Err(error) => {
                let error = base::client::chain(&*error);
                tracing::warn!(error, "what a hub says is to be trusted is not taken");
            }
        }
        None
    }

    /// Trusts what the hub says, also after the next start; gives the generation.
    fn learn(&mut self, bundle: TrustBundle) -> Result<i64, BoxError> {
        self.trust.replace(bundle)?;
        let bundle = self.trust.bundle();
        if self.credentials.member.trust != bundle {
            let member = &mut self.credentials.member;
            let before = std::mem::replace(&mut member.trust, bundle.clone());
            if let Err(error) = self.save() {
                // It is not known before it is kept: the hub says it again.
                self.credentials.member.trust = before;
                return Err(error);
            }
            tracing::info!(
                generation = bundle.generation,
                phase = %bundle.phase,
                "the node knows the authorities of the cluster"
            );
        }
        Ok(bundle.generation)
    }

    /// Uses a new certificate from now on.
    fn install(&mut self, answer: JoinAnswer) -> Result<(), BoxError> {
        self.trust.replace(answer.trust.clone())?;
        self.node
            .own
            .install(&answer.certificate, &self.credentials.key)?;
        self.credentials.member = answer;
        // An answer that was older than what we know already.
        self.credentials.member.trust = self.trust.bundle();
        self.save_installed()
    }

    /// What could not be saved is in use all the same, and is tried again.
    fn save_installed(&mut self) -> Result<(), BoxError> {
        self.is_saved = false;
        self.save()?;
        self.is_saved = true;
        Ok(())
    }

    fn save(&mut self) -> Result<(), BoxError> {
        self.credentials.note_pins();
        let folder = &self.node.parts.data_dir;
        Ok(credentials::save_member(folder, &self.credentials)?)
    }
}

impl Node {
    /// Tells `/readyz` and `landline status` whether there are lines, and if not, why.
    pub(super) async fn tell_health(&self, agent: &Agent) {
        let mut without = 0_u32;
        loop {
            let status = agent.status();
            let component = &self.parts.component;
            if !status.lines.is_empty() {
                if without >= PATIENCE {
                    component.ok();
                }
                without = 0;
            } else if let Some(reason) = status.last_error {
                without = without.saturating_add(1);
                if without >= PATIENCE {
                    component.degraded(reason);
                }
            }
            sleep(HEALTH_INTERVAL).await;
        }
    }
}
