import { expect, it } from 'vitest';
import { absolute, daysBetween, offset, relative, shortDay } from './times';

const NOW = Date.parse('2026-11-21T17:05:33Z');
const ago = (milliseconds: number) => relative(new Date(NOW - milliseconds).toISOString(), NOW);

it('says how long ago', () => {
  expect(ago(0)).toBe('now');
  expect(ago(59_999)).toBe('59 s ago');
  expect(ago(60_000)).toBe('1 min ago');
  expect(ago(3 * 3_600_000)).toBe('3 h ago');
  expect(ago(47 * 3_600_000)).toBe('47 h ago');
  expect(ago(48 * 3_600_000)).toBe('2 d ago');
  expect(ago(90 * 86_400_000)).toBe('2026-08-23');
});

it('says how far apart', () => {
  expect([0, 61_000, -2 * 3_600_000].map(offset)).toEqual(['+0 s', '+1 min', '−2 h']);
});

it('copes with clocks that are ahead, and with no time at all', () => {
  expect(ago(-20_000)).toBe('0 s ago');
  expect(ago(-3_600_000)).toBe('in 1 h');
  expect(relative(null, NOW)).toBe('unknown');
  expect(absolute('soon')).toBe('unknown');
});

it('is exact in UTC', () => {
  expect(absolute('2026-11-21T18:05:33.9+01:00')).toBe('2026-11-21 17:05:33 UTC');
});

it('counts days over the end of a month', () => {
  expect(daysBetween('2026-10-30', '2026-11-02').map(shortDay))
    .toEqual(['30 Oct', '31 Oct', '1 Nov', '2 Nov']);
});
