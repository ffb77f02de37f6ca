//! A world of proxies and agents under a virtual clock: latencies, refused dials, black holes,
//! balancers, announcements. Everything random comes from one seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::pool::{BURST, DIALS_PER_SECOND};
use super::*;
use crate::line::Welcome;

/// How long until a line over a cut path is given up: a ping interval and a pong's limit.
const DETECTION: (u64, u64) = (5_000, 15_000);
/// A dial into a black hole fails after this.
const DIAL_TIMEOUT_MS: u64 = 5_000;
/// A proxy that died is taken off the list after this.
const UNLISTED_AFTER_MS: u64 = 10_000;
/// Lists are sent again this often.
const REPEAT_MS: u64 = 120_000;
/// Copies of one list that an agent hears.
const COPIES_MAX: usize = 3;
/// Over how many seconds agents are told to come: the longest that hubs ask for.
pub(super) const SPREAD_S: u64 = 8;
/// Who has had a line for this long has all that it wants, unless something happens.
const STEADY_MS: u64 = 20_000;
/// An agent may begin this many dials within ten seconds.
const DIALS_IN_TEN_SECONDS_MAX: usize = (BURST + 10 * DIALS_PER_SECOND + 1) as usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AgentNo(pub(super) usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProxyNo(pub(super) usize);

/// A process of a proxy.
struct Proxy {
    id: String,
    /// Processes of the same proxy follow one another.
    process: u32,
    accepts: bool,
    listed: bool,
    has_address: bool,
    generation: u64,
    /// Lines by agent and dial, with the process that holds them.
    lines: BTreeMap<(AgentNo, DialId), u32>,
    /// Dials of agents that have had a line for a while: the second in which the last came, how many in it,
    /// and the most of any second.
    dials: (u64, usize, usize),
}

struct Agent {
    pool: Pool,
    /// Restarts count it up; what was sent to an earlier life is lost.
    life: u32,
    is_up: bool,
    wake: Option<u64>,
    recent: Vec<u64>,
    /// When it last had no line.
    alone_at: u64,
}

/// What happens at a time.
enum Happening {
    Wake {
        agent: AgentNo,
        life: u32,
    },
    Arrive {
        agent: AgentNo,
        life: u32,
        dial: DialId,
        address: String,
    },
    Tell {
        agent: AgentNo,
        life: u32,
        event: Event,
    },
    Repeat,
    Unlist {
        proxy: ProxyNo,
        process: u32,
    },
    Publish,
}

pub(super) struct World {
    begin: Instant,
    now_ms: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    next: u64,
    proxies: Vec<Proxy>,
    agents: Vec<Agent>,
    cut: BTreeSet<(AgentNo, ProxyNo)>,
    turn: usize,
    random: fastrand::Rng,
    pub(super) dials_total: u64,
}

/// The shape of a world.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) proxies: usize,
    pub(super) agents: usize,
    pub(super) strategy: Strategy,
    /// Every n-th proxy can be reached by the balancer only; 0 for none.
    pub(super) hidden_every: usize,
}

impl World {
    pub(super) fn new(shape: Shape, seed: u64) -> Self {
        let mut world = Self {
            begin: base::clock::now(),
            now_ms: 0,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            next: 0,
            proxies: Vec::new(),
            agents: Vec::new(),
            cut: BTreeSet::new(),
            turn: 0,
            random: fastrand::Rng::with_seed(seed),
            dials_total: 0,
        };
        for index in 0..shape.proxies {
            let hidden = shape.hidden_every > 0 && index % shape.hidden_every == 0;
            world.add_proxy(1, !hidden);
        }
        for index in 0..shape.agents {
            let random_seed = world.random.u64(..);
            let pool = Pool::new(PoolSettings {
                agent: format!("a{index}"),
                strategy: shape.strategy,
                seeds: vec!["lb".to_owned()],
                dials_max: DIALS_MAX,
                random_seed,
            });
            world.agents.push(Agent {
                pool,
                life: 0,
                is_up: true,
                wake: None,
                recent: Vec::new(),
                alone_at: 0,
            });
            let start = world.random.u64(0..2_000);
            world.at(
                start,
                Happening::Wake {
                    agent: AgentNo(index),
                    life: 0,
                },
            );
        }
        world.at(REPEAT_MS, Happening::Repeat);
        world
    }

