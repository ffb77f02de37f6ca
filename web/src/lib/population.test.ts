import { expect, it } from 'vitest';
import { presetOfDays, windowOf, windowWords } from './population';

const windows = [0, 14, 7, 3, 1].map((days) => ({ days, builds: [] }));

it('takes the shortest window that covers a range', () => {
  expect([1, 2, 7, 8, 15, 366].map((days) => windowOf(windows, days)?.days)).toEqual([1, 3, 7, 14, 0, 0]);
  expect(windowOf([], 7)).toBeUndefined();
});

it('knows the windows of old addresses', () => {
  expect(['0', '1', '14', '5', null].map(presetOfDays)).toEqual(['all', '24h', '14d', '7d', '7d']);
});

it('has words for windows', () => {
  expect([0, 1, 3].map(windowWords)).toEqual(['ever', 'today (UTC)', 'in the last 3 days']);
});
