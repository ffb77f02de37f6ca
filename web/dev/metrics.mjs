// Samples that are made up, in the shapes of Prometheus. An expression is not evaluated: the names in it
// say which series come, and the time says what they are worth.

const NODES = [
  { instance: 'attic:9100', job: 'node', nodename: 'attic', sysname: 'Linux', release: '6.12.48' },
  { instance: 'cellar:9100', job: 'node', nodename: 'cellar', sysname: 'Linux', release: '6.1.0-40' },
];
const GIB = 2 ** 30;
/** For each name: the labels of its series, and what the first is worth on average. */
const NAMES = {
  up: [NODES.map(({ instance, job }) => ({ instance, job })), 1],
  node_load1: [NODES.map(({ instance, job }) => ({ instance, job })), 0.8],
  node_uname_info: [NODES, 1],
  node_cpu_seconds_total: [modes(), 0.2],
  node_memory_MemTotal_bytes: [NODES.map(({ instance, job }) => ({ instance, job })), 8 * GIB],
  node_memory_MemAvailable_bytes: [NODES.map(({ instance, job }) => ({ instance, job })), 5 * GIB],
  http_requests_total: [requests(), 120],
};
const HELP = {
  up: ['gauge', 'Whether the target answered.'],
  node_load1: ['gauge', '1m load average.'],
  node_cpu_seconds_total: ['counter', 'Seconds the CPUs spent in each mode.'],
};

function modes() {
  return NODES.flatMap(({ instance, job }) => ['user', 'system', 'iowait', 'idle'].flatMap((mode) =>
    ['0', '1'].map((cpu) => ({ instance, job, cpu, mode }))));
}

function requests() {
  return Array.from({ length: 40 }, (_, index) => ({ instance: `web-${index}:8080`, job: 'web', method: index % 3 ? 'GET' : 'POST', code: index % 7 ? '200' : '503' }));
}

const success = (data, more = {}) => [200, { status: 'success', data, ...more }];
const refused = (status, errorType, error) => [status, { status: 'error', errorType, error }];

export function metrics(url, asked) {
  const path = url.pathname.slice('/api/v1/'.length);
  const query = url.searchParams;
  const names = asked.empty ? [] : Object.keys(NAMES);
  if (asked.without) return refused(404, 'not_found', 'there is nothing at this path');
  if (path === 'targets') return success(asked.empty ? { activeTargets: [], droppedTargets: [] } : targets());
  if (path === 'labels') return success(['__name__', 'cpu', 'instance', 'job', 'mode']);
  if (path === 'metadata') return success(Object.fromEntries(Object.entries(HELP).map(([name, [type, help]]) => [name, [{ type, help, unit: '' }]])));
  if (path === 'series') return success(seriesOf(query.get('match[]') ?? '').map(({ name, labels }) => ({ __name__: name, ...labels })));
  if (path.startsWith('label/')) {
    const label = path.split('/')[1];
    if (label === '__name__') return success(names);
    return success([...new Set(Object.values(NAMES).flatMap(([all]) => all.flatMap((labels) => labels[label] ?? [])))].sort());
  }
  if (path === 'query' || path === 'query_range') return evaluate(path, query, asked);
  return success({});
}