    pub(super) fn add_proxy(&mut self, generation: u64, has_address: bool) -> ProxyNo {
        let id = format!("p{}", self.proxies.len());
        let lines = BTreeMap::new();
        let (process, accepts, listed) = (0, true, true);
        self.proxies.push(Proxy {
            id,
            process,
            accepts,
            listed,
            has_address,
            generation,
            lines,
            dials: (0, 0, 0),
        });
        self.publish_soon();
        ProxyNo(self.proxies.len() - 1)
    }

    pub(super) fn proxies(&self) -> impl Iterator<Item = ProxyNo> + use<> {
        (0..self.proxies.len()).map(ProxyNo)
    }

    /// Runs for a time.
    pub(super) fn run(&mut self, seconds: u64) {
        let end = self.now_ms + seconds * 1000;
        while let Some(Reverse((time, number))) = self.queue.peek().copied() {
            if time > end {
                break;
            }
            self.queue.pop();
            self.now_ms = time;
            let happening = self.happenings.remove(&number).unwrap();
            self.happen(happening);
        }
        self.now_ms = end;
    }

    /// The proxy's machine vanishes; its lines are reset.
    pub(super) fn kill(&mut self, proxy: ProxyNo) {
        let process = self.proxies[proxy.0].process;
        self.proxies[proxy.0].accepts = false;
        self.end_lines(proxy, |_, _| true);
        self.after(UNLISTED_AFTER_MS, Happening::Unlist { proxy, process });
    }

    /// A proxy that was killed is back.
    pub(super) fn revive(&mut self, proxy: ProxyNo) {
        let it = &mut self.proxies[proxy.0];
        it.process += 1;
        it.accepts = true;
        it.listed = true;
        self.publish_soon();
    }

    /// Another process takes over the address; agents are told, old lines end 20 s later.
    pub(super) fn replace(&mut self, proxy: ProxyNo, spread: Duration) {
        let old = self.proxies[proxy.0].process;
        self.proxies[proxy.0].process += 1;
        self.drain(proxy, old, true, spread);
    }

    /// The proxy leaves for good: off the list, agents are told, lines end 20 s later.
    pub(super) fn leave(&mut self, proxy: ProxyNo) {
        let it = &mut self.proxies[proxy.0];
        let process = it.process;
        it.accepts = false;
        it.listed = false;
        self.publish_soon();
        self.drain(proxy, process, false, Duration::ZERO);
    }

    fn drain(&mut self, proxy: ProxyNo, process: u32, has_successor: bool, spread: Duration) {
        let lines = &mut self.proxies[proxy.0].lines;
        let gone: Vec<(AgentNo, DialId)> = lines
            .iter()
            .filter(|(_, of)| **of == process)
            .map(|(line, _)| *line)
            .collect();
        for (agent, line) in gone {
            self.proxies[proxy.0].lines.remove(&(agent, line));
            let delay = 160 + self.latency();
            self.tell(
                delay,
                agent,
                Event::Draining {
                    line,
                    has_successor,
                    spread,
                },
            );
            self.tell(20_000 + delay, agent, Event::Ended { line });
        }
    }

