// The time range that all views share, as it stands in the address: `range=7d`, or `since` and
// `until` when somebody wants it exactly.

import { DAY, dayOf, HOUR, MINUTE } from './times';

/** Every preset with its length in milliseconds. */
const LENGTHS = {
  '15m': 15 * MINUTE, '1h': HOUR, '6h': 6 * HOUR,
  '24h': DAY, '3d': 3 * DAY, '7d': 7 * DAY, '14d': 14 * DAY, '30d': 30 * DAY, '90d': 90 * DAY, all: null,
} as const;
export type Preset = keyof typeof LENGTHS;

/** What is offered where records and runs are listed, and where samples are drawn. */
export const PRESETS: readonly Preset[] = ['24h', '7d', '30d', '90d', 'all'];
/** Those of the windows in which machines are counted. */
export const WINDOW_PRESETS: readonly Preset[] = ['24h', '3d', '7d', '14d', 'all'];
export const SHORT_PRESETS: readonly Preset[] = ['15m', '1h', '6h', '24h', '7d'];

export const PRESET_NAMES: Record<Preset, string> = {
  '15m': '15 min',
  '1h': '1 h',
  '6h': '6 h',
  '24h': '24 h',
  '3d': '3 d',
  '7d': '7 d',
  '14d': '14 d',
  '30d': '30 d',
  '90d': '90 d',
  all: 'All',
};

export type Range =
  | { kind: 'preset'; preset: Preset }
  | { kind: 'custom'; since: string | null; until: string | null };

/** What the API is asked: received at or after `since`, and before `until`. */
export interface Span {
  since: string | null;
  until: string | null;
}

/** What is offered, with what is chosen: another view may have offered that. */
export function offered(presets: readonly Preset[], range: Range): Preset[] {
  const known = Object.keys(LENGTHS).filter(isPreset);
  return known.filter((one) => presets.includes(one) || (range.kind === 'preset' && range.preset === one));
}

/** Reads the range; what is no time is left out rather than sent to be refused. */
export function readRange(query: URLSearchParams, usual: Preset): Range {
  const preset = query.get('range');
  if (isPreset(preset)) return { kind: 'preset', preset };
  const since = time(query.get('since')) ?? startOf(query.get('from_date'));
  const until = time(query.get('until')) ?? startOf(query.get('to_date'), 1);
  if (since === null && until === null) return { kind: 'preset', preset: usual };
  return { kind: 'custom', since, until };
}

export function spanOf(range: Range, now: number): Span {
  if (range.kind === 'custom') return { since: range.since, until: range.until };
  const length = LENGTHS[range.preset];
  if (length === null) return { since: null, until: null };
  // Whole minutes, so that the same view asks the same question again for a while.
  const since = Math.floor((now - length) / MINUTE) * MINUTE;
  return { since: rfc3339(since), until: null };
}

/** The time to draw, in milliseconds. What has no end, ends now; what has no beginning or is beyond
 * all bounds is as long as `usual`. */
export function drawnSpan(range: Range, usual: Preset, now: number): { start: number; end: number } {
  const length = LENGTHS[usual] ?? DAY;
  if (range.kind === 'preset') return { start: now - (LENGTHS[range.preset] ?? length), end: now };
  const end = range.until === null ? now : Date.parse(range.until);
  const start = range.since === null ? end - length : Date.parse(range.since);
  return start < end ? { start, end } : { start: end - length, end };
}

/** Days back from today that cover the range, for what is only counted that way. */
export function daysBack(range: Range, now: number): number {
  const length = range.kind === 'preset' ? LENGTHS[range.preset] : lengthSince(range.since, now);
  return Math.min(Math.max(Math.ceil((length ?? 366 * DAY) / DAY), 1), 366);
}

function lengthSince(since: string | null, now: number): number | null {
  return since === null ? null : now - Date.parse(since);
}

/** The first and last day to draw; without a beginning, that of the data. */
export function drawnDays(span: Span, now: number, firstSeen: string | undefined): [string, string] {
  const last = dayOf(span.until === null ? now : Math.min(Date.parse(span.until) - 1, now));
  const first = span.since === null ? (firstSeen ?? last) : dayOf(Date.parse(span.since));
  return [first, last];
}

/** How a range is called in a sentence. */
export function rangeWords(range: Range): string {
  if (range.kind === 'preset') {
    return range.preset === 'all' ? 'at any time' : `in the last ${PRESET_NAMES[range.preset]}`;
  }
  const since = range.since === null ? '' : ` from ${words(range.since)}`;
  const until = range.until === null ? '' : ` until ${words(range.until)}`;
  return `received${since}${until}`;
}

const words = (time: string): string => `${time.slice(0, 16).replace('T', ' ')} UTC`;

function isPreset(text: string | null): text is Preset {
  return text !== null && Object.hasOwn(LENGTHS, text);
}

function time(text: string | null): string | null {
  // A plus of an offset that nobody escaped arrives as a blank.
  const at = text === null ? Number.NaN : Date.parse(text.replace(/ (\d\d:\d\d)$/, '+$1'));
  return Number.isNaN(at) ? null : rfc3339(at);
}

/** Midnight of a day in the original's form, or of a day after it. */
function startOf(day: string | null, later = 0): string | null {
  if (day === null || !/^\d{4}-\d\d-\d\d$/.test(day)) return null;
  const at = Date.parse(day);
  return Number.isNaN(at) ? null : rfc3339(at + later * DAY);
}

const rfc3339 = (at: number): string => `${new Date(at).toISOString().slice(0, 19)}Z`;

/** The value of an input of type `datetime-local` that is meant as UTC, and back. */
export const toInput = (time: string | null): string => time?.slice(0, 16) ?? '';
export const fromInput = (text: string): string | null => (text === '' ? null : time(`${text}Z`));
