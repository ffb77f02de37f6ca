// Telemetry of krkn as a report. Its shape moves with each release: nothing is taken for granted, and
// what is not known is kept to be shown as it is.

import type { RunStatus } from './artefact-types';
import { isContainer, isObject, type Json, type JsonObject } from './tree';

export type Named = [name: string, value: Json];

export interface Report {
  status: RunStatus | null;
  /** Plain values of the root, under the names that people know. */
  facts: Named[];
  scenarios: Scenario[];
  nodes: JsonObject[];
  taints: JsonObject[];
  objects: Named[];
  alerts: Alert[];
  errors: Json[];
  checks: { title: string; rows: JsonObject[] }[];
  resiliency: Resiliency | null;
  /** What this page knows nothing of. */
  rest: Named[];
}

export interface Scenario {
  name: string;
  type: string | null;
  status: RunStatus | null;
  exitStatus: number | null;
  /** Seconds since 1970. */
  start: number | null;
  end: number | null;
  affected: Affected[];
  nodes: JsonObject[];
  events: JsonObject[];
  parameters: Json;
  rest: Named[];
}

/** What a scenario did to pods or to virtual machines. */
export interface Affected {
  /** `Pods` */
  title: string;
  recovered: Recovered[];
  unrecovered: Recovered[];
  error: string | null;
  /** The longest, in seconds. */
  longest: number | null;
}

export interface Recovered {
  name: string;
  namespace: string;
  total: number | null;
  ready: number | null;
  rescheduled: number | null;
}

export interface Alert {
  when: string;
  name: string;
  state: string;
  severity: string;
  namespace: string;
}

export interface Resiliency {
  score: number | null;
  passed: number | null;
  total: number | null;
  scenarios: Named[];
}

const FACTS: [field: string, label: string][] = [
  ['cluster_version', 'Cluster version'],
  ['major_version', 'Major version'],
  ['cloud_infrastructure', 'Infrastructure'],
  ['cloud_type', 'Cloud type'],
  ['total_node_count', 'Nodes'],
  ['network_plugins', 'Network plugins'],
  ['timestamp', 'Time'],
  ['run_uuid', 'Run UUID'],
  ['tag', 'Tag'],
  ['build_url', 'Build'],
  ['fips_enabled', 'FIPS'],
  ['etcd_encryption_enabled', 'etcd encryption'],
  ['ipsec_enabled', 'IPsec'],
];
const CHECKS: [field: string, title: string][] = [
  ['health_checks', 'Health checks'],
  ['virt_checks', 'Checks of virtual machines'],
  ['post_virt_checks', 'Checks of virtual machines afterwards'],
  ['object_state_checks', 'Checks of objects'],
];
const AFFECTED: [field: string, title: string, prefix: string][] = [
  ['affected_pods', 'Pods', 'pod'],
  ['affected_vmis', 'Virtual machines', 'vmi'],
];

/** Null when the document is no object at all. */
export function readReport(document: Json): Report | null {
  if (!isObject(document)) return null;
  const left = new Map(Object.entries(document));
  const take = (name: string): Json => {
    const value = left.get(name);
    left.delete(name);
    return value;
  };
  const facts = FACTS.flatMap(([field, label]): Named[] => {
    const value = left.get(field);
    const shown = Array.isArray(value) && !value.some(isContainer) ? value.join(', ') : value;
    if (shown === undefined || isContainer(shown)) return [];
    left.delete(field);
    return shown === null || shown === '' ? [] : [[label, shown]];
  });
  const checks = CHECKS.map(([field, title]) => ({ title, rows: objects(take(field)) }));
  return {
    status: statusOf(take('job_status')),
    facts,
    scenarios: objects(take('scenarios')).map(readScenario),
    nodes: objects(take('node_summary_infos')),
    taints: objects(take('node_taints')),
    objects: pairs(take('kubernetes_objects_count')),
    alerts: [...alerts(take('alerts'), 'during'), ...alerts(take('failed_alerts'), 'failed')],
    errors: list(take('error_logs')),
    checks: checks.filter(({ rows }) => rows.length > 0),
    resiliency: readResiliency(take('overall_resiliency_report')),
    rest: [...left].filter(([, value]) => !isNothing(value)),
  };
}

function readScenario(scenario: JsonObject): Scenario {
  const left = new Map(Object.entries(scenario));
  const take = (name: string): Json => {
    const value = left.get(name);
    left.delete(name);
    return value;
  };
  const exitStatus = numberOf(take('exit_status'));
  // What was decoded stands in `parameters`; the other is empty then.
  if (left.get('parameters_base64') === '') left.delete('parameters_base64');
  return {
    name: textOf(take('scenario')) || 'without a name',
    type: textOf(take('scenario_type')) || null,
    exitStatus,
    status: exitStatus === null ? null : exitStatus === 0 ? 'passed' : 'failed',
    start: numberOf(take('start_timestamp')),
    end: numberOf(take('end_timestamp')),
    affected: AFFECTED.flatMap(([field, title, prefix]) => {
      const affected = readAffected(take(field), title, prefix);
      return affected ? [affected] : [];
    }),
    nodes: objects(take('affected_nodes')),
    events: objects(take('cluster_events')),
    parameters: take('parameters'),
    rest: [...left].filter(([, value]) => !isNothing(value)),
  };
}

