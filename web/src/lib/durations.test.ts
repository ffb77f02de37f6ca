import { expect, it } from 'vitest';
import { allowedStep, POINTS_MOST, readDuration, stepFor, writeDuration } from './durations';

it('reads durations as Prometheus writes them', () => {
  expect(['1h30m', '15s', '250ms', '1d', '1w', '90', '0.5'].map(readDuration))
    .toEqual([5_400, 15, 0.25, 86_400, 604_800, 90, 0.5]);
  for (const text of ['', '0', '0s', '-5m', '1 h', '5x', 'm5', '1e3']) expect(readDuration(text), text).toBeNull();
});

it('writes what it reads', () => {
  for (const text of ['15s', '1h30m', '250ms', '2d12h', '1m5s']) {
    expect(writeDuration(readDuration(text) ?? 0)).toBe(text);
  }
});

it('takes steps that people know, no closer than can be drawn', () => {
  expect([stepFor(900, 1_200), stepFor(3_600, 1_200), stepFor(3_600, 360), stepFor(7 * 86_400, 1_200)])
    .toEqual([5, 10, 30, 1_800]);
  expect(stepFor(60, 0)).toBe(5);
  expect(stepFor(10 * 365 * 86_400, 300) % 604_800).toBe(0);
});

it('keeps a step that somebody wrote within what the API allows', () => {
  const month = 30 * 86_400;
  expect(allowedStep(60, 3_600)).toBe(60);
  expect(month / allowedStep(1, month)).toBeLessThan(POINTS_MOST);
});
