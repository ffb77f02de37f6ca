// What `/v1/artefacts` answers.

import { at } from './artefacts.mjs';

const PICTURE = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPj/HwADBwIAMCbHYQAAAABJRU5ErkJggg==', 'base64');
const DAY = 86_400_000;

export function answerArtefacts(data, url, given, method) {
  const query = url.searchParams;
  const [kind, ...names] = url.pathname.replace('/v1/artefacts/', '').split('/').map(decodeURIComponent);
  if (kind === 'clients') return { clients: data.clients };
  if (kind === 'compare') return compare(data, query);
  if (kind === 'groups' && names.length === 0) return groups(data, query);
  if (kind === 'groups') return group(data, names, query, given, method);
  if (kind !== 'runs') return null;
  return names.length === 0 ? runs(data, query) : run(data, names, query, given, method);
}

const shownGroup = (data, group) => {
  const runs = data.runs.filter((one) => one.group === group.name);
  return { ...group, runs: runs.length, files: sum(runs, (one) => one.all.length), bytes: sum(runs, bytesOf), changed_at: runs[0]?.changed_at ?? null };
};
const shownRun = (data, one) => {
  const { id, group, run, state, created_at, changed_at, pinned, expires_at, fields } = one;
  const may = data.groups.find(({ name }) => name === group).may;
  return { id, group, run, state, created_at, changed_at, pinned, expires_at: pinned ? null : expires_at, fields, files: one.all.length, bytes: bytesOf(one), may };
};
const sum = (list, of) => list.reduce((all, one) => all + of(one), 0);
const bytesOf = (run) => sum(run.all, (file) => file.bytes * file.versions);

function groups(data) {
  const shown = data.groups.map((one) => shownGroup(data, one));
  return { groups: shown, next: null, total: { bytes: sum(shown, (one) => one.bytes), quota: 53_687_091_200 }, free: 412_316_860_416 };
}

function group(data, [name, part], query, given, method) {
  const found = data.groups.find((one) => one.name === name);
  if (!found) return null;
  if (part === 'recovery') return recovery(data, name, query);
  if (method === 'DELETE') {
    const before = data.runs.length;
    data.runs = data.runs.filter((one) => one.group !== name || one.pinned);
    return { removed: before - data.runs.length };
  }
  if (given) {
    if ('pinned' in given) found.pinned = given.pinned;
    for (const key of ['retention', 'quota']) if (key in given) found.settings[key] = given[key];
    const days = /^(\d+)d$/.exec(found.settings.retention ?? '30d')?.[1];
    found.retention = days ? Number(days) * 86_400 : null;
    const gigabytes = /^(\d+)GiB$/.exec(found.settings.quota ?? '100GiB')?.[1];
    found.quota = gigabytes ? Number(gigabytes) * 2 ** 30 : null;
  }
  return shownGroup(data, found);
}

function runs(data, query) {
  const has = (run, name, value) => !value || (run.fields[name] ?? []).includes(value);
  const [field, value] = (query.get('field') ?? '').split(/:(.*)/);
  const fitting = data.runs.filter((run) =>
    (!query.has('group') || run.group === query.get('group')) && (!query.has('state') || run.state === query.get('state')) &&
    (!query.has('pinned') || run.pinned) && (!query.has('since') || run.created_at >= query.get('since')) && (!query.has('until') || run.created_at < query.get('until')) &&
    (!query.has('text') || [run.run, ...Object.values(run.fields).flat()].some((one) => one.toLowerCase().includes(query.get('text').toLowerCase()))) &&
    has(run, 'tag', query.get('tag')) && has(run, 'status', query.get('status')) && has(run, 'cluster_version', query.get('version')) &&
    has(run, 'scenario', query.get('scenario')) && (!field || has(run, field, value)));
  const before = Number(query.get('before') ?? Infinity);
  const rest = fitting.filter((one) => one.id < before);
  const shown = rest.slice(0, Number(query.get('limit') ?? 50));
  return { runs: shown.map((one) => shownRun(data, one)), next: rest.length > shown.length ? shown.at(-1).id : null };
}