function evaluate(path, query, asked) {
  const expression = query.get('query') ?? '';
  const problem = problemOf(expression);
  if (problem) return problem;
  const explained = query.has('explain') ? {
    stats: { timings: { execTotalTime: 0.0231 }, samples: { totalQueryableSamples: 480 } },
    explain: { selections: [{ selector: '{__name__="node_load1"}', after_ms: 1, until_ms: 2, series: 2, samples: 480, milliseconds: 1.32 }] },
  } : {};
  const found = asked.empty ? [] : linesOf(expression);
  const notes = /rate\(up/.test(expression) ? { infos: [`PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "up" (1:${expression.indexOf('up') + 1})`] } : {};
  if (path === 'query') {
    const time = Number(query.get('time'));
    if (/^\d+$/.test(expression)) return success({ resultType: 'scalar', result: [time, expression] });
    return success({ resultType: 'vector', result: found.map(({ metric, worth }, index) => ({ metric, value: [time, String(worth(time, index))] })) }, notes);
  }
  const [start, end, step] = ['start', 'end', 'step'].map((name) => Number(query.get(name)));
  const result = found.map(({ metric, worth }, index) => {
    const values = [];
    for (let at = start; at <= end; at += step) values.push([at, String(worth(at, index))]);
    return { metric, values };
  });
  return success({ resultType: 'matrix', result, ...explained }, notes);
}

function problemOf(expression) {
  const opened = expression.split('(').length - expression.split(')').length;
  if (opened > 0) return refused(400, 'bad_data', `invalid parameter "query": 1:${expression.length + 1}: parse error: unclosed left parenthesis`);
  if (/unknown_function/.test(expression)) return refused(400, 'bad_data', `invalid parameter "query": 1:${expression.indexOf('unknown') + 1}: parse error: unknown function with name "unknown_function"`);
  if (/too_many/.test(expression)) return refused(422, 'execution', 'query processing would load too many samples into memory in query execution');
  return null;
}

const seriesOf = (expression) => Object.entries(NAMES)
  .filter(([name]) => new RegExp(`\\b${name}\\b`).test(expression))
  .flatMap(([name, [all, worth]]) => all.filter((labels) => isMeant(labels, expression)).map((labels) => ({ name, labels, worth })));

const isMeant = ({ instance }, expression) =>
  !/instance="/.test(expression) || expression.includes(`instance="${instance}"`);

/** With names that `label_replace` gives to lines, a series for each; else those that are named. */
function linesOf(expression) {
  const lines = [...expression.matchAll(/"line", "([^"]+)"/g)].map(([, line]) => line);
  if (lines.length > 0) return lines.flatMap((line) => ofLine(line));
  if (/node_uname_info/.test(expression)) return NODES.map((labels) => ({ metric: { __name__: 'node_uname_info', ...labels }, worth: () => 1 }));
  const isRaw = !/[(]/.test(expression);
  return seriesOf(expression).map(({ name, labels, worth }) => ({ metric: isRaw ? { __name__: name, ...labels } : labels, worth: (at, index) => wave(worth, at, index) }));
}

function ofLine(line) {
  if (line === 'size' || line === 'free') {
    const all = [['/', '/dev/vda2', 80, 61], ['/srv', '/dev/vdb1', 500, 22], ['/boot/efi', '/dev/vda1', 0.5, 0.47]];
    return all.map(([mountpoint, device, size, free]) => ({ metric: { line, mountpoint, device, fstype: 'ext4' }, worth: () => (line === 'size' ? size : free) * GIB }));
  }
  const usual = {
    working: 0.31, 'waiting for disks': 0.04, 'taken by the host': 0.002, '1 min': 0.8, '5 min': 0.7, '15 min': 0.6, used: 3 * GIB,
    read: 90_000, written: 1_400_000, received: 310_000, sent: 45_000,
  };
  const fixed = { uptime: 1_234_567, cores: 4, memory: 8 * GIB, all: 8 * GIB }[line];
  return [{ metric: { line }, worth: (at, index) => fixed ?? wave(usual[line] ?? 1, at, index) }];
}

function wave(worth, at, index) {
  const turn = Math.sin(at / 700 + index) * 0.25 + Math.sin(at / 130 + index * 3) * 0.1;
  return worth === 1 ? 1 : Number((worth * (1 + index * 0.15) * (1 + turn)).toPrecision(8));
}

function targets() {
  const now = Date.now();
  const target = (job, host, more = {}) => ({
    discoveredLabels: { __address__: host, __metrics_path__: '/metrics', __scheme__: 'http', __scrape_interval__: '15s', __scrape_timeout__: '10s', job },
    labels: { instance: host, job }, scrapePool: job, scrapeUrl: `http://${host}/metrics`, globalUrl: `http://${host}/metrics`,
    lastError: '', lastScrape: new Date(now - 4_000).toISOString(), lastScrapeDuration: 0.0123, health: 'up', scrapeInterval: '15s', scrapeTimeout: '10s', ...more,
  });
  return {
    activeTargets: [
      ...NODES.map(({ instance }) => target('node', instance)),
      target('node', 'garage:9100', { health: 'down', lastError: 'Get "http://garage:9100/metrics": dial tcp 192.0.2.17:9100: connect: connection refused', labels: { instance: 'garage:9100', job: 'node', site: 'a very long name of a site that has to be broken somewhere' } }),
      ...Array.from({ length: 60 }, (_, index) => target('web', `web-${index}:8080`)),
      target('web', 'web-new:8080', { health: 'unknown', lastScrape: '0001-01-01T00:00:00Z', lastScrapeDuration: 0 }),
    ],
    droppedTargets: [{ discoveredLabels: { __address__: 'printer:80', job: 'web' } }],
    droppedTargetCounts: { node: 0, web: 1 },
  };
}