    /// Packets between these agents and these proxies vanish.
    pub(super) fn cut(&mut self, agents: impl Fn(AgentNo) -> bool, proxies: &[ProxyNo]) {
        for &proxy in proxies {
            for agent in (0..self.agents.len())
                .map(AgentNo)
                .filter(|agent| agents(*agent))
            {
                self.cut.insert((agent, proxy));
            }
            let lines = &self.proxies[proxy.0].lines;
            let gone: Vec<_> = lines
                .keys()
                .copied()
                .filter(|(agent, _)| agents(*agent))
                .collect();
            for (agent, line) in gone {
                self.proxies[proxy.0].lines.remove(&(agent, line));
                let delay = self.random.u64(DETECTION.0..DETECTION.1);
                self.tell(delay, agent, Event::Ended { line });
            }
        }
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    /// The agent's process begins anew and knows nothing.
    pub(super) fn restart_agent(&mut self, agent: AgentNo, strategy: Strategy) {
        for proxy in self.proxies() {
            self.proxies[proxy.0]
                .lines
                .retain(|(of, _), _| *of != agent);
        }
        let random_seed = self.random.u64(..);
        let it = &mut self.agents[agent.0];
        it.life += 1;
        let life = it.life;
        it.pool = Pool::new(PoolSettings {
            agent: format!("a{}", agent.0),
            strategy,
            seeds: vec!["lb".to_owned()],
            dials_max: DIALS_MAX,
            random_seed,
        });
        self.after(10, Happening::Wake { agent, life });
    }

    /// Every agent has a line to every proxy that it can have one to, or to `least` of them.
    pub(super) fn check_reachable(&self, least: Option<usize>) {
        let wanted: Vec<ProxyNo> = self.wanted().collect();
        for agent in (0..self.agents.len())
            .map(AgentNo)
            .filter(|a| self.agents[a.0].is_up)
        {
            let reachable = wanted
                .iter()
                .filter(|proxy| !self.cut.contains(&(agent, **proxy)));
            let reachable: Vec<&ProxyNo> = reachable.collect();
            let through = |proxy: &&&ProxyNo| {
                let claims = self.agents[agent.0].pool.claims();
                let lines = &self.proxies[proxy.0].lines;
                claims
                    .filter(|(line, id)| {
                        *id == self.proxies[proxy.0].id && lines.contains_key(&(agent, *line))
                    })
                    .count()
                    == 1
            };
            let served = reachable.iter().filter(through).count();
            let goal = least.map_or(reachable.len(), |least| least.min(reachable.len()));
            assert!(
                served >= goal,
                "at {} ms agent {agent:?} is reachable through {served} of {goal}: {:?}",
                self.now_ms,
                self.agents[agent.0].pool
            );
        }
    }

    /// No agent claims a proxy that is gone, and each claim has a line at the proxy.
    pub(super) fn check_claims(&self) {
        for (index, agent) in self.agents.iter().enumerate() {
            for (line, id) in agent.pool.claims() {
                let proxy = self.proxies.iter().find(|proxy| proxy.id == id).unwrap();
                let has_line = proxy.lines.contains_key(&(AgentNo(index), line));
                assert!(
                    proxy.accepts && has_line,
                    "at {} ms agent {index} claims {id}",
                    self.now_ms
                );
            }
        }
    }

    /// No proxy was dialled within a second by many more agents that had a line for a while than would come
    /// evenly spread. Gives by how many at most.
    pub(super) fn check_no_storm(&self) -> usize {
        let most = self.proxies.iter().map(|proxy| proxy.dials.2);
        let most = most.max().unwrap_or(0);
        let agents = self.agents.len();
        let even = agents / usize::try_from(SPREAD_S).unwrap();
        assert!(
            most <= even + even / 2,
            "{most} dials in a second by {agents} agents that were to come over {SPREAD_S} s"
        );
        most
    }

    /// No wanted proxy has many more lines than another.
    pub(super) fn check_even_spread(&self) {
        let lines = self.wanted().map(|proxy| self.proxies[proxy.0].lines.len());
        let lines: Vec<usize> = lines.collect();
        let mean = lines.iter().sum::<usize>() / lines.len();
        // Each agent's choice is as good as random: five times the deviation that comes of that.
        let margin = 5 * mean.isqrt();
        let is_even = |lines: &usize| lines.abs_diff(mean) <= margin;
        assert!(lines.iter().all(is_even), "lines of the proxies: {lines:?}");
    }

    fn wanted(&self) -> impl Iterator<Item = ProxyNo> {
        let listed = |proxy: &&Proxy| proxy.listed && proxy.accepts;
        let highest = self
            .proxies
            .iter()
            .filter(listed)
            .map(|p| p.generation)
            .max()
            .unwrap_or(0);
        self.proxies().filter(move |proxy| {
            let proxy = &self.proxies[proxy.0];
            listed(&proxy) && proxy.generation == highest
        })
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake { agent, life } => {
                if self.agents[agent.0]
                    .wake
                    .is_some_and(|time| time <= self.now_ms)
                {
                    self.agents[agent.0].wake = None;
                }
                self.step(agent, life, Event::Tick);
            }
            Happening::Arrive {
                agent,
                life,
                dial,
                address,
            } => {
                self.arrive(agent, life, dial, &address);
            }
            Happening::Tell { agent, life, event } => self.step(agent, life, event),
            Happening::Repeat => {
                self.publish();
                self.after(REPEAT_MS, Happening::Repeat);
            }
            Happening::Unlist { proxy, process } => {
                let it = &mut self.proxies[proxy.0];
                if it.process == process && !it.accepts {
                    it.listed = false;
                    self.publish();
                }
            }
            Happening::Publish => self.publish(),
        }
    }