function run(data, [group, name, part], query, given, method) {
  const found = data.runs.find((one) => one.group === group && one.run === name);
  if (!found) return null;
  if (part === 'telemetry') return found.telemetry;
  if (part === 'files') return files(found, query);
  if (part === 'versions') return versions(found, query);
  if (part === 'look') return look(found, query);
  if (method === 'DELETE') {
    if (found.pinned) return { refused: 409, message: 'the run is pinned; unpin it first' };
    data.runs.splice(data.runs.indexOf(found), 1);
    return { removed: found.all.length };
  }
  if (given) found.pinned = given.pinned;
  return { ...shownRun(data, found), has_telemetry: found.telemetry !== null };
}

function files(run, query) {
  const prefix = query.get('prefix') ?? '';
  const after = query.get('after') ?? '';
  const limit = Number(query.get('limit') ?? 500);
  const below = run.all.filter((one) => one.name.startsWith(prefix));
  const isDeep = (one) => query.get('folders') === 'true' && one.name.slice(prefix.length).includes('/');
  const folders = new Set(below.filter(isDeep).map((one) => prefix + one.name.slice(prefix.length).split('/')[0] + '/'));
  const rest = below.filter((one) => !isDeep(one) && one.name > after);
  const shown = rest.slice(0, limit);
  const parts = run.all.filter((one) => one.part_of === 'prometheus.tar');
  const joined = parts.length > 0 && prefix === '' ? [{ name: 'prometheus.tar', parts: parts.length, bytes: sum(parts, (one) => one.bytes) }] : [];
  return { files: shown, folders: after === '' ? [...folders] : [], joined, next: rest.length > limit ? shown.at(-1).name : null };
}

function versions(run, query) {
  const file = run.all.find((one) => one.name === query.get('name'));
  if (!file) return null;
  return { versions: Array.from({ length: file.versions }, (_, index) => ({ id: 900 - index, bytes: file.bytes - index * 4_711, created_at: at(Date.parse(file.changed_at) - index * 600_000), created_by: 'krkn', content_type: file.content_type, etag: file.etag, sha256: file.sha256, is_current: index === 0 })) };
}

const LOG = (index) => `${at(Date.UTC(2026, 10, 20) + index * 731)} [${index % 17 === 0 ? 'ERROR' : 'INFO'}] ${index % 17 === 0 ? 'pod etcd-1 in openshift-etcd is not ready after 120 s, it is watched on' : `scenario pod_disruption: step ${index} of the recovery is done`}`;

function look(run, query) {
  const name = query.get('name');
  const file = run.all.find((one) => one.name === name) ?? (name === 'prometheus.tar' ? { bytes: 164_626_432 } : null);
  if (!file) return null;
  if (name.endsWith('.png')) return { kind: 'image', media_type: 'image/png', bytes: PICTURE.length };
  if (name.endsWith('.bin')) return { kind: 'binary', bytes: file.bytes, start: Buffer.from(Array.from({ length: 256 }, (_, index) => (index * 37) % 256)).toString('hex') };
  const isArchive = /\.tar(\.gz)?$/.test(name);
  if (isArchive && !query.has('member')) return members(name, query);
  if (name.endsWith('.json')) return text(JSON.stringify(run.telemetry, null, 4), 'json', query, false);
  if (name.startsWith('critical-alerts')) return text(JSON.stringify({ chaos_alerts: [{ alertname: 'etcdMembersDown', alertstate: 'firing', namespace: 'openshift-etcd', severity: 'critical' }], post_chaos_alerts: [], run_id: run.run, scenario: 'x' }), 'json', query, false);
  if (name.endsWith('.xml')) return text('<testsuite tests="1">\n  <testcase name="pods"/>\n</testsuite>\n', 'text', query, false);
  return text(Array.from({ length: 9_000 }, (_, index) => LOG(index)).join('\n') + '\n', 'text', query, true);
}

