// From counts to what a plot draws: columns side by side, each a stack of series.

import type { Counts } from './types';
import { daysBetween, shortDay, weekOf, WEEK } from './times';

export interface Series {
  key: string;
  label: string;
  /** Name of the custom property with its colour. */
  colour: string;
  values: number[];
  total: number;
}

/** What a column stands for. */
export type Unit = 'day' | 'week' | 'build';

export interface Chart {
  unit: Unit;
  /** The columns from left to right: days, the first days of weeks, or builds. */
  points: string[];
  series: Series[];
}

/** What the columns are called in a table. */
export const UNIT_HEADINGS: Record<Unit, string> = {
  day: 'Day (UTC)', week: 'Week from (UTC)', build: 'Build',
};

/** A column as an axis names it. */
export const shortPoint = (unit: Unit, point: string): string =>
  unit === 'build' ? point : shortDay(point);

/** A column as a sentence names it. */
export function pointName({ unit, points }: Chart, index: number): string {
  const name = shortPoint(unit, points[index] ?? '');
  return { day: name, week: `Week from ${name}`, build: `Build ${name}` }[unit];
}

export const SERIES_MOST = 8;
/** No value of a field has a star of its own in front, so this can't be one. */
export const OTHER = '*other';

interface Options {
  unit?: 'day' | 'week';
  label?: (key: string) => string;
  /** These series, in this order and with these colours, instead of the largest ones. */
  fixed?: { key: string; colour: string }[];
}

/** Days without records are zero; what is not among the largest is summed up as other. */
export function chartOf(counts: Counts, first: string, last: string, options: Options = {}): Chart {
  const { unit = 'day' } = options;
  const days = daysBetween(first, last);
  const pointOf = (day: string): string => (unit === 'week' ? weekOf(day) : day);
  const points = unit === 'week' ? daysBetween(weekOf(first), last, WEEK) : days;
  const position = new Map(points.map((point, index) => [point, index]));
  const isDrawn = new Set(days);
  const totals = totalsOf(counts, isDrawn);
  const label = options.label ?? ((key: string) => key);
  const shown = options.fixed?.filter(({ key }) => totals.has(key)) ?? largest(totals);
  const series = shown.map(({ key, colour }) => empty(key, label(key), colour, points.length));
  const rest = empty(OTHER, 'other', '--series-other', points.length);
  const byKey = new Map(series.map((one) => [one.key, one]));
  for (const { day, counts: ofDay } of counts.days) {
    const index = position.get(pointOf(day));
    if (index === undefined || !isDrawn.has(day)) continue;
    for (const [key, count] of Object.entries(ofDay)) add(byKey.get(key) ?? rest, index, count);
  }
  return { unit, points, series: rest.total > 0 ? [...series, rest] : series };
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
  const below = chart.points.map(() => 0);
  return chart.series.map(({ key, values }) => {
    if (!hidden.has(key)) values.forEach((value, day) => (below[day] = (below[day] ?? 0) + value));
    return [...below];
  });
}

export function largest(totals: Map<string, number>): { key: string; colour: string }[] {
  const keys = [...totals.keys()];
  return keys.slice(0, SERIES_MOST).map((key, index) => ({ key, colour: `--series-${index + 1}` }));
}

export function empty(key: string, label: string, colour: string, length: number): Series {
  return { key, label, colour, values: new Array<number>(length).fill(0), total: 0 };
}

/** Adds to a column. */
export function add(series: Series, index: number, count: number): void {
  series.values[index] = (series.values[index] ?? 0) + count;
  series.total += count;
}
