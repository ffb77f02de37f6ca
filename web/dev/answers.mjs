// What the API answers.

import { backtraces, groupMachines } from './backtraces.mjs';
import { stamp, whyGrouped } from './data.mjs';
import { changeFrames, isSkipped, merge, progress, skippedFrames, split } from './regroup.mjs';

const DAY = 86_400_000;
const dayOf = (time) => time.slice(0, 10);

export function summary(record) {
  const { id, project, received_at, created_at, severity, classification, machine_id, build, system_name, external, group, excerpt } = record;
  return { id, project, received_at, created_at, severity, classification, machine_id, build, system_name, external, group, excerpt };
}

export function fits(record, query) {
  const is = (name, value) => !query.has(name) || query.get(name) === String(value);
  const pattern = query.get('classification') ?? '*';
  const isClass = pattern.endsWith('*') ? record.classification.startsWith(pattern.slice(0, -1)) : record.classification === pattern;
  const words = (query.get('text') ?? '').toLowerCase().split(/\s+/).filter(Boolean);
  const hasWords = words.every((word) => record.payload.toLowerCase().includes(word));
  const isIn = isWithin(record, query.get('since'), query.get('until'));
  return isClass && hasWords && isIn && is('source', record.external ? 'external' : 'internal') &&
    ['severity', 'build', 'system_name', 'machine_id', 'event_id', 'group', 'project'].every((name) => is(name, record[name]));
}

const isWithin = ({ received_at }, from, to) => (from === null || received_at >= from) && (to === null || received_at < to);

export function answer(data, url, given, method) {
  const query = url.searchParams;
  const path = url.pathname.replace('/v1/records', '');
  progress(data);
  if (path === '/regroup') return progress(data);
  if (path === '/machines') return machines(data, query);
  if (path === '/machine-checks') return machineChecks(data, query);
  if (path === '/skipped-frames') return given ? changeFrames(data, given) : skippedFrames(data);
  if (path === '' && (query.has('payload') || query.has('not_payload'))) return search(data, query);
  if (path === '') return page(data.records.filter((one) => fits(one, query)), query, 'records', summary);
  if (path === '/quarantine') return page(data.quarantine.filter((one) => isWithin(one, query.get('from'), query.get('to'))), query, 'submissions', (one) => ({ ...one, payload: one.payload.slice(0, 4_096) }));
  if (path === '/counts') return counts(data, query);
  if (path === '/population') return population(data);
  if (path === '/crash-free') return crashFree(data, Number(query.get('days') ?? 7));
  if (path === '/choices') return choices(data);
  if (path === '/groups') return groups(data, query);
  const group = data.groups.find((one) => path === `/groups/${one.id}`);
  const changed = data.groups.find((one) => path.startsWith(`/groups/${one.id}/`));
  if (changed && path.endsWith('/machines')) return groupMachines(data, changed, query);
  if (changed && path.endsWith('/backtraces')) return backtraces(data, changed, query);
  if (changed) return path.endsWith('/merge') ? merge(data, changed, given) : split(data, changed);
  const submission = data.quarantine.find((one) => path.split('/')[2] === String(one.id));
  if (submission && method === 'GET') return submission;
  if (submission) return leave(data, submission, method);
  if (group) return given ? change(data, group, given) : groupDetails(data, group);
  const record = data.records.find((one) => path === `/${one.id}`);
  if (!record) return null;
  const its = data.groups.find((one) => one.id === record.home);
  return { ...record, why_grouped: its ? whyGrouped(its, (frame) => isSkipped(data, frame)) : null };
}

function page(all, query, name, shape) {
  const before = Number(query.get('before') ?? Infinity);
  const limit = Number(query.get('limit') ?? 50);
  const after = Number(query.get('after') ?? 0);
  const rest = all.filter((one) => one.id < before && one.id > after);
  const shown = rest.slice(0, limit);
  return { [name]: shown.map(shape), next: rest.length > limit ? shown.at(-1).id : null };
}

/** Records that there is time to look at for one answer. */
const LOOKED_AT_MOST = 2_000;

/** Those with payloads that expressions match, or do not: only a part is looked at each time. */
function search(data, query) {
  const expressions = [];
  for (const [name, isWanted] of [['payload', true], ['not_payload', false]]) {
    if (!query.has(name)) continue;
    try {
      expressions.push([new RegExp(query.get(name)), isWanted]);
    } catch (error) {
      return { refused: 400, message: `${name} is no regular expression: regex parse error:\n    ${query.get(name)}\n    ^\nerror: ${error.message.split(': ').at(-1).toLowerCase()}` };
    }
  }
  const before = Number(query.get('before') ?? Infinity);
  const rest = data.records.filter((one) => one.id < before);
  const looked = rest.slice(0, LOOKED_AT_MOST);
  const found = looked.filter((one) => fits(one, query) && expressions.every(([expression, isWanted]) => expression.test(one.payload) === isWanted));
  const answer = page(found, query, 'records', summary);
  if (answer.next !== null || rest.length === looked.length) return answer;
  return { ...answer, next: looked.at(-1).id, is_partial: true };
}

function tally(list, key) {
  const counts = {};
  for (const one of list) counts[key(one)] = (counts[key(one)] ?? 0) + 1;
  return counts;
}

function counts(data, query) {
  const by = query.get('by') ?? 'classification';
  const key = by === 'source' ? (one) => (one.external ? 'external' : 'internal') : (one) => one[by];
  const byDay = new Map();
  for (const one of data.records.filter((record) => fits(record, new URLSearchParams([...query].filter(([name]) => name !== 'by'))))) {
    const day = dayOf(one.received_at);
    byDay.set(day, [...(byDay.get(day) ?? []), one]);
  }
  return { by, days: [...byDay].sort().map(([day, list]) => ({ day, counts: tally(list, key) })) };
}

