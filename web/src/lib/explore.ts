// What the page Explore shows, as it stands in the address; and old links to Prometheus' own page.

import { address, type Query } from './api';
import { readDuration } from './durations';

export interface Exploration {
  queries: { expression: string; isHidden: boolean }[];
  view: 'graph' | 'table';
  isLogarithmic: boolean;
  isStacked: boolean;
  isExplained: boolean;
  /** Seconds between two points; null for as many as there is room for. */
  step: number | null;
  /** Seconds between two looks; 0 for none. */
  refresh: number;
}

export const EXPLORE = '/explore';
export const QUERIES_MOST = 10;
export const REFRESHES = [5, 15, 60] as const;

const NAMES = Array.from({ length: QUERIES_MOST }, (_, index) => `q${index + 1}`);

export function readExploration(query: URLSearchParams): Exploration {
  const hidden = new Set((query.get('hidden') ?? '').split(','));
  const queries = NAMES.flatMap((name, index) => {
    const expression = query.get(name)?.trim() ?? '';
    return expression === '' ? [] : [{ expression, isHidden: hidden.has(String(index + 1)) }];
  });
  const refresh = readDuration(query.get('refresh') ?? '') ?? 0;
  return {
    queries,
    view: query.get('view') === 'table' ? 'table' : 'graph',
    isLogarithmic: query.get('scale') === 'log',
    isStacked: query.get('stack') === 'on',
    isExplained: query.get('explain') === 'on',
    step: readDuration(query.get('step') ?? ''),
    refresh: REFRESHES.find((one) => one === refresh) ?? 0,
  };
}

/** The part of the address that names the queries; those that are not there are named, too, to go. */
export function writeQueries(queries: Exploration['queries']): Query {
  const written = queries.filter(({ expression }) => expression !== '');
  const hidden = written.flatMap(({ isHidden }, index) => (isHidden ? [index + 1] : []));
  return {
    ...Object.fromEntries(NAMES.map((name, index) => [name, written[index]?.expression ?? null])),
    hidden: hidden.join(','),
  };
}

/** The page with these queries. */
export const exploreLink = (expressions: string[], more: Query = {}): string => address(EXPLORE, {
  ...Object.fromEntries(expressions.map((expression, index) => [NAMES[index] ?? '', expression])),
  ...more,
});

/** How far back `/graph` of Prometheus looks when the link doesn't say. */
const USUAL_SECONDS = 3_600;

/** A link to `/graph` or `/query` of Prometheus, as it is here. */
export function fromPrometheus(query: URLSearchParams, now: number): Query {
  const panels = NAMES.map((_name, index) => `g${index}.`).filter((panel) => query.has(`${panel}expr`));
  const first = panels[0] ?? 'g0.';
  const of = (name: string): string | null => query.get(first + name);
  const queries = panels.map((panel) => ({
    expression: query.get(`${panel}expr`)?.trim() ?? '', isHidden: false,
  }));
  // It is the table that Prometheus begins with.
  const isGraph = of('tab') === '0' || of('tab') === 'graph';
  return {
    ...writeQueries(queries),
    view: isGraph ? null : 'table',
    stack: of('stacked') === '1' || of('display_mode') === 'stacked' ? 'on' : null,
    step: of('step_input') ?? null,
    ...rangeFromPrometheus(of('range_input'), of('end_input') ?? of('moment_input'), now),
  };
}

function rangeFromPrometheus(range: string | null, end: string | null, now: number): Query {
  const seconds = readDuration(range ?? '') ?? USUAL_SECONDS;
  const until = end === null ? Number.NaN : Date.parse(`${end.replace(' ', 'T').replace(/Z?$/, 'Z')}`);
  const preset = PRESET_SECONDS.find(([, length]) => length === seconds)?.[0];
  if (Number.isNaN(until) && preset !== undefined) return { range: preset };
  const last = Number.isNaN(until) ? now : until;
  const since = new Date(last - seconds * 1_000).toISOString();
  return { since, until: Number.isNaN(until) ? null : new Date(until).toISOString() };
}

const PRESET_SECONDS: [string, number][] = [
  ['15m', 900], ['1h', 3_600], ['6h', 21_600], ['24h', 86_400], ['7d', 604_800], ['30d', 2_592_000],
];

/** Where in an expression a message of the API points: `1:5: parse error: …` or `… (1:5)`. */
export function placeIn(expression: string, message: string): number | null {
  const found = /(?:^|\s)(\d+):(\d+): parse error/.exec(message) ?? /\((\d+):(\d+)\)$/.exec(message);
  if (!found) return null;
  const lines = expression.split('\n');
  const [line, column] = [Number(found[1]), Number(found[2])];
  if (line < 1 || line > lines.length) return null;
  const before = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  return Math.min(before + column - 1, expression.length);
}

/** The message without what only programs need. */
export const messageWords = (message: string): string =>
  message.replace(/^invalid parameter "query": /, '').replace(/^(\d+):(\d+): parse error: /, 'line $1, column $2: ');
