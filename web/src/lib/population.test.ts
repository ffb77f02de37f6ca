import { expect, it } from 'vitest';
import { crashDays, crashFree, presetOfDays, windowDays, windowWords } from './population';

it('takes the shortest window that covers a range', () => {
  expect([1, 2, 7, 8, 15, 366].map(windowDays)).toEqual([1, 3, 7, 14, 0, 0]);
});

it('knows the windows of old addresses', () => {
  expect(['0', '1', '14', '5', null].map(presetOfDays)).toEqual(['all', '24h', '14d', '7d', '7d']);
});

it('has words for windows', () => {
  expect([0, 1, 3].map(windowWords)).toEqual(['at any time', 'today (UTC)', 'in the last 3 days']);
});

it('says on how many machines nothing crashed', () => {
  const check = (machines: number, crashed: number, text: string) =>
    expect(crashFree({ build: '1', machines, crashed, crash_free: (machines - crashed) / machines })).toBe(text);
  check(10, 0, '100 %');
  check(10, 1, '90.0 %');
  check(120, 3, '97.5 %');
  check(1_000, 710, '29.0 %');
  check(1_000_000_000, 1, '99.9 %');
  check(2, 2, '0 %');
  check(0, 0, '–');
});

it('asks for crashes as far back as there is an answer', () => {
  expect([7, 0].map(crashDays)).toEqual([7, 366]);
});
