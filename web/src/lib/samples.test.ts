import { describe, expect, it } from 'vitest';
import { gridOf, instantQuery, metricText, rangeQuery, timeOf } from './prometheus';
import {
  chartOfAnswers, commonLabels, gridFor, isolated, lonely, piled, pointTime, styleOf, type Line,
} from './samples';

const line = (key: string, values: (number | null)[]): Line =>
  ({ key, label: key, full: key, colour: '--series-1', dash: [], values });

describe('the grid of a range', () => {
  it('is whole steps, so that the same points are asked for again', () => {
    expect(gridFor(1_000_007_000, 1_000_067_000, 15)).toEqual({ start: 999_990 + 15, end: 1_000_065, step: 15 });
    expect(gridFor(0, 0, 60)).toEqual({ start: 0, end: 60, step: 60 });
  });
  it('is found in a question again', () => {
    const grid = { start: 900, end: 960, step: 30 };
    expect(gridOf(rangeQuery('up', grid).url)).toEqual(grid);
    expect(gridOf('/api/v1/query?query=up')).toBeNull();
    expect(timeOf(instantQuery('a ? b', 900).url)).toBe(900);
  });
});

describe('a chart', () => {
  const url = rangeQuery('x', { start: 100, end: 130, step: 10 }).url;
  const series = [
    { metric: { __name__: 'up', job: 'a', instance: 'one' }, values: [[100, '1'], [120, 'NaN'], [130, '2']] as [number, string][] },
    { metric: { __name__: 'up', job: 'a', instance: 'two' }, values: [[90, '7'], [110, '+Inf'], [120, '3']] as [number, string][] },
    { metric: { __name__: 'up', job: 'h' }, histograms: [] },
  ];
  it('has a value or none for each point', () => {
    const chart = chartOfAnswers([{ name: '', url, series: series.slice(0, 2) }]);
    expect(chart?.count).toBe(4);
    expect(chart?.lines.map(({ values }) => values)).toEqual([[1, null, null, 2], [null, null, 3, null]]);
  });
  it('names lines by what tells them apart', () => {
    const chart = chartOfAnswers([{ name: '2', url, series: series.slice(0, 2) }]);
    expect(chart?.lines.map(({ label }) => label)).toEqual(['2: {instance="one"}', '2: {instance="two"}']);
    expect(chart?.lines[0]?.full).toBe('up{job="a", instance="one"}');
    expect(chartOfAnswers([{ name: '', url, series: series.slice(0, 1) }])?.lines[0]?.label)
      .toBe('up{job="a", instance="one"}');
  });
  it('leaves out what is no line', () => {
    expect(chartOfAnswers([{ name: '', url, series }])?.lines).toHaveLength(2);
    expect(chartOfAnswers([])).toBeNull();
  });
});

it('tells labels that are the same everywhere', () => {
  expect([...commonLabels([{ a: '1', b: '2' }, { a: '1', b: '3' }, { a: '1' }])]).toEqual(['a']);
  expect(commonLabels([{ a: '1' }]).size).toBe(0);
});

it('writes metrics as one asks for them', () => {
  expect(metricText({})).toBe('{}');
  expect(metricText({ __name__: 'up' })).toBe('up');
  expect(metricText({ __name__: 'a.b', 'c d': 'e"f' })).toBe('{"a.b", "c d"="e\\"f"}');
});

it('finds points without neighbours', () => {
  expect(lonely([1, null, 2, 3, null, 4])).toEqual([0, 5]);
});

it('piles visible lines up, and leaves gaps', () => {
  const lines = [line('a', [1, 1, null]), line('b', [5, 5, 5]), line('c', [2, null, 2])];
  expect(piled(lines, new Set(['b']))).toEqual([[1, 1, null], [5, 5, 5], [3, null, 2]]);
});

it('leaves one line alone, and brings all back', () => {
  const lines = [line('a', []), line('b', []), line('c', [])];
  const alone = isolated(lines, new Set(), 'b');
  expect([...alone]).toEqual(['a', 'c']);
  expect([...isolated(lines, alone, 'b')]).toEqual([]);
  expect([...isolated(lines, alone, 'c')]).toEqual(['a', 'b']);
});

it('tells lines apart after the colours are used up', () => {
  expect(styleOf(0).dash).toEqual([]);
  expect(styleOf(8).colour).toBe(styleOf(0).colour);
  expect(styleOf(8).dash).not.toEqual([]);
});

it('names points by as much of the time as matters', () => {
  const chart = { start: Date.parse('2026-11-22T10:00:00Z') / 1_000, step: 15, count: 240, lines: [], unit: 'plain' as const };
  expect(pointTime(chart, 1)).toBe('10:00:15');
  expect(pointTime({ ...chart, step: 3_600 }, 2)).toBe('2026-11-22 12:00');
});