    fn step(&mut self, agent: AgentNo, life: u32, event: Event) {
        if self.agents[agent.0].life != life {
            return;
        }
        let now = self.begin + Duration::from_millis(self.now_ms);
        let actions = self.agents[agent.0].pool.step(event, now);
        for action in actions {
            match action {
                Action::Dial { dial, address } => {
                    self.count_dial(agent);
                    let delay = self.latency();
                    self.after(
                        delay,
                        Happening::Arrive {
                            agent,
                            life,
                            dial,
                            address,
                        },
                    );
                }
                Action::Close { line, .. } => {
                    for proxy in &mut self.proxies {
                        proxy.lines.remove(&(agent, line));
                    }
                }
            }
        }
        let now_ms = self.now_ms;
        let it = &mut self.agents[agent.0];
        if it.pool.claims().next().is_none() {
            it.alone_at = now_ms;
        }
        assert!(it.pool.dials() <= DIALS_MAX, "work pool of agent {agent:?}");
        if let Some(time) = it.pool.wake_at(now) {
            let wait = time.saturating_duration_since(now).as_millis();
            let wake = self.now_ms + u64::try_from(wait).unwrap() + 1;
            if it.wake.is_none_or(|known| wake < known) {
                it.wake = Some(wake);
                self.at(wake, Happening::Wake { agent, life });
            }
        }
    }

    fn count_dial(&mut self, agent: AgentNo) {
        self.dials_total += 1;
        let now = self.now_ms;
        let recent = &mut self.agents[agent.0].recent;
        recent.retain(|time| time + 10_000 > now);
        recent.push(now);
        assert!(
            recent.len() <= DIALS_IN_TEN_SECONDS_MAX,
            "a storm of {} dials by {agent:?}",
            recent.len()
        );
    }

    fn count_arrival(&mut self, proxy: ProxyNo) {
        let second = self.now_ms / 1000;
        let (last, count, most) = &mut self.proxies[proxy.0].dials;
        if *last != second {
            (*last, *count) = (second, 0);
        }
        *count += 1;
        *most = (*most).max(*count);
    }

