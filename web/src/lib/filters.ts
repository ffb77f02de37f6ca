// The filters of the list of records, as they stand in the address: by the API's names, and on the
// way in also by those of the original's form, because people have bookmarks.

import { address, type ApiError, type Query } from './api';
import type { Span } from './range';

export const FILTERS = [
  'text', 'payload', 'not_payload', 'classification', 'severity', 'system_name', 'build', 'source', 'machine_id', 'event_id',
  'group',
] as const;
export type FilterName = (typeof FILTERS)[number];
/** Regular expressions: blanks at their ends count. */
export const PATTERNS = ['payload', 'not_payload'] as const satisfies FilterName[];
export type PatternName = (typeof PATTERNS)[number];
export type Filters = Partial<Record<FilterName, string>>;

export const FILTER_LABELS: Record<FilterName, string> = {
  text: 'Payload words',
  payload: 'Payload matches',
  not_payload: 'Payload does not match',
  classification: 'Classification',
  severity: 'Severity',
  system_name: 'System',
  build: 'Build',
  source: 'Source',
  machine_id: 'Machine',
  event_id: 'Event',
  group: 'Crash group',
};

const ORIGINAL_NAMES: Partial<Record<FilterName, string>> = {
  source: 'data_source',
};

export function readFilters(query: URLSearchParams): Filters {
  const filters: Filters = {};
  for (const name of FILTERS) {
    const value = query.get(name) ?? query.get(ORIGINAL_NAMES[name] ?? name) ?? '';
    if (isPattern(name)) {
      if (value !== '') filters[name] = value;
      continue;
    }
    const text = value.trim();
    // The original's form sends `All` where nothing was chosen.
    if (text && text !== 'All' && text !== 'all') filters[name] = text;
  }
  return filters;
}

export const isPattern = (name: string): name is PatternName => PATTERNS.some((one) => one === name);

export interface PatternProblem {
  name: PatternName;
  reason: string;
}

/** Which expression the API refused, and why; null when it was something else. */
export function patternProblem(error: ApiError | undefined): PatternProblem | null {
  if (error?.status !== 400) return null;
  const found = /^(not_payload|payload) ([^]+)$/.exec(error.message);
  if (!found) return null;
  const [, name, said = ''] = found;
  // It draws a picture of the expression first, which only a typewriter can show.
  const reason = /\berror: (.+)\s*$/.exec(said)?.[1] ?? said;
  return { name: name === 'payload' ? name : 'not_payload', reason };
}

/** Why the live tail can't follow these filters; null when it can. */
export function tailProblem(filters: Filters, span: Span, isFirstPage: boolean): string | null {
  if (filters.text || filters.payload || filters.not_payload) {
    return 'Live cannot search payloads: remove the words and expressions first.';
  }
  if (span.until !== null) return 'Live needs a time range without an end.';
  if (!isFirstPage) return 'Live starts on the newest page.';
  return null;
}

/** Rows of a CSV that opens in the browser; the original's bound. */
const INLINE_ROWS = 10_000;

export function exportAddress(format: 'attach' | 'inline', filters: Filters, span: Span): string {
  const { source, ...same } = filters;
  const query: Query = {
    format_type: format,
    ...same,
    data_source: source,
    since: span.since,
    until: span.until,
  };
  return address(`/telemetryui/records/export/records-${INLINE_ROWS}.csv`, query);
}
