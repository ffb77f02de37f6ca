// From counts per day to what a plot draws.

import type { Counts } from './types';
import { daysBetween } from './times';

export interface Series {
  key: string;
  label: string;
  /** Name of the custom property with its colour. */
  colour: string;
  values: number[];
  total: number;
}

export interface Chart {
  days: string[];
  series: Series[];
}

export const SERIES_MOST = 8;
/** No value of a field has a star of its own in front, so this can't be one. */
export const OTHER = '*other';

interface Options {
  label?: (key: string) => string;
  /** These series, in this order and with these colours, instead of the largest ones. */
  fixed?: { key: string; colour: string }[];
}

/** Days without records are zero; what is not among the largest is summed up as other. */
export function chartOf(counts: Counts, first: string, last: string, options: Options = {}): Chart {
  const days = daysBetween(first, last);
  const position = new Map(days.map((day, index) => [day, index]));
  const totals = totalsOf(counts, new Set(days));
  const label = options.label ?? ((key: string) => key);
  const shown = options.fixed?.filter(({ key }) => totals.has(key)) ?? largest(totals);
  const series = shown.map(({ key, colour }) => empty(key, label(key), colour, days.length));
  const rest = empty(OTHER, 'other', '--series-other', days.length);
  const byKey = new Map(series.map((one) => [one.key, one]));
  for (const { day, counts: ofDay } of counts.days) {
    const index = position.get(day);
    if (index === undefined) continue;
    for (const [key, count] of Object.entries(ofDay)) add(byKey.get(key) ?? rest, index, count);
  }
  return { days, series: rest.total > 0 ? [...series, rest] : series };
}

/** Sums over the days, all of them or some; the largest first. */
export function totalsOf(counts: Counts, days?: Set<string>): Map<string, number> {
  const totals = new Map<string, number>();
  for (const { day, counts: ofDay } of counts.days) {
    if (days && !days.has(day)) continue;
    for (const [key, count] of Object.entries(ofDay)) {
      totals.set(key, (totals.get(key) ?? 0) + count);
    }
  }
  return new Map([...totals].sort((one, other) => other[1] - one[1]));
}

/** Each series on the shoulders of the visible ones before it. */
export function stacked(chart: Chart, hidden: ReadonlySet<string>): number[][] {
  const below = chart.days.map(() => 0);
  return chart.series.map(({ key, values }) => {
    if (!hidden.has(key)) values.forEach((value, day) => (below[day] = (below[day] ?? 0) + value));
    return [...below];
  });
}

function largest(totals: Map<string, number>): { key: string; colour: string }[] {
  const keys = [...totals.keys()];
  return keys.slice(0, SERIES_MOST).map((key, index) => ({ key, colour: `--series-${index + 1}` }));
}

function empty(key: string, label: string, colour: string, length: number): Series {
  return { key, label, colour, values: new Array<number>(length).fill(0), total: 0 };
}

function add(series: Series, day: number, count: number): void {
  series.values[day] = (series.values[day] ?? 0) + count;
  series.total += count;
}
