// The search of runs, as it stands in the address: by the API's names.

import type { Query } from './api';

export const RUN_FILTERS = [
  'text', 'group', 'tag', 'status', 'version', 'scenario', 'field', 'state', 'pinned',
] as const;
export type RunFilterName = (typeof RUN_FILTERS)[number];
export type RunFilters = Partial<Record<RunFilterName, string>>;

export const RUN_FILTER_LABELS: Record<RunFilterName, string> = {
  text: 'Text',
  group: 'Group',
  tag: 'Tag',
  status: 'Status',
  version: 'Version',
  scenario: 'Scenario',
  field: 'Field',
  state: 'State',
  pinned: 'Pinned',
};

export const RUN_STATES = {
  open: 'open', telemetry_received: 'telemetry received', closed: 'closed',
} as const;

/** Whether an address means the list of runs, and not that of groups. */
export const isRunSearch = (query: URLSearchParams): boolean =>
  query.get('view') === 'runs' || RUN_FILTERS.some((name) => query.has(name));

/** In a group, what the address says of another one is not meant. */
export function readRunFilters(query: URLSearchParams, group: string | null): RunFilters {
  const filters: RunFilters = {};
  for (const name of RUN_FILTERS) {
    const value = query.get(name)?.trim();
    if (value) filters[name] = value;
  }
  if (group !== null) filters.group = group;
  return filters;
}

/** What is asked for. The API knows pinned runs, and all. */
export function askedOf(filters: RunFilters): Query {
  return { ...filters, pinned: filters.pinned === 'true' ? 'true' : null };
}

/** What is wrong with a field that somebody wrote; null when nothing is. */
export function fieldProblem(field: string): string | null {
  if (field === '') return null;
  const colon = field.indexOf(':');
  const isPair = colon > 0 && colon < field.length - 1;
  return isPair ? null : 'A field is a name and a value: network_plugin:OVNKubernetes.';
}

/** How a filter that is on is called in words. */
export function runFilterWords(name: RunFilterName, value: string): string {
  if (name === 'state') return RUN_STATES[value as keyof typeof RUN_STATES] ?? value;
  return name === 'pinned' ? 'yes' : value;
}
