import { describe, expect, it } from 'vitest';
import { chartOf, OTHER, pointName, stacked, totalsOf } from './series';
import type { Counts } from './types';

const COUNTS: Counts = {
  by: 'build',
  days: [
    { day: '2026-11-03', counts: { a: 5, b: 1 } },
    { day: '2026-11-01', counts: { a: 1, b: 7 } },
    { day: '2026-10-01', counts: { a: 100 } },
  ],
};

describe('a chart', () => {
  it('has zero on days without records, and nothing from outside its days', () => {
    const { unit, points, series } = chartOf(COUNTS, '2026-11-01', '2026-11-04');
    expect(unit).toBe('day');
    expect(points).toEqual(['2026-11-01', '2026-11-02', '2026-11-03', '2026-11-04']);
    expect(series.map(({ key, values, total }) => [key, values, total])).toEqual([
      ['b', [7, 0, 1, 0], 8],
      ['a', [1, 0, 5, 0], 6],
    ]);
  });
  it('sums up what is not among the eight largest', () => {
    const counts = Object.fromEntries([...'abcdefghij'].map((key, index) => [key, 10 - index]));
    const { series } = chartOf({ by: 'x', days: [{ day: '2026-11-01', counts }] }, '2026-11-01', '2026-11-01');
    expect(series).toHaveLength(9);
    expect(series[7]).toMatchObject({ key: 'h', colour: '--series-8' });
    expect(series[8]).toMatchObject({ key: OTHER, total: 2 + 1 });
  });
  it('sums up weeks, from Mondays on', () => {
    const chart = chartOf(COUNTS, '2026-10-31', '2026-11-10', { unit: 'week' });
    expect(chart.points).toEqual(['2026-10-26', '2026-11-02', '2026-11-09']);
    expect(chart.series.map(({ key, values }) => [key, values])).toEqual([['b', [7, 1, 0]], ['a', [1, 5, 0]]]);
    expect(pointName(chart, 1)).toBe('Week from 2 Nov');
  });
  it('keeps an order that is given, without what never came', () => {
    const fixed = ['c', 'b', 'a'].map((key) => ({ key, colour: `--${key}` }));
    const { series } = chartOf(COUNTS, '2026-11-01', '2026-11-03', { fixed, label: (key) => key.toUpperCase() });
    expect(series.map(({ label, colour }) => [label, colour])).toEqual([['B', '--b'], ['A', '--a']]);
  });
});

it('stacks the visible series', () => {
  const chart = chartOf(COUNTS, '2026-11-01', '2026-11-01');
  expect(stacked(chart, new Set())).toEqual([[7], [8]]);
  expect(stacked(chart, new Set(['b']))).toEqual([[0], [1]]);
});

it('sums over days, the largest first', () => {
  expect([...totalsOf(COUNTS)]).toEqual([['a', 106], ['b', 8]]);
});
