import { expect, it } from 'vitest';
import { BUILDS_DRAWN, groupsByBuild } from './groups';
import type { Group } from './types';

const group = (id: number, builds: Record<string, number>): Group =>
  ({ id, function: `f${id}`, builds }) as unknown as Group;

it('stacks groups for each build, the oldest build first', () => {
  const chart = groupsByBuild([group(1, { 9: 1, 10: 2 }), group(2, { 10: 5 })]);
  expect(chart.points).toEqual(['9', '10']);
  expect(chart.series.map(({ label, values }) => [label, values])).toEqual([['f2', [0, 5]], ['f1', [1, 2]]]);
});

it('sums up what is not among the largest', () => {
  const chart = groupsByBuild(Array.from({ length: 12 }, (_, index) => group(index + 1, { a: index + 1 })));
  expect(chart.series).toHaveLength(9);
  expect(chart.series.at(-1)).toMatchObject({ label: 'other groups', total: 1 + 2 + 3 + 4 });
});

it('draws the newest builds, and no group that none of them had', () => {
  const builds = Object.fromEntries(Array.from({ length: BUILDS_DRAWN + 5 }, (_, index) => [`${index + 10}`, 1]));
  const chart = groupsByBuild([group(1, builds), group(2, { 1: 9 })]);
  expect(chart.points).toHaveLength(BUILDS_DRAWN);
  expect(chart.points.at(-1)).toBe(`${BUILDS_DRAWN + 14}`);
  expect(chart.series.map(({ key }) => key)).toEqual(['1']);
});