function text(whole, media, query, is_packed) {
  const offset = Number(query.get('offset') ?? 0);
  const end = offset + Number(query.get('limit') ?? 65_536);
  return { kind: 'text', media, is_packed, offset, text: whole.slice(offset, end), next: end < whole.length ? end : null, total: is_packed ? null : whole.length };
}

function members(name, query) {
  const offset = Number(query.get('offset') ?? 0);
  const limit = Number(query.get('limit') ?? 500);
  const all = Array.from({ length: 1_300 }, (_, index) => ({ name: index === 0 ? 'prometheus/' : `prometheus/wal/${String(index).padStart(8, '0')}${index % 7 === 0 ? '.log' : ''}`, type: index === 0 ? 'folder' : index === 3 ? 'link' : 'file', bytes: index * 3_131, changed_at: at(Date.now() - index * 60_000 - DAY), at: index * 512 }));
  return { kind: 'archive', format: name.endsWith('.gz') ? 'tar.gz' : 'tar', members: all.slice(offset, offset + limit), next: offset + limit < all.length ? offset + limit : null, problem: null };
}

function recovery(data, group, query) {
  const wanted = query.get('scenario');
  const all = data.runs.filter((one) => one.group === group && one.telemetry);
  const most = (list, key) => (list.length === 0 ? null : Math.max(...list.map((one) => one[key])));
  const runs = all.map((run) => ({
    id: run.id, run: run.run, at: run.created_at, status: run.telemetry.job_status ? 'passed' : 'failed',
    scenarios: run.telemetry.scenarios.filter((one) => !wanted || one.scenario === wanted).map((one) => {
      const { recovered, unrecovered } = one.affected_pods;
      return { scenario: one.scenario, status: one.exit_status === 0 ? 'passed' : 'failed', pods: recovered.length + unrecovered.length, unrecovered: unrecovered.length, recovery: most(recovered, 'total_recovery_time'), readiness: most(recovered, 'pod_readiness_time'), rescheduling: most(recovered, 'pod_rescheduling_time') };
    }),
  })).filter((run) => run.scenarios.length > 0 && (!query.has('since') || run.at >= query.get('since')));
  return { runs, scenarios: [...new Set(all.flatMap((run) => run.telemetry.scenarios.map((one) => one.scenario)))].sort(), next: null };
}

function compare(data, query) {
  const sides = ['left', 'right'].map((side) => data.runs.find((one) => `${one.group}/${one.run}` === query.get(side)));
  const [left, right] = sides;
  if (!left || !right) return null;
  const names = [...new Set(sides.flatMap((one) => Object.keys(one.fields)))].sort();
  const fields = names.map((name) => ({ name, left: left.fields[name] ?? [], right: right.fields[name] ?? [], is_same: JSON.stringify(left.fields[name]) === JSON.stringify(right.fields[name]) }));
  const all = [...new Set(sides.flatMap((one) => one.all.map((file) => file.name)))].sort().slice(0, 200);
  const side = (run, name) => {
    const file = run.all.find((one) => one.name === name);
    return file ? { bytes: file.bytes + (name.endsWith('.log') ? run.id % 7 : 0), sha256: name.endsWith('.tar') ? 'same' : file.sha256 } : null;
  };
  const files = all.map((name) => {
    const [one, other] = [side(left, name), side(right, name)];
    return { name, left: one, right: other, change: !one ? 'right_only' : !other ? 'left_only' : one.sha256 === other.sha256 ? 'same' : 'changed' };
  });
  return { left: shownRun(data, left), right: shownRun(data, right), fields, files, next: null };
}

/** The bytes of a file; only pictures are looked at. */
export const download = (path) => (path.endsWith('.png') ? [PICTURE, 'image/png'] : [Buffer.from('made up\n'), 'text/plain']);
