// The API of Prometheus, as far as pages ask it: questions, and the shapes of the answers.

import { question, type Query, type Question } from './api';

export type Metric = Record<string, string>;
/** Seconds since 1970, and a number as text: JSON knows neither NaN nor infinity. */
export type Sample = [seconds: number, value: string];

export interface HistogramValue {
  count: string;
  sum: string;
  buckets?: [rule: number, left: string, right: string, count: string][];
}
export type HistogramSample = [seconds: number, value: HistogramValue];

export interface RangeSeries {
  metric: Metric;
  values?: Sample[];
  histograms?: HistogramSample[];
}

export interface InstantSeries {
  metric: Metric;
  value?: Sample;
  histogram?: HistogramSample;
}

export type Result =
  | { resultType: 'matrix'; result: RangeSeries[] }
  | { resultType: 'vector'; result: InstantSeries[] }
  | { resultType: 'scalar' | 'string'; result: Sample };

/** What a query read and how long it took, when that was asked for. */
export interface Explained {
  stats?: { timings: { execTotalTime: number }; samples?: { totalQueryableSamples?: number } };
  /** Only Landline tells this. */
  explain?: { selections: Selection[] };
}

/** What one selector of an expression read. */
export interface Selection {
  selector: string;
  /** Samples after this and up to that, in milliseconds since 1970. */
  after_ms: number;
  until_ms: number;
  series: number;
  samples: number;
  milliseconds: number;
}

export interface Answer<T> {
  status: 'success';
  data: T;
  /** What may make the result wrong, and what is worth knowing. */
  warnings?: string[];
  infos?: string[];
}

export type Health = 'up' | 'down' | 'unknown';

export interface ActiveTarget {
  discoveredLabels: Metric;
  labels: Metric;
  scrapePool: string;
  scrapeUrl: string;
  globalUrl?: string;
  lastError: string;
  /** When it was scraped last; before the first time, a date long ago. */
  lastScrape: string;
  /** In seconds. */
  lastScrapeDuration: number;
  health: Health;
  scrapeInterval?: string;
  scrapeTimeout?: string;
}

export interface DroppedTarget {
  discoveredLabels: Metric;
  scrapePool?: string;
}

export interface Targets {
  activeTargets: ActiveTarget[];
  droppedTargets: DroppedTarget[];
  /** All that were dropped, of which only some may be listed. */
  droppedTargetCounts?: Record<string, number>;
}

/** Below this path is everything. */
export const API = '/api/v1';

/** The times at which a range is evaluated, in seconds. */
export interface Grid {
  start: number;
  end: number;
  step: number;
}

export interface HowAsked {
  /** An answer of more series is cut, and says so. */
  limit?: number;
  isExplained?: boolean;
}

const howOf = ({ limit, isExplained = false }: HowAsked): Query =>
  ({ limit, ...(isExplained ? { stats: 'all', explain: 1 } : {}) });

type Asking = Question<Answer<Result & Explained>>;
export const instantQuery = (query: string, time: number, how: HowAsked = {}): Asking =>
  question(`${API}/query`, { query, time, ...howOf(how) });
export const rangeQuery = (query: string, { start, end, step }: Grid, how: HowAsked = {}): Asking =>
  question(`${API}/query_range`, { query, start, end, step, ...howOf(how) });
export const targets = (): Question<Answer<Targets>> => question(`${API}/targets`);

/** What a question says after its path. */
const queryOf = (url: string): URLSearchParams => new URLSearchParams(url.slice(url.indexOf('?') + 1));

/** The time that a question of an instant asked for, in seconds. */
export const timeOf = (url: string): number => Number(queryOf(url).get('time') ?? 0);

/** The grid that a question of a range asked for. */
export function gridOf(url: string): Grid | null {
  const query = queryOf(url);
  const [start, end, step] = ['start', 'end', 'step'].map((name) => Number(query.get(name)));
  return start && end && step ? { start, end, step } : null;
}

/** A number of an answer. */
export function numberOf(text: string): number {
  if (text === '+Inf') return Infinity;
  return text === '-Inf' ? -Infinity : Number(text);
}

/** `up{instance="a:9100", job="node"}`, as one writes it in a query. */
export function metricText(metric: Metric, left: ReadonlySet<string> = new Set()): string {
  const { __name__: name = '', ...labels } = metric;
  const parts = Object.entries(labels)
    .filter(([label]) => !left.has(label))
    .map(([label, value]) => `${labelText(label)}=${JSON.stringify(value)}`);
  const isPlain = name === '' || /^[a-zA-Z_:][\w:]*$/.test(name);
  if (!isPlain) parts.unshift(JSON.stringify(name));
  const shown = isPlain && !left.has('__name__') ? name : '';
  if (parts.length === 0) return shown || (left.size > 0 ? '' : '{}');
  return `${shown}{${parts.join(', ')}}`;
}

const labelText = (label: string): string => (/^[a-zA-Z_]\w*$/.test(label) ? label : JSON.stringify(label));

/** A value in quotes for a matcher. */
export const quoted = (value: string): string => JSON.stringify(value);
