// Which page stands at which path. The paths of records are those of the original telemetry UI; those
// of artefacts begin with the group, the run and the file, as everywhere else.

import { address } from './api';
import { EXPLORE, fromPrometheus } from './explore';
import { isRunSearch } from './run-filters';

export type Route =
  | { page: 'start' }
  | { page: 'explore' }
  | { page: 'targets' }
  | { page: 'records' }
  | { page: 'record'; id: number }
  | { page: 'crashes'; build: string | null }
  | { page: 'frames' }
  | { page: 'group'; id: number }
  | { page: 'backtraces'; id: number }
  | { page: 'builds' }
  | { page: 'statistics' }
  | { page: 'population' }
  | { page: 'quarantine' }
  | { page: 'machine-checks' }
  | { page: 'thermal' }
  | { page: 'class' }
  | { page: 'run-groups' }
  | { page: 'runs'; group: string | null }
  | { page: 'recovery'; group: string }
  | { page: 'group-settings'; group: string }
  | { page: 'run'; group: string; run: string }
  | { page: 'report'; group: string; run: string }
  | { page: 'run-file'; group: string; run: string; file: string }
  | { page: 'compare' }
  | { page: 'missing' };

export const RUNS = '/runs';
export const BASE = '/telemetryui';
export const START = '/';
export const TARGETS = '/targets';

const OF_METRICS = new Map<string, Route>(Object.entries({
  [START]: { page: 'start' },
  [EXPLORE]: { page: 'explore' },
  [TARGETS]: { page: 'targets' },
}));
/** Where Prometheus has what is Explore here. */
const OF_PROMETHEUS = ['/graph', '/query'];

const PLAIN = new Map<string, Route>(Object.entries({
  '': { page: 'records' },
  records: { page: 'records' },
  crashes: { page: 'crashes', build: null },
  'crashes/overall': { page: 'crashes', build: null },
  'crashes/frames': { page: 'frames' },
  builds: { page: 'builds' },
  stats: { page: 'statistics' },
  population: { page: 'population' },
  quarantine: { page: 'quarantine' },
  mce: { page: 'machine-checks' },
  thermal: { page: 'thermal' },
  class: { page: 'class' },
}));

export function routeOf(path: string, query = new URLSearchParams()): Route {
  const ofMetrics = OF_METRICS.get(path);
  if (ofMetrics) return ofMetrics;
  const names = namesBelowRuns(path);
  if (names !== null) return runRouteOf(names, query);
  const rest = below(path);
  if (rest === null) return { page: 'missing' };
  const plain = PLAIN.get(rest);
  if (plain) return plain;
  // A page number of the original means nothing here: its pages moved under the reader's feet.
  if (/^records\/\d+$/.test(rest)) return { page: 'records' };
  if (/^crashes\/page\/\d+$/.test(rest)) return { page: 'crashes', build: null };
  const record = numberAfter(rest, 'records/record_details/');
  if (record !== null) return { page: 'record', id: record };
  const group = numberAfter(rest.replace(/\/backtraces$/, ''), 'crashes/guilty_details/');
  if (group !== null) return { page: rest.endsWith('/backtraces') ? 'backtraces' : 'group', id: group };
  const build = /^crashes\/([^/]+)$/.exec(rest)?.[1];
  return build === undefined ? { page: 'missing' } : { page: 'crashes', build: decode(build) };
}

/** Without empty names, but for a file, whose name may end with a slash. */
function namesBelowRuns(path: string): string[] | null {
  if (path !== RUNS && !path.startsWith(`${RUNS}/`)) return null;
  const [group = '', run = '', ...file] = path.slice(RUNS.length + 1).split('/').map(decode);
  const name = file.join('/');
  return [group, run, name].slice(0, name ? 3 : run ? 2 : group ? 1 : 0);
}

function runRouteOf([group, run, file]: string[], query: URLSearchParams): Route {
  const view = query.get('view');
  if (group === undefined) {
    if (view === 'compare') return { page: 'compare' };
    return isRunSearch(query) ? { page: 'runs', group: query.get('group') } : { page: 'run-groups' };
  }
  // A file without a run, such as that of `/runs//x`.
  if (group === '') return { page: 'missing' };
  if (run === undefined) {
    if (view === 'recovery') return { page: 'recovery', group };
    return view === 'settings' ? { page: 'group-settings', group } : { page: 'runs', group };
  }
  if (run === '') return { page: 'missing' };
  if (file !== undefined) return { page: 'run-file', group, run, file };
  return view === 'report' ? { page: 'report', group, run } : { page: 'run', group, run };
}

/** Where a page of an original went that has another address. */
export function movedTo(path: string, query = new URLSearchParams()): string | null {
  if (OF_PROMETHEUS.includes(path)) return address(EXPLORE, fromPrometheus(query, Date.now()));
  const rest = below(path);
  const edit = /^crashes\/guilty_edit\/(add|remove|reset|hidden)$/.exec(rest ?? '')?.[1];
  if (edit === undefined) return null;
  return edit === 'hidden' ? `${BASE}/crashes?hidden=true` : `${BASE}/crashes/frames`;
}

/** Whether a link leads to a page of ours, and not to a file or to another part of the product. */
export function isPagePath(path: string): boolean {
  if (OF_METRICS.has(path) || namesBelowRuns(path) !== null) return true;
  return below(path) !== null && !path.startsWith(`${BASE}/records/export/`);
}

function below(path: string): string | null {
  if (path !== BASE && !path.startsWith(`${BASE}/`)) return null;
  return path.slice(BASE.length + 1).replace(/\/$/, '');
}

function numberAfter(text: string, start: string): number | null {
  const rest = text.startsWith(start) ? text.slice(start.length) : '';
  return /^[1-9]\d{0,15}$/.test(rest) ? Number(rest) : null;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