function readAffected(value: Json, title: string, prefix: string): Affected | null {
  if (!isObject(value)) return null;
  const recovered = objects(value['recovered']).map((one) => readRecovered(one, prefix));
  const unrecovered = objects(value['unrecovered']).map((one) => readRecovered(one, prefix));
  const error = textOf(value['error']) || null;
  if (recovered.length + unrecovered.length === 0 && error === null) return null;
  const times = recovered.flatMap(({ total }) => (total === null ? [] : [total]));
  const longest = times.reduce<number | null>((most, time) => Math.max(most ?? time, time), null);
  // Those that took longest are what people look for.
  recovered.sort((one, other) => (other.total ?? 0) - (one.total ?? 0));
  return { title, recovered, unrecovered, error, longest };
}

const readRecovered = (one: JsonObject, prefix: string): Recovered => ({
  name: textOf(one[`${prefix}_name`]),
  namespace: textOf(one['namespace']),
  total: numberOf(one['total_recovery_time']),
  ready: numberOf(one[`${prefix}_readiness_time`]),
  rescheduled: numberOf(one[`${prefix}_rescheduling_time`]),
});

function readResiliency(value: Json): Resiliency | null {
  if (!isObject(value)) return null;
  const score = numberOf(value['resiliency_score']);
  const scenarios = pairs(value['scenarios']);
  if (score === null && scenarios.length === 0) return null;
  return {
    score, scenarios, passed: numberOf(value['passed_slos']), total: numberOf(value['total_slos']),
  };
}

/** The alerts of a file `critical-alerts-….log`; null when it is something else. */
export function readAlerts(document: Json): Alert[] | null {
  if (!isObject(document) || !Array.isArray(document['chaos_alerts'])) return null;
  return [
    ...alerts(document['chaos_alerts'], 'during'), ...alerts(document['post_chaos_alerts'], 'after'),
  ];
}

const alerts = (value: Json, when: string): Alert[] =>
  objects(value).map((one) => ({
    when,
    name: textOf(one['alertname']) || textOf(one['alert']),
    state: textOf(one['alertstate']),
    severity: textOf(one['severity']),
    namespace: textOf(one['namespace']),
  }));

/** Columns of rows whose fields nobody knows in advance, in the order in which they come. */
export function columnsOf(rows: JsonObject[]): string[] {
  const columns = new Set<string>();
  for (const row of rows) {
    for (const [name, value] of Object.entries(row)) if (!isNothing(value)) columns.add(name);
  }
  return [...columns];
}

/** `node_ready_time` as `Node ready time` */
export function heading(name: string): string {
  const words = name.replaceAll('_', ' ').trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Whatever stands in a cell. Times in seconds since 1970 are known by their names. */
export function cell(name: string, value: Json): string {
  if (isNothing(value)) return '';
  if (typeof value === 'number' && name.endsWith('timestamp')) return instant(value);
  if (typeof value === 'number') return String(Number(value.toFixed(3)));
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** `2026-11-21 17:05:33 UTC` of seconds since 1970. */
export function instant(seconds: number | null): string {
  const time = seconds === null ? new Date(Number.NaN) : new Date(seconds * 1000);
  if (Number.isNaN(time.getTime())) return 'unknown';
  return `${time.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** The status that a run or a document gives as a flag. */
const statusOf = (value: Json): RunStatus | null =>
  typeof value === 'boolean' ? (value ? 'passed' : 'failed') : null;

/** What the search knows of how a run ended. */
export function statusOfFields(fields: Record<string, string[]>): RunStatus | null {
  const [status] = fields['status'] ?? [];
  return status === 'passed' || status === 'failed' ? status : null;
}

const list = (value: Json): Json[] => (Array.isArray(value) ? value : []);
const objects = (value: Json): JsonObject[] => list(value).filter(isObject);
const pairs = (value: Json): Named[] => (isObject(value) ? Object.entries(value) : []);
const textOf = (value: Json): string =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
const numberOf = (value: Json): number | null => {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : null;
};

/** Absent fields come as null, and lists without anything in them. */
const isNothing = (value: Json): boolean =>
  value === undefined || value === null || value === '' ||
  (Array.isArray(value) && value.length === 0) ||
  (isObject(value) && Object.keys(value).length === 0);