function newest(data, query) {
  const fitting = data.records.filter((record) => fits(record, query));
  const looked = fitting.slice(0, Number(query.get('limit') ?? 1_000));
  return [looked, { looked_at: looked.length, has_more: fitting.length > looked.length, since: looked.at(-1)?.received_at ?? null }];
}

function machines(data, query) {
  const [looked, told] = newest(data, query);
  const all = new Map();
  for (const { machine_id, build } of looked) {
    const one = all.get(machine_id) ?? { machine_id, records: 0, builds: {} };
    one.records += 1;
    one.builds[build] = (one.builds[build] ?? 0) + 1;
    all.set(machine_id, one);
  }
  const sorted = [...all.values()].sort((one, other) => other.records - one.records);
  return { ...told, count: sorted.length, machines: sorted.slice(0, 200) };
}

function machineChecks(data, query) {
  const [looked, told] = newest(data, query);
  const codes = looked.map(({ payload }) => /STATUS [0-9a-f]*?([0-9a-f]{1,8}) MCGSTATUS/.exec(payload)?.[1]);
  const named = codes.filter((code) => code !== undefined);
  return { ...told, codes: tally(named, (code) => code), without_code: codes.length - named.length };
}

/** One record of each machine and build, and by the same key those on which something crashed. */
function machinesSince(data, since) {
  const machines = new Map();
  const crashed = new Set();
  for (const one of data.records.filter(({ received_at }) => received_at >= since)) {
    const key = `${one.build} ${one.machine_id}`;
    machines.set(key, one);
    if (one.group) crashed.add(key);
  }
  return { machines, crashed };
}

function population(data) {
  return { windows: [0, 14, 7, 3, 1].map((days) => {
    const { machines } = machinesSince(data, days === 0 ? '' : stamp(Date.now() - days * DAY));
    const builds = new Map();
    for (const one of machines.values()) {
      const build = builds.get(one.build) ?? { build: one.build, internal: 0, external: 0 };
      build[one.external ? 'external' : 'internal'] += 1;
      builds.set(one.build, build);
    }
    return { days, builds: [...builds.values()] };
  }) };
}

function crashFree(data, days) {
  const { machines, crashed } = machinesSince(data, stamp(Date.now() - days * DAY));
  const builds = new Map();
  for (const [key, { build }] of machines) {
    const one = builds.get(build) ?? { build, machines: 0, crashed: 0 };
    one.machines += 1;
    if (crashed.has(key)) one.crashed += 1;
    builds.set(build, one);
  }
  return { days, builds: [...builds.values()].map((one) => ({ ...one, crash_free: (one.machines - one.crashed) / one.machines })) };
}

function choices(data) {
  const ordered = (key) => Object.entries(tally(data.records, key)).sort((one, other) => other[1] - one[1]).map(([name]) => name);
  return {
    projects: ordered((one) => one.project), classifications: ordered((one) => one.classification), system_names: ordered((one) => one.system_name),
    builds: ordered((one) => `${one.system_name}\n${one.build}`).map((pair) => ({ system_name: pair.split('\n')[0], build: pair.split('\n')[1] })),
  };
}

function shape(data, group, days) {
  const all = data.records.filter((one) => one.group === group.id);
  const shown = all.filter((one) => one.received_at >= stamp(Date.now() - days * DAY));
  const last = all[0] ?? { received_at: stamp(0), build: '' };
  const first = all.at(-1) ?? last;
  const { id, function: fn, module, classification, state, regressed_in, is_hidden, comment } = group;
  return {
    id, project: 'clear', function: fn, module, classification, state, regressed_in: state === 'regressed' ? regressed_in : null, is_hidden, comment,
    first_seen: first.received_at, last_seen: last.received_at, first_build: first.build, last_build: last.build,
    total: all.length, count: shown.length, machines: new Set(shown.map((one) => one.machine_id)).size, builds: tally(shown, (one) => one.build),
  };
}

function groups(data, query) {
  const shown = data.groups.filter((one) => !one.mergedInto && (!one.is_hidden || query.get('hidden') === 'true'));
  const shaped = shown.map((one) => shape(data, one, Number(query.get('days') ?? 7))).filter((one) => one.count > 0 && (!query.has('build') || one.builds[query.get('build')]));
  return { groups: shaped.sort((one, other) => other.count - one.count).slice(0, Number(query.get('limit') ?? 50)) };
}

function groupDetails(data, group) {
  const all = data.records.filter((one) => one.group === group.id);
  const days = Object.entries(tally(all, (one) => dayOf(one.received_at))).sort().map(([day, count]) => ({ day, count }));
  const merged = data.groups.filter((one) => one.mergedInto === group.id).map(({ id, function: fn, module }) => ({ id, function: fn, module }));
  return { ...shape(data, group, 366), days, latest: all.slice(0, 10).map(summary), merged, why_grouped: whyGrouped(group, (frame) => isSkipped(data, frame)) };
}

function change(data, group, given) {
  Object.assign(group, given);
  if (given.state) group.regressed_in = '';
  return shape(data, group, 7);
}

/** Out of quarantine: removed, or as a record unless what is wrong with it still is. */
function leave(data, submission, method) {
  if (method !== 'DELETE' && submission.reason === 'kernel_version') return { refused: 409, message: `it is no valid record: ${submission.message}` };
  data.quarantine.splice(data.quarantine.indexOf(submission), 1);
  if (method === 'DELETE') return { removed: submission.id };
  const record = data.make(data.records[0].id + 1, Date.now());
  data.records.unshift(record);
  return { record: record.id };
}
