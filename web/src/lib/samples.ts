// From the answer of a range query to what a plot draws: lines over a grid of times.

import type { Unit } from './figures';
import { gridOf, metricText, numberOf, type Grid, type Metric, type RangeSeries } from './prometheus';
import { SERIES_MOST } from './series';

export interface Line {
  key: string;
  /** What tells it from the others. */
  label: string;
  /** The whole name, with all labels. */
  full: string;
  /** Name of the custom property with its colour. */
  colour: string;
  /** Colours come back after a while; dashes tell which round it is. */
  dash: number[];
  /** For each point of the grid; null where there is no sample. */
  values: (number | null)[];
}

export interface SampleChart {
  /** The first point, and how far they are apart, in seconds. */
  start: number;
  step: number;
  count: number;
  lines: Line[];
  unit: Unit;
}

/** Lines that are drawn at most: more can't be told apart, and a browser should stay quick. */
export const LINES_MOST = 400;
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];

/** Whole steps, so that the same points are asked for again after a while. */
export function gridFor(startMs: number, endMs: number, step: number): Grid {
  const first = Math.floor(startMs / 1_000 / step) * step;
  const last = Math.floor(endMs / 1_000 / step) * step;
  const tidy = (seconds: number): number => Number(seconds.toFixed(3));
  return { start: tidy(first), end: tidy(Math.max(last, first + step)), step };
}

/** An answer with the question that it answers. */
export interface Answered {
  /** Names the query where there are several. */
  name: string;
  url: string;
  series: RangeSeries[];
}

/** Labels that all series share; they tell nothing apart. */
export function commonLabels(metrics: Metric[]): Set<string> {
  const [first, ...others] = metrics;
  if (first === undefined || others.length === 0) return new Set();
  const isSame = (name: string): boolean => others.every((metric) => metric[name] === first[name]);
  return new Set(Object.keys(first).filter(isSame));
}

/** One chart of all answers; null when none has a grid. */
export function chartOfAnswers(
  answers: Answered[], unit: Unit = 'plain', labelOf?: (metric: Metric) => string,
): SampleChart | null {
  const grid = answers.map(({ url }) => gridOf(url)).find((found) => found !== null);
  if (!grid) return null;
  const count = Math.round((grid.end - grid.start) / grid.step) + 1;
  const lines: Line[] = [];
  for (const { name, series } of answers) {
    const left = commonLabels(series.map(({ metric }) => metric));
    for (const one of series) {
      // Of a histogram there is no line.
      if (lines.length >= LINES_MOST || (one.values ?? []).length === 0) continue;
      const full = metricText(one.metric);
      const short = labelOf?.(one.metric) || metricText(one.metric, left) || full;
      lines.push({
        key: `${name} ${full}`,
        label: name === '' ? short : `${name}: ${short}`,
        full,
        ...styleOf(lines.length),
        values: onGrid(one, grid, count),
      });
    }
  }
  return { start: grid.start, step: grid.step, count, lines, unit };
}

/** The colour and the dashes of the line with this number. */
export function styleOf(index: number): { colour: string; dash: number[] } {
  const round = Math.floor(index / SERIES_MOST);
  return {
    colour: `--series-${(index % SERIES_MOST) + 1}`,
    dash: DASHES[round % DASHES.length] ?? [],
  };
}

function onGrid({ values = [] }: RangeSeries, { start, step }: Grid, count: number): (number | null)[] {
  const points = new Array<number | null>(count).fill(null);
  for (const [seconds, text] of values) {
    const index = Math.round((seconds - start) / step);
    const value = numberOf(text);
    if (index >= 0 && index < count && Number.isFinite(value)) points[index] = value;
  }
  return points;
}

/** Points without a neighbour; a line would not show them. */
export function lonely(values: (number | null)[]): number[] {
  const isThere = (index: number): boolean => (values[index] ?? null) !== null;
  return values.flatMap((_value, index) =>
    isThere(index) && !isThere(index - 1) && !isThere(index + 1) ? [index] : []);
}

/** Each line on the shoulders of the visible ones before it. */
export function piled(lines: Line[], hidden: ReadonlySet<string>): (number | null)[][] {
  const below: number[] = [];
  return lines.map(({ key, values }) => {
    if (hidden.has(key)) return values;
    return values.map((value, index) => {
      if (value === null) return null;
      return (below[index] = (below[index] ?? 0) + value);
    });
  });
}

/** Where a line is last. */
export function lastOf(values: (number | null)[]): number | null {
  return values.findLast((value) => value !== null) ?? null;
}

/** Hides all but one; that one again, and all are back. */
export function isolated(lines: Line[], hidden: ReadonlySet<string>, key: string): Set<string> {
  const others = lines.filter((line) => line.key !== key).map((line) => line.key);
  const isAlone = !hidden.has(key) && others.every((other) => hidden.has(other));
  return new Set(isAlone ? [] : others);
}

/** `14:05:30`, and the day where it is not clear. */
export function pointTime({ start, step, count }: SampleChart, index: number): string {
  const text = new Date((start + index * step) * 1_000).toISOString();
  const isLong = step * count > 86_400;
  const time = step % 60 === 0 && start % 60 === 0 ? text.slice(11, 16) : text.slice(11, 19);
  return isLong ? `${text.slice(0, 10)} ${time}` : time;
}