    fn arrive(&mut self, agent: AgentNo, life: u32, dial: DialId, address: &str) {
        if self.agents[agent.0].life != life {
            return;
        }
        let delay = self.latency();
        let proxy = if address == "lb" {
            // In turn over those that it believes to be well.
            let well: Vec<ProxyNo> = self
                .proxies()
                .filter(|proxy| self.proxies[proxy.0].listed)
                .collect();
            self.turn += 1;
            well.get(self.turn % well.len().max(1)).copied()
        } else {
            let id = address.trim_end_matches(":1");
            self.proxies().find(|proxy| self.proxies[proxy.0].id == id)
        };
        let Some(proxy) = proxy else {
            return self.tell(delay, agent, Event::Failed { dial });
        };
        if self.cut.contains(&(agent, proxy)) {
            return self.tell(DIAL_TIMEOUT_MS, agent, Event::Failed { dial });
        }
        if !self.proxies[proxy.0].accepts {
            return self.tell(delay, agent, Event::Failed { dial });
        }
        // Nobody reaches an agent without a line: it does not wait as long.
        if self.agents[agent.0].alone_at + STEADY_MS < self.now_ms {
            self.count_arrival(proxy);
        }
        let it = &mut self.proxies[proxy.0];
        it.lines.insert((agent, dial), it.process);
        let welcome = Welcome {
            group: "all".to_owned(),
            generation: it.generation,
            addresses: if it.has_address {
                vec![format!("{}:1", it.id)]
            } else {
                Vec::new()
            },
        };
        let event = Event::Connected {
            dial,
            proxy: it.id.clone(),
            welcome,
        };
        self.tell(delay, agent, event);
        let announcement = Arc::new(self.announcement());
        self.tell(delay + 1, agent, Event::Announced(announcement));
    }

    fn end_lines(&mut self, proxy: ProxyNo, which: impl Fn(AgentNo, DialId) -> bool) {
        let lines = &self.proxies[proxy.0].lines;
        let gone: Vec<_> = lines
            .keys()
            .copied()
            .filter(|(a, line)| which(*a, *line))
            .collect();
        for (agent, line) in gone {
            self.proxies[proxy.0].lines.remove(&(agent, line));
            // Later than the news of the line itself.
            let delay = 160 + self.latency();
            self.tell(delay, agent, Event::Ended { line });
        }
    }

    fn announcement(&self) -> Announcement {
        let listed = self.proxies.iter().filter(|proxy| proxy.listed);
        let proxies = listed.map(|proxy| {
            let mut announced = announced(&proxy.id);
            announced.generation = proxy.generation;
            announced.addresses.retain(|_| proxy.has_address);
            announced
        });
        Announcement {
            spread_ms: SPREAD_S * 1_000,
            ..announcement(self.now_ms + 1, proxies.collect())
        }
    }

    fn publish_soon(&mut self) {
        let delay = self.random.u64(100..1_000);
        self.after(delay, Happening::Publish);
    }

    /// Every proxy sends the list over every line, so agents hear it several times; more than
    /// `COPIES_MAX` would say nothing new.
    fn publish(&mut self) {
        let announcement = Arc::new(self.announcement());
        let mut copies = vec![0; self.agents.len()];
        for proxy in self.proxies() {
            let agents: Vec<AgentNo> = self.proxies[proxy.0]
                .lines
                .keys()
                .map(|(agent, _)| *agent)
                .collect();
            for agent in agents {
                copies[agent.0] += 1;
                if copies[agent.0] > COPIES_MAX {
                    continue;
                }
                let delay = self.latency();
                self.tell(delay, agent, Event::Announced(Arc::clone(&announcement)));
            }
        }
    }

    fn tell(&mut self, delay: u64, agent: AgentNo, event: Event) {
        let life = self.agents[agent.0].life;
        self.after(delay, Happening::Tell { agent, life, event });
    }

    fn latency(&mut self) -> u64 {
        self.random.u64(2..80)
    }

    fn after(&mut self, delay: u64, happening: Happening) {
        self.at(self.now_ms + delay, happening);
    }

    fn at(&mut self, time: u64, happening: Happening) {
        self.next += 1;
        self.queue.push(Reverse((time, self.next)));
        self.happenings.insert(self.next, happening);
    }
}
